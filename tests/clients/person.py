"""Someone at a machine of their own: a home that no program has used, a folder of documents, and loopback only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from tests.journeys import papers
from tests.journeys.desks import until
from tests.journeys.server import AROUND
from tests.promises.served import Served

#: Where nobody listens: what would leave the machine ends there.
_NOWHERE = "http://127.0.0.1:9"


class Person:
    """Every program is started with this home; whatever of them still runs at the end is killed."""

    def __init__(self, folder: Path) -> None:
        self.home, self.work = folder / "person", papers.library(folder / "work")
        self.home.mkdir()
        self.env: dict[str, str] = {
            "HOME": str(self.home), "PATH": AROUND["PATH"], "LANG": "C.UTF-8", "TERM": "xterm-256color",
            "HTTP_PROXY": _NOWHERE, "HTTPS_PROXY": _NOWHERE, "NO_PROXY": "127.0.0.1,localhost",
        }  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes():
            process.kill()
        until(lambda: not self._processes(), 5, "the end of every program of this person")

    def types(self, *words: str | Path, within: float = 60) -> str:
        """What a command prints, which must succeed."""
        done = subprocess.run(
            words, env=self.env, cwd=self.work, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=within, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-3000:])
        return done.stdout

    def spadework(self, *words: str) -> str:
        """What our own command prints."""
        return self.types(sys.executable, "-m", "spadework", *words)

    def writes(self, name: str, text: str) -> None:
        """Put a file into the home."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    @contextmanager
    def served(self, transport: str) -> Generator[str | None]:
        """Where the desk is for a client: nowhere yet over stdio, whose server it starts by itself; else its URL."""
        if transport == "stdio":
            yield None
            return
        home = self.home / "desk"
        self.env["SPADEWORK_HOME"] = str(home)
        with Served(home, self.work, log=self.home, roots=self.work) as served:
            yield f"{served.url}/mcp"

    def jobs(self) -> Sequence[Mapping[str, Any]]:
        """Every job of the desk."""
        return json.loads(self.spadework("jobs", "--json"))["jobs"]

    def _processes(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                ours = process.pid != os.getpid() and process.environ().get("HOME") == str(self.home)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found
