"""The one cleaner for every text that leaves us: what came from pages, vendors and people cannot act on who reads it.

Lone surrogates break a UTF-8 pipe, control characters and escape sequences drive a terminal, invisible and
direction-changing characters hide text from a person that a model still reads. Ordinary text of any script, joiners
and emoji included, stays as it is. Cleaning twice changes nothing more.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

#: The mark a cut text ends in.
CUT = "…"
#: More combining marks than this on one letter are noise, not a language; `_STACK` finds one more.
_MARKS = 4
_DEEPEST = 60

_ESC = re.compile("[\u001b\u009b\u009d\u0090\u0098\u009e\u009f]")
# Whole terminal sequences: CSI, then OSC, DCS, SOS, PM and APC up to their end, then the two-character ones.
# A string sequence without its end takes at most its first line, so that it cannot swallow a text.
_SEQUENCES = re.compile(
    "(?:\u001b\\[|\u009b)[0-?]{0,64}[ -/]{0,8}[@-~]?"
    "|(?:\u001b[\\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\u0007\u001b\u009c\n]{0,4096}(?:\u0007|\u001b\\\\|\u009c)?"
    "|\u001b[ -/]{0,4}[0-~]?"
)
_NEWLINES = re.compile("\r\n?|[\u2028\u2029\u0085\v\f]")
_SUSPECT = re.compile(
    "[\u0000-\u0008\u000e-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ue000-\uf8ff"
    "\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
_STACK = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{5,}")
_JOINERS = "\u200c\u200d"
_SELECTORS = "\ufe0e\ufe0f"
_FLAG_BASE = "\U0001f3f4"
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f")


def clean(text: str, limit: int | None = None) -> str:
    """The text without anything that breaks a pipe, drives a terminal or hides from the reader.

    Args:
        text: any text, lone surrogates included.
        limit: the most characters wanted; a longer text is cut and ends in `…`.

    Returns:
        The text; every line break is a line feed, tabs stay, and ordinary text of any script is unchanged.
    """
    text = _NEWLINES.sub("\n", text)
    if _SUSPECT.search(text):
        text = _stripped(text)
    if not text.isascii():
        text = _STACK.sub(lambda match: match.group()[:_MARKS], text)
    return text if limit is None or len(text) <= limit else _cut(text, limit)


def clean_json(value: Any, depth: int = 0) -> Any:
    """A JSON value with every text in it cleaned, keys too; what JSON cannot say (NaN, infinity) becomes null.

    A value nested deeper than sixty levels is replaced by `…`; what is no JSON type by its cleaned text.
    """
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth >= _DEEPEST:
        return CUT
    if isinstance(value, dict):
        return {clean(str(key)): clean_json(item, depth + 1) for key, item in value.items()}  # pyright: ignore
    if isinstance(value, list | tuple | set | frozenset):
        return [clean_json(item, depth + 1) for item in value]  # pyright: ignore
    return clean(str(value))


def _stripped(text: str) -> str:
    # Taking one thing away can leave a joiner or selector without its neighbour, so until it rests: two or three turns.
    while True:
        kept = _SEQUENCES.sub("", text) if _ESC.search(text) else text
        kept = "".join(_kept(kept, {match.start(): match.end() for match in _FLAG.finditer(kept)}))
        if kept == text:
            return kept
        text = kept


def _kept(text: str, flags: dict[int, int]) -> list[str]:
    """The text in pieces, without the suspects that have no business where they stand."""
    pieces: list[str] = []
    last, flag_end = 0, 0
    for match in _SUSPECT.finditer(text):
        at = match.start()
        flag = text.rfind(_FLAG_BASE, max(0, at - 7), at)
        flag_end = max(flag_end, flags.get(flag, 0))
        if at < flag_end or _belongs(text, at):
            continue
        pieces.append(text[last:at])
        last = at + 1
    pieces.append(text[last:])
    return pieces


def _belongs(text: str, at: int) -> bool:
    """Whether a suspect character is part of how its neighbours are written."""
    char, before, after = text[at], text[at - 1 : at], text[at + 1 : at + 2]
    if char in _SELECTORS:
        return _pictured(before) or before in ("#", "*") or before.isdigit()
    if char in _JOINERS:
        return _joins(before, after)
    return "\ufe00" <= char <= "\ufe0d" and "\u2e80" <= before <= "\u9fff"


def _joins(before: str, after: str) -> bool:
    """Whether a joiner stands between two letters that are written with one, or two parts of an emoji."""
    if not before or not after:
        return False
    if (_pictured(before) or before in _SELECTORS) and _pictured(after):
        return True
    return _shaped(before) and _shaped(after)


def _shaped(char: str) -> bool:
    """Whether a character is of a script that joins its letters: Arabic, Syriac, Indic and their kin, Mongolian."""
    code = ord(char)
    joining = 0x0600 <= code < 0x0900 or 0x0900 <= code < 0x1100 or 0x1780 <= code < 0x18B0 or 0x11000 <= code < 0x12000
    return joining and unicodedata.category(char)[0] in "LM"


def _pictured(char: str) -> bool:
    return bool(char) and (unicodedata.category(char) in ("So", "Sk", "Sm") or char in "‼⁉〰〽") and not char.isascii()


def _cut(text: str, limit: int) -> str:
    if limit <= 0:
        return ""
    end = limit - 1
    # Not between a letter and its marks or the parts of an emoji: step back to where a new character begins.
    while end > max(0, limit - 32) and _leans(text[end]):
        end -= 1
    while end and text[end - 1] in _JOINERS:
        end -= 1
    return text[:end] + CUT


def _leans(char: str) -> bool:
    return bool(unicodedata.combining(char)) or char in _JOINERS + _SELECTORS or "\U000e0000" <= char <= "\U000e0fff"
