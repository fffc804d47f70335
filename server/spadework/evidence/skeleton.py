"""A text's skeleton: its letters, digits and meaning marks in one string, with the way back to the original.

Two copies of the same words have the same skeleton, whatever happened to their white space, quotes, dashes,
emphasis, entities and citation markers. What lies between the words is kept too, so that `gaps` can judge it.
"""

from __future__ import annotations

import html
import re
import unicodedata
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import accumulate

from spadework.evidence.fold import (
    BREAK_HYPHEN,
    COMBINE,
    DROP,
    EXPAND,
    FRACTION,
    GAP,
    SUB,
    SUPER,
    Folding,
    expansion,
)

_TABLE = Folding()
_SENTINELS = EXPAND + DROP + COMBINE + SUPER + SUB + FRACTION + BREAK_HYPHEN
_TAGS = (
    "a|abbr|b|blockquote|br|cite|code|div|em|h[1-6]|hr|i|img|kbd|li|mark|ol|p|pre|q|s|small|span|strong|sub|sup|"
    "table|tbody|td|th|thead|tr|tt|u|ul"
)
_NUMBERS = r"\d{1,4}(?:[ \n]{0,3}[,;-][ \n]{0,3}\d{1,4}){0,20}"
_MARKERS = rf"(?:{_NUMBERS}|c\d{{1,5}}|\^[\w-]{{1,20}}|[a-z]|edit|sic|note \d{{1,3}}|nb \d{{1,3}}|citation needed)"
_BULLET = r"(?:[#*]{1,6}|\\?[>-](?=[ \t]+(?:[>*-] ){0,3}['\"(\[]?[^\W\d]))[ \t]+"
_LISTED = r"\(?(?:\d{1,3}|[a-z]|[ivx]{2,4})[.)][ \t]+"

# The first character class lets the search skip plain text quickly; the lookbehinds then tell the cases apart.
# All repeats are bounded or possessive: no text makes this slower than linear.
_SPECIAL = re.compile(
    rf"[{EXPAND}{DROP}{COMBINE}{SUPER}{SUB}{FRACTION}{BREAK_HYPHEN}&\[\]<\n~^=](?:"
    rf"(?<={DROP}){DROP}*+(?P<drop>)"
    rf"|(?<={BREAK_HYPHEN})(?:[ {DROP}]{{0,4}}\n[ \t]*+)?(?P<hyphen>)"
    rf"|(?<={COMBINE}){COMBINE}*+(?P<combine>)"
    rf"|(?<={SUPER}){SUPER}*+(?P<super>)"
    rf"|(?<={SUB}){SUB}*+(?P<sub>)"
    rf"|(?<={FRACTION})(?P<fraction>)"
    rf"|(?<={EXPAND})(?P<expand>)"
    r"|(?<=&)(?:amp;)?(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});(?P<entity>)"
    rf"|(?<=\[)\[?{_MARKERS}\\?\]{{1,2}}(?:\(#[^()\s]{{0,100}}\)|(?![^\W_]|\())(?P<marker>)"
    r"|(?<=\])\((?:[^()\s]|\([^()\s]{0,100}\)){1,2000}+(?: \"[^\"\n]{0,200}\")?\)(?P<link>)"
    rf"|(?<=<)/?(?:{_TAGS})(?:\s[^<>=]{{0,60}}=[^<>]{{0,300}}+)?\s{{0,3}}/?>(?P<tag>)"
    rf"|(?<=\n)[ \t]{{0,20}}+(?:{_BULLET}){{1,4}}(?P<bullet>)"
    r"|(?<=~)~(?P<strike>)"
    r"|(?<=[a-z]\^)\{?(?=\d)(?P<caret>)"
    r"|(?<==)={2,}+(?P<ruler>)"
    r")"
)
_IDLE = re.compile(r"[\s\\]+")
_LIST = re.compile(rf"(?:(?<=[.:;!?)\n]\n)|\A)[ \t]{{0,20}}+{_LISTED}")

# A minus belongs to its number, a leading point to its decimals, `#` to its name, `!` to the `=` after it.
_GAP_CLASS = re.escape(GAP)
_RUN = re.compile(rf"([^{_GAP_CLASS}]+|(?<![\w-])-(?=[$€£¥]?\.?\d)|(?<![\w.)\]\"'?!])\.(?=\d)|#(?=\w)|(?<=\w)#|!(?==))")


@dataclass(slots=True)
class Weave:
    """Folded text under construction, in pieces that know where they came from."""

    parts: list[str] = field(default_factory=list[str])
    at: array[int] = field(default_factory=lambda: array("q"))
    origin: array[int] = field(default_factory=lambda: array("q"))
    length: int = 0

    def add(self, text: str, start: int) -> None:
        """Appends a piece whose original begins at `start`; an empty piece only marks the place."""
        self.parts.append(text)
        self.at.append(self.length)
        self.origin.append(start)
        self.length += len(text)


class Skeleton:
    """A text's skeleton and its runs. Building is linear in the text; nothing changes afterwards."""

    def __init__(self, text: str, *, drop_lists: bool = False) -> None:
        folded = text.translate(_TABLE)
        self.text = text
        self.markers: list[tuple[int, str]] = []
        self._weave = Weave()
        self._build(folded, drop_lists)
        self.folded = "".join(self._weave.parts)
        # Gaps and runs in turn; only loops of the interpreter's own, since this is where the time goes.
        parts = _RUN.split(self.folded)
        ends = list(accumulate(map(len, parts)))
        self.run_start, self.run_end = ends[:-1:2], ends[1::2]
        self.run_at = list(accumulate(map(len, parts[1::2]), initial=0))[:-1]
        self.string = "".join(parts[1::2])
        self._marker_at = [at for at, _ in self.markers]

    def _build(self, folded: str, drop_lists: bool) -> None:
        weave, last = self._weave, 0
        lists = iter(_LIST.finditer(folded)) if drop_lists else iter(())
        pending = [(match.start(), match.end(), "list") for match in lists]
        found = [(match.start(), match.end(), match.lastgroup or "") for match in _SPECIAL.finditer(folded)]
        if pending:
            found = sorted(found + pending)
        if (head := re.match(rf"[ \t]{{0,20}}+(?:{_BULLET}){{1,4}}", folded)) and not drop_lists:
            found.insert(0, (0, head.end(), "bullet"))
        for start, end, kind in found:
            if start < last:
                continue
            begin = max(last, start - 1) if kind == "combine" else start
            weave.add(folded[last:begin], last)
            weave.add(self._resolve(folded, begin, end, kind), begin)
            last = end
        weave.add(folded[last:], last)
        weave.add("", len(folded))

    def _resolve(self, folded: str, start: int, end: int, kind: str) -> str:
        """What a special stretch folds to; markers and link targets are noted on the way."""
        raw = self.text[start:end]
        if kind == "combine":
            # Composed first: a Latin letter then folds to its base, any other stays what its marks make it.
            return squash(unicodedata.normalize("NFC", raw)).strip(COMBINE)
        if kind in ("marker", "link", "list"):
            self.markers.append((self._weave.length, _IDLE.sub("", folded[start:end])))
            return "]" if kind == "link" else ""
        if kind in ("super", "sub"):
            return self._raised(folded, start, end, kind)
        return _plain(raw, kind, folded[start - 1 : start])

    def _raised(self, folded: str, start: int, end: int, kind: str) -> str:
        before = folded[start - 1 : start]
        inner = "".join("-" if char in "⁻₋" else expansion(char) for char in self.text[start:end])
        if kind == "sub":
            return "_" + inner if before.isdigit() else inner
        if inner.isdigit() and _cites(folded, start):
            self.markers.append((self._weave.length, inner))
            return " "
        raised = before.isdigit() or before in ")]" or not inner.isdigit()
        return "^" + inner if raised and inner[:1] in "-+0123456789n" else inner

    def origin(self, at: int) -> int:
        """The original position of a folded one."""
        weave = self._weave
        piece = bisect_right(weave.at, at) - 1
        inside = at - weave.at[piece]
        size, width = (
            len(weave.parts[piece]),
            weave.origin[piece + 1] - weave.origin[piece] if piece + 1 < len(weave.at) else 0,
        )
        return weave.origin[piece] + (inside if size == width else 0)

    def origin_end(self, at: int) -> int:
        """The original end of the folded character before `at`."""
        weave = self._weave
        piece = bisect_right(weave.at, at - 1) - 1
        size, width = len(weave.parts[piece]), weave.origin[piece + 1] - weave.origin[piece]
        return weave.origin[piece] + (at - weave.at[piece] if size == width else width)

    def position(self, original: int) -> int:
        """The first skeleton position at or after an original one; the skeleton's length where none is left."""
        weave = self._weave
        piece = bisect_right(weave.origin, original) - 1
        size = len(weave.parts[piece])
        width = (weave.origin[piece + 1] if piece + 1 < len(weave.origin) else len(self.text)) - weave.origin[piece]
        folded = weave.at[piece] + (original - weave.origin[piece] if size == width else 0)
        run = bisect_right(self.run_end, folded)
        if run == len(self.run_start):
            return len(self.string)
        return self.run_at[run] + max(0, folded - self.run_start[run])

    def raw(self, position: int) -> str:
        """The original character at a skeleton position."""
        place = self.origin(self.folded_at(position))
        return self.text[place : place + 1]

    def run_of(self, position: int) -> int:
        """The run that holds a skeleton position."""
        return bisect_right(self.run_at, position) - 1

    def folded_at(self, position: int) -> int:
        """The folded position of a skeleton position."""
        run = self.run_of(position)
        return self.run_start[run] + position - self.run_at[run]

    def gap(self, position: int) -> str | None:
        """What stands before a skeleton position that begins a run; None inside a run."""
        run = self.run_of(position)
        if self.run_at[run] != position:
            return None
        return self.folded[self.run_end[run - 1] if run else 0 : self.run_start[run]]

    def breaks(self, start: int, end: int) -> list[int]:
        """The skeleton positions strictly inside a span where a run begins."""
        return self.run_at[bisect_right(self.run_at, start) : bisect_left(self.run_at, end)]

    def marked(self, position: int) -> list[str]:
        """The citation markers and link targets that stood in the gap before a skeleton position, or at the end."""
        if not self.markers:
            return []
        run = self.run_of(position) if position < len(self.string) else len(self.run_start)
        low = bisect_left(self._marker_at, self.run_end[run - 1] if run else 0)
        high = bisect_right(self._marker_at, self.run_start[run] if run < len(self.run_start) else len(self.folded))
        return [text for _, text in self.markers[low:high]]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original span of a skeleton span."""
        return self.origin(self.folded_at(start)), self.origin_end(self.folded_at(end - 1) + 1)


_LENGTHS = frozenset({"metre", "metres", "meter", "meters", "miles", "square", "inches"})


def has_lists(text: str) -> bool:
    """Whether a text has lines that begin with a list number."""
    return _LIST.search(text.lower()) is not None


def squash(text: str, before: str = "") -> str:
    """A short text folded, without sentinels; `before` is the character it follows."""
    folded = text.translate(_TABLE)
    if not any(char in _SENTINELS for char in folded):
        return folded
    parts: list[str] = []
    for raw, char in zip(text, folded, strict=True):
        parts.append(_plain(raw, _KINDS.get(char, ""), before) if char in _SENTINELS else char)
        before = parts[-1][-1:] or before
    return "".join(parts)


_KINDS = {EXPAND: "expand", FRACTION: "fraction", SUPER: "power", SUB: "index"}


def _plain(raw: str, kind: str, before: str) -> str:
    """What a special stretch folds to by itself."""
    if kind == "expand":
        return expansion(raw).translate(_TABLE).replace(DROP, "").replace(COMBINE, "") if raw != "…" else "..."
    if kind == "fraction":
        return (" " if before.isdigit() else "") + expansion(raw).replace("⁄", "/")
    if kind == "entity":
        return squash(html.unescape(html.unescape(raw)), before)
    if kind in ("power", "index"):
        return ("^" if kind == "power" else "_") * before.isdigit() + expansion(raw).replace("−", "-")
    if kind == "tag":
        return _tag(raw.lower(), before)
    return {"bullet": "\n", "caret": "", "ruler": " "}.get(kind, "")


def _tag(raw: str, before: str) -> str:
    if raw.startswith("<sup") and before.isdigit():
        return "^"
    inline = re.match(r"</?(?:a|abbr|b|cite|code|em|i|kbd|mark|q|s|small|span|strong|sub|sup|tt|u)\b", raw)
    return "" if inline else " "


def _cites(folded: str, start: int) -> bool:
    """Whether a raised number at `start` is a note mark: after punctuation or a long word that is no length."""
    before = folded[max(0, start - 12) : start]
    if before[-1:] in (".", ",", ";", ")", '"', "'"):
        return True
    word = re.search(r"[a-z]+\Z", before)
    return bool(word and len(word.group()) >= 5 and word.group() not in _LENGTHS)
