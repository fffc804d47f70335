"""The nearest stretch of a source to a quote that is not in it, and how the two differ word by word.

Pieces of the quote vote for where it could stand; only that window is compared, so the work stays small whatever the
texts are.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from spadework.evidence.skeleton import Skeleton

_SEED: Final = 10
_SEEDS: Final = 24
_HITS: Final = 12
_LONGEST: Final = 8_000
_WIDEST: Final = 160
_ALIKE: Final = 0.8
_UNIT = re.compile(r"\d+(?:[.,:/]\d+)*|[^\W\d_]+|[^\w\s]", re.UNICODE)


@dataclass(frozen=True, slots=True)
class Near:
    """A stretch of the source that resembles the quote; `diff` says how they differ, and may be empty."""

    start: int
    end: int
    diff: tuple[dict[str, str], ...]


def nearest(quote: Skeleton, source: Skeleton) -> Near | None:
    """The stretch that resembles the quote to at least four fifths of its characters, or None."""
    size = len(quote.string)
    if not 8 <= size <= _LONGEST:
        return None
    offset = _offset(quote.string, source.string)
    if offset is None:
        return None
    slack = 24 + size // 5
    low, high = max(0, offset - slack), min(len(source.string), offset + size + slack)
    first, last = source.run_of(low), source.run_of(high - 1)
    return _compared(_words(quote, 0, len(quote.run_start) - 1), _words(source, first, last))


def _offset(quote: str, source: str) -> int | None:
    """Where in the source the quote would begin, by the votes of its pieces."""
    votes: Counter[int] = Counter()
    step = max(1, (len(quote) - _SEED) // _SEEDS)
    for at in range(0, max(1, len(quote) - _SEED + 1), step):
        seed, place = quote[at : at + _SEED], -1
        for _ in range(_HITS):
            place = source.find(seed, place + 1)
            if place < 0:
                break
            votes[(place - at) // 32] += 1
    if not votes:
        return None
    best, _ = max(votes.items(), key=lambda item: (item[1] + votes[item[0] + 1], -item[0]))
    return max(0, best * 32)


Word = tuple[str, str, int, int]


def _words(side: Skeleton, first: int, last: int) -> list[Word]:
    """The words, numbers and marks of some runs: folded, as written, and where."""
    if last < first:
        return []
    start, end = side.run_start[first], side.run_end[last]
    words: list[Word] = []
    for match in _UNIT.finditer(side.folded, start, end):
        if match.group() in ",.;:!()[]{}\"'*_|`\\":
            continue
        low, high = side.origin(match.start()), side.origin_end(match.end())
        words.append((match.group(), side.text[low:high], low, high))
    return words


def _compared(ours: list[Word], theirs: list[Word]) -> Near | None:
    left, right = [word[0] for word in ours], [word[0] for word in theirs]
    blocks = _blocks(left, right)
    if not blocks:
        return None
    same = sum(len(word) for at, _, size in blocks for word in left[at : at + size])
    if same < _ALIKE * sum(map(len, left)):
        return None
    first = max(0, blocks[0][1] - blocks[0][0])
    at, place, size = blocks[-1]
    last = min(len(right), place + size + len(left) - at - size)
    return Near(theirs[first][2], theirs[last - 1][3], _diff(ours, theirs[first:last], first, blocks))


def _blocks(left: list[str], right: list[str]) -> list[tuple[int, int, int]]:
    """The matching stretches, long quotes in pieces so that the comparison stays bounded."""
    found: list[tuple[int, int, int]] = []
    shift = 0
    for low in range(0, len(left), _WIDEST):
        part = left[low : low + _WIDEST]
        window = right[shift : shift + 2 * _WIDEST]
        matcher = SequenceMatcher(None, part, window, autojunk=False)
        found += [(low + block.a, shift + block.b, block.size) for block in matcher.get_matching_blocks()[:-1]]
        if found:
            shift = found[-1][1] + found[-1][2]
    return found


def _diff(
    ours: list[Word], theirs: list[Word], first: int, blocks: list[tuple[int, int, int]]
) -> tuple[dict[str, str], ...]:
    changes: list[dict[str, str]] = []
    at, place = 0, 0
    for low, high, size in [*((a, b - first, n) for a, b, n in blocks), (len(ours), len(theirs), 0)]:
        quoted = " ".join(word[1] for word in ours[at:low])
        written = " ".join(word[1] for word in theirs[place:high])
        if quoted or written:
            op = "replaced" if quoted and written else "inserted" if quoted else "dropped"
            changes.append({"op": op, "quote": quoted, "source": written})
        at, place = low + size, high + size
    return tuple(changes)
