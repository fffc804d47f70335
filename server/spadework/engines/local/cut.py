"""Cutting a passage into spans that can be quoted: whole sentences, none too short to say something, none endless."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from spadework.engines.local.chunk import ARROW
from spadework.engines.local.index import Passage
from spadework.engines.local.sentences import sentences
from spadework.engines.local.words import covered, stems

#: A quote should have at least and at most this many characters; a CJK character says as much as three.
SHORTEST, LONGEST = 40, 400
#: One that has no neighbour to be joined to may be this short.
_BAREST = 24

_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_LIST_MARK = re.compile(r"(?:[-*+•‣▪]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])\s+")
_SIGNATURE = re.compile(r"@?(?:class |async )?[\w.]+\([^\n]*\)(?: -> \S+)?$")
_WINDOWS = 16
#: A line shorter than this was ended on purpose.
_WRAPPED = 60
_WORD = re.compile(r"\w+")
_MARKUP = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|<https?://[^>]*>|https?://\S+|\[\[[^\]]*\]\]")
_LEADER = re.compile(r"(?:\.\s?){4,}\s*\d*\s*$|(?:…\s*){2,}\d*\s*$", re.MULTILINE)
_CLAUSE = re.compile(r"[,;:–—)\n]\s+|\.\s+")
_HEADING = re.compile(r"^\s*#{1,6}\s|^[^\n]+\n[=\-~^\"]{3,}\s*$")


def cut(passage: Passage, asked: Collection[str]) -> Iterator[tuple[int, int]]:
    """The spans of a passage, as positions in its text; one that is too long is cut around the words asked for."""
    for span in _joined(passage):
        yield span if span[1] - span[0] <= LONGEST else _trimmed(passage.text, *span, asked)


def says(passage: Passage, start: int, end: int) -> bool:
    """Whether a span of a passage can be a quote: words of its own, and no mere links, contents or signs."""
    text = passage.text[start:end]
    letters = sum(map(str.isalnum, text))
    if _width(text) < _BAREST or "```" in text or letters < 0.45 * len("".join(text.split())):
        return False
    linked = sum(max(0, min(end, last) - max(start, first)) for first, last in passage.anchors)
    own = _WORD.findall(_MARKUP.sub(" ", text))
    return linked < 0.7 * (end - start) and (len(own) >= 4 or not text.isascii()) and not _LEADER.search(text)


def _joined(passage: Passage) -> Iterator[tuple[int, int]]:
    """The passage's sentences without its heading; what says nothing alone is joined to a neighbour."""
    text = passage.text
    done: list[tuple[int, int]] = []
    lead: tuple[int, int] | None = None
    for span in _unwrapped(text):
        if _is_heading(passage, *span) or _is_rule(text[span[0] : span[1]]):
            # Nothing is joined over these.
            yield from done or _alone(lead)
            done, lead = [], None
            continue
        joined = (lead[0], span[1]) if lead and _belong(passage, lead, span) else span
        lead = joined if _leads_on(text[joined[0] : joined[1]]) else None
        if lead and done and "\n" not in text[done[-1][1] : lead[0]] and _belong(passage, done[-1], lead):
            done[-1], lead = (done[-1][0], lead[1]), None
        elif not lead:
            done.append(joined)
    yield from done or _alone(lead)


def _alone(span: tuple[int, int] | None) -> list[tuple[int, int]]:
    return [span] if span else []


def _leads_on(text: str) -> bool:
    """Whether a text says too little without what follows: it is short, ends with a colon, or names a function."""
    return _width(text) < SHORTEST or text.endswith(":") or bool(_SIGNATURE.match(text))


def _belong(passage: Passage, one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two spans may be quoted as one: short enough together, on one page, and both or neither a table's row."""
    if other[1] - one[0] > LONGEST or any(one[1] <= start <= other[0] for start in passage.breaks):
        return False
    return (passage.text[one[0]] == "|") == (passage.text[other[0]] == "|")


def _is_rule(line: str) -> bool:
    """Whether a line is a rule, a line of contents, or nothing but links."""
    return not any(map(str.isalpha, _MARKUP.sub("", line))) or bool(_LEADER.search(line))


def _unwrapped(text: str) -> Iterator[tuple[int, int]]:
    """The text's sentences without list marks, and over line ends where a long line simply goes on."""
    begin = end = -1
    for start, stop in sentences(text, 0, len(text)):
        if begin >= 0 and _goes_on(text, begin, end, start):
            end = stop
            continue
        if begin >= 0:
            yield begin, end
        mark = _LIST_MARK.match(text, start, stop)
        begin, end = (mark.end() if mark else start), stop
    if begin >= 0:
        yield begin, end


def _goes_on(text: str, begin: int, end: int, after: int) -> bool:
    """Whether a line that ends without a full stop is carried on by the next."""
    gap = text[end:after]
    line = text[text.rfind("\n", 0, end) + 1 : end]
    if gap.count("\n") != 1 or len(line) < _WRAPPED or end - begin > LONGEST or line[-1] in ".!?:;|。！？":
        return False
    return not _LIST_MARK.match(text, after) and text[after] not in "|>#@$" and not text.startswith("```", after)


def _is_heading(passage: Passage, start: int, end: int) -> bool:
    line = passage.text[start:end]
    bare = line.strip(" #*=-~\n¶")
    return bool(_HEADING.match(line)) or bare in passage.heading.split(ARROW) or bare == passage.title


def _width(text: str) -> int:
    return len(text) + (0 if text.isascii() else 2 * len(_WIDE.findall(text)))


def _trimmed(text: str, start: int, end: int, asked: Collection[str]) -> tuple[int, int]:
    """At most `LONGEST` characters of a long span, from a clause's beginning, with the most of what is asked for."""
    begins = [start, *(start + mark.end() for mark in _CLAUSE.finditer(text[start:end]))]
    if begins[-1] - start < LONGEST // 2:
        begins += [start + mark.start() for mark in re.finditer(r"(?<=\s)\S", text[start:end])][::20]
    begins = begins[:: len(begins) // _WINDOWS + 1]
    windows = [(begin, _stop(text, begin, end)) for begin in begins if end - begin >= SHORTEST or begin == start]
    return max(windows, key=lambda window: (_holds(text, window, asked), -window[0]))


def _stop(text: str, begin: int, end: int) -> int:
    """Where a quote from `begin` ends: at a clause's end if one is near, else between words."""
    if end - begin <= LONGEST:
        return end
    room = text[begin : begin + LONGEST]
    clause = max((mark.start() + 1 for mark in _CLAUSE.finditer(room)), default=0)
    if clause < LONGEST // 2:
        clause = max(room.rfind(" "), room.rfind("\n"))
    return begin + len(room[: clause if clause > 0 else LONGEST].rstrip(" \n,;:–—("))


def _holds(text: str, window: tuple[int, int], asked: Collection[str]) -> int:
    present = stems(text[slice(*window)])
    return sum(covered(word, present) for word in asked)
