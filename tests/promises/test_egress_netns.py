"""No hostile address reaches the inside, shown with real sockets where the whole of IPv4 and IPv6 leads to us."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENTER = ("unshare", "--net", "--mount")


def _possible() -> str:
    """Why the namespace cannot be made here; empty where it can."""
    missing = [name for name in ("unshare", "ip", "mount") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed"
    tried = subprocess.run([*ENTER, "ip", "link", "set", "lo", "up"], capture_output=True, text=True, timeout=20)
    return "" if tried.returncode == 0 else f"no network namespace may be made here: {tried.stderr.strip()[:100]}"


def test_no_hostile_address_is_reached_and_every_honest_one_is() -> None:
    if reason := _possible():
        pytest.skip(reason)
    command = [*ENTER, sys.executable, "-m", "tests.promises.netns"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["seen"], "the rig sees no leak at all"
    assert len(told["hostile"]) >= 50
    assert [one for one in told["hostile"] if one["leaks"]] == []
    # A name that rebinds is asked for once, so it is its first, public address that is reached, and only that.
    reached = {one["url"] for one in told["hostile"] if one["outcome"] == "200"}
    assert reached <= {f"http://{name}/" for name in ("rebinds.example", "returns.example")} | {
        f"http://public.example/to/http://{name}/" for name in ("rebinds.example", "returns.example")
    }
    assert [one["outcome"] for one in told["honest"]] == ["200"] * 4
