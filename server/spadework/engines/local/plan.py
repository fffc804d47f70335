"""Cutting a question into the questions it holds, by its punctuation and a few fixed phrases alone.

A cut in the wrong place does more harm than one left out, so wherever a part could not stand alone there is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from spadework.engines.local.words import FRAME, terms

#: More parts than this make a report nobody reads; what is over stays together in the last one.
MOST = 10

_ITEM = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,2}[.)]|\(?[a-z]\))\s+(?=\S)", re.MULTILINE)
_INLINE = re.compile(r"(?:(?<=\s)|^)\(?(\d)[.)]\s+(?=\S)")
_QUESTION_END = re.compile(r"(?<=[?？])[\"')\]]*\s*(?=\S)")
_SEMICOLON = re.compile(r"[;；]\s*")
# In lower case only: after `or`, a capital letter begins a name ("All the Marbles or What Ever Happened …").
_AND_ASKS = re.compile(r",?\s+(?:and|or)\s+(?=(?:also\s+)?(?:how|what|why|when|where|who)\s)")
_ASKING = (
    "(?:how|what|why|when|where|who|which|is|are|does|do|can|should|will|explain|describe|list|find|tell|show|give|"
    "compare|summari[sz]e)"
)
_ASKS = re.compile(rf"^(?:and\s+|also\s+)?{_ASKING}\b", re.IGNORECASE)
_POINTS_BACK = re.compile(r"\b(?:it|its|they|them|their|he|she|his|her|this|that|these|those|there)\b", re.IGNORECASE)
_COMPARE = (
    re.compile(r"^(?:please\s+)?compare\s+(?P<items>.+)$", re.IGNORECASE),
    re.compile(
        r"^(?:what|which)\s+(?:is|are)\s+the\s+(?:main\s+|key\s+)?differences?\s+between\s+(?P<items>.+)$", re.I
    ),
    re.compile(
        r"^how\s+(?:does|do|is|are)\s+(?P<items>.+?\s+(?:differ(?:ent)?\s+from|compared?\s+(?:to|with))\s+.+)$", re.I
    ),
    re.compile(rf"^(?!{_ASKING}\b)(?P<items>\S.{{0,60}}?\s+(?:vs\.?|versus)\s+.+)$", re.IGNORECASE),
)
_ASPECT = re.compile(
    r"[,:]?\s+(?:in\s+terms\s+of|with\s+(?:respect|regard)\s+to|regarding|concerning|as\s+to|by|on|for|when|in)\s+",
    re.IGNORECASE,
)
_BETWEEN_ITEMS = re.compile(
    r"\s*,\s*(?:and\s+|or\s+)?|\s+(?:and|or|vs\.?|versus|to|with|against|differ(?:ent)?\s+from|compared?\s+(?:to|with))\s+",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"^(?:the|a|an|both)\s+", re.IGNORECASE)
_SHARED = re.compile(r"(?P<aspect>[\w -]+?)\s+of\s+(?:(?:the|a|an|both)\s+)?(?P<item>.+)", re.IGNORECASE)
_LONGEST_ITEM = 5


@dataclass(frozen=True, slots=True)
class Part:
    """One question to answer: its words, and the words to search with (they may add what it leaves unsaid)."""

    text: str
    query: str


def parts(question: str) -> tuple[Part, ...]:
    """The questions that a question holds, in its order; itself alone where nothing clearly parts it."""
    whole = question.strip()
    lead, pieces = _listed(whole)
    found: list[Part] = []
    for piece in pieces:
        for text, before in _spoken(piece):
            context = " ".join(said for said in (lead, before) if said)
            found.extend(_compared(text, context))
    distinct = list({" ".join(part.text.lower().split()): part for part in found}.values())
    if not distinct or not terms(whole):
        return (Part(_line(whole), whole),)
    return tuple(distinct if len(distinct) <= MOST else [*distinct[: MOST - 1], _joined(distinct[MOST - 1 :])])


def _listed(text: str) -> tuple[str, list[str]]:
    """What stands before a list, and the list's items; no lead and the whole text where there is no list."""
    for marks in (list(_ITEM.finditer(text)), _counted(text)):
        if len(marks) < 2:
            continue
        ends = [mark.start() for mark in marks[1:]] + [len(text)]
        items = [text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)]
        if all(terms(item) for item in items):
            lead = text[: marks[0].start()].strip(" \n:")
            return lead if _own_words(lead) else "", items
    return "", [text]


def _counted(text: str) -> list[re.Match[str]]:
    """The marks of a list written in one line, `1) … 2) …`, if they count up from one."""
    marks = list(_INLINE.finditer(text))
    return marks if [mark[1] for mark in marks] == [str(n + 1) for n in range(len(marks))] else []


def _spoken(text: str) -> list[tuple[str, str]]:
    """The questions in running text, each with the words before it if it points back to them."""
    found: list[str] = []
    for sentence in _QUESTION_END.split(text):
        for clause in _clauses(sentence.strip()):
            found.extend(_asked(clause))
    result: list[tuple[str, str]] = []
    for clause in found:
        if result and not _own_words(clause):
            result[-1] = (f"{result[-1][0]} {clause}", result[-1][1])
        elif clause:
            before = result[-1][0] if result and _POINTS_BACK.search(clause) else ""
            result.append((clause, before))
    return result


def _clauses(sentence: str) -> list[str]:
    """The sentence cut at its semicolons, if every part could be asked alone."""
    cuts = [cut for cut in _SEMICOLON.finditer(sentence) if not _quoted(sentence, cut.start())]
    starts, ends = [0, *(cut.end() for cut in cuts)], [*(cut.start() for cut in cuts), len(sentence)]
    pieces = [sentence[start:end].strip() for start, end in zip(starts, ends, strict=True) if start < end]
    return pieces if all(_own_words(piece) for piece in pieces) else [sentence]


def _asked(clause: str) -> list[str]:
    """The clause cut before `and how`, `and what` …, if both sides ask, and ask about something of their own."""
    for cut in _AND_ASKS.finditer(clause):
        left, right = clause[: cut.start()].strip(), clause[cut.end() :].strip()
        inside = re.search(rf"\S\s+{right.split()[0]}\b", left)
        if _quoted(clause, cut.start()) or inside or not _ASKS.match(left):
            continue
        if _own_words(left) and _own_words(right) and _stands(right):
            return [left, *_asked(right)]
    return [clause]


def _quoted(text: str, at: int) -> bool:
    """Whether a place lies between quotation marks."""
    return text.count('"', 0, at) % 2 == 1 or text.count("“", 0, at) > text.count("”", 0, at)


def _own_words(text: str) -> list[str]:
    return [word for word in terms(text) if word not in FRAME]


def _stands(text: str) -> bool:
    """Whether a part names what it asks about, or points back to it; `what not` and `where to` do neither."""
    return len(_own_words(text)) >= 2 or bool(_POINTS_BACK.search(text)) or len(text.split()) >= 4


def _compared(text: str, context: str) -> list[Part]:
    """One part for each thing a question compares, in the aspect it names or after the whole; else the question."""
    body = text.rstrip(" ?？.!")
    for pattern in _COMPARE:
        match = pattern.match(body)
        if match is None:
            continue
        items, aspect = _things(match["items"])
        if items:
            words = [f"{item}: {aspect}" if aspect else item for item in items]
            each = [Part(_line(word), f"{word} {text} {context}".strip()) for word in words]
            # With no aspect named, what speaks of all of them at once is the best there is.
            return each if aspect else [Part(_line(text), f"{text} {context}".strip()), *each]
    return [Part(_line(text), f"{text} {context}".strip())]


def _things(text: str) -> tuple[list[str], str]:
    """The compared things and the aspect they are compared in; no things where they are not plainly listed."""
    listed, *aspect = _ASPECT.split(text, maxsplit=1)
    items = [item.strip(" \"'") for item in _BETWEEN_ITEMS.split(listed)]
    items = [_ARTICLE.sub("", item) for item in items if item]
    shared = _SHARED.match(items[0]) if items else None
    if shared and not aspect and not any(" of " in item for item in items[1:]):
        items, aspect = [shared["item"], *items[1:]], [shared["aspect"]]
    plain = all(terms(item) and len(item.split()) <= _LONGEST_ITEM for item in items)
    return (items, aspect[0].strip() if aspect else "") if 2 <= len(items) <= 6 and plain else ([], "")


def _joined(rest: Sequence[Part]) -> Part:
    return Part(" · ".join(part.text for part in rest), " ".join(part.query for part in rest))


def _line(text: str) -> str:
    return " ".join(text.split())
