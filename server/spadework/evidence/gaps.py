"""What may differ between two words of a quote and the same two words of its source.

White space, punctuation and emphasis between words come and go when text is extracted; a decimal point, a range's
dash, an apostrophe or a joined word does not. Each gap is judged by what stands on its two sides.
"""

from __future__ import annotations

import re
from collections import Counter
from enum import IntEnum

from spadework.evidence.fold import ACCENTS
from spadework.evidence.joins import PREFIXES, bends
from spadework.evidence.skeleton import Skeleton


class Match(IntEnum):
    """How far two gaps agree: the same but for noise, the same words but a telling mark, or another meaning."""

    SAME = 0
    NEAR = 1
    CHANGED = 2


#: So far back a number is looked for that a quote may have torn off, in code points.
_NEAR = 40
_APOSTROPHE = re.compile(r" ?' ?\Z")
_SOFT_HYPHEN = re.compile(r"-+[ \n]+\Z")
_HARD_HYPHEN = re.compile(r"[-_]+\Z")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{2,3})*,\d{3}")
_SPACES = re.compile(r"[ \n]+")
_EMPHASIS = re.compile(r"(?<! )\*+|\*+(?! )|(?<=[^_])_+|_+(?=[^_])|#+(?= )|[|`\\{}]")


def unspaced(char: str) -> bool:
    """Whether a letter belongs to a script that writes no spaces between words."""
    code = ord(char)
    return (
        0x2E80 <= code < 0xA000
        or 0x0E00 <= code < 0x1100
        or 0x1780 <= code < 0x1800
        or 0xF900 <= code < 0xFB00
        or (0x20000 <= code < 0x32000)
    )


def compare(quote: Skeleton, at: int, source: Skeleton, place: int) -> Match:
    """Judges the gap before skeleton position `at` of the quote against the one before `place` of the source."""
    ours, theirs = quote.gap(at), source.gap(place)
    if ours == theirs and not quote.markers:
        return Match.SAME
    if _markers_differ(quote.marked(at), source.marked(place)):
        return Match.CHANGED
    left, right = quote.string[at - 1], quote.string[at]
    one, other = _tidy(ours), _tidy(theirs)
    if one == other:
        return Match.SAME
    if not (left.isalnum() and right.isalnum()):
        return _beside_mark(one, other, left, right)
    if left.isdigit() and right.isdigit():
        return _between_digits(quote, at, source, place)
    if left.isdigit() or right.isdigit():
        lost = ("-" in one) != ("-" in other) and (_subtracts(quote, at) or _subtracts(source, place))
        return Match.CHANGED if lost else _beside_digit(ours or "", theirs or "", left, right)
    if unspaced(left) and unspaced(right) and not (one + other).strip():
        return Match.SAME
    return _between_letters(quote, at, source, place)


def outer(quote: Skeleton, source: Skeleton, place: int) -> Match:
    """Judges the citation markers right before and after a quote, which are outside every gap."""
    size = len(quote.string)
    head = _markers_differ(quote.marked(0), source.marked(place))
    before, after = quote.marked(size), source.marked(place + size)
    # Where the source keeps its markers, one that it does not have here shows that words before it are missing.
    tail = _markers_differ(before, after) or (bool(before) and not after and bool(source.markers))
    listed = [mark for mark in quote.marked(0) if mark[0] not in "[]" and not mark.isdigit()]
    torn = bool(listed) and place > 0 and _torn(source, place, listed)
    return Match.CHANGED if head or tail or torn else Match.SAME


def _torn(source: Skeleton, place: int, listed: list[str]) -> bool:
    """Whether a list number cannot have stood here: inside a sentence, or where the source has another one.

    Nor where the source has that very number just before: "above 93. The mean" is cut out of "above 93 mg. The mean".
    """
    gap, before = source.gap(place) or "", _word(source, place, after=False)
    numbered = re.fullmatch(r"\d{1,3}|[a-z]|[ivx]{1,4}", before) is not None and gap[:1] in (".", ")")
    middle = source.folded_at(place)
    near = set(re.findall(r"\d+", source.folded[max(0, middle - _NEAR) : middle]))
    repeated = any(number in near for mark in listed for number in re.findall(r"\d+", mark))
    return numbered or repeated or not set(gap) & set("\n.:;!?")


def _markers_differ(ours: list[str], theirs: list[str]) -> bool:
    """Whether both sides cite or link here, and not the same; one side may have lost some or all of its own."""
    for link in (False, True):
        one, other = (Counter(mark for mark in side if mark.startswith("](") is link) for side in (ours, theirs))
        if one and other and not (one <= other or other <= one):
            return True
    return False


def _tidy(gap: str | None) -> str:
    return _SPACES.sub(" ", gap) if gap else ""


def _beside_mark(one: str, other: str, left: str, right: str) -> Match:
    """Beside a mark only spaces and closing punctuation come and go; a dash there may be a sign or a decrement."""
    if ("-" in one) != ("-" in other) and (left.isdigit() or right.isdigit()):
        return Match.CHANGED
    return Match.NEAR if ("?" in one) != ("?" in other) else Match.SAME


def _between_digits(quote: Skeleton, at: int, source: Skeleton, place: int) -> Match:
    raw, found = quote.gap(at), source.gap(place)
    one, other = (_SPACES.sub(" ", _EMPHASIS.sub("", gap or "")) for gap in (raw, found))
    if raw is not None and found is not None and one == other and (one or raw == found):
        return Match.SAME
    if {one, other} == {",", ""}:
        grouped, spot = (quote, at) if one == "," else (source, place)
        return Match.SAME if _is_grouped(grouped, spot) else Match.CHANGED
    same_mark = one.strip() == other.strip() != ""
    if same_mark and (
        one.strip() in ("-", "--") or all(gap in (gap.strip(), f" {gap.strip()} ") for gap in (one, other))
    ):
        return Match.SAME
    apart = " " in one and " " in other and not set(one + other) & set("-:_*#!?")
    return Match.SAME if apart else Match.CHANGED


def _is_grouped(side: Skeleton, at: int) -> bool:
    """Whether the comma before a position separates thousands."""
    middle = side.folded_at(at)
    start, end = max(0, middle - 40), middle + 40
    window = side.folded[start:end]
    for token in re.finditer(r"\d[\d,]*", window):
        if start + token.start() < middle < start + token.end():
            return _GROUPED.fullmatch(token.group().rstrip(",")) is not None
    return False


def _beside_digit(one: str, other: str, left: str, right: str) -> Match:
    if right.isdigit() and ("-" in one) != ("-" in other):
        # A hyphen tied to the word before it is part of a name (F-16), one that begins a line is a bullet.
        dashed = one if "-" in one else other
        return Match.SAME if dashed.startswith("-") or "\n-" in dashed else Match.CHANGED
    if left.isdigit() and _prime(one) and _prime(other) and _prime(one) != _prime(other):
        return Match.CHANGED  # 5' is not 5"
    if ("!" in one) != ("!" in other):
        return Match.CHANGED  # a factorial
    return Match.NEAR if ("?" in one) != ("?" in other) else Match.SAME


def _subtracts(side: Skeleton, at: int) -> bool:
    """Whether the dash before a skeleton position is written as a minus, which is never a name's hyphen or a bullet."""
    return "\u2212" in _between(side, at)


def _accented(apart: Skeleton, at: int, joined: Skeleton, place: int) -> bool:
    """Whether all that parts two letters on one side is the accent that a letter there has on the other side."""
    if joined.gap(place) is not None or _between(apart, at).strip() not in ACCENTS:
        return False
    return not (joined.raw(place - 1) + joined.raw(place)).isascii()


def _between(side: Skeleton, at: int) -> str:
    """The original characters of the gap before a skeleton position; empty where there is none."""
    run = side.run_of(at)
    if not run or side.run_at[run] != at:
        return ""
    return side.text[side.origin(side.run_end[run - 1]) : side.origin(side.run_start[run])]


def _prime(gap: str) -> str:
    return gap[:1] if gap[:1] in ("'", '"') else ""


def _kind(gap: str, right: str) -> str:
    """What a gap between two letters is: nothing, an apostrophe, a hyphen (soft at a line's end), or a break."""
    if gap == "":
        return "none"
    if _APOSTROPHE.match(gap) and (gap == "'" or re.match(r"(?:s|t|re|ve|ll|d|m)\b", right)):
        return "apostrophe"
    if _SOFT_HYPHEN.match(gap):
        return "soft"
    return "hyphen" if _HARD_HYPHEN.match(gap) else "break"


_FREE = {("hyphen", "soft"), ("none", "soft"), ("break", "soft"), ("break", "hyphen"), ("apostrophe", "break")}


def _between_letters(quote: Skeleton, at: int, source: Skeleton, place: int) -> Match:
    one, other = _tidy(quote.gap(at)), _tidy(source.gap(place))
    if ("?" in one) != ("?" in other):
        return Match.NEAR
    if _accented(quote, at, source, place) or _accented(source, place, quote, at):
        return Match.SAME
    right = _word(quote, at, after=True)
    low, high = sorted((_kind(one, right), _kind(other, right)))
    if low == high or (low, high) in _FREE:
        return Match.SAME
    if "none" not in (low, high) or "apostrophe" in (low, high):
        return Match.NEAR
    joined, apart = ((quote, at), (source, place)) if one == "" else ((source, place), (quote, at))
    return _joined(joined, apart, hyphen="hyphen" in (low, high), short=len(quote.string) < 20)


def _joined(joined: tuple[Skeleton, int], apart: tuple[Skeleton, int], *, hyphen: bool, short: bool) -> Match:
    """Judges two words run together, or one cut in two, by both readings."""
    left, right, whole = _word(*apart, after=False), _word(*apart, after=True), _word(*joined, after=True)
    if unspaced(left[-1:] or "a") and unspaced(right[:1] or "a"):
        return Match.SAME
    if len(left) == len(right) == 1 or (right == "n" and not hyphen):
        return Match.SAME  # U.S. and US; did n't and didn't
    if hyphen:
        return Match.NEAR if len(left) <= 4 or left in PREFIXES else Match.SAME
    named = apart[0].raw(apart[1])[:1].isupper() and not joined[0].raw(joined[1])[:1].isupper()
    if bends(left, right, whole) and not named:
        return Match.NEAR
    return Match.NEAR if short and whole != "cannot" else Match.SAME


def _word(side: Skeleton, at: int, *, after: bool) -> str:
    """The run that begins at a skeleton position, or the one that ends there."""
    run = side.run_of(at) - (0 if after else 1)
    return side.folded[side.run_start[run] : side.run_end[run]]
