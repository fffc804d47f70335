"""Taking the files of a corpus into its index: only what is new or changed is read, and each file is kept at once.

These functions block and run in worker threads. Each opens the index by itself, so that one whose job was cancelled
can be left behind: it stops after the file it is at and closes what it opened.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from spadework.engines.local.document import Unreadable
from spadework.engines.local.extract import extract
from spadework.engines.local.folders import Found, read, walk
from spadework.engines.local.index import Index, Size, Stamp

#: Reasons for which a file is left out as a matter of course; nobody wonders why it was not read.
EXPECTED = frozenset({"dotfile", "junk_folder", "symlink", "generated", "binary", "unknown_type", "special"})
#: From this many new files on it pays to join the index's parts.
_MANY = 32


@dataclass(frozen=True, slots=True)
class Survey:
    """What lies in the folders: files to read, and what is left out as (name, reason)."""

    found: tuple[Found, ...]
    skipped: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read for a job, in files, passages and characters, and what was not, as (name, reason).

    `unread` are files that one would expect to have been read; `left_out` was passed over as a matter of course.
    """

    files: int
    passages: int
    characters: int
    unread: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[str, str], ...]


def survey(folders: Sequence[Path], stop: Event) -> Survey:
    """Walk the folders; a file that lies in two of them counts once. Ends early when told to stop."""
    found: dict[Path, Found] = {}
    skipped: dict[str, str] = {}
    for folder in folders:
        for item in walk(folder):
            if stop.is_set():
                break
            if isinstance(item, Found):
                found.setdefault(item.path, item)
            else:
                skipped.setdefault(_below(folders, folder, item.path), item.reason)
    return Survey(tuple(found.values()), tuple(skipped.items()))


def take(place: Path, files: Sequence[Found], stop: Event, seconds: float) -> tuple[int, int]:
    """Bring the index up to date with these files for about so many seconds.

    Returns how many files it got through, and how many of them it had to read.
    """
    until, taken = time.monotonic() + seconds, 0
    with Index(place) as index:
        for done, file in enumerate(files):
            if stop.is_set() or (done and time.monotonic() > until):
                return done, taken
            taken += _take(index, file)
    return len(files), taken


def _take(index: Index, file: Found) -> bool:
    """Take in one file if it is new or changed; whether it was read."""
    name = key(file.path)
    seen = index.seen(name)
    if seen and (seen.stamp.mtime_ns, seen.stamp.size) == (file.modified_ns, file.size):
        return False
    try:
        data = read(file)
    except Unreadable as trouble:
        # It may be readable the next time, with the same date: no date that a file can have lets it pass as known.
        index.skip(name, Stamp(-1, file.size, ""), trouble.reason)
        return True
    stamp = Stamp(file.modified_ns, file.size, hashlib.sha256(data).hexdigest())
    if seen and seen.stamp.sha256 == stamp.sha256:
        index.touch(name, stamp)
        return True
    try:
        document = extract(name, data)
    except Unreadable as trouble:
        index.skip(name, stamp, trouble.reason)
        return True
    index.add(document, stamp)
    return True


def settle(place: Path, folders: Sequence[Path], known: Survey, taken: int) -> Reading:
    """Forget files that are gone, and say what the index now holds of the folders; `taken` files were new to it."""
    with Index(place) as index:
        index.retain(key(file.path) for file in known.found)
        if taken >= _MANY:
            index.tidy()
        size: Size = index.size()
        unread = tuple((shown(folders, path), reason) for path, reason in index.unread())
    unread += tuple(item for item in known.skipped if item[1] not in EXPECTED)
    left_out = tuple(item for item in known.skipped if item[1] in EXPECTED)
    return Reading(size.documents, size.passages, size.characters, unread, left_out)


def key(path: Path) -> str:
    """A path as the index holds it; bytes that are no UTF-8 are written out, since SQLite takes none."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def shown(folders: Iterable[Path], path: str) -> str:
    """A file's name for the reader: below its folder, with the folder's own name where there are several."""
    several = list(folders)
    for folder in sorted(several, key=lambda one: -len(one.parts)):
        inside = path.removeprefix(f"{key(folder).rstrip('/')}/")
        if inside != path:
            return inside if len(several) == 1 else f"{folder.name}/{inside}"
    return path


def _below(folders: Sequence[Path], folder: Path, name: str) -> str:
    return name if len(folders) == 1 else f"{folder.name}/{name}"
