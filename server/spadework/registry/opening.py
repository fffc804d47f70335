"""What is looked at before a registry is opened, so that a damaged one is never taken for an empty one.

Nothing here writes to the database: a file that is refused stays as it was found, for whoever mends it. And nothing
here opens it but SQLite: a process that closes any handle on a file loses all its POSIX locks on it, also those of a
connection that is at work elsewhere in the process.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from spadework.registry.place import Place
from spadework.registry.schema import SCHEMA
from spadework_tools.errors import RegistryCorrupt, SchemaNewer


def damaged(path: Path, what: str) -> RegistryCorrupt:
    """The refusal of a file, with the ways out."""
    return RegistryCorrupt(
        f"{path} {what}, so the registry was not opened and nothing was changed. Restore the file from a backup, or "
        f"move the folder {path.parent} elsewhere to start with an empty registry."
    )


def inspect(place: Place) -> bool:
    """Whether a complete registry is there; False: one may be created.

    Raises:
        RegistryCorrupt: the files are missing, damaged or not ours.
        SchemaNewer: a newer spadework wrote them.
    """
    state = place.marked()
    try:
        size = place.database.stat().st_size
    except FileNotFoundError:
        if state == "complete":
            raise damaged(place.database, "is missing, though a registry was created here") from None
        return False
    if size == 0:
        # A creation that was cut short leaves an empty file under a marker that says so; it had accepted no job.
        if state == "begun":
            return False
        raise damaged(place.database, "is empty")
    schema = _schema(place)
    if schema is None and state != "begun":
        raise damaged(place.database, "is a SQLite database, but not a registry of spadework's")
    if schema is not None and schema > SCHEMA:
        raise SchemaNewer(
            f"{place.database} was written by a newer spadework (schema {schema}, this one knows {SCHEMA}), so it was "
            "left untouched. Upgrade spadework, or set SPADEWORK_HOME to another folder."
        )
    return schema is not None


def _schema(place: Place) -> int | None:
    """The schema of the database, None where it has none of ours. SQLite itself finds a wrong header or length."""
    try:
        con = reader(place)
        try:
            found = con.execute("SELECT 1 FROM sqlite_master WHERE name = 'rq_meta'").fetchone()
            row = con.execute("SELECT n FROM rq_meta WHERE k = 'schema'").fetchone() if found else None
        finally:
            con.close()
    except sqlite3.DatabaseError as error:
        raise damaged(place.database, f"cannot be read ({error})") from error
    return row[0] if row else None


def reader(place: Place) -> sqlite3.Connection:
    """A connection that cannot write. Raises sqlite3.DatabaseError.

    On a disk that is read-only or full SQLite cannot make the shared memory it coordinates readers with. It then reads
    the file as one that nobody changes, which is right only if no log stands beside it that holds newer pages.
    """
    try:
        return _connect(place, "mode=ro")
    except sqlite3.OperationalError:
        if place.log.exists() and place.log.stat().st_size > 0:
            raise
        return _connect(place, "immutable=1")


def _connect(place: Place, options: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(place.database))}?{options}"
    con = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5)
    try:
        con.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError:
        con.close()
        raise
    return con
