"""One record of a list to enrich: what it is called, what to look up for it, and which quotes speak of it.

What is looked up is cut from the record's own values and the fields that are wanted of it, so that every row has
evidence of its own; a quote counts for a row only where it, or its page, names the record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final, cast
from urllib.parse import urlsplit

from spadework.engines.data import conforms
from spadework.engines.local.model.fill import token
from spadework.engines.local.paper import is_web
from spadework.engines.local.plan import Part
from spadework.engines.local.select import Quote
from spadework.engines.local.web.address import canonical
from spadework.engines.local.words import covered, matter, stems, terms
from spadework.engines.payload import plain
from spadework_tools.models import Effort

#: How many fields of a row are looked up one by one, by effort; the others are looked up together.
FIELDS: Final[dict[Effort, int]] = {"low": 4, "medium": 8, "high": 16}
#: How many values of a record are searched with, and how long each may be, in characters.
VALUES, LONGEST = 5, 80
_DEEPEST = 4
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\-.]+")
_LABEL = 120


@dataclass(frozen=True, slots=True)
class Record:
    """A record: its values, what a reader knows it by, the words to search with, and the pages that it names."""

    values: Mapping[str, Any]
    name: str
    words: str
    pages: tuple[str, ...]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Record:
        """The record of these values; one that holds no text has its numbers or its site for a name, if anything."""
        scalars = list(_scalars(values, 0))
        pages = tuple(dict.fromkeys(page for text in scalars if (page := _page(text))))
        texts = [plain(text, LONGEST) for text in scalars if _page(text) is None]
        names = [text for text in texts if not _number(text)] or [_label(page) for page in pages] or texts
        words = " ".join(dict.fromkeys(text for text in (texts or names)[:VALUES] if terms(text)))
        return cls(values, names[0] if names else "", words, pages)

    def speaks(self, quote: Quote) -> bool:
        """Whether a quote is on this record: it, its headings, its title or its address hold half of the name."""
        if is_web(quote) and any(_host(quote.path) == _host(page) for page in self.pages):
            return True
        telling = matter(self.name)
        where = quote.path if is_web(quote) else PurePath(quote.path).name
        present = stems(f"{quote.text} {quote.heading} {quote.title} {where}")
        return sum(covered(word, present) for word in telling) * 2 >= len(telling)


@dataclass(frozen=True, slots=True)
class Sought:
    """What is looked up for a record: the question to find quotes for, and the fields that it is about."""

    part: Part
    fields: tuple[str, ...] = ()


def sought(record: Record, question: str, schema: Mapping[str, Any], effort: Effort) -> tuple[Sought, ...]:
    """What to look up for a record, the most telling first; nothing for a record without a word to search with."""
    if not terms(record.words):
        return ()
    wanted = [(name, label) for name, label in _labels(schema) if record.values.get(name) is None]
    alone, together = wanted[: FIELDS[effort]], wanted[FIELDS[effort] :]
    found = [Sought(_part(record, label), (f"/{token(name)}",)) for name, label in alone]
    if together:
        pointers = tuple(f"/{token(name)}" for name, _ in together)
        found.append(Sought(_part(record, plain(" ".join(label for _, label in together), 400)), pointers))
    if record.pages:
        # A site of one's own says "we": what is wanted stands there without the name.
        found += [Sought(Part(label, label), (f"/{token(name)}",)) for name, label in alone if terms(label)]
    # The question itself last: asked for a whole list, it is mostly words on how to fill the form.
    return (*found, Sought(_part(record, plain(question, 300)), () if found else ("",)))


def searches(record: Record, schema: Mapping[str, Any]) -> tuple[str, ...]:
    """What to search the web for: the record by itself, and with what is wanted of it."""
    labels = " ".join(label for _, label in _labels(schema))
    return tuple(dict.fromkeys((record.words, plain(f"{record.words} {labels}", 200)))) if record.words else ()


def given(record: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that the record itself brings, of the same name and fitting: no row loses what names it."""
    shared = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    return {
        name: record[name]
        for name, inner in _properties(schema).items()
        if record.get(name) is not None and conforms(record[name], {**_object(inner), **shared})
    }


def blank(schema: Mapping[str, Any]) -> Any:
    """An empty row."""
    return dict.fromkeys(_properties(schema)) or None


def _part(record: Record, label: str) -> Part:
    return Part(f"{record.name}: {label}", f"{record.words} {label}")


def _labels(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each top field with the words that say what it is."""
    for name, inner in _properties(schema).items():
        held = _object(inner)
        told = " ".join(str(held[key]) for key in ("title", "description") if isinstance(held.get(key), str))
        below = " ".join(_spelled(one) for one in [*_properties(held), *_properties(_object(held.get("items")))][:6])
        yield name, plain(f"{_spelled(name)} {told} {below}", _LABEL)


def _properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    return _object(schema.get("properties"))


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _spelled(name: str) -> str:
    """A field's name in words: `hqLocation` and `hq_location` are two each."""
    return _CAMEL.sub(" ", name).strip().lower()


def _scalars(value: object, depth: int) -> Iterator[str]:
    """The texts and numbers in a record, in order."""
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, Mapping) and depth < _DEEPEST:
        for held in cast("Mapping[str, object]", value).values():
            yield from _scalars(held, depth + 1)
    elif isinstance(value, Sequence) and depth < _DEEPEST:
        for held in cast("Sequence[object]", value):
            yield from _scalars(held, depth + 1)


def _page(text: str) -> str | None:
    return canonical(text) if text.startswith(("http://", "https://")) else None


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").removeprefix("www.")


def _label(page: str) -> str:
    """What a site is called: its host's own label."""
    parts = _host(page).split(".")
    return parts[-2] if len(parts) > 1 else parts[0]


def _number(text: str) -> bool:
    return not any(letter.isalpha() for letter in text)
