"""Measures the support check: `python benchmarks/support.py PAIRS.jsonl` prints its macro-F1 in percent.

Pairs are lines of `{"claim", "references": [text, …], "label"}`; 1 means that the references support the claim.
`unsupported_right` and `supported_right` say how often each was right when it was said.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from spadework.evidence.support import Finding, Rarity, judge


def f1(found: list[Finding], labels: list[int], label: int) -> float:
    """The F1 of one label, each pair judged by the probability alone."""
    said = [int(finding.probability > 0.5) for finding in found]
    right = sum(1 for one, truth in zip(said, labels, strict=True) if one == truth == label)
    return 2 * right / max(1, said.count(label) + labels.count(label))


def right(found: list[Finding], labels: list[int], verdict: str, label: int) -> tuple[int, int]:
    """How often a verdict was right, and how often it was said."""
    spoken = [truth for finding, truth in zip(found, labels, strict=True) if finding.verdict == verdict]
    return spoken.count(label), len(spoken)


def measure(pairs: list[dict[str, Any]]) -> dict[str, object]:
    """The figures over labelled pairs; words are as rare as in all the references of the file."""
    rarity = Rarity(text for pair in pairs for text in pair["references"])
    began = time.perf_counter()
    found = [judge(pair["claim"], pair["references"], rarity) for pair in pairs]
    spent = time.perf_counter() - began
    labels = [int(pair["label"]) for pair in pairs]
    no, yes = right(found, labels, "lexically_unsupported", 0), right(found, labels, "lexically_supported", 1)
    return {
        "macro_f1": round(50 * (f1(found, labels, 0) + f1(found, labels, 1)), 2),
        "n": len(pairs),
        "spoke": round(100 * (no[1] + yes[1]) / max(1, len(pairs)), 1),
        "unsupported_right": round(100 * no[0] / no[1], 2) if no[1] else None,
        "unsupported_said": no[1],
        "supported_right": round(100 * yes[0] / yes[1], 2) if yes[1] else None,
        "supported_said": yes[1],
        "ms_per_pair": round(1000 * spent / max(1, len(pairs)), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path)
    with parser.parse_args().pairs.open(encoding="utf-8") as lines:
        print(json.dumps(measure([json.loads(line) for line in lines if line.strip()])))


if __name__ == "__main__":
    main()
