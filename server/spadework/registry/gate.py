"""The gate: one lock file that every process takes before it writes.

Why, when SQLite has locks of its own: its waiters sleep in growing steps and starve each other, so that the slowest of
eight synced writers waited over a second where this gate keeps it under a tenth. The gate gives order, `BEGIN
IMMEDIATE` gives correctness, and a killed process frees both.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from spadework_tools.errors import RegistryBusy

#: How long a writer waits before it gives up, in seconds.
WAIT_S = 5.0


class Gate:
    """An exclusive lock between processes, held by an open file. For one thread alone."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.fchmod(self._fd, 0o600)

    def take(self, wait_s: float = WAIT_S) -> None:
        """Take the gate, waiting at most `wait_s`. Raises RegistryBusy."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._queue(wait_s)

    def _queue(self, wait_s: float) -> None:
        start = time.monotonic()
        while True:
            age = time.monotonic() - start
            if age > wait_s:
                raise RegistryBusy(age)
            time.sleep(_nap(age))
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return

    def drop(self) -> None:
        """Let the next one in."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file, which also drops the lock."""
        os.close(self._fd)


def _nap(age: float) -> float:
    """How long to sleep between two tries: the longest waiter tries most often, so that it comes first.

    A blocking `flock` cannot be given up, and a stopped holder would block its waiters' reads too. After half a second
    nobody is about to let go, and trying seldom is enough.
    """
    if age < 0.004:
        return 0.001
    return 0.0002 if age < 0.5 else 0.005
