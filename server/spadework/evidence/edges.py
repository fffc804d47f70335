"""Where a quote may begin and end in its source: between words, and never inside a number, a sign or a compound.

A quote may leave out the words before and after it. It may not leave out half a word ("able" from "unable"), half
a number ("5 mg" from "2.5 mg"), a sign, a currency or a per cent.
"""

from __future__ import annotations

import re

from spadework.evidence.gaps import unspaced
from spadework.evidence.joins import PREFIXES
from spadework.evidence.skeleton import Skeleton

_INSIDE_NUMBER = re.compile(r"[.,:'-]\Z")
_TIED = re.compile(r"-[ \n]*\Z")
# CJK negations lean on the word after them without a space.
_LEANING = frozenset("不没沒未非無无")
_HYPHENS = frozenset("-‐‑\u00ad")


_UNIT_WORDS = """
mg µg μg g kg t km m cm mm nm ml l dl kb mb gb tb hz khz mhz ghz w kw mw gw v kv ms s min h db pa kpa mpa mol mmol
pp bn m k mn thousand million billion trillion hundred dozen percent per times fold years year months days hours
minutes seconds miles feet metres meters degrees euros dollars pounds
"""
_UNITS = frozenset(_UNIT_WORDS.split())
# What turns round the sentence that it ends: "es wirkt." is cut out of "es wirkt nicht.", "they do." of "they do not."
_NEGATIONS = frozenset(("not", "never", "nicht", "nie", "niemals", "pas", "jamais", "nunca"))


def fits(source: Skeleton, start: int, end: int, *, full_stop: bool = False) -> bool:
    """Whether the skeleton span `start:end` begins and ends between words of the source.

    With `full_stop` the quote says that its sentence ends there, so neither a number's unit nor a negation may follow.
    """
    if full_stop and end < len(source.string):
        after = _UNITS if source.string[end - 1].isdigit() else _NEGATIONS
        if _follows(source, end, after):
            return False
    return opens(source, start) and closes(source, end)


def _follows(source: Skeleton, end: int, words: frozenset[str]) -> bool:
    """Whether one of the words comes next, with nothing but white space before it."""
    run = source.run_of(end)
    gap = source.gap(end)
    return gap is not None and not gap.strip() and source.folded[source.run_start[run] : source.run_end[run]] in words


def opens(source: Skeleton, start: int) -> bool:
    """Whether a quote may begin at a skeleton position."""
    if start in (0, len(source.string)):
        return True
    left, right = source.string[start - 1], source.string[start]
    gap = source.gap(start) or ""
    if not gap:
        return _starts_beside(left, right)
    if right.isdigit() and left.isdigit() and _INSIDE_NUMBER.match(gap):
        return False
    if left.isalpha() and right.isalpha() and gap == "'":
        return False
    return not (left.isalnum() and right.isalnum() and _TIED.match(gap) and _bound(source, start))


def _starts_beside(left: str, right: str) -> bool:
    """Whether a quote may start right after a character that touches it."""
    if left.isalnum() and right.isalnum():
        return unspaced(left) != unspaced(right) or (unspaced(left) and left not in _LEANING)
    if right.isalpha():
        return left not in "°#@&^+"
    return left in ">|" and not right.isdigit()


def closes(source: Skeleton, end: int) -> bool:
    """Whether a quote may end before a skeleton position."""
    if end in (0, len(source.string)):
        return True
    left, right = source.string[end - 1], source.string[end]
    gap = source.gap(end) or ""
    if not gap:
        return _ends_beside(left, right)
    if left.isdigit() and right in "%‰" and not gap.strip():
        return False
    if left.isdigit() and right.isdigit() and _INSIDE_NUMBER.match(gap):
        return False
    if left.isalpha() and right.isalpha() and gap == "'":
        return False
    return not (left.isalnum() and right.isalnum() and _TIED.match(gap) and _bound(source, end))


def _ends_beside(left: str, right: str) -> bool:
    """Whether a quote may end right before a character that touches it."""
    if left.isalnum() and right.isalnum():
        return unspaced(left) or unspaced(right)
    if left.isalpha():
        return right not in "+#°^/&@"
    return left not in "-+<>=≤≥≈~±$€£¥" and right == "<"


def _bound(source: Skeleton, at: int) -> bool:
    """Whether the dash before a position ties its two words into one; a long dash only after a prefix."""
    run = source.run_of(at)
    dash = source.folded.rfind("-", 0, source.run_start[run])
    place = source.origin(dash)
    if source.text[place : place + 1] in _HYPHENS:
        return True
    before = source.folded[source.run_start[run - 1] : source.run_end[run - 1]] if run else ""
    return before in PREFIXES or before.isdigit()
