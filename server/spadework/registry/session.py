"""One open registry database: reads, gated write transactions, and what SQLite's errors mean to the reader.

Why the transactions are our own and not `Cache.transact`: that one reports every failure to begin as a time-out, on
which a retry would spin for ever on a full or read-only disk; a rollback that fails hides the failure before it; and it
costs as much as the rest of a small write.
"""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar

from spadework.registry.blobs import Blobs
from spadework.registry.gate import WAIT_S, Gate
from spadework.registry.opening import damaged, inspect, reader
from spadework.registry.place import Place
from spadework.registry.schema import migrate
from spadework_tools.errors import BadHome, ReadOnly, RegistryBusy, RegistryCorrupt, StorageFull, Trouble

T = TypeVar("T")

#: How long an opening process waits for others that are opening, in seconds.
OPEN_S = 20.0

_ROOM = 1 << 20


class Session:
    """The connection of one process, for one thread alone. Where nothing can be written it reads, and says why."""

    def __init__(self, place: Place, settle: Callable[[sqlite3.Connection], None]) -> None:
        self._place = place
        self._settle = settle
        self._gate: Gate | None = None
        self._blobs: Blobs | None = None
        self._synced: bool | None = None
        self.con: sqlite3.Connection

    @classmethod
    def open(cls, place: Place, settle: Callable[[sqlite3.Connection], None]) -> Self:
        """Open the registry, or create it where there is none; `settle` runs in the transaction that begins its use.

        Raises:
            RegistryCorrupt: the files are damaged, not ours or newer; they were not changed.
            ReadOnly: there is no registry and none can be made here.
            StorageFull: there is no registry and no room for one.
            RegistryBusy: others were opening it all the time.
        """
        session = cls(place, settle)
        try:
            session._connect()
        except (ReadOnly, StorageFull):
            if not inspect(place):
                raise
            session._read()
        return session

    def _read(self) -> None:
        """Become able to read alone."""
        try:
            self.con = reader(self._place)
        except sqlite3.Error as error:
            self._fail(error)

    def _connect(self) -> None:
        """Become able to write, or raise why not."""
        place = self._place
        try:
            place.make()
            if not place.writable:
                raise ReadOnly(str(place.folder))
            gate = Gate(place.gate)
        except OSError as error:
            raise _refusal(place, error) from error
        blobs: Blobs | None = None
        try:
            gate.take(OPEN_S)
            blobs = _unlock(place, self._settle)
            gate.drop()
        except sqlite3.Error as error:
            gate.close()
            self._fail(error)
        except OSError as error:
            gate.close()
            raise _refusal(place, error) from error
        except Trouble:
            gate.close()
            raise
        self._gate, self._blobs, self.con = gate, blobs, blobs.con

    @property
    def blobs(self) -> Blobs:
        """The payloads, for use inside `write`."""
        if self._blobs is None:
            raise ReadOnly(str(self._place.folder))
        return self._blobs

    def write(self, work: Callable[[], T], *, durable: bool) -> T:
        """Run `work` in one transaction behind the gate; what it raises rolls everything back.

        `durable` waits until the disk has it. Raises RegistryBusy, StorageFull, ReadOnly, RegistryCorrupt.
        """
        if self._blobs is None or self._gate is None:
            self._upgrade()
        assert self._blobs is not None
        assert self._gate is not None
        self._gate.take(WAIT_S)
        try:
            if durable is not self._synced:
                # SQLite refuses this inside a transaction.
                self.con.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
                self._synced = durable
            self.con.execute("BEGIN IMMEDIATE")
            result = work()
            self.con.execute("COMMIT")
        except sqlite3.Error as error:
            self._fail(error)
        except OSError as error:
            # A worker's lock file meets the same obstacles as the database.
            raise _refusal(self._place, error) from error
        finally:
            if self.con.in_transaction:
                # Also after a commit that failed: it leaves its transaction open, and the next one could not begin.
                self.con.execute("ROLLBACK")
            self._gate.drop()
        return result

    def shrink(self) -> None:
        """Give SQLite's cached pages back to the system."""
        self.con.execute("PRAGMA shrink_memory")

    def _upgrade(self) -> None:
        """Try again what failed at the opening: the disk may have room by now."""
        # First, since all connections of a process share one map of the log, and a reader's map is read-only.
        self.con.close()
        try:
            self._connect()
        except BaseException:
            self._read()
            raise

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """What a query finds, outside or inside a transaction. Raises RegistryBusy, RegistryCorrupt."""
        try:
            return self.con.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            self._fail(error)

    def close(self) -> None:
        """Close the files."""
        if self._blobs is not None:
            self._blobs.close()
        else:
            self.con.close()
        if self._gate is not None:
            self._gate.close()

    def _fail(self, error: sqlite3.Error) -> NoReturn:
        """Raise what a failure means to the caller; a defect of ours stays as it is."""
        trouble = self._trouble(error)
        if trouble is None:
            raise error
        raise trouble from error

    def _trouble(self, error: sqlite3.Error) -> Trouble | None:
        # An error that Python's module raises by itself has no code.
        name = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        folder = str(self._place.folder)
        if name == sqlite3.SQLITE_FULL or (name in _DEVICE and _cramped(self._place)):
            return StorageFull(folder)
        if name in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            return ReadOnly(folder)
        if name in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return RegistryBusy(WAIT_S)
        if name in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return damaged(self._place.database, f"is damaged ({error})")
        if name in _DEVICE:
            return RegistryCorrupt(
                f"the disk of {self._place.database} reports a fault ({error}), so this call changed nothing. Check "
                "the disk, and restart spadework."
            )
        return None


_DEVICE = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})


def _unlock(place: Place, settle: Callable[[sqlite3.Connection], None]) -> Blobs:
    """Open the database for writing, behind the gate; creates it where none is."""
    complete = inspect(place)
    if not complete:
        place.mark("begun")
        if not place.database.exists():
            # Made by us, so that the database and the logs that copy its mode are private from the first byte.
            os.close(os.open(place.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    place.shut()
    blobs = Blobs(place.folder)
    try:
        blobs.con.execute("BEGIN IMMEDIATE")
        migrate(blobs.con)
        settle(blobs.con)
        blobs.con.execute("COMMIT")
        blobs.con.execute(f"PRAGMA journal_size_limit = {32 << 20}")
        place.shut()
        if place.marked() != "complete":
            place.mark("complete")
    except BaseException:
        blobs.close()
        raise
    return blobs


def _cramped(place: Place) -> bool:
    """Whether the disk, a quota or a limit on file sizes leaves no room; SQLite reports only the first as such."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    sizes = [path.stat().st_size for path in (place.database, place.log) if path.exists()]
    if limit != resource.RLIM_INFINITY and max(sizes, default=0) + _ROOM > limit:
        return True
    probe = place.folder / f".probe-{os.getpid()}"
    try:
        probe.write_bytes(bytes(_ROOM // 16))
    except OSError as error:
        return error.errno in _NO_ROOM
    finally:
        _clear(probe)
    return False


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def _clear(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _refusal(place: Place, error: OSError) -> Exception:
    """What a file error at the opening means to the caller."""
    if error.errno in _NO_ROOM:
        return StorageFull(str(place.folder))
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return ReadOnly(str(place.folder))
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR):
        return BadHome(
            f"{place.folder} cannot be made or used as a folder ({error.strerror}). "
            "Set SPADEWORK_HOME to a folder that is there or can be made."
        )
    return error
