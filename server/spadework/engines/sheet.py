"""The sheet on which an engine writes down what a vendor found: our ids, each page once, each citation in its place.

Ids are minted here, never by a model: `s1`, `c1` and so on, in the order of their first mention.
"""

from __future__ import annotations

import bisect
import re
import sys
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from spadework.engines.payload import plain, readable
from spadework_tools.models import Basis, Citation, Confidence, Source, Target

SeenAs = Literal["cited", "searched", "fetched"]
_RANK: dict[SeenAs, int] = {"searched": 0, "fetched": 1, "cited": 2}
#: `[3]` and `[web:3]`: how answer engines point at their numbered results. No vendor documents them.
_MARK = re.compile(r"\[(?:web:)?(?P<number>\d{1,4})\](?!\()")
_CLAIM_START = re.compile(r"(?:^|(?<=[.!?])\s+|\n)(?:[-*>#\s]|\d+\.\s)*")


class Sheet:
    """Collects sources, citations and basis; every method is tolerant, for all of it comes from outside."""

    def __init__(self, accessed: float | None = None) -> None:
        self._accessed = accessed
        self._sources: dict[str, Source] = {}
        self._citations: list[Citation] = []
        self._keys: dict[str, str] = {}
        self._seen: dict[tuple[str, str, str], str] = {}
        self._basis: list[Basis] = []

    def source(self, url: str, title: str = "", seen_as: SeenAs = "searched", published: str = "") -> str | None:
        """The id of a page, made at its first mention; None for what is no web address."""
        key = canonical(url)
        if key is None:
            return None
        held = self._sources.get(key)
        if held is None:
            held = Source(
                id=f"s{len(self._sources) + 1}", url=plain(url, 2_000), accessed=self._accessed, seen_as=seen_as
            )
        self._keys[held.id] = key
        self._sources[key] = held.model_copy(
            update={
                "title": held.title or plain(title, 300),
                "published": held.published or plain(published, 40) or None,
                "seen_as": max(held.seen_as, seen_as, key=_RANK.__getitem__),
            }
        )
        return held.id

    def cite(self, source_id: str, target: Target, quote: str = "") -> str:
        """A citation's id; the same quote from the same page for the same place is one citation."""
        key = (source_id, target.model_dump_json(), quote)
        if key not in self._seen:
            self._seen[key] = f"c{len(self._citations) + 1}"
            clean = readable(quote)
            self._citations.append(Citation(id=self._seen[key], source_id=source_id, target=target, quote=clean))
        return self._seen[key]

    def reason(self, target: Target, reasoning: str, level: str, citation_ids: tuple[str, ...]) -> None:
        """Write down why the vendor believes something, and how sure it says it is."""
        word = level.strip().lower()
        known: dict[str, Literal["low", "medium", "high"]] = {"low": "low", "medium": "medium", "high": "high"}
        confidence = Confidence(level=known.get(word), raw=plain(level, 60) or None)
        self._basis.append(
            Basis(target=target, reasoning=readable(reasoning), confidence=confidence, citation_ids=citation_ids)
        )

    def weave(self, text: str, numbered: Mapping[int, tuple[str, str]]) -> str:
        """The text with each known `[3]` turned into our mark of a citation of the claim before it.

        `numbered` gives the source id and the quote behind each of the vendor's numbers; others stay as they are.
        """
        claim, woven = _Claims(text), _Woven(text)
        for mark in _MARK.finditer(text):
            found = numbered.get(int(mark["number"]))
            if found is None:
                continue
            end = woven.copy(mark.start())
            start = min(woven.place(claim.start(mark.start())), end)
            target = Target(kind="span", start=start, end=end)
            self._promote(found[0])
            woven.put(f"[{self.cite(found[0], target, found[1])}]", mark.end())
        return woven.whole()

    def _promote(self, source_id: str) -> None:
        key = self._keys.get(source_id, "")
        source = self._sources.get(key)
        if source is not None and source.seen_as != "cited":
            self._sources[key] = source.model_copy(update={"seen_as": "cited"})

    @property
    def sources(self) -> tuple[Source, ...]:
        """All pages, in the order of their first mention."""
        return tuple(self._sources.values())

    @property
    def citations(self) -> tuple[Citation, ...]:
        """All citations, in the order they were written."""
        return tuple(self._citations)

    @property
    def basis(self) -> tuple[Basis, ...]:
        """All reasonings, in the order they were written."""
        return tuple(self._basis)


class _Woven:
    """A text copied piece by piece with replacements, which knows where each old place went."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts: list[str] = []
        self._read = self._length = 0
        self._moved: list[tuple[int, int]] = [(0, 0)]

    def copy(self, until: int) -> int:
        """Copy up to an old place; returns the new end of the last word there."""
        piece = self._text[self._read : until]
        self._parts.append(piece)
        self._length += len(piece)
        self._read = until
        return self._length - (len(piece) - len(piece.rstrip()))

    def put(self, replacement: str, after: int) -> None:
        """Put a replacement in and go on behind it."""
        self._parts.append(replacement)
        self._length += len(replacement)
        self._read = after
        self._moved.append((after, self._length))

    def place(self, old: int) -> int:
        """Where an old place, not inside a replaced one, is now."""
        was, now = self._moved[bisect.bisect_right(self._moved, (old, sys.maxsize)) - 1]
        return now + old - was

    def whole(self) -> str:
        """The new text."""
        return "".join([*self._parts, self._text[self._read :]])


class _Claims:
    """Where the claim before a mark begins: at the start of its sentence, behind list and heading signs."""

    def __init__(self, text: str) -> None:
        self._text = text

    def start(self, mark: int) -> int:
        window = max(0, mark - 1_000)
        passage = self._text[window:mark]
        starts = [found.end() for found in _CLAIM_START.finditer(passage) if found.end() < len(passage.rstrip())]
        return window + (starts[-1] if starts else 0)


def canonical(url: str) -> str | None:
    """What two spellings of a web address share; None for what is none."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host:
        return None
    query = "&".join(part for part in parts.query.split("&") if part and not part.startswith("utm_"))
    usual = port in (None, {"http": 80, "https": 443}[parts.scheme])
    place = host.removeprefix("www.") + ("" if usual else f":{port}")
    return f"{place}{parts.path.rstrip('/')}{'?' + query if query else ''}"


def pointer(field: str) -> Target:
    """The target behind a vendor's dotted field name (`a.0` → `/a/0`); `output` and nothing mean all of it."""
    if field in ("", "output"):
        return Target(kind="document")
    parts = (part.replace("~", "~0").replace("/", "~1") for part in field.split("."))
    return Target(kind="pointer", pointer="/" + "/".join(parts))
