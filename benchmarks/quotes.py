"""Measures the quote check: `python benchmarks/quotes.py CASES.jsonl` prints precision and recall in percent.

Cases are lines of `{"doc", "quote", "label"}`; 1 means that the quote occurs in the document. With `--generate N` it
makes such cases instead, from a folder of text files or a JSONL file whose rows have a `text`. With `--extractors` the
source is a folder of PDF and HTML files (`.html.gz` too): what other extractors read of each is looked up in what we
read of it. Those are no dependencies: `uv run --with pypdf --with pdfminer.six --with trafilatura python …`, and
Poppler's pdftotext where it is installed.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections import defaultdict
from functools import partial
from pathlib import Path

from spadework.evidence.quotes import check

sys.path.insert(0, str(Path(__file__).parent))
import extractors
import noise

SUFFIXES = {".txt", ".md", ".rst", ".html"}


def texts(source: Path) -> list[str]:
    """The texts of a folder's files or of a JSONL file's rows, at least a sentence long each."""
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.suffix in SUFFIXES)
        found = [part for path in files for part in path.read_text("utf-8", "replace").split("\n\n")]
    else:
        with source.open(encoding="utf-8") as lines:
            found = [str(json.loads(line)["text"]) for line in lines if line.strip()]
    return [text for text in found if len(text.split()) >= 12]


def measure(cases: list[dict[str, object]], *, misses: bool) -> dict[str, object]:
    """Precision and recall in percent over labelled cases, and the time a check took, in milliseconds."""
    counts = {"tp": 0, "fp": 0, "fn": 0, "tn": 0}
    kinds: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
    spent: list[float] = []
    for case in cases:
        label = int(str(case["label"]))
        began = time.perf_counter()
        finding = check(str(case["quote"]), str(case["doc"]))
        spent.append((time.perf_counter() - began) * 1000)
        right = finding.accepted == bool(label)
        counts[("tp" if right else "fn") if label else ("tn" if right else "fp")] += 1
        tally = kinds[(label, str(case.get("kind", "")))]
        tally[0] += right
        tally[1] += 1
        if misses and not right:
            shown = {**case, "doc": str(case["doc"])[:2000], "verdict": finding.verdict}
            print(json.dumps(shown, ensure_ascii=False), file=sys.stderr)
    accepted, positive = counts["tp"] + counts["fp"], counts["tp"] + counts["fn"]
    return {
        "precision": round(100 * counts["tp"] / accepted, 3) if accepted else 100.0,
        "recall": round(100 * counts["tp"] / positive, 3) if positive else 100.0,
        "n": len(cases),
        **counts,
        "ms_p50": round(statistics.median(spent), 3) if spent else 0.0,
        "ms_p95": round(sorted(spent)[int(len(spent) * 0.95)], 3) if spent else 0.0,
        "kinds": {
            name: {kind: f"{hit}/{total}" for (of, kind), (hit, total) in sorted(kinds.items()) if of == value and kind}
            for name, value in (("honest", 1), ("tampered", 0))
        },
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="cases, or a folder or JSONL file of texts, or a folder of documents")
    parser.add_argument("--misses", action="store_true", help="print the cases judged wrongly to stderr")
    parser.add_argument("--generate", type=int, metavar="N", help="make N cases instead of measuring")
    parser.add_argument("--extractors", action="store_true", help="compare what other extractors read of documents")
    parser.add_argument(
        "--most", type=int, default=80, metavar="N", help="quotes from each document (with --extractors)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="where the generated cases go (default: stdout)")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    if given.extractors:
        shown = partial(print, file=sys.stderr) if given.misses else len
        told = extractors.compare(
            given.source, given.most, random.Random(given.seed), lambda row: shown(json.dumps(row, ensure_ascii=False))
        )
        print(json.dumps(told))
        return
    if given.generate is None:
        with given.source.open(encoding="utf-8") as lines:
            print(json.dumps(measure([json.loads(line) for line in lines if line.strip()], misses=given.misses)))
        return
    rows = noise.cases(texts(given.source), given.generate, random.Random(given.seed))
    made = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if given.output is None:
        sys.stdout.write(made)
    else:
        given.output.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
