"""Where sentences begin and end in a stretch of text, exactly, so that each can be quoted as a slice.

A line break ends a sentence unless the lines look wrapped at one width, as prose in Markdown and e-mails is; so list
items, headings, table rows and lines of code stand by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

Span = tuple[int, int]

_LINE = re.compile(r"[^\n]+")
# A run of stops is tried once, from its start, and never in parts: a page of dots takes linear time.
_END = re.compile(r"""(?<![.!?…])[.!?…]++[)\]"'”’»*_`]{0,4}+(?=\s)|[。！？｡]+[」』）”"]{0,2}""")
_WORD = re.compile(r"\S+")
_TOKEN = re.compile(r"[^\s(\[“\"'‘—–/]{1,24}$")
# What a line starts with when it is no continuation: list marks, headings, quotes, tables, prompts, comments.
_ITEM = re.compile(r"(?:[-*+•‣▪–—]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)]|\[\d{1,3}\])\s")
_MARK = re.compile(_ITEM.pattern + r"|#{1,6}\s|[>|@$]|//|/\*|\.\. ")
_WIDEST = 120
_NARROWEST = 50

_ABBREVIATIONS = {
    # Never the end of a sentence, whatever follows.
    "never": (
        "e.g i.e vs cf mr mrs ms dr prof st mt gen col sgt capt lt rev hon fig figs eq eqs ref refs sec sect ch chap "
        "viz approx ca dept est assn bros gov sen rep adm cpl messrs mme incl resp esp ibid op"
    ),
    # The end of one only before a capital: a digit or a bracket goes on.
    "name": "etc al inc ltd co corp jr sr a.m p.m u.s u.k u.n e.u ph.d",
    # The end of one unless a digit follows.
    "count": "no nos vol pp p art pt ver",
}
_KINDS = {word: kind for kind, words in _ABBREVIATIONS.items() for word in words.split()}


def sentences(text: str, start: int, end: int) -> list[Span]:
    """The sentences of `text[start:end]` as half-open spans of `text`: in order, apart, without white space around.

    Every character that is not white space lies in exactly one of them.
    """
    spans: list[Span] = []
    for first, last in _stretches(text, start, end):
        begin = first
        for match in _END.finditer(text, first, last):
            if match.end() < last and _ends(text, first, match):
                spans.append((begin, match.end()))
                begin = _past_space(text, match.end(), last)
        spans.append((begin, last))
    return [span for span in spans if span[0] < span[1]]


def _stretches(text: str, start: int, end: int) -> Iterator[Span]:
    """The lines, those that are wrapped prose joined, without the white space around."""
    lines = [span for span in (_trimmed(text, *match.span()) for match in _LINE.finditer(text, start, end)) if span]
    index = 0
    while index < len(lines):
        last = index + 1
        while last < len(lines) and _may_join(text, lines[last - 1], lines[last], start):
            last += 1
        yield from _joined(text, lines[index:last])
        index = last


def _joined(text: str, lines: list[Span]) -> Iterator[Span]:
    """Lines that may be one paragraph: joined where the next word would not have fitted on the line before."""
    width = max(end - start for start, end in lines)
    full = [_is_full(text, here, after, width) for here, after in pairwise(lines)]
    # A short line that ends a sentence may be a paragraph's last one; any other short line speaks against wrapping.
    short = sum(not whole and text[end - 1] not in ".!?:;" for whole, (_, end) in zip(full, lines, strict=False))
    if not _NARROWEST <= width <= _WIDEST or short * 5 > len(full):
        full = [False] * len(full)
    begin = lines[0][0]
    for ((_, end), (after, _)), joined in zip(pairwise(lines), full, strict=True):
        if not joined:
            yield begin, end
            begin = after
    yield begin, lines[-1][1]


def _is_full(text: str, here: Span, after: Span, width: int) -> bool:
    word = _WORD.match(text, *after)
    return here[1] - here[0] + 1 + (len(word[0]) if word else 0) > width


def _may_join(text: str, here: Span, after: Span, start: int) -> bool:
    """Whether two lines follow each other directly, the second neither marked nor at an edge of its own."""
    if after[0] - here[1] > _WIDEST or text.count("\n", here[1], after[0]) > 1 or _MARK.match(text, after[0]):
        return False
    mark = _ITEM.match(text, here[0])
    left, right = _column(text, here[0], start), _column(text, after[0], start)
    return left == right or (mark is not None and left < right <= left + 6)


def _column(text: str, position: int, start: int) -> int:
    return position - max(text.rfind("\n", start, position) + 1, start)


def _ends(text: str, first: int, match: re.Match[str]) -> bool:
    """Whether a full stop (or its kin) that is followed by white space ends the sentence."""
    if match[0][0] in "。！？｡":
        return True
    after = text[_past_space(text, match.end(), match.end() + _WIDEST)]
    if after.islower():
        return False
    if match[0][0] != "." or match[0].startswith(".."):
        return True
    token = _TOKEN.search(text, max(first, match.start() - 24), match.start())
    return token is None or not _abbreviates(token[0], after, opens=token.start() == first)


def _abbreviates(token: str, after: str, *, opens: bool) -> bool:
    """Whether the full stop after a token belongs to it: an abbreviation, an initial, the number of a list item."""
    kind = _KINDS.get(token.lower())
    if kind == "never" or (len(token) == 1 and token.isupper()):
        return True
    if kind is not None:
        return after.isdigit() if kind == "count" else not after.isupper()
    return opens and token.replace(".", "").isdigit()


def _trimmed(text: str, start: int, end: int) -> Span | None:
    raw = text[start:end]
    body = raw.strip()
    if not body:
        return None
    start += len(raw) - len(raw.lstrip())
    return start, start + len(body)


def _past_space(text: str, position: int, end: int) -> int:
    while position < end and text[position].isspace():
        position += 1
    return position
