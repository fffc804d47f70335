"""One character at a time: what a character is worth when two copies of a text are compared.

Every character folds to exactly one, so positions stay. Letters lose case and Latin accents, digits and marks that
carry meaning (comparisons, currencies, per cent) stay, and all else becomes one of a few gap characters. What needs
more than one character, or none, becomes a sentinel that `skeleton` resolves.
"""

from __future__ import annotations

import unicodedata

#: Sentinels, from the private use area: characters that fold to several, to none, or by their surroundings.
EXPAND, DROP, COMBINE, SUPER, SUB, FRACTION, BREAK_HYPHEN = "\ue000\ue001\ue002\ue003\ue004\ue005\ue006"

#: Accents that stand by themselves: PDFs often hold them beside the letter that they belong to ("Go´mez", "na¨ıve").
ACCENTS = frozenset("´`¨ˆ˜ˇ˘¸˝˚˙¯")

#: What separates words. Whatever is not one of these after folding counts as text.
GAP = " \n'\"-.,;:!?()[]{}|*_`\\#"

_BULLETS = frozenset("•‣⁃⁌⁍∙·◦➢➣➤⦁⦿")
_SINGLE_QUOTES = frozenset("‘’‚‛‹›ʼʻʹ′`´＇")
_DOUBLE_QUOTES = frozenset("“”„‟«»″〝〞〟「」『』＂")
_TRADE_MARKS = frozenset("™®©℠")
# pdfium writes these two where a line ended in a hyphen that it took away; the soft hyphen marks the same place.
_LINE_HYPHENS = frozenset("\u0002\ufffe\u00ad")
_FRACTIONS = frozenset("¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞↉")
# The dotless letters are what TeX puts an accent on; the accent may stand beside them in what was extracted.
_OWN = {
    "ı": "i",
    "ȷ": "j",
    "ˆ": " ",
    "ˇ": " ",
    "º": "°",
    "ª": "a",
    "…": EXPAND,
    "∼": "~",
    "−": "-",
    "∶": ":",
    "⁄": "/",
    "∕": "/",
    "¿": "?",
    "¡": "!",
    "‽": "?",
}
_ASCII = {chr(code): chr(code).lower() for code in range(128)}
_ASCII.update({chr(code): DROP for code in range(32)})
_ASCII.update({"\t": " ", "\v": "\n", "\f": "\n", "\r": "\n", "\n": "\n", "\x7f": DROP, "\x02": BREAK_HYPHEN, "`": "'"})
# Hebrew points, Arabic vowel signs and tatweel: written or left out without changing the words.
_OPTIONAL_POINTS = frozenset(
    {chr(code) for code in (*range(0x0591, 0x05BE), *range(0x064B, 0x0660), 0x05BF, 0x05C1, 0x05C2, 0x0670, 0x0640)}
)


class Folding(dict[int, str]):
    """The table for `str.translate`, filled as characters are met; its size is bounded by Unicode's."""

    def __missing__(self, code: int) -> str:
        folded = self[code] = _fold(chr(code))
        return folded


def latin_base(letter: str) -> str:
    """A Latin letter without its accents; any other character as it is."""
    parts = unicodedata.normalize("NFD", letter)
    bare = len(parts) > 1 and parts[0].isascii() and parts[0].isalpha()
    return parts[0] if bare and all(unicodedata.combining(part) for part in parts[1:]) else letter


def expansion(char: str) -> str:
    """The compatibility letters of one character (`ﬁ` is `fi`), without case and Latin accents."""
    return "".join(latin_base(part) for part in unicodedata.normalize("NFKC", char).casefold())


def _fold(char: str) -> str:
    if char in _ASCII:
        return _ASCII[char]
    return _listed(char) or _by_category(char, unicodedata.category(char))


def _listed(char: str) -> str | None:
    if char in _OWN:
        return _OWN[char]
    for group, folded in (
        (_SINGLE_QUOTES, "'"),
        (_DOUBLE_QUOTES, '"'),
        (_BULLETS, "*"),
        (_TRADE_MARKS, DROP),
        (_LINE_HYPHENS, BREAK_HYPHEN),
        (_FRACTIONS, FRACTION),
        (_OPTIONAL_POINTS, DROP),
    ):
        if char in group:
            return folded
    return "*" if "\u25a0" <= char <= "\u25ff" else None


def _by_category(char: str, category: str) -> str:
    if category in ("Mn", "Me"):
        return _mark(char)
    if category in ("Cf", "Cs", "Cn") or (category == "Cc" and char != "\x85"):
        return DROP
    plain = {"Pd": "-", "Zs": " ", "Zl": "\n", "Zp": "\n", "Cc": "\n", "Co": " ", "Pi": '"', "Pf": '"', "Sk": " "}
    if category in plain:
        return plain[category]
    return _by_form(char, category)


def _mark(char: str) -> str:
    # Below U+0370 and above U+1AB0 marks are accents on letters; the Indic, Thai and Khmer ones between are vowels.
    if (
        "\u0300" <= char < "\u0370"
        or "\u1ab0" <= char < "\u1b00"
        or "\u1dc0" <= char < "\u1e00"
        or char in "\u3099\u309a"
    ):
        return COMBINE
    return DROP if "\ufe00" <= char <= "\ufe0f" or char >= "\U000e0100" or char in "\u034f\u20e3" else char


def _by_form(char: str, category: str) -> str:
    form = unicodedata.decomposition(char)
    if form.startswith("<super>"):
        return SUPER
    if form.startswith("<sub>"):
        return SUB
    folded = expansion(char)
    if len(folded) != 1:
        return EXPAND
    if folded.isascii():
        return _ASCII[folded]
    if category.startswith("P"):
        return {"。": ".", "、": ",", "·": "*"}.get(
            folded, ("(" if category == "Ps" else ")") if category in ("Ps", "Pe") else ","
        )
    return folded
