"""The paper that a report is written on: its text, and for each mark in it the quote, the place and the source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from spadework.engines.local.select import Quote
from spadework_tools.models import Citation, Source, Target, Verdict, Verdicts

METHOD = "quote-check@1"

_MARK = re.compile(r"\[(?=c\d+\])")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What surrounds a report: its question, its times (Unix seconds), how paths are shown, and what to warn of."""

    question: str
    started_at: float
    finished_at: float
    shown: Callable[[str], str]
    warnings: tuple[str, ...] = ()


class Paper:
    """Puts a text together and remembers where each citation first stands in it.

    Args:
        quotes: what is to be printed, in the order of its citations' numbers.
        around: the circumstances.
        fetched: when each page was fetched (Unix seconds), by its address.
    """

    def __init__(self, quotes: Sequence[Quote], around: Circumstances, fetched: Mapping[str, float]) -> None:
        self.around, self._fetched = around, fetched
        self._ids = {place(quote): f"c{number}" for number, quote in enumerate(quotes, 1)}
        self._quotes = {place(quote): quote for quote in quotes}
        self._targets: dict[str, Target] = {}
        self._claims: list[tuple[str, Quote, Target]] = []
        self._pieces: list[str] = []
        self._length = 0
        self.sources: dict[str, Source] = {}
        for quote in quotes:
            self._source(quote)

    def text(self) -> str:
        """All that was written."""
        return "".join(self._pieces)

    def say(self, text: str) -> None:
        """A paragraph."""
        self.put(f"{text}\n" if not self._pieces else f"\n{text}\n")

    def put(self, text: str) -> None:
        """A piece as it is."""
        self._pieces.append(text)
        self._length += len(text)

    def mark(self, quote: Quote) -> str:
        """The id of a printed quote's citation."""
        return self._ids[place(quote)]

    def quote(self, quote: Quote, label: str) -> None:
        """A printed quote below its label."""
        mark = self.mark(quote)
        self.say(f"{label}:")
        self.put("\n")
        start = self._length
        self.put("> " + _shown(quote.text).replace("\n", "\n> ") + f" [{mark}]")
        self._targets.setdefault(mark, Target(kind="span", start=start + 2, end=self._length))
        self.put("\n")

    def claim(self, text: str, quotes: Sequence[Quote]) -> None:
        """A sentence of somebody else's, with citations of its own: what it claims is not what a quote says."""
        start = self._length
        marks = "".join(f" [{mark}]" for mark in self._next(len(quotes)))
        self.put(inert(text) + marks)
        self.cite(quotes, Target(kind="span", start=start, end=self._length))

    def cite(self, quotes: Sequence[Quote], target: Target) -> tuple[str, ...]:
        """New citations of these quotes for one claim."""
        marks = self._next(len(quotes))
        self._claims += [(mark, quote, target) for mark, quote in zip(marks, quotes, strict=True)]
        for quote in quotes:
            self._source(quote)
        return marks

    def name(self, quote: Quote) -> str:
        """A quote's file or page as the reader knows it."""
        path = self.around.shown(quote.path)
        title = line(quote.title, 120).replace("*", "")
        return f"`{path}`" if not title or title == path else f"{title} (`{path}`)"

    def citations(self) -> tuple[Citation, ...]:
        """The printed quotes' citations by number, then those of claims."""
        quoted = [(mark, self._quotes[at], self._targets[mark]) for at, mark in self._ids.items()]
        return tuple(self._citation(*entry) for entry in (*quoted, *self._claims))

    def _next(self, count: int) -> tuple[str, ...]:
        """The ids of so many citations to come."""
        used = len(self._ids) + len(self._claims)
        return tuple(f"c{used + more}" for more in range(1, count + 1))

    def _source(self, quote: Quote) -> None:
        if quote.path in self.sources:
            return
        self.sources[quote.path] = Source(
            id=f"s{len(self.sources) + 1}",
            url=quote.path if is_web(quote) else None,
            path=None if is_web(quote) else quote.path,
            title=quote.title,
            published=quote.published,
            accessed=self._fetched.get(quote.path, self.around.finished_at),
            sha256=quote.sha256,
            seen_as="cited",
        )

    def _citation(self, mark: str, quote: Quote, target: Target) -> Citation:
        return Citation(
            id=mark,
            source_id=self.sources[quote.path].id,
            target=target,
            quote=quote.text,
            start=quote.start,
            end=quote.end,
            page=quote.page,
            line=quote.line,
            section=quote.heading or None,
            verdicts=Verdicts(quote=Verdict(verdict="verbatim", method=METHOD)),
        )


def is_web(quote: Quote) -> bool:
    """Whether a quote is from a page on the web."""
    return quote.path.startswith(("http://", "https://"))


def place(quote: Quote) -> tuple[str, int, int]:
    """What makes a quote one and the same."""
    return quote.path, quote.start, quote.end


def distinct(quotes: Iterable[Quote]) -> list[Quote]:
    """Each quote once."""
    return list({place(quote): quote for quote in quotes}.values())


def where(quote: Quote) -> str:
    """A quote's section, page and line, each behind a comma."""
    at = f"page {quote.page}" if quote.page else f"line {quote.line}" if quote.line else ""
    return "".join(f", {part}" for part in (line(quote.heading, 160), at) if part)


def inert(text: str) -> str:
    """A text in which nothing passes for our marks."""
    return _MARK.sub("&#91;", text)


def line(text: str, most: int) -> str:
    """A text of somebody else's in one line, at most so long."""
    flat = " ".join(inert(text).split())
    return flat if len(flat) <= most else flat[: most - 1].rstrip() + "…"


def count(number: int, noun: str) -> str:
    """So many of something."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _shown(text: str) -> str:
    """A quote as printed: wrapped prose in one line, code in its own, and nothing in it that passes for our marks."""
    safe = inert(text)
    lines = [one.rstrip() for one in safe.splitlines() if one.strip()]
    coded = "\n    " in safe or sum(map(safe.count, "(){}[]=_;<>")) > len(safe) / 20
    return "\n".join(lines) if coded else " ".join(one.strip() for one in lines)
