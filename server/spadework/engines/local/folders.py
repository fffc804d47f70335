"""Walk and read the folders a person allowed, and nothing else.

Why it opens files the long way: a path that was checked and then opened can be swapped for a link in between. Here the
check is the opening: every step from `/` down is opened by itself with O_NOFOLLOW, so a link met on the way is an
error, and what is read is judged by `fstat` of the opened file. A hard link is the file itself and is read.

Links are never followed: one that leads inside is read under its own name, so there are no loops and no doubles.
"""

from __future__ import annotations

import os
import re
import stat
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from spadework.engines.local.document import Unreadable
from spadework.engines.local.extract.kinds import is_binary, is_generated, kind_of
from spadework_tools.errors import BadFolder

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(//|/)|file:", re.ASCII)
_JUNK_NAMES = (
    "node_modules bower_components __pycache__ venv virtualenv site-packages dist build target htmlcov "
    "__pypackages__ deriveddata cmakefiles"
)
_JUNK = frozenset(_JUNK_NAMES.split())
# Reasons that leave nothing which could be a document.
_NOTHING = frozenset({"dotfile", "junk_folder", "symlink", "symlink_broken", "generated", "special"})
_STEP = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
_LIST = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_RDONLY
# O_NONBLOCK: opening a fifo that nobody writes to returns at once instead of waiting for ever.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one walk may take in: bytes a file, files in all, and how deep folders may nest."""

    file_bytes: int = 64 * 1024 * 1024
    files: int = 20_000
    depth: int = 64


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file worth reading: where it lies (a real path), its name below the folder, and what `stat` said."""

    path: Path
    name: str
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or a whole folder left out, by its name below the folder (`.` for the folder itself), and why.

    `reason`: `dotfile`, `junk_folder`, `symlink`, `symlink_out`, `symlink_broken`, `not_regular`, `special`,
    `too_large`, `too_deep`, `too_many`, `unreadable`, `generated`, `binary` or `unknown_type`.
    """

    path: str
    reason: str


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Roots:
    """The folders that may be read, with everything below them."""

    allowed: tuple[Path, ...]

    def resolve(self, folder: str, base: Path) -> Path:
        """The real path of a folder as a caller wrote it, relative to `base` unless absolute.

        Raises BadFolder when it is missing, no folder, hidden, unreadable or outside the allowed roots; of anything
        outside it does not say whether it exists.
        """
        _refuse_notation(folder)
        try:
            real = Path(os.path.realpath(base / folder))
            root = self._root_of(real)
        except (OSError, ValueError):
            raise BadFolder(f"{_shown(folder)} cannot be a folder's path here. Give the folder's full path.") from None
        if root is None:
            raise BadFolder(f"{_shown(folder)} lies outside the folders that may be read. {self._advice()}")
        hidden = [part for part in real.relative_to(root).parts if part.startswith(".")]
        if hidden:
            raise BadFolder(
                f"{_shown(folder)} lies in the hidden folder {_shown(hidden[0])}, and hidden folders are not read. "
                "Name it in SPADEWORK_ROOTS itself if it should be."
            )
        _refuse_state(folder, real)
        return real

    def _root_of(self, real: Path) -> Path | None:
        for allowed in self.allowed:
            root = Path(os.path.realpath(allowed))
            if real == root or root in real.parents:
                return root
        return None

    def _advice(self) -> str:
        if not self.allowed:
            return "None is allowed yet: set SPADEWORK_ROOTS to the folders that may be read."
        names = ", ".join(str(root) for root in self.allowed[:5])
        return f"Choose one inside {names}, or add it to SPADEWORK_ROOTS."


def walk(folder: Path, limits: Limits = LIMITS) -> Iterator[Found | Skipped]:
    """Everything below a resolved folder, each as Found or Skipped, always in the same order.

    Files come before the folders beside them and shallow folders before deep ones, so that the cap on files cuts the
    depths. A hidden or junk folder is one Skipped, as is everything past the cap.
    """
    waiting: deque[tuple[str, ...]] = deque([()])
    files = 0
    while waiting:
        parts = waiting.popleft()
        if len(parts) > limits.depth:
            yield Skipped(_name(parts), "too_deep")
            continue
        for item in _look(folder, parts, limits):
            if isinstance(item, tuple):
                waiting.append(item)
                continue
            if isinstance(item, Found):
                files += 1
                if files > limits.files:
                    yield Skipped(item.name, "too_many")
                    return
            yield item


def glance(folders: Sequence[Path], most: int) -> int | None:
    """How many files there are to read, counted up to `most`; None where there is nothing that could be a document."""
    count, anything = 0, False
    for folder in folders:
        for item in walk(folder):
            count += isinstance(item, Found)
            anything = anything or isinstance(item, Found) or item.reason not in _NOTHING
            if count >= most:
                return count
    return count if anything else None


def read(found: Found, limits: Limits = LIMITS) -> bytes:
    """The bytes of a found file, or Unreadable when it is no longer a plain file at that very place.

    A link put anywhere on its path since the walk is refused (`moved`), and so is what grew past the size cap.
    """
    try:
        with _opened(found.path, _READ) as fd:
            return _drain(fd, found.name, limits.file_bytes)
    except FileNotFoundError:
        raise Unreadable("gone", f"{found.name} is no longer there.") from None
    except PermissionError:
        raise Unreadable("denied", f"{found.name} may not be read by this user.") from None
    except OSError as error:
        raise Unreadable("moved", f"{found.name} was not opened: {error.strerror or 'its path changed'}.") from None


def _drain(fd: int, name: str, cap: int) -> bytes:
    state = os.fstat(fd)
    if not stat.S_ISREG(state.st_mode) or state.st_dev in _kernel_devices():
        raise Unreadable("not_regular", f"{name} is no plain file.")
    if state.st_size > cap:
        raise Unreadable("too_large", f"{name} has {state.st_size:,} bytes; at most {cap:,} are read.")
    with os.fdopen(fd, "rb", buffering=0, closefd=False) as file:
        data = file.read(state.st_size)
        more = file.read(cap + 1 - len(data)) if len(data) == state.st_size else b""
    if len(data) + len(more) > cap:
        raise Unreadable("too_large", f"{name} grew past {cap:,} bytes while it was read.")
    return data + more


@contextmanager
def _opened(path: Path, flags: int) -> Generator[int]:
    """Open a real path step by step from `/`; a link anywhere on the way raises OSError."""
    *folders, last = path.parts[1:] or (".",)
    fd = os.open(path.anchor, _STEP)
    try:
        for part in folders:
            inner = os.open(part, _STEP, dir_fd=fd)
            os.close(fd)
            fd = inner
        inner = os.open(last, flags, dir_fd=fd)
        os.close(fd)
        fd = inner
        yield fd
    finally:
        os.close(fd)


def _look(folder: Path, parts: tuple[str, ...], limits: Limits) -> list[Found | Skipped | tuple[str, ...]]:
    """One folder's entries, sorted by name; what to look into next comes as tuples of names."""
    try:
        with _opened(folder.joinpath(*parts), _LIST) as fd:
            if os.fstat(fd).st_dev in _kernel_devices():
                return [Skipped(_name(parts), "special")]
            with os.scandir(fd) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
            return [_judge(folder, (*parts, entry.name), entry, limits) for entry in entries]
    except OSError:
        return [Skipped(_name(parts), "unreadable")]


def _judge(
    folder: Path, parts: tuple[str, ...], entry: os.DirEntry[str], limits: Limits
) -> Found | Skipped | tuple[str, ...]:
    name = _name(parts)
    if entry.name.startswith("."):
        return Skipped(name, "dotfile")
    if entry.is_symlink():
        return Skipped(name, _link_reason(folder, folder.joinpath(*parts)))
    if entry.is_dir(follow_symlinks=False):
        return Skipped(name, "junk_folder") if entry.name.lower() in _JUNK else parts
    try:
        state = entry.stat(follow_symlinks=False)
    except OSError:
        return Skipped(name, "unreadable")
    reason = _file_reason(entry.name, state, limits)
    if reason:
        return Skipped(name, reason)
    if not os.access(folder.joinpath(*parts), os.R_OK, follow_symlinks=True):
        return Skipped(name, "unreadable")
    return Found(folder.joinpath(*parts), name, state.st_size, state.st_mtime_ns)


def _file_reason(name: str, state: os.stat_result, limits: Limits) -> str | None:
    if not stat.S_ISREG(state.st_mode):
        return "not_regular"
    if is_generated(name):
        return "generated"
    if kind_of(name) is None:
        return "binary" if is_binary(name) else "unknown_type"
    return "too_large" if state.st_size > limits.file_bytes else None


def _link_reason(folder: Path, link: Path) -> str:
    target = Path(os.path.realpath(link))
    if target != folder and folder not in target.parents:
        return "symlink_out"
    return "symlink" if os.path.lexists(target) else "symlink_broken"


@cache
def _kernel_devices() -> frozenset[int]:
    """The devices of the kernel's own file systems: their files are windows into processes, wherever mounted."""
    devices = {os.stat(place).st_dev for place in ("/proc", "/sys", "/dev") if os.path.isdir(place)}  # noqa: PTH112, PTH116
    return frozenset(devices - {os.stat("/").st_dev})  # noqa: PTH116


def _refuse_notation(folder: str) -> None:
    if not folder.strip() or "\0" in folder:
        raise BadFolder(f"{_shown(folder)} is no folder's path: it is empty or holds a NUL. Give the folder's path.")
    if _SCHEME.match(folder):
        raise BadFolder(f"{_shown(folder)} is a URL, and folders are plain paths. Give the folder's path instead.")
    if folder.startswith("~"):
        raise BadFolder(f"{_shown(folder)} starts with ~, which is not expanded here. Give the folder's full path.")


def _refuse_state(folder: str, real: Path) -> None:
    try:
        state = real.stat()
    except FileNotFoundError:
        raise BadFolder(f"there is no folder {_shown(folder)}. Check the spelling, or give its full path.") from None
    except OSError as error:
        raise BadFolder(f"{_shown(folder)} cannot be read: {error.strerror}. Check its permissions.") from None
    if not stat.S_ISDIR(state.st_mode):
        raise BadFolder(f"{_shown(folder)} is a file, and `folders` takes folders. Name the folder that holds it.")
    if state.st_dev in _kernel_devices():
        raise BadFolder(f"{_shown(folder)} belongs to the kernel, and no documents are there. Choose another folder.")
    if not os.access(real, os.R_OK | os.X_OK):
        raise BadFolder(f"{_shown(folder)} may not be read by this user. Change its permissions, or choose another.")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:120] + "…")


def _name(parts: tuple[str, ...]) -> str:
    """A name that can be printed and sent: bytes that are no UTF-8 show as a replacement character."""
    return "/".join(parts).encode("utf-8", "surrogateescape").decode("utf-8", "replace") or "."
