"""Which files of a folder are read, as the kernel saw it (inotify): no process can read one behind its back."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_ACCESS, _CLOSE_NOWRITE, _IS_DIR = 0x1, 0x10, 0x40000000
_HEAD = struct.Struct("iIII")


class Reading:
    """The files read while it is entered, in order; one that is opened, read and closed counts once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[str] = []
        self._open: set[str] = set()

    def __enter__(self) -> Self:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK)
        watch = libc.inotify_add_watch(self._fd, os.fsencode(self._folder), _ACCESS | _CLOSE_NOWRITE)
        assert self._fd >= 0
        assert watch >= 0, os.strerror(ctypes.get_errno())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def until(self, count: int, *, within: float) -> None:
        """Wait until so many files were read."""
        deadline = time.monotonic() + within
        while len(self.files()) < count:
            left = deadline - time.monotonic()
            assert left > 0, f"only {len(self._files)} files were read within {within} s"
            select.select([self._fd], [], [], left)

    def files(self) -> list[str]:
        """The files read so far."""
        while True:
            try:
                data = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                return list(self._files)
            while data:
                _, mask, _, size = _HEAD.unpack_from(data)
                name = os.fsdecode(data[_HEAD.size : _HEAD.size + size].rstrip(b"\0"))
                data = data[_HEAD.size + size :]
                self._note(name, mask)

    def _note(self, name: str, mask: int) -> None:
        if mask & _IS_DIR or not name:
            return
        if mask & _CLOSE_NOWRITE:
            self._open.discard(name)
        elif name not in self._open:
            self._open.add(name)
            self._files.append(name)
