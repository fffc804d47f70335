"""Payload bytes, kept in a diskcache directory; the one module that knows diskcache.

Why an own `Disk`: diskcache's unpickles whatever a row of its database says is pickled, and reads and deletes whatever
file a row names (CVE-2025-69872); its JSONDisk inherits both. Ours knows bytes under text keys, inside the database,
and refuses everything else. No method of it calls the inherited one.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path
from typing import Any, cast

import diskcache  # noqa: TID251 - the one place: whoever must swap the package for a fork changes this line

from spadework_tools.errors import RegistryCorrupt

#: diskcache's mark for "the value is in the row, as it is".
RAW = 1

_log = logging.getLogger(__name__)

# The same rows that diskcache writes and reads, without the three nested transactions of its own calls.
KEEP = """INSERT OR IGNORE INTO Cache (key, raw, store_time, expire_time, access_time, access_count, size, mode, value)
    VALUES (?, 1, ?, NULL, ?, 0, 0, ?, ?)"""
FETCH = "SELECT mode, filename, value FROM Cache WHERE key = ? AND raw = 1"
DROP = "DELETE FROM Cache WHERE key = ? AND raw = 1"
DROP_UNDER = "DELETE FROM Cache WHERE key >= ? AND key < ? AND raw = 1"


def unpack(mode: object, filename: object, value: object) -> bytes:
    """A row's value, if it is bytes inside the row.

    Raises:
        RegistryCorrupt: the row names a file, a pickle or anything else that we never write.
    """
    if mode != RAW or filename is not None or type(value) is not bytes:
        raise RegistryCorrupt(
            f"a payload row of the registry is of a kind that spadework never writes (mode {mode!r}), so it was not "
            "opened. Somebody else has written to the registry's folder: check who can, and restore it from a backup."
        )
    return value


class BytesDisk(diskcache.Disk):
    """Bytes under text keys, inside the database: never a pickle, never a file."""

    def put(self, key: object) -> tuple[str, bool]:  # pyright: ignore[reportIncompatibleMethodOverride] - narrower
        """The key as stored. Raises TypeError for anything but text."""
        if type(key) is not str:
            raise TypeError(f"a payload key is text, not {type(key).__name__}")
        return key, True

    def get(self, key: object, raw: object) -> str:
        """The key as it was put. Raises RegistryCorrupt for a key that `put` cannot have made."""
        if not raw or type(key) is not str:
            raise RegistryCorrupt(
                "a payload key of the registry is of a kind that spadework never writes, so it was not opened. "
                "Somebody else has written to the registry's folder: check who can, and restore it from a backup."
            )
        return key

    def store(  # pyright: ignore[reportIncompatibleMethodOverride] - narrower
        self, value: object, read: object, key: object = None
    ) -> tuple[int, int, None, bytes]:
        """The value as stored: size 0 (nothing outside the row). Raises TypeError for anything but bytes."""
        if read or type(value) is not bytes:
            raise TypeError(f"a payload is bytes, not {type(value).__name__}")
        return 0, RAW, None, value

    def fetch(self, mode: object, filename: object, value: object, read: object) -> bytes:
        """The bytes of a row. Raises RegistryCorrupt for a row that `store` cannot have made."""
        return unpack(mode, filename, value)

    def filename(self, key: object = None, value: object = None) -> tuple[str, str]:
        """Raises TypeError: payloads have no files."""
        raise TypeError("payloads live inside the database")

    def remove(self, file_path: object) -> None:
        """Leave the file alone: no row of ours names one, so a name here was planted."""
        _log.warning("ignored a payload row that names the file %r", file_path)


class Blobs:
    """One open diskcache directory: its connection and its payloads. For one thread alone."""

    def __init__(self, folder: Path) -> None:
        # Every setting is given, since diskcache would otherwise take what the last opener left in its table. Nothing
        # is ever evicted, and values stay in rows: diskcache's value files are never synced.
        self._cache = cast(
            "Any",
            diskcache.Cache(
                str(folder),
                timeout=5,
                disk=BytesDisk,
                eviction_policy="none",
                cull_limit=0,
                size_limit=2**60,
                disk_min_file_size=2**40,
                sqlite_auto_vacuum=0,
                sqlite_synchronous=2,
                # Else a desk would grow with its registry, by up to 32 MB of cached and 64 MB of mapped pages; the
                # system's own cache holds them anyway.
                sqlite_cache_size=1_024,
                sqlite_mmap_size=0,
                statistics=0,
            ),
        )
        #: The connection is private to diskcache; the name has not changed since 2016 and is pinned by `<6`.
        self.con: sqlite3.Connection = self._cache._con  # noqa: SLF001 - the one place that touches it

    def keep(self, key: str, value: bytes) -> None:
        """Store a payload; one that is there already stays as it was."""
        now = time.time()
        self.con.execute(KEEP, (key, now, now, RAW, value))

    def close(self) -> None:
        """Close the connection."""
        self._cache.close()
