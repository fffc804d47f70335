"""The shelf: what was fetched, kept for every job of this home, so that nothing is fetched twice while it is fresh.

A page is committed before anything is done with it, so a killed job fetches again only what was under way. It is a
cache: a damaged one is thrown away. Everything in it is JSON text or plain columns.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from spadework.engines.local.database import damaged, discard
from spadework.engines.local.document import Document

T = TypeVar("T")

_SHAPE = 1
_PATIENCE_S = 15.0
#: How long something unused stays, seconds.
KEPT_S = 30 * 86_400.0
_DOCUMENT: TypeAdapter[Document] = TypeAdapter(Document)
_TABLES = """
create table pages (url text primary key, final text, at real, etag text, modified text, size int, reason text,
  document blob) without rowid;
create table replies (key text primary key, at real, body blob) without rowid;
"""


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it was fetched at `at` (Unix seconds): its document, or the reason why there is none.

    `final` is where redirects led, `size` the bytes of its body; `etag` and `modified` let it be asked for again.
    """

    url: str
    final: str
    at: float
    etag: str | None = None
    modified: str | None = None
    size: int = 0
    reason: str | None = None
    document: Document | None = None


class Shelf:
    """The kept pages and answers of one home. Every method blocks and may be called from any thread.

    Each raises OSError or sqlite3.Error where the disk refuses.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def page(self, url: str) -> Page | None:
        """A page by its canonical address, or None."""

        def read(db: sqlite3.Connection) -> Page | None:
            row = db.execute(
                "select final, at, etag, modified, size, reason, document from pages where url = ?", (url,)
            )
            found = row.fetchone()
            if found is None:
                return None
            *facts, blob = found
            return Page(url, *facts, document=_document(blob) if blob else None)

        try:
            return self._with(read)
        except (ValidationError, zlib.error):
            return None

    def put(self, page: Page) -> None:
        """Keep a page in place of what its address held; committed on return."""
        blob = zlib.compress(_DOCUMENT.dump_json(page.document), 1) if page.document else None
        row = (page.url, page.final, page.at, page.etag, page.modified, page.size, page.reason, blob)
        self._with(lambda db: db.execute("insert or replace into pages values (?, ?, ?, ?, ?, ?, ?, ?)", row))

    def reply(self, key: str, since: float) -> bytes | None:
        """An answer that came at `since` or later, or None."""
        row = self._with(
            lambda db: db.execute("select body from replies where key = ? and at >= ?", (key, since)).fetchone()
        )
        return None if row is None else bytes(row[0])

    def hold(self, key: str, at: float, body: bytes) -> None:
        """Keep an answer; committed on return."""
        self._with(lambda db: db.execute("insert or replace into replies values (?, ?, ?)", (key, at, body)))

    def replies(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Of these answers those that are kept."""
        wanted = "select key, body from replies where key in (select value from json_each(?))"
        return dict(self._with(lambda db: db.execute(wanted, (json.dumps(list(keys)),)).fetchall()))

    def hold_all(self, at: float, bodies: Mapping[str, bytes]) -> None:
        """Keep several answers at once; committed on return."""

        def write(db: sqlite3.Connection) -> None:
            db.execute("begin immediate")
            db.executemany("insert or replace into replies values (?, ?, ?)", [(k, at, b) for k, b in bodies.items()])
            db.execute("commit")

        self._with(write)

    def prune(self, now: float) -> None:
        """Throw away what is older than anyone needs."""

        def tidy(db: sqlite3.Connection) -> None:
            db.execute("delete from pages where at < ?", (now - KEPT_S,))
            db.execute("delete from replies where at < ?", (now - KEPT_S,))

        self._with(tidy)

    def _with(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with closing(_open(self._path)) as db:
                return work(db)
        except sqlite3.Error as error:
            if not damaged(error):
                raise
        discard(self._path)
        with closing(_open(self._path)) as db:
            return work(db)


def _document(blob: bytes) -> Document:
    return _DOCUMENT.validate_json(zlib.decompress(blob))


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    db = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)
    try:
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")
        if db.execute("pragma user_version").fetchone()[0] != _SHAPE:
            _settle(db)
    except BaseException:
        db.close()
        raise
    return db


def _settle(db: sqlite3.Connection) -> None:
    db.execute("begin exclusive")
    if db.execute("pragma user_version").fetchone()[0] != _SHAPE:
        for name in ("pages", "replies"):
            db.execute(f"drop table if exists {name}")
        for statement in _TABLES.split(";"):
            db.execute(statement)
        db.execute(f"pragma user_version = {_SHAPE}")
    db.execute("commit")
