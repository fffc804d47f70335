"""Makes quote-check cases from any texts: true quotes under honest noise, and tampered ones.

Written from what copying and extraction do to text and from what a careless or hostile writer does to a quote; it
shares nothing with the checker it measures. A case is `{"doc", "quote", "label", "kind"}`; label 1: the quote occurs.
"""

from __future__ import annotations

import html
import random
import re
import unicodedata
from collections.abc import Callable, Iterator

Rng = random.Random
Noise = Callable[[str, Rng], str]
WORD = re.compile(r"\S+")

FACTS = (
    "The mean change was \u2212{a}.{b} mg (p < 0.0{b}) in {c} of {d} patients.",
    "Revenue rose by {a}.{b} % to ${d},{c} million, against \u20ac{a}{b} million in 19{c}.",
    "The culture held 10^{b} cells per ml, not more than {c} \u00b0C above the control.",
    "It weighed {a}\u2013{d} kg at \u2265 {c} km from the coast, or about {a}/{b} of the total.",
    "The dose of {a}.{b} mg was not effective in adults, and it can't be raised above {d} mg.",
    "Between {c}:{d} and 23:{c} the signal was \u00b1 {a} dB at {b}00 MHz, x \u2260 {c}.",
    "On {a} March 19{c}, some {d},{c}00 people, about {b}\u00d710\u00b3 more than before, were never counted.",
    "The area is {d},{c}0 km\u00b2 with ~{c} people per km\u00b2, which is unable to grow without water.",
    "Researchers at the well-known institute re-created a \u201cfirst\u201d co\u00f6rdinated caf\u00e9 in {c} days.",
    "The e\ufb03cient workflow [{a}] was de\ufb01ned by Smith & Jones [{b}, {c}] and isn\u2019t rare.",
)


def fact(rng: Rng) -> str:
    values = {"a": rng.randint(1, 9), "b": rng.randint(2, 9), "c": rng.randint(10, 59), "d": rng.randint(60, 99)}
    return rng.choice(FACTS).format(**values)


def sentences(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.!?])\s+", text) if part]


# ---- honest noise


def each(pattern: str, swap: Callable[[re.Match[str]], str]) -> Noise:
    return lambda text, rng: re.sub(pattern, swap, text)


def some(pattern: str, replacement: str, share: float) -> Noise:
    def noise(text: str, rng: Rng) -> str:
        return re.sub(pattern, lambda m: m.expand(replacement) if rng.random() < share else m.group(), text)

    return noise


def table(pairs: dict[str, str]) -> Noise:
    return lambda text, rng: "".join(pairs.get(char, char) for char in text)


def sprinkle(mark: str) -> Noise:
    def noise(text: str, rng: Rng) -> str:
        return re.sub(r"(?<=[a-z])(?=[a-z])", lambda m: mark if rng.random() < 0.08 else "", text)

    return noise


def emphasised(text: str, rng: Rng) -> str:
    words, mark = text.split(" "), rng.choice(("*", "**", "_", "__"))
    at = rng.randrange(len(words))
    words[at] = f"{mark}{words[at]}{mark}"
    return " ".join(words)


def entities(text: str, rng: Rng) -> str:
    text = html.escape(text, quote=rng.random() < 0.5)
    return "".join(f"&#{ord(c)};" if ord(c) > 127 and rng.random() < 0.5 else c for c in text)


def elided(text: str, rng: Rng) -> str:
    words = text.split(" ")
    if len(words) < 14:
        return text
    start = rng.randint(5, len(words) - 8)
    size = rng.randint(1, min(6, len(words) - start - 5))
    return " ".join(
        [*words[:start], rng.choice(("...", "\u2026", "[...]", "[\u2026]", ". . .")), *words[start + size :]]
    )


def linked(text: str, rng: Rng) -> str:
    words = text.split(" ")
    at = rng.randrange(len(words))
    words[at] = f"[{words[at]}](https://example.org/wiki/{rng.randint(1, 999)})"
    return " ".join(words)


def cited(text: str, rng: Rng) -> str:
    mark = rng.choice(("[12]", "[3, 4]", "[5\u20137]", "[a]", "[citation needed]", "[c7]", "[note 2]", " [12]"))
    return some(r"(?<=[a-z])([.,]?)(?= )", r"\1" + mark, 0.12)(text, rng)


def wrapped(text: str, rng: Rng) -> str:
    return some(r"([a-z]{3})([a-z]{3,})", r"\1-\n\2", 0.1)(text, rng)


def listed(text: str, rng: Rng) -> str:
    return rng.choice(("1. ", "- ", "* ", "\u2022 ", "a) ", "> ", "## ")) + text


def piped(text: str, rng: Rng) -> str:
    words = text.split(" ")
    return "| " + " | ".join(" ".join(words[i : i + 6]) for i in range(0, len(words), 6)) + " |"


def stripped(text: str, rng: Rng) -> str:
    return "".join(unicodedata.normalize("NFD", c)[0] if c.isalpha() and c < "\u0250" else c for c in text)


def fullwidth(text: str, rng: Rng) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalnum() and rng.random() < 0.4 else c for c in text)


def recased(text: str, rng: Rng) -> str:
    return rng.choice((text.upper(), text.lower(), text.capitalize(), text.title()))


def lost_space(text: str, rng: Rng) -> str:
    spots = [m.start() for m in re.finditer(r"(?<=[a-z]{3}) (?=[a-z]{3})", text)]
    at = rng.choice(spots) if spots and len(text) > 40 else None
    return text if at is None else text[:at] + text[at + 1 :]


STRAIGHT = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'}
DASHES = {"\u2013": "-", "\u2014": "-", "\u2212": "-", "-": "\u2010"}
#: Noise on the quote; the same is done to the document instead in half of the cases.
HONEST: dict[str, Noise] = {
    "as it is": lambda text, rng: text,
    "white space": some(r" ", "  ", 0.2),
    "line breaks": some(r" ", "\n", 0.15),
    "paragraph breaks": some(r"(?<=\.) ", "\n\n", 0.6),
    "no-break spaces": some(r" ", "\u00a0", 0.2),
    "straight quotes": table(STRAIGHT),
    "curly apostrophes": table({"'": "\u2019", '"': "\u201d"}),
    "other dashes": table(DASHES),
    "ligatures": each(r"ffi|fi|fl", lambda m: {"ffi": "\ufb03", "fi": "\ufb01", "fl": "\ufb02"}[m.group()]),
    "NFD": lambda text, rng: unicodedata.normalize("NFD", text),
    "soft hyphens": sprinkle("\u00ad"),
    "zero-width characters": sprinkle("\u200b"),
    "byte order mark": lambda text, rng: "\ufeff" + text,
    "line-end hyphenation": wrapped,
    "collapsed hyphenation": lambda text, rng: wrapped(text, rng).replace("-\n", "- "),
    "citation markers": cited,
    "emphasis": emphasised,
    "HTML entities": entities,
    "case": recased,
    "trailing punctuation": lambda text, rng: text.rstrip(".,;!?") + rng.choice(("", ".", ",", ";")),
    "outer quote marks": lambda text, rng: rng.choice(('"{}"', "\u201c{}\u201d", "\u00ab{}\u00bb", "'{}'")).format(
        text
    ),
    "elision": elided,
    "outer ellipsis": lambda text, rng: "\u2026" + text.rstrip(".") + "...",
    "Markdown link": linked,
    "bullet or number": listed,
    "table pipes": piped,
    "spaced punctuation": some(r"(?<=[a-z])([,;:.])(?= )", r" \1", 0.5),
    "lost space at punctuation": some(r"(?<=[a-z])([,;]) (?=[a-z])", r"\1", 0.5),
    "trade marks": some(r"(?<=[a-z])(?= )", "\u2122", 0.05),
    "accents stripped": stripped,
    "full-width forms": fullwidth,
    "joined words": lost_space,
    "spaced units": each(r"(\d) (?=%|mg|kg|km|dB|MHz)", lambda m: m.group(1)),
    "backslash escapes": each(r"([\[\]*_#])", lambda m: "\\" + m.group()),
}
#: Noise that only makes sense on the quote.
QUOTE_ONLY = frozenset(
    {"elision", "outer quote marks", "outer ellipsis", "trailing punctuation", "as it is", "backslash escapes"}
)

# ---- tampering: the quote in, a false one out (or the same, when there is nothing to tamper with) ----------------


def pick(pattern: str, swap: Callable[[re.Match[str], Rng], str]) -> Noise:
    def tamper(text: str, rng: Rng) -> str:
        found = list(re.finditer(pattern, text))
        if not found:
            return text
        match = rng.choice(found)
        return text[: match.start()] + swap(match, rng) + text[match.end() :]

    return tamper


def swapped(pairs: dict[str, str], *, word: bool = True) -> Noise:
    both = {**pairs, **{new: old for old, new in pairs.items()}}
    keys = "|".join(re.escape(key) for key in sorted(both, key=len, reverse=True))
    return pick(rf"(?<!\w)(?:{keys})(?!\w)" if word else keys, lambda m, rng: both[m.group()])


def digit(match: re.Match[str], rng: Rng) -> str:
    return rng.choice([d for d in "0123456789" if d != match.group()])


def dropped(text: str, rng: Rng) -> str:
    words = text.split(" ")
    spots = [i for i in range(1, len(words) - 1) if re.search(r"\w{2}", re.sub(r"\[.*?\]", "", words[i]))]
    if spots:
        del words[rng.choice(spots)]
    return " ".join(words)


def inserted(text: str, rng: Rng) -> str:
    words = text.split(" ")
    words.insert(rng.randint(1, len(words) - 1), rng.choice(("very", "often", "allegedly", "the", "a", "only", "also")))
    return " ".join(words)


def negated(text: str, rng: Rng) -> str:
    return pick(
        r"\b(is|was|were|are|has|had|can|will|did)\b(?=[ ])",
        lambda m, r: m.group() + r.choice((" not", " never", "n't")),
    )(text, rng)


def shuffled(text: str, rng: Rng) -> str:
    words = text.split(" ")
    middle = words[1:-1]
    rng.shuffle(middle)
    return " ".join([words[0], *middle, words[-1]])


def neighbours(text: str, rng: Rng) -> str:
    words = text.split(" ")
    spots = [i for i in range(len(words) - 1) if words[i][:2].isalnum() and words[i + 1][:2].isalnum()]
    if spots:
        at = rng.choice(spots)
        words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def renamed(text: str, rng: Rng) -> str:
    return pick(r"(?<=[a-z] )[A-Z][a-z]{3,}", lambda m, r: r.choice([n for n in NAMES if n != m.group()]))(text, rng)


NAMES = ("Anderson", "Bolivia", "Carlisle", "Dresden", "Everton", "Fitzgerald", "Granada", "Hastings")
SYNONYMS = {
    "film": "movie", "big": "large", "about": "around", "known": "famous", "first": "initial", "rose": "climbed",
    "began": "started", "born": "raised", "including": "excluding", "before": "after", "more": "less", "north": "south",
    "American": "British", "most": "least", "won": "lost", "increase": "decrease", "best": "worst", "and": "or",
    "all": "some", "is": "was", "has": "had", "his": "her", "with": "without", "above": "below", "some": "many",
}  # fmt: skip
UNITS = {"mg": "\u00b5g", "km": "m", "kg": "g", "dB": "B", "MHz": "GHz", "ml": "l", "%": "pp", "\u00b0C": "\u00b0F",
         "million": "billion", "patients": "trials"}  # fmt: skip
MARKS = {"<": ">", "\u2265": "\u2264", "\u00b1": "+", "\u2260": "=", "~": "\u2248"}

TAMPER: dict[str, Noise] = {
    "digit": pick(r"\d", digit),
    "number": pick(r"\d+", lambda m, rng: str(int(m.group()) + rng.choice((1, 2, 10, 100)))),
    "decimal point lost": pick(r"(?<=\d)\.(?=\d)", lambda m, rng: ""),
    "decimal point moved": pick(r"(\d)\.(\d)", lambda m, rng: f".{m.group(1)}{m.group(2)}"),
    "decimal comma": pick(r"(?<=\d)\.(?=\d)", lambda m, rng: ","),
    "decimal point made": pick(r"(?<=\d)(?=\d)", lambda m, rng: "."),
    "thousands to decimals": pick(r"(?<=\d),(?=\d{3})", lambda m, rng: "."),
    "number split": pick(r"(?<=\d)(?=\d)", lambda m, rng: " "),
    "range joined": pick(r"(?<=\d)[-\u2013](?=\d)", lambda m, rng: rng.choice(("", " ", ".", "/", " to "))),
    "fraction": pick(r"(?<=\d)/(?=\d)", lambda m, rng: rng.choice(("", ".", "-", " "))),
    "time": pick(r"(?<=\d):(?=\d)", lambda m, rng: rng.choice(("", ".", " "))),
    "unit": swapped(UNITS),
    "unit dropped": pick(r"(?<=\d) ?(?:%|mg|km|kg|\u00b0C|dB)", lambda m, rng: ""),
    "unit case": pick(r"(?<=\d )(?:MHz)", lambda m, rng: "mHz"),
    "sign dropped": pick(r"(?<= )[-\u2212](?=\d)", lambda m, rng: ""),
    "sign added": pick(r"(?<=[a-z] )(?=\d)", lambda m, rng: rng.choice(("-", "\u2212", "+", "~", "<", ">"))),
    "comparison swapped": swapped(MARKS, word=False),
    "mark dropped": pick(r"[<>\u2264\u2265\u2260\u00b1~\u00d7$\u20ac\u00b0&]", lambda m, rng: ""),
    "currency": pick(r"[$\u20ac]", lambda m, rng: rng.choice([c for c in "$\u20ac\u00a3\u00a5" if c != m.group()])),
    "exponent flattened": pick(r"(?<=\d)\^(?=\d)", lambda m, rng: ""),
    "raised digit flattened": pick(r"(?<=\d)[\u00b2\u00b3]", lambda m, rng: {"\u00b2": "2", "\u00b3": "3"}[m.group()]),
    "raised digit changed": pick(r"[\u00b2\u00b3]", lambda m, rng: {"\u00b2": "\u00b3", "\u00b3": "\u00b2"}[m.group()]),
    "exponent's sign": pick(r"(?<=10)(?=[\u00b2\u00b3])", lambda m, rng: "\u207b"),
    "negation inserted": negated,
    "negation dropped": pick(r" (?:not|never)\b|n['\u2019]t\b", lambda m, rng: ""),
    "negation by prefix": pick(
        r"\b(?:able|known|usual|likely|effective|complete|dependent)\b", lambda m, rng: "un" + m.group()
    ),
    "prefix dropped": pick(r"\b(?:un|in|dis|re-)(?=[a-z]{4})", lambda m, rng: ""),
    "prefix's hyphen dropped": pick(r"(?<=\bre)-(?=[a-z])", lambda m, rng: ""),
    "apostrophe dropped": pick(r"(?<=[a-z])['\u2019](?=(?:s|t|re|ll)\b)", lambda m, rng: ""),
    "without": pick(r"\bwith(?:out)?\b", lambda m, rng: "with" if m.group() == "without" else "without"),
    "word dropped": dropped,
    "word inserted": inserted,
    "word swapped": swapped(SYNONYMS),
    "entity": renamed,
    "shuffled": shuffled,
    "neighbours swapped": neighbours,
    "letter changed": pick(
        r"(?<=[a-z])[a-z](?=[a-z])", lambda m, rng: rng.choice([c for c in "aeioust" if c != m.group()])
    ),
    "accent changed": pick(r"[\u00e9\u00f6]", lambda m, rng: {"\u00e9": "\u00e8", "\u00f6": "\u00f8"}[m.group()]),
    "citation number": pick(r"(?<=\[)\d+", lambda m, rng: str(int(m.group()) + 1)),
}


def slices(text: str, rng: Rng) -> str:
    """One or two whole sentences, or a run of words cut at white space."""
    parts = sentences(text)
    at = rng.randrange(len(parts))
    chosen = " ".join(parts[at : at + rng.randint(1, 2)])
    words = chosen.split(" ")
    if len(words) > 12 and rng.random() < 0.4:
        start = rng.randint(0, len(words) - 9)
        chosen = " ".join(words[start : start + rng.randint(8, len(words) - start)])
    return chosen


def document(texts: list[str], rng: Rng) -> str:
    """Some of the texts with a few dense facts between, joined by blank lines."""
    parts: list[str] = []
    for text in rng.sample(texts, min(len(texts), rng.randint(1, 6))):
        parts.append(" ".join([text, fact(rng), fact(rng)]))
    return "\n\n".join(" ".join(part.split()) for part in parts)


def stitched(doc: str, rng: Rng) -> str:
    """An ellipsis that turns round, or reaches across, what it joins."""
    parts = [part for part in sentences(doc) if len(part) > 40]
    if rng.random() < 0.5 and len(parts) > 3:
        later, earlier = rng.sample(range(len(parts)), 2)
        later, earlier = max(later, earlier), min(later, earlier)
        return f"{parts[later][:60].rsplit(' ', 1)[0]} ... {parts[earlier][:60].rsplit(' ', 1)[0]}"
    text = re.sub(r"was not effective in adults", "was ... effective in adults", doc)
    start = text.find("was ... effective")
    return "" if start < 0 else text[max(0, text.rfind("The dose", 0, start)) : start + 27]


def subword(doc: str, rng: Rng) -> str:
    """A slice that begins inside a word, a number or after a sign."""
    torn = r"\bun(?=able)|\bin(?=effective)|(?<= )\u2212(?=\d)|\d(?=\d\.\d)|\d\.(?=\d mg)|[$\u20ac](?=\d)"
    found = list(re.finditer(torn, doc))
    if not found:
        return ""
    start = rng.choice(found).end()
    return doc[start : start + 60].rsplit(" ", 1)[0]


def cases(texts: list[str], count: int, rng: Rng) -> Iterator[dict[str, object]]:
    """`count` cases, half of them true, the kinds in turn."""
    honest, tamper = list(HONEST), [*TAMPER, "other document", "stitched", "inside a word"]
    made = 0
    for turn in range(count * 60):
        if made == count:
            return
        doc = document(texts, rng)
        kind = honest[(made // 2) % len(honest)] if made % 2 == 0 else tamper[(made // 2) % len(tamper)]
        case = _true(doc, kind, rng) if made % 2 == 0 else _false(doc, kind, texts, rng)
        # A kind that finds nothing to work on gives way to the next one after thirty documents.
        if case is not None:
            yield case
        if case is not None or turn % 30 == 29:
            made += 1


def _true(doc: str, kind: str, rng: Rng) -> dict[str, object] | None:
    quote = slices(doc, rng)
    if len(quote) < 25:
        return None
    if kind in QUOTE_ONLY or rng.random() < 0.5:
        quote = HONEST[kind](quote, rng)
    else:
        doc = doc.replace(quote, HONEST[kind](quote, rng))
    return {"doc": doc, "quote": quote, "label": 1, "kind": kind}


def _false(doc: str, kind: str, texts: list[str], rng: Rng) -> dict[str, object] | None:
    quote = slices(doc, rng)
    if len(quote.split(" ")) < 4:
        return None
    if kind == "other document":
        quote = slices(rng.choice(texts), rng)
    elif kind in ("stitched", "inside a word"):
        quote = (stitched if kind == "stitched" else subword)(doc, rng)
    else:
        true, quote = quote, TAMPER[kind](quote, rng)
        if quote == true:
            return None
        if rng.random() < 0.3:
            quote = HONEST[rng.choice(("line breaks", "straight quotes", "NFD", "other dashes", "white space"))](
                quote, rng
            )
    plain = " ".join(quote.split())
    if len(plain) < 25 or same(plain, doc):
        return None
    return {"doc": doc, "quote": quote, "label": 0, "kind": kind}


def same(quote: str, doc: str) -> bool:
    """Whether a quote still stands in its document, so that it would be no tampering."""
    folded = table({**STRAIGHT, **DASHES, "-": "-", "\u2010": "-"})
    plain = [folded(unicodedata.normalize("NFC", text), Rng()) for text in (quote, doc)]
    return f" {plain[0].strip(' .')} ".lower() in f" {plain[1]} ".replace(".", " ").lower() or plain[0] in plain[1]
