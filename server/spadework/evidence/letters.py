"""What folding hides and meaning may not: changed accents, and the case of a unit.

Extraction strips all accents of a text or none, and raises or lowers a whole passage; a single changed accent or a
single `mW` that became `MW` is another statement.
"""

from __future__ import annotations

import html
import re
import unicodedata

from spadework.evidence.fold import ACCENTS
from spadework.evidence.skeleton import Skeleton

_ACCENTED = re.compile("[À-ɏḀ-ỿ]|[A-Za-z][\u0300-\u036f]+|&(?:#\\d{1,5}|#x[0-9A-Fa-f]{1,4}|[A-Za-z]{3,8});")
_UNIT = re.compile(r"\d\s{0,3}([A-Za-z]{1,4})(?![A-Za-z])")
# Units that the case of a letter turns into others.
_CASED_UNITS = "m mm mw mwh mpa mv mj mg ma mhz mb gb kb tb mbps gbps kbps mbit gbit kbit"
_CASED = frozenset(_CASED_UNITS.split())


def agree(quote: Skeleton, source: Skeleton, place: int) -> bool:
    """Whether a quote whose skeleton stands at `place` of the source also agrees in accents and units."""
    start, end = source.span(place, place + len(quote.string))
    raw = source.text[start:end]
    if not (quote.text.isascii() and raw.isascii()) and not _same_accents(quote, source, place, start, end):
        return False
    return _same_units(quote, source, place)


def _same_accents(quote: Skeleton, source: Skeleton, place: int, start: int, end: int) -> bool:
    ours = _accents(quote, 0, len(quote.text), 0)
    theirs = _accents(source, start, end, place)
    if not ours or not theirs:
        return True
    if not ACCENTS.isdisjoint(quote.text) or not ACCENTS.isdisjoint(source.text[start:end]):
        # Where accents stand beside their letters, not all are seen; those that are must be the same.
        return all(ours[at] == theirs[at] for at in ours.keys() & theirs.keys())
    return ours == theirs


def _accents(side: Skeleton, start: int, end: int, base: int) -> dict[int, str]:
    """The marks on each accented Latin letter, by skeleton position counted from `base`."""
    found: dict[int, str] = {}
    for match in _ACCENTED.finditer(side.text, start, end):
        parts = unicodedata.normalize("NFD", html.unescape(match.group()))
        if len(parts) > 1 and parts[0].isascii() and parts[0].isalpha() and unicodedata.combining(parts[1]):
            found[side.position(match.start()) - base] = parts[1:]
    return found


def _same_units(quote: Skeleton, source: Skeleton, place: int) -> bool:
    for match in _UNIT.finditer(quote.text):
        unit = match.group(1)
        if unit.lower() in _CASED:
            at = quote.position(match.start(1))
            written = "".join(source.raw(place + at + step) for step in range(len(unit)))
            if unit != unicodedata.normalize("NFKC", written) and not _recased(quote, source, place):
                return False
    return True


def _recased(quote: Skeleton, source: Skeleton, place: int) -> bool:
    """Whether the case of the whole passage was changed, so that a unit's case says nothing."""
    changed = 0
    for run in range(len(quote.run_at)):
        at = quote.run_at[run]
        changed += quote.raw(at).isupper() != source.raw(place + at).isupper()
    start, end = source.span(place, place + len(quote.string))
    return changed >= 3 or any(text.isupper() or text[1:].islower() for text in (quote.text, source.text[start:end]))
