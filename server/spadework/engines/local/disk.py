"""What a disk or a database refuses, as what the reader can do about it."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from spadework_tools.errors import EngineFailed, ReadOnly, StorageFull


@contextmanager
def told(home: Path) -> Generator[None]:
    """Raises StorageFull, ReadOnly or EngineFailed in place of what SQLite or the system says of files in a home."""
    try:
        yield
    except sqlite3.Error as error:
        raise _refusal(error, home) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(str(home)) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ReadOnly(str(home)) from error
        raise


def _refusal(error: sqlite3.Error, home: Path) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StorageFull(str(home))
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return ReadOnly(str(home))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return EngineFailed(
            "another process is writing the index of these folders and did not finish in time. Try again shortly.",
            code="index_busy",
            retryable=True,
        )
    return EngineFailed(f"the index of these folders could not be used ({error}). Try again.", code="index_failed")
