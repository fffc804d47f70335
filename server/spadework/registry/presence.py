"""Who is alive: a worker holds a lock on a file of its own for as long as its process lives.

Why, beside the leases: the kernel drops the lock with the process, so its jobs are free at once instead of at the
lease's end. Unlike a process id, it holds across containers and is never reused. The lease covers the worker that
lives but has stopped.
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class Presence:
    """The lock files of the workers, one for each in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}

    def _path(self, worker: str) -> Path:
        if not _NAME.fullmatch(worker):
            raise ValueError(f"a worker's name is 1 to 80 letters, digits, dots or dashes, not {worker!r}")
        return self._folder / f"{worker}.lock"

    def hold(self, worker: str) -> None:
        """Show that this worker lives here, until `drop`, `close` or the end of the process.

        Raises:
            ValueError: the name is no worker's name, or a worker of this name lives elsewhere.
        """
        if worker in self._held:
            return
        path = self._path(worker)
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.fchmod(fd, 0o600)
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same(fd, path):
                    self._held[worker] = fd
                    return
            except BlockingIOError:
                os.close(fd)
                raise ValueError(f"a worker named {worker!r} lives elsewhere; a name is used once") from None
            # Somebody cleared a dead namesake's file away between our open and our lock.
            os.close(fd)

    def gone(self, worker: str) -> bool:
        """Whether the worker's process has certainly ended; its file is cleared away then."""
        if worker in self._held:
            return False
        path = self._path(worker)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            # Nothing to tell by: only its lease counts.
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True

    def drop(self, worker: str) -> None:
        """The worker no longer lives here."""
        fd = self._held.pop(worker, None)
        if fd is not None:
            self._path(worker).unlink(missing_ok=True)
            os.close(fd)

    def close(self) -> None:
        """Let go of every lock; the files stay, so that others see at once that these workers are gone."""
        for fd in self._held.values():
            os.close(fd)
        self._held.clear()


def _same(fd: int, path: Path) -> bool:
    """Whether the path still leads to the open file."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
