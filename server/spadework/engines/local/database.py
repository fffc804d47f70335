"""The database file under an index: where it lives, who may read it, and what happens to a damaged one.

It is only a cache, so a file that is damaged or of an old shape is emptied or thrown away without a word.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

#: Raise it when a table, what is read of a file, the words' rules or the chunks' rules change: older databases are
#: then built again.
SHAPE = 2
#: How long a writer waits for another process's commit, in seconds.
_PATIENCE_S = 15.0

_TABLES = """
create table files (path text primary key, mtime_ns int, size int, sha256 text, reason text) without rowid;
create table documents (id integer primary key, path text unique, name text, title text, sha256 text, text text,
  pages text, published text);
create table chunks (id integer primary key, document int, start int, end int, heading text, slug text, text text,
  anchors text, breaks text);
create index chunk_document on chunks (document, slug);
create table titles (key text, chunk int, primary key (key, chunk)) without rowid;
create index title_chunk on titles (chunk);
create table links (chunk int, path text, fragment text, primary key (chunk, path, fragment)) without rowid;
create index document_name on documents (name);
create virtual table passages using fts5 (title, text, content='', tokenize='porter unicode61 remove_diacritics 2');
"""
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})


def location(home: Path, folders: Iterable[Path]) -> Path:
    """Where the index of a set of folders lives: named by their real paths, whatever their order."""
    real = sorted({str(folder.resolve()) for folder in folders})
    name = hashlib.sha256("\n".join(real).encode("utf-8", "surrogateescape")).hexdigest()
    return home / f"{name}.db"


def damaged(error: sqlite3.Error) -> bool:
    """Whether an error says that the file is not a sound index of ours (and not that it is busy or the disk full)."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGED


def discard(path: Path) -> None:
    """Throw an index away; the next opening starts an empty one."""
    # The log first: a log without its database is ignored, the other way round it would be replayed into a new one.
    for suffix in ("-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def connect(path: Path) -> sqlite3.Connection:
    """Open the database, making it (readable by its user alone) or making it anew where it is damaged.

    Raises OSError or sqlite3.Error where the folder cannot be written, the disk is full, or another process holds
    the database for more than 15 s.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return _open(path)
    except sqlite3.Error as error:
        if not damaged(error):
            raise
    discard(path)
    return _open(path)


def _open(path: Path) -> sqlite3.Connection:
    # SQLite would create it by the umask; its log and shared memory take the database's own mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    db = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)
    try:
        _settle(db)
    except BaseException:
        db.close()
        raise
    return db


def _settle(db: sqlite3.Connection) -> None:
    db.execute("pragma journal_mode = wal")
    # A cache may lose its last commits in a power cut; it is never torn by one.
    db.execute("pragma synchronous = normal")
    db.execute("pragma wal_autocheckpoint = 4000")
    if db.execute("pragma user_version").fetchone()[0] == SHAPE:
        return
    db.execute("begin exclusive")
    if db.execute("pragma user_version").fetchone()[0] != SHAPE:
        names = "select name from sqlite_master where type = 'table' and sql is not null and name not like 'passages_%'"
        for (name,) in db.execute(names).fetchall():
            db.execute(f'drop table "{name}"')
        for statement in _TABLES.split(";"):
            db.execute(statement)
        db.execute(f"pragma user_version = {SHAPE}")
    db.execute("commit")
