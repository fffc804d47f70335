"""Pages of a text: cut between blocks, joined they are the whole, and a cursor fits only the text it was made for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import from_json

from spadework.reports.outline import fences
from spadework_tools.errors import BadRequest

_BLANK = re.compile(r"\n[ \t]*\n+")
_SENTENCE = re.compile(r"[.!?。！？][\"')\]”’]*\s+|[。！？]")
_JOINERS = "\u200c\u200d\ufe0e\ufe0f"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a cursor says: which text it belongs to, and where to read on."""

    job: str
    view: str
    section: str | None
    query: str | None
    offset: int
    sha: str

    def spell(self) -> str:
        """The cursor as an opaque word."""
        fields = [self.job, self.view, self.section, self.query, self.offset, self.sha]
        raw = json.dumps(fields, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(raw + binascii.crc32(raw).to_bytes(4, "big")).decode().rstrip("=")


def read(cursor: str) -> Mark:
    """What a cursor says.

    Raises:
        BadRequest: it is none of ours.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        body, check = raw[:-4], raw[-4:]
        if binascii.crc32(body).to_bytes(4, "big") != check:
            raise ValueError("the checksum does not fit")
        job, view, section, query, offset, sha = cast("list[Any]", from_json(body))
        return Mark(str(job), str(view), section, query, int(offset), str(sha))
    except (ValueError, TypeError) as error:
        raise BadRequest(
            "this cursor is not one of ours, or a part of it is missing. "
            "Pass the cursor exactly as the page before gave it, or ask again without one."
        ) from error


def short(text: str) -> str:
    """A few characters that stand for a longer text in a cursor."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def cut(text: str, start: int, max_chars: int) -> int:
    """Where the page that begins at `start` ends: at most `max_chars` on, at the best place there is.

    The best place is between blocks and outside fenced code, then between lines, sentences, words, and last of all
    characters; a letter and its marks, or the parts of an emoji, stay together where a page can hold them.
    """
    limit = start + max(1, max_chars)
    if limit >= len(text):
        return len(text)
    floor = start + (limit - start) // 2
    fence = _fence_at(text, limit)
    if fence is not None and fence[0] > start + (limit - start) // 4:
        return fence[0]
    if fence is not None:
        line = text.rfind("\n", floor, limit) + 1
        return line if line > floor else _whole_character(text, start, limit)
    return _between(text, start, floor, limit)


def _between(text: str, start: int, floor: int, limit: int) -> int:
    inside = fences(text[start:limit])
    ends = [match.end() for match in _BLANK.finditer(text, floor, limit)]
    for end in reversed(ends):
        if not any(low < end - start < high for low, high in inside):
            return end
    line = text.rfind("\n", floor, limit) + 1
    if line > floor:
        return line
    sentences = [match.end() for match in _SENTENCE.finditer(text, floor, limit) if match.end() <= limit]
    if sentences:
        return sentences[-1]
    space = text.rfind(" ", floor, limit) + 1
    return space if space > floor else _whole_character(text, start, limit)


def _fence_at(text: str, position: int) -> tuple[int, int] | None:
    """The fenced code that a position lies inside."""
    spans = fences(text)
    index = bisect_right(spans, (position, 0)) - 1
    return spans[index] if index >= 0 and spans[index][0] < position < spans[index][1] else None


def _whole_character(text: str, start: int, limit: int) -> int:
    """The last place up to `limit` that parts no character; `limit` itself where one fills the page."""
    for end in range(limit, max(start, limit - 64), -1):
        if not _parted(text[end - 1], text[end]):
            return end
    return limit


def _parted(before: str, after: str) -> bool:
    if unicodedata.category(after) in ("Mn", "Mc", "Me", "Cf", "Cs") or after in _JOINERS or before in _JOINERS:
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff":
        return True  # a skin tone
    flags = "\U0001f1e6" <= before <= "\U0001f1ff" and "\U0001f1e6" <= after <= "\U0001f1ff"
    return flags or (before == "\r" and after == "\n")
