"""What a vendor sent, read with suspicion: nothing in it can break a job, only be missing.

A field of another type than documented reads as absent, an unknown one is never looked at. Numbers and characters
that JSON or UTF-8 do not allow (NaN, 1e999, a hundred thousand digits, half an emoji) are replaced, and `repaired`
says so; only a body that is no JSON at all, or nested without end, is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pydantic_core

from spadework_tools.clean import clean
from spadework_tools.errors import BadReply

DEEPEST = 100
LONGEST_DIGITS = 300
#: No run costs more, in dollars or credits; a larger figure is a mistake, and would eat up every cap.
MOST_MONEY = 100_000.0
_LONE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Payload:
    """One JSON value, of whatever type it turned out to be; `raw` is the body it came in, where it is a whole one."""

    value: Any = None
    repaired: bool = False
    raw: bytes = b""

    def at(self, *names: str) -> Payload:
        """The value under these names, one inside the other; an empty payload where the way ends."""
        here = self
        for name in names:
            here = Payload(here.fields().get(name))
        return here

    def text(self, default: str = "") -> str:
        """The string, or the default where there is none."""
        return str(self.value) if isinstance(self.value, str) else default

    def number(self) -> float | None:
        """The finite number, or None; a boolean is none."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            return None
        return float(self.value)

    def money(self) -> float | None:
        """The sum that something cost, or None where there is none that can be true."""
        value = self.number()
        return value if value is not None and 0 <= value <= MOST_MONEY else None

    def items(self) -> Iterator[Payload]:
        """The array's values, or none."""
        value: object = self.value
        if isinstance(value, list):
            yield from map(Payload, cast("list[Any]", value))

    def fields(self) -> dict[str, Any]:
        """The object, or an empty one."""
        value: object = self.value
        return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def decode(body: bytes, who: str) -> Payload:
    """A body as JSON. Raises BadReply where it is none; `who` sent it, for the message."""
    try:
        # The quick reader makes each string straight from the bytes, so a large report is in memory once, not twice.
        quick = _clean(pydantic_core.from_json(body))
        return Payload(quick.value, quick.repaired, body)
    except ValueError:
        pass
    try:
        value = json.loads(body.decode("utf-8", "replace"), parse_int=_whole, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        what = "nested without end" if isinstance(error, RecursionError) else _kind(body)
        raise BadReply(f"{who} answered with {what} instead of JSON, so nothing could be read. Try it later.") from None
    return Payload(_clean(value).value, repaired=True, raw=body)


def plain(text: str, most: int = 300) -> str:
    """A vendor's words made fit for a message: one line, nothing hidden in it, at most so long."""
    flat = " ".join(clean(_LONE.sub("\ufffd", text)).split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def readable(text: str) -> str:
    """A vendor's text as its readers will get it, so that every place in it stays where it is."""
    return clean(text)


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= LONGEST_DIGITS else None


def _kind(body: bytes) -> str:
    start = body[:200].lstrip().lower()
    if not start:
        return "an empty body"
    return "a web page" if start.startswith((b"<!doctype", b"<html")) else "broken text"


def _clean(value: Any) -> Payload:
    """The value with everything unfit replaced, and whether anything was."""
    cleaner = _Cleaner()
    return Payload(cleaner.clean(value, 0), cleaner.repaired)


class _Cleaner:
    def __init__(self) -> None:
        self.repaired = False

    def clean(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._swap(value, _LONE.sub("\ufffd", value)) if _LONE.search(value) else value
        if isinstance(value, dict | list):
            return self._nested(cast("dict[str, Any] | list[Any]", value), depth + 1)
        if isinstance(value, float) and not -1.8e308 < value < 1.8e308:
            return self._swap(value, None)
        if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 1000:
            return self._swap(value, None)
        return value

    def _nested(self, value: dict[str, Any] | list[Any], depth: int) -> Any:
        if depth > DEEPEST:
            return self._swap(value, None)
        if isinstance(value, list):
            return [self.clean(held, depth) for held in value]
        return {self.clean(name, depth): self.clean(held, depth) for name, held in value.items()}

    def _swap(self, _old: Any, new: Any) -> Any:
        self.repaired = True
        return new
