"""Measure what is read of articles: `python benchmarks/extraction.py HTML_FOLDER -o predictions.json`.

The folder holds pages named `ID.html` or `ID.html.gz`. Each goes through the extractor that a job uses, and the
predictions are written as `{ID: {"articleBody": text}}`. With `--truth FILE`, of the same form, the public article
extraction benchmark's measure is printed too, beside what readability alone gives: every page's text and its truth are
cut into runs of four words, precision and recall are the means over the pages, F1 is that of the two means. Prints one
JSON object; shares from 0 to 1, times in seconds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from lxml import etree
from lxml import html as markup
from readability import Document as Readability

from spadework.engines.local.document import Unreadable
from spadework.engines.local.extract import extract

RUN = 4
WORD = re.compile(r"\w+")


def main(folder: Path, output: Path | None, truth: Path | None) -> dict[str, Any]:
    found = list(pages(folder))
    read, spent = timed(product, found)
    if output is not None:
        said = {name: {"articleBody": text} for name, text in read.items()}
        output.write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")
    told: dict[str, Any] = {
        "pages": len(found),
        "unread": sum(not text for text in read.values()),
        "seconds": round(spent, 2),
        "pages_per_s": round(len(found) / spent, 1) if spent else 0.0,
    }
    if truth is None:
        return told
    wanted = {name: row.get("articleBody", "") for name, row in json.loads(truth.read_text("utf-8")).items()}
    plain, alone = timed(readability, found)
    missing = sorted(wanted.keys() - read.keys())
    beside = {**score(wanted, plain), "seconds": round(alone, 2)}
    ours = score(wanted, read)
    ratio = round(ours["f1"] / beside["f1"], 3) if beside["f1"] else None
    return {**told, **ours, "missing": len(missing), "readability": beside, "f1_ratio": ratio}


def pages(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every page of a folder: its id and its bytes."""
    for path in sorted(folder.iterdir()):
        name = path.name.removesuffix(".gz")
        if name.endswith(".html"):
            data = path.read_bytes()
            yield name.removesuffix(".html"), gzip.decompress(data) if path.suffix == ".gz" else data


def timed(reader: Callable[[str, bytes], str], found: list[tuple[str, bytes]]) -> tuple[dict[str, str], float]:
    began = time.perf_counter()
    read = {name: reader(name, data) for name, data in found}
    return read, time.perf_counter() - began


def product(name: str, data: bytes) -> str:
    """A page's text as a job reads it; empty where it cannot be read."""
    try:
        return extract(f"{name}.html", data).text
    except Unreadable:
        return ""


def readability(name: str, data: bytes) -> str:
    """What readability takes for the article, with nothing done before or after."""
    try:
        return markup.fromstring(Readability(data).summary(html_partial=True)).text_content()
    except (ValueError, TypeError, KeyError, AttributeError, etree.LxmlError):
        return ""


def score(wanted: Mapping[str, str], read: Mapping[str, str]) -> dict[str, float]:
    """Precision and recall as means over the pages that say, or should say, anything; F1 of the two."""
    precisions: list[float] = []
    recalls: list[float] = []
    for name, truth in wanted.items():
        true, said = runs(truth), runs(read.get(name, ""))
        right = (true & said).total()
        precisions += [right / said.total()] if said else []
        recalls += [right / true.total()] if true else []
    precision, recall = mean(precisions or [0.0]), mean(recalls or [0.0])
    both = precision + recall
    f1 = 2 * precision * recall / both if both else 0.0
    return {"f1": round(f1, 4), "precision": round(precision, 4), "recall": round(recall, 4)}


def runs(text: str) -> Counter[tuple[str, ...]]:
    """Every run of four words of a text and how often it stands there; a shorter text is one run."""
    words = WORD.findall(text)
    return Counter(tuple(words[at : at + RUN]) for at in range(max(1, len(words) - RUN + 1)) if words)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="Measure what the local engine reads of articles.")
    options.add_argument("folder", type=Path, metavar="HTML_FOLDER")
    options.add_argument("-o", "--output", type=Path, metavar="FILE", help="where the predictions go")
    options.add_argument("--truth", type=Path, metavar="FILE", help="what the pages' articles really are")
    given = options.parse_args()
    print(json.dumps(main(given.folder, given.output, given.truth)))
