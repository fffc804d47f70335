"""The index of one corpus: an SQLite full-text database, kept between jobs and shared by processes.

It is only a cache of what the files say, so one that is damaged or of an old shape is thrown away and built again.
Each file is committed on its own: a killed job reads no file twice. Titles and links are resolved when a question
is asked, so a new file changes nothing that was stored for the others.
"""

from __future__ import annotations

import json
import posixpath
import re
from bisect import bisect_left
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from spadework.engines.local.chunk import ARROW, Chunk, chunks
from spadework.engines.local.database import connect
from spadework.engines.local.document import Document
from spadework.engines.local.web.address import canonical
from spadework.engines.local.words import keys, spaced

#: A text of at most this many characters, with no headings, is one chunk: an abstract is one thought.
WHOLE = 4_000
#: A title that this many chunks carry ("Notes", "Example") says nothing about where a mention leads.
COMMON_TITLE = 20


@dataclass(frozen=True, slots=True)
class Stamp:
    """How a file looked when it was read: its time in nanoseconds, its size in bytes, the SHA-256 of its bytes."""

    mtime_ns: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What the index knows of a file: its stamp, and why it holds no text of it, if it does not."""

    stamp: Stamp
    reason: str | None


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk of a document: `text` is the document's text from `start` to `end`, `heading` the way down to it.

    `anchors` are the spans of its hyperlinks and `breaks` the starts of pages within it, as positions in `text`.
    """

    id: int
    document: int
    path: str
    title: str
    heading: str
    start: int
    end: int
    text: str
    anchors: tuple[tuple[int, int], ...] = ()
    breaks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """A document as the index holds it; `pages` are the starts of its pages, if it has any."""

    path: str
    title: str
    text: str
    sha256: str
    pages: tuple[int, ...]
    published: str | None


@dataclass(frozen=True, slots=True)
class Size:
    """How much an index holds."""

    documents: int
    passages: int
    characters: int


class Index:
    """One corpus's index, open. One thread uses it at a time; any number of processes may hold it open.

    Every method raises sqlite3.Error when the disk is full, another process writes for more than 15 s, or the file is
    damaged (`database.damaged` tells).
    """

    def __init__(self, path: Path) -> None:
        self._db = connect(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    # Reading in

    def seen(self, path: str) -> Seen | None:
        """What the index knows of a file, or None."""
        row = self._db.execute("select mtime_ns, size, sha256, reason from files where path = ?", (path,)).fetchone()
        return None if row is None else Seen(Stamp(row[0], row[1], row[2]), row[3])

    def add(self, document: Document, stamp: Stamp) -> None:
        """Take in a document in place of what its path held before; committed on return."""
        with self.writing():
            self._remove(document.path)
            self._db.execute(_FILE, (document.path, stamp.mtime_ns, stamp.size, stamp.sha256, None))
            self._insert(document)

    def skip(self, path: str, stamp: Stamp, reason: str) -> None:
        """Remember why a file gave no text; it is tried again when it has changed."""
        with self.writing():
            self._remove(path)
            self._db.execute(_FILE, (path, stamp.mtime_ns, stamp.size, stamp.sha256, reason))

    def touch(self, path: str, stamp: Stamp) -> None:
        """Note a new time or size of a file whose bytes are the same."""
        with self.writing():
            self._db.execute(
                "update files set mtime_ns = ?, size = ? where path = ?", (stamp.mtime_ns, stamp.size, path)
            )

    def retain(self, paths: Iterable[str]) -> int:
        """Forget every file that is not among the paths; returns how many those were."""
        present = set(paths)
        gone = [path for (path,) in self._db.execute("select path from files") if path not in present]
        for path in gone:
            with self.writing():
                self._remove(path)
        return len(gone)

    def tidy(self) -> None:
        """Join the many small parts that committing file by file leaves, so that questions are answered faster."""
        with self.writing():
            self._db.execute("insert into passages (passages) values ('optimize')")

    @contextmanager
    def writing(self) -> Generator[None]:
        """One transaction; within another one, part of it."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.rollback()
            raise
        self._db.commit()

    def _remove(self, path: str) -> None:
        self._db.execute("delete from files where path = ?", (path,))
        row = self._db.execute("select id from documents where path = ?", (path,)).fetchone()
        if row is None:
            return
        held = self._db.execute("select id, heading, text from chunks where document = ?", row).fetchall()
        # A contentless FTS5 table forgets a row only when it is told word for word what the row held.
        self._db.executemany(
            "insert into passages (passages, rowid, title, text) values ('delete', ?, ?, ?)",
            [(chunk, spaced(heading), spaced(text)) for chunk, heading, text in held],
        )
        ids = [(chunk,) for chunk, _, _ in held]
        self._db.executemany("delete from titles where chunk = ?", ids)
        self._db.executemany("delete from links where chunk = ?", ids)
        self._db.execute("delete from chunks where document = ?", row)
        self._db.execute("delete from documents where id = ?", row)

    def _insert(self, document: Document) -> None:
        # A lone surrogate has no UTF-8; the document's reader lets none through, a hand-made one may.
        text = document.text
        name = posixpath.splitext(posixpath.basename(document.path))[0].lower()
        cursor = self._db.execute(
            "insert into documents (path, name, title, sha256, text, pages, published) values (?, ?, ?, ?, ?, ?, ?)",
            (
                document.path,
                name,
                document.title,
                document.sha256,
                text,
                json.dumps(document.pages),
                document.published,
            ),
        )
        links = sorted(document.links, key=lambda link: link.start)
        starts = [link.start for link in links]
        before: str | None = None
        for chunk in pieces(document):
            inside = links[bisect_left(starts, chunk.start) : bisect_left(starts, chunk.end)]
            anchors = [(link.start - chunk.start, link.end - chunk.start) for link in inside]
            heading, body = way(document.title, chunk.heading), text[chunk.start : chunk.end]
            place = (cursor.lastrowid, chunk.start, chunk.end, heading, slug(heading))
            breaks = [first - chunk.start for first in document.pages if chunk.start < first < chunk.end]
            spans = (json.dumps(anchors) if anchors else None, json.dumps(breaks) if breaks else None)
            held = self._db.execute(_CHUNK, (*place, body, *spans)).lastrowid or 0
            self._db.execute(_PASSAGE, (held, spaced(heading), spaced(body)))
            known = keys(document.title) if before is None else frozenset[str]()
            # A section's later chunks carry its heading too; a mention leads to where it begins.
            known |= keys(heading.rpartition(ARROW)[2]) if heading != before else frozenset[str]()
            before = heading
            self._db.executemany("insert into titles (key, chunk) values (?, ?)", [(key, held) for key in known])
            self._link(held, document.path, [link.href for link in inside])

    def _link(self, row: int, path: str, hrefs: Sequence[str]) -> None:
        folder = posixpath.dirname(path)
        targets = {target for target in (resolve(folder, href) for href in set(hrefs)) if target and target[0] != path}
        self._db.executemany(
            "insert into links (chunk, path, fragment) values (?, ?, ?)", [(row, *target) for target in targets]
        )

    # Looking up

    def size(self) -> Size:
        """How much the index holds."""
        documents, characters = self._db.execute("select count(*), sum(length(text)) from documents").fetchone()
        return Size(documents, self.passages(), characters or 0)

    def passages(self) -> int:
        """How many passages the index holds."""
        return int(self._db.execute("select count(*) from chunks").fetchone()[0])

    def search(self, words: Sequence[str], limit: int) -> list[tuple[int, float]]:
        """The passages that hold any of the words, best first: passage id and BM25 (higher is better)."""
        if not words:
            return []
        rows = self._db.execute(
            "select rowid, -bm25(passages, 2.0, 1.0) as score from passages where passages match ? "
            "order by score desc, rowid limit ?",
            (" OR ".join(f'"{word}"' for word in words), limit),
        )
        return [(int(row), float(score)) for row, score in rows]

    def frequency(self, word: str) -> int:
        """How many passages hold a word or another form of it."""
        return int(
            self._db.execute("select count(*) from passages where passages match ?", (f'"{word}"',)).fetchone()[0]
        )

    def titled(self, candidates: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """Of these keys those that are titles, each with the passages that carry it."""
        found: dict[str, list[int]] = {}
        wanted = json.dumps(sorted(set(candidates)))
        for key, row in self._db.execute(
            "select key, chunk from titles where key in (select value from json_each(?)) order by chunk", (wanted,)
        ):
            found.setdefault(key, []).append(row)
        return {key: tuple(rows) for key, rows in found.items() if len(rows) <= COMMON_TITLE}

    def linked(self, passage: int) -> dict[int, float]:
        """Where a passage's hyperlinks lead: passage id and weight, 1 for a place, less for a long whole document."""
        found: dict[int, float] = {}
        rows = self._db.execute("select path, fragment from links where chunk = ? limit 50", (passage,)).fetchall()
        for path, fragment in rows:
            found.update(self._target(path, fragment))
        return found

    def _target(self, path: str, fragment: str) -> dict[int, float]:
        row = self._db.execute("select id from documents where path = ?", (path,)).fetchone()
        if row is None and not posixpath.splitext(path)[1] and not path.startswith("http"):
            # `[[Page]]` and `page#part` name a file without its suffix.
            row = self._db.execute(
                "select id from documents where name = ? order by path limit 1", (posixpath.basename(path).lower(),)
            ).fetchone()
        if row is None:
            return {}
        part = self._db.execute(
            "select id from chunks where document = ? and slug = ? limit 1", (row[0], fragment.lower())
        ).fetchone()
        if fragment and part:
            return {part[0]: 1.0}
        first, count = self._db.execute("select min(id), count(*) from chunks where document = ?", row).fetchone()
        return {first: 1.0 / count} if count else {}

    def passage(self, ids: Iterable[int]) -> dict[int, Passage]:
        """The passages of these ids; one that is gone meanwhile is left out."""
        found = self._db.execute(_FETCH, (json.dumps(sorted(set(ids))),))
        return {
            row[0]: Passage(*row[:-2], anchors=_anchors(row[-2]), breaks=tuple(json.loads(row[-1] or "[]")))
            for row in found
        }

    def document(self, row: int) -> Kept | None:
        """A document with its whole text, or None where it is gone."""
        found = self._db.execute(
            "select path, title, text, sha256, pages, published from documents where id = ?", (row,)
        ).fetchone()
        if found is None:
            return None
        path, title, text, sha256, pages, published = found
        return Kept(path, title, text, sha256, tuple(json.loads(pages)), published)

    def texts(self, paths: Iterable[str]) -> list[str]:
        """The whole texts of these files, each distinct one once."""
        wanted = "select distinct text from documents where path in (select value from json_each(?))"
        return [text for (text,) in self._db.execute(wanted, (json.dumps(sorted(paths)),))]

    def unread(self) -> list[tuple[str, str]]:
        """Every file that gave no text, with the reason, by path."""
        return self._db.execute("select path, reason from files where reason is not null order by path").fetchall()


_FILE = "insert into files (path, mtime_ns, size, sha256, reason) values (?, ?, ?, ?, ?)"
_CHUNK = (
    "insert into chunks (document, start, end, heading, slug, text, anchors, breaks) values (?, ?, ?, ?, ?, ?, ?, ?)"
)
_PASSAGE = "insert into passages (rowid, title, text) values (?, ?, ?)"
_FETCH = (
    "select c.id, c.document, d.path, d.title, c.heading, c.start, c.end, c.text, c.anchors, c.breaks "
    "from chunks c join documents d on d.id = c.document where c.id in (select value from json_each(?))"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_NOT_SLUG = re.compile(r"[^\w\- ]+")


def pieces(document: Document) -> tuple[Chunk, ...]:
    """The document's chunks; a short text without headings stays whole."""
    if len(document.text) <= WHOLE and not any(block.level for block in document.blocks):
        return (Chunk(0, len(document.text), document.title),) if document.text.strip() else ()
    return chunks(document)


def way(title: str, heading: str) -> str:
    """The way down to a chunk: the document's title, then its headings."""
    below = heading.removeprefix(title).removeprefix(ARROW)
    return ARROW.join(part for part in (title, below) if part)


def slug(heading: str) -> str:
    """The fragment under which the common Markdown renderers reach a heading."""
    return _NOT_SLUG.sub("", heading.rpartition(ARROW)[2].strip().lower()).replace(" ", "-")


def resolve(folder: str, href: str) -> tuple[str, str] | None:
    """The file and fragment that a link in a folder's file points to, or None for a link out of the corpus.

    Within a web page, whose folder is an address, it is the canonical address of the page that is pointed to.
    """
    address, _, fragment = href.partition("#")
    if folder.startswith(("http://", "https://")):
        there = canonical(address, f"{folder}/") if address else None
        return None if there is None else (there, unquote(fragment))
    address = address.partition("?")[0]
    if not address or address.startswith("//") or _SCHEME.match(address):
        return None
    return posixpath.normpath(posixpath.join(folder, unquote(address))), unquote(fragment)


def _anchors(stored: str | None) -> tuple[tuple[int, int], ...]:
    return tuple((start, end) for start, end in json.loads(stored)) if stored else ()
