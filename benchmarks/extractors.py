"""Quotes by one extractor, looked up in another's text of the same file: a part of `benchmarks/quotes.py`.

A vendor quotes a page as its own extractor reads it; the check looks the quote up in the text that we extracted and
kept. So every sentence of prose that a second extractor gives is checked against our text of the same file, and so is
an altered copy of each, which must not be found. A sentence that our extractor left out or tore apart counts as missed.
Sentences with formulas are counted by themselves, since each extractor reads those in an order of its own.
"""

from __future__ import annotations

import gzip
import io
import random
import re
import shutil
import subprocess
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import noise
from lxml import html as markup
from readability import Document as Readability

from spadework.engines.local.document import Unreadable
from spadework.engines.local.extract import extract
from spadework.evidence.quotes import Canon

Reader = Callable[[bytes], list[str]]
#: Where a sentence of a page's prose ends, and what is prose: mostly letters, of the length of a quote.
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\"“‘(]?[A-Z0-9À-Þ])")
SHORTEST, LONGEST, LETTERS = 40, 400, 0.8
WORST = ("recall", "precision")
ODD, GREEK = frozenset(("Sm", "Sk", "So", "Cc", "Co", "Cn")), re.compile(r"[\u0370-\u03ff\U0001d400-\U0001d7ff]")
WORD = re.compile(r"[^\W_]+")
BULLET = re.compile(r"\A[-•*–]\s+")
BLOCKS = ".//p|.//li|.//blockquote|.//td|.//dd|.//h1|.//h2|.//h3|.//h4"


def pypdf(data: bytes) -> list[str]:
    from pypdf import PdfReader  # an extractor to compare with, no dependency

    return [page.extract_text() for page in PdfReader(io.BytesIO(data)).pages]


def pdfminer(data: bytes) -> list[str]:
    from pdfminer.high_level import extract_text  # an extractor to compare with, no dependency

    return paragraphs(extract_text(io.BytesIO(data)))


def pdftotext(data: bytes) -> list[str]:
    program = shutil.which("pdftotext")
    if program is None:
        raise ModuleNotFoundError("pdftotext (Poppler) is not on the PATH")
    run = subprocess.run([program, "-", "-"], input=data, capture_output=True, timeout=60, check=True)
    return paragraphs(run.stdout.decode("utf-8", "replace"))


def trafilatura(data: bytes) -> list[str]:
    from trafilatura import extract as article  # an extractor to compare with, no dependency

    return (article(data, include_comments=False) or "").splitlines()


def readability(data: bytes) -> list[str]:
    article = markup.fromstring(Readability(data).summary(html_partial=True))
    return [node.text_content() for node in article.xpath(BLOCKS)]


def paragraphs(text: str) -> list[str]:
    return [part for page in text.split("\f") for part in re.split(r"\n[ \t]*\n", page)]


READERS: dict[str, dict[str, Reader]] = {
    "pdf": {"pypdf": pypdf, "pdfminer.six": pdfminer, "pdftotext": pdftotext},
    "html": {"trafilatura": trafilatura, "readability": readability},
}


def compare(folder: Path, most: int, rng: random.Random, missed: Callable[[dict[str, str]], None]) -> dict[str, Any]:
    """For each kind of file the figures of each second extractor that is installed, and the worst of them."""
    told: dict[str, Any] = {}
    for kind, readers in READERS.items():
        files = list(documents(folder, kind))
        rows: dict[str, dict[str, Any]] = {}
        for name, reader in readers.items() if files else ():
            try:
                counts = judge(files, reader, most, rng, lambda row, name=name: missed({"extractor": name, **row}))
                rows[name] = shares(counts)
            except ImportError as error:
                rows[name] = {"not_measured": str(error)}
        if files:
            worst = {key: min((row[key] for row in rows.values() if row.get(key)), default=None) for key in WORST}
            told[kind] = {"files": len(files), **worst, "extractors": rows}
    return told


def documents(folder: Path, kind: str) -> Iterator[tuple[Path, bytes, Canon]]:
    """The files of a kind, each with its bytes and the text that the product makes of it."""
    for path in sorted(folder.rglob("*")):
        name = path.name.removesuffix(".gz")
        if Path(name).suffix != f".{kind}":
            continue
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        try:
            yield path, data, Canon(extract(name, data).text)
        except Unreadable:
            continue


def judge(
    files: list[tuple[Path, bytes, Canon]],
    reader: Reader,
    most: int,
    rng: random.Random,
    missed: Callable[[dict[str, str]], None],
) -> Counter[str]:
    """How many quotes, and how many altered ones, of at most `most` a file were accepted."""
    counts: Counter[str] = Counter()
    for path, data, canon in files:
        quotes = list(dict.fromkeys(sentences(reader(data))))
        for quote in sorted(rng.sample(quotes, min(most, len(quotes)))):
            found = canon.check(quote).accepted
            kind = "formulas" if garbled(quote) else "quotes"
            counts.update({kind: 1, f"{kind} found": found})
            if not found and kind == "quotes":
                missed({"file": path.name, "missed": quote, "verdict": canon.check(quote).verdict})
            way, altered = alter(quote, canon.text, rng) if kind == "quotes" else ("", "")
            if altered:
                passed = canon.check(altered).accepted
                counts.update(altered=1, passed=passed)
                if passed:
                    missed({"file": path.name, "passed": altered, "kind": way, "quote": quote})
    return counts


def sentences(parts: list[str]) -> Iterator[str]:
    """The sentences of prose in a text's parts, as they stand there."""
    for part in parts:
        for sentence in map(str.strip, SENTENCE.split(part)):
            letters = sum(char.isalpha() or char.isspace() for char in sentence)
            whole = sentence.endswith((".", "!", "?")) and SHORTEST <= len(sentence) <= LONGEST
            if whole and letters >= LETTERS * len(sentence):
                yield sentence


def garbled(sentence: str) -> bool:
    """Whether a sentence holds what no writer quotes: formulas, and characters that its extractor could not name."""
    odd = any(unicodedata.category(char) in ODD and not char.isspace() for char in sentence)
    return odd or GREEK.search(sentence) is not None or "(cid:" in sentence


def alter(quote: str, text: str, rng: random.Random) -> tuple[str, str]:
    """One altered copy of a quote that does not stand in the text, and how it was altered; empty if none was found."""
    plain = BULLET.sub("", " ".join(quote.split()))
    if "..." in plain or "…" in plain:
        return "", ""  # words may be left out beside an ellipsis
    for kind in rng.sample(list(noise.TAMPER), len(noise.TAMPER)):
        altered = noise.TAMPER[kind](plain, rng)
        # Without its last word a quote is shorter, and still true.
        true = noise.same(altered, text) or (kind == "word dropped" and words(altered) in words(text))
        if altered != plain and not true:
            return kind, altered
    return "", ""


def words(text: str) -> str:
    return " ".join(["", *WORD.findall(text.lower()), ""])


def shares(counts: Counter[str]) -> dict[str, Any]:
    found = counts["quotes found"] + counts["formulas found"]
    return {
        "quotes": counts["quotes"],
        "recall": share(counts["quotes found"], counts["quotes"]),
        "formulas": counts["formulas"],
        "recall_formulas": share(counts["formulas found"], counts["formulas"]),
        "altered": counts["altered"],
        "accepted": counts["passed"],
        "precision": share(found, found + counts["passed"]),
    }


def share(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 2) if whole else None
