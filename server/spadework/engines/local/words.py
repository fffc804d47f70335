"""Words, as the index and the quote picker count them.

Ranking compares plain lower-case words; stemming happens inside the full-text index (porter) and, for judging a
single sentence, in `stems`. Chinese, Japanese and Korean runs have no spaces, so they are cut into pairs of
neighbouring characters, the same way in the indexed copy and in the question; the canonical text stays untouched.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from functools import lru_cache

_STOP = (
    "a an and are as at be by for from has have he in is it its of on or that the to was were which who what when "
    "where why how did does do whose whom with into than then this these those there both same after before during "
    "first also had"
)
_FRAME = (
    "compared comparison difference differences differ between about can could should would will may might must i we "
    "you me us my our your get gets make makes any some all please mean means meant happen happens happened need "
    "needs use used uses using not no if but so such they them their his her him she been being am more most much "
    "many each every other another only very just way ways out up down over under through while because according "
    "say says said know known called one two something anything across per via etc versus vs"
)
STOP = frozenset(_STOP.split())
#: Words that frame a question and name nothing: an answer need not repeat them.
FRAME = frozenset(_FRAME.split())

_WORD = re.compile(r"\w+")
_CJK = re.compile(
    "[\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003134f]+"
)
#: Words that frame a question only in these places: "how long", "what kind of", "list …", "… work?".
_FRAMING = re.compile(
    r"\bhow\s+(long|often|big|large|far|old|fast|quickly|deep|high|late|early|soon|exactly)\b"
    r"|\b(?:what|which)\s+(types?|kinds?|sorts?|names?)\s+of\b"
    r"|^\s*(?:please\s+)?(explain|describe|tell|give|list|show|find|compare|summari[sz]e|name)\b"
    r"|\b(works?|working|overview|summary)\s*[?.!]*\s*$"
)
_BRACKETED_END = re.compile(r"\s*\([^()]*\)\s*$")
_LITERAL = re.compile(r"((?:--)?\w+(?:[._/:-]+\w+)+)|[\"“`]([^\"“”`\n]{3,60})[\"”`]")
_SUFFIXES = ("ingly", "edly", "ing", "ies", "ed", "es", "ly", "s", "e", "y")
_DOUBLING = frozenset({"ing", "ed"})
#: The longest title that is looked for as a mention, in words.
LONGEST_KEY = 8


def spaced(text: str) -> str:
    """The text with every CJK run cut into spaced pairs of characters; any other text comes back as it is."""
    if text.isascii():
        return text
    return _CJK.sub(_pairs, text)


def _pairs(run: re.Match[str]) -> str:
    letters = run[0]
    if len(letters) < 3:
        return f" {letters} "
    return f" {' '.join(letters[i : i + 2] for i in range(len(letters) - 1))} "


def tokens(text: str) -> list[str]:
    """Every word of the text in its own case, in order."""
    return _WORD.findall(spaced(text))


def terms(question: str) -> tuple[str, ...]:
    """The distinct words of a question, lower case and without stop words, in order."""
    words = dict.fromkeys(word.lower() for word in tokens(question))
    return tuple(word for word in words if word not in STOP)


def matter(question: str) -> tuple[str, ...]:
    """The terms that an answer has to cover; all terms where nothing but framing words is left."""
    found = terms(question)
    framing = {word for match in _FRAMING.findall(question.lower()) for word in match}
    return tuple(word for word in found if word not in FRAME and word not in framing) or found


def literals(question: str) -> tuple[str, ...]:
    """What a question spells as it must stand in a text: `a.b`, `max_size`, `--flag`, words in quotation marks."""
    return tuple(dict.fromkeys(max(match, key=len).lower() for match in _LITERAL.findall(question)))


def keys(title: str) -> frozenset[str]:
    """The forms under which a title can be mentioned: whole, without a closing bracket, up to the first comma."""
    forms = (title, _BRACKETED_END.sub("", title), title.partition(",")[0])
    return frozenset(key for key in (_key(form) for form in forms) if key)


def _key(title: str) -> str:
    words = [word.lower() for word in tokens(title)]
    if not words or len(words) > LONGEST_KEY:
        return ""
    if len(words) == 1 and (len(words[0]) < 4 or words[0] in STOP):
        return ""
    return " ".join(words)


def runs(text: str) -> Iterator[list[tuple[str, int]]]:
    """For each word that could begin a mention (upper case or digit): the candidate keys there, longest first.

    Each candidate comes with the position of the word after it, so that a taken mention can be jumped past.
    """
    words = tokens(text)
    lower = [word.lower() for word in words]
    for at, word in enumerate(words):
        if word[0].isupper() or word[0].isdigit():
            longest = min(LONGEST_KEY, len(words) - at)
            yield [(" ".join(lower[at : at + n]), at + n) for n in range(longest, 0, -1)]


def mentions(text: str, known: Collection[str]) -> list[str]:
    """The known keys that a text mentions, left to right, the longest first and never overlapping."""
    found: list[str] = []
    free = 0
    for candidates in runs(text):
        if candidates[-1][1] - 1 < free:
            continue
        taken = next(((key, after) for key, after in candidates if key in known), None)
        if taken is not None:
            found.append(taken[0])
            free = taken[1]
    return found


@lru_cache(maxsize=16_384)
def stem(word: str) -> str:
    """A word's rough stem: accents folded and one common English ending off, with at least three letters left."""
    if not word.isascii():
        plain = unicodedata.normalize("NFKD", word)
        word = "".join(letter for letter in plain if not unicodedata.combining(letter))
    if word.isdigit():
        return word
    if word.endswith("ss"):
        return word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return _undouble(word[: -len(suffix)]) if suffix in _DOUBLING else word[: -len(suffix)]
    return word


def _undouble(word: str) -> str:
    """`stopp` from `stopped` is `stop`, but `call` from `called` stays."""
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] in "bdgmnprt" else word


def stems(text: str) -> frozenset[str]:
    """The stems of a text's words; a compound such as `max_size` counts as itself and as its parts."""
    found: set[str] = set()
    for word in {token.lower() for token in tokens(text)}:
        found.add(stem(word))
        if "_" in word:
            found.update(stem(part) for part in word.split("_") if part)
    return frozenset(found)


def covered(term: str, present: frozenset[str]) -> bool:
    """Whether a question's term stands among the stems, as itself or, for a compound, with all its parts."""
    if stem(term) in present:
        return True
    return "_" in term and all(stem(part) in present for part in term.split("_") if part)
