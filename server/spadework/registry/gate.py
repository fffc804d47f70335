"""The gate: lock files that every process takes before it writes.

Why, when SQLite has locks of its own: its waiters sleep in growing steps and starve each other, so that the slowest of
eight synced writers waits for seconds. The gate gives order, `BEGIN IMMEDIATE` gives correctness, and a killed process
frees both.

Order takes two locks. Who wants the gate first takes the turn, and keeps it until the gate is his; so whoever has just
left the gate, and would be the first to find it free, queues behind the one whose turn it is. The locks are tried and
not waited for, since a blocking `flock` cannot be given up: a stopped holder would block its waiters' reads too.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from spadework_tools.errors import RegistryBusy

#: How long a writer waits before it gives up, in seconds.
WAIT_S = 5.0


class Gate:
    """An exclusive lock between processes, held by an open file. For one thread alone."""

    def __init__(self, path: Path) -> None:
        self._gate = _open(path)
        self._turn = _open(path.with_name(f"{path.name}.turn"))

    def take(self, wait_s: float = WAIT_S) -> None:
        """Take the gate, waiting at most `wait_s`. Raises RegistryBusy."""
        start = time.monotonic()
        if not _taken(self._turn):
            _wait(self._turn, start, wait_s, _queueing)
        try:
            if not _taken(self._gate):
                _wait(self._gate, start, wait_s, _next)
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def drop(self) -> None:
        """Let the next one in."""
        fcntl.flock(self._gate, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the files, which also drops the locks."""
        os.close(self._gate)
        os.close(self._turn)


def _open(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchmod(fd, 0o600)
    return fd


def _taken(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(fd: int, start: float, wait_s: float, nap: Callable[[float], float]) -> None:
    """Try a lock until it is ours. Raises RegistryBusy when `start` is `wait_s` ago."""
    while True:
        age = time.monotonic() - start
        if age > wait_s:
            raise RegistryBusy(age)
        time.sleep(nap(age))
        if _taken(fd):
            return


def _queueing(age: float) -> float:
    """How long to sleep between two tries for the turn: who has waited longest tries most often, and so comes first.

    After half a second nobody is about to let go, and trying seldom is enough.
    """
    if age < 0.010:
        return 0.001
    return 0.0003 if age < 0.5 else 0.005


def _next(age: float) -> float:
    """How long to sleep between two tries for the gate, for the one process whose turn it is."""
    return 0.0001 if age < 0.5 else 0.005
