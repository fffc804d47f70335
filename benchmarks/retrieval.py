"""Measure the local engine's retrieval on a question set: `python benchmarks/retrieval.py SET_FOLDER`.

With `--embeddings-base-url URL` (and `--embeddings-model NAME`) the passages that full-text search found for a
question are compared by that endpoint's embeddings too, as a job does where the settings name one.

The folder holds `corpus.jsonl` ({id, title, text} a line) and `queries.jsonl` ({id, question, gold: [ids]}), or a set
in BEIR's form as it is published: `_id` for `id`, `text` for `question`, and the gold in `qrels/test.tsv`. Each
passage is one document and goes through the same index and ranking as a job's files. Prints one JSON object: shares
in per cent, times in seconds and milliseconds, resident memory at its peak in MB.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio

from spadework.clock import SystemClock
from spadework.egress import Egress
from spadework.engines.local.document import Block, Document
from spadework.engines.local.index import Index, Stamp
from spadework.engines.local.model.dense import Dense
from spadework.engines.local.retrieve import Weights, candidates, rank
from spadework.engines.local.web.shelf import Shelf


def main(folder: Path, base: str | None = None, model: str = "") -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home, Index(Path(home) / "set.db") as index:
        began = time.perf_counter()
        ids = fill(index, folder / "corpus.jsonl")
        built = time.perf_counter() - began
        scores: list[tuple[float, float, float, float]] = []
        times: list[float] = []
        weights = Weights(index)
        for question, gold in questions(folder):
            began = time.perf_counter()
            likeness = anyio.run(alike, index, question, weights, Path(home), base, model) if base else None
            found = documents(index, question, weights, ids, likeness)
            times.append((time.perf_counter() - began) * 1000)
            if gold:
                scores.append(judge(found, gold))
    columns = list(zip(*scores, strict=True)) or [(0.0,)] * 4
    means = [round(100 * sum(column) / len(column), 1) for column in columns]
    return {
        "set": folder.name,
        "passages": len(ids),
        "questions": len(times),
        "recall@2": means[0],
        "recall@5": means[1],
        "all@8": means[2],
        "ndcg@10": means[3],
        "index_s": round(built, 2),
        "query_ms_p50": round(at(times, 0.50), 1),
        "query_ms_p95": round(at(times, 0.95), 1),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield json.loads(line)


def questions(folder: Path) -> Iterator[tuple[str, set[str]]]:
    """Every question and the ids of its gold passages; in BEIR's form only those of the test set."""
    judged = folder / "qrels" / "test.tsv"
    if not judged.exists():
        for query in lines(folder / "queries.jsonl"):
            yield query["question"], {str(name) for name in query.get("gold") or ()}
        return
    gold: dict[str, set[str]] = {}
    for row in judged.read_text("utf-8").splitlines()[1:]:
        query, passage, grade = row.split("\t")
        if int(grade) > 0:
            gold.setdefault(query, set()).add(passage)
    for query in lines(folder / "queries.jsonl"):
        if str(query["_id"]) in gold:
            yield query["text"], gold[str(query["_id"])]


def fill(index: Index, corpus: Path) -> dict[str, str]:
    """Index every passage under a path of its own; returns passage id by path."""
    ids: dict[str, str] = {}
    with index.writing():
        for number, passage in enumerate(lines(corpus)):
            path, text = f"/set/{number}", passage.get("text") or ""
            ids[path] = str(passage["_id"] if "_id" in passage else passage["id"])
            whole = (Block(0, len(text)),) if text else ()
            document = Document(path=path, title=passage.get("title") or "", text=text, blocks=whole)
            index.add(document, Stamp(number, len(text), document.sha256))
    return ids


async def alike(index: Index, question: str, weights: Weights, home: Path, base: str, model: str) -> dict[int, float]:
    """The likeness of a question's candidates by the endpoint's embeddings."""
    passages = candidates(index, question, weights)
    door = Egress()
    try:
        dense = Dense(door, SystemClock(), base, model, "none", Shelf(home / "shelf.db"))
        return await dense.likeness(question, passages) if passages else {}
    finally:
        await door.aclose()


def documents(
    index: Index, question: str, weights: Weights, ids: dict[str, str], likeness: dict[int, float] | None = None
) -> list[str]:
    """Passage ids by the rank of each document's best chunk."""
    hits = rank(index, question, limit=60, weights=weights, dense=likeness)
    return [ids[path] for path in dict.fromkeys(hit.passage.path for hit in hits)]


def judge(found: Sequence[str], gold: set[str]) -> tuple[float, float, float, float]:
    """Recall at 2 and 5, whether all gold stands in the first 8, and nDCG at 10 with binary gains."""
    gained = sum(1 / math.log2(place + 2) for place, name in enumerate(found[:10]) if name in gold)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(10, len(gold))))
    recall = [len(gold & set(found[:k])) / len(gold) for k in (2, 5)]
    return recall[0], recall[1], float(gold <= set(found[:8])), gained / ideal


def at(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="Measure the local engine's retrieval on a question set.")
    options.add_argument("folder", type=Path, metavar="SET_FOLDER")
    options.add_argument("--embeddings-base-url", metavar="URL")
    options.add_argument("--embeddings-model", default="all-minilm", metavar="NAME")
    given = options.parse_args()
    print(json.dumps(main(given.folder, given.embeddings_base_url, given.embeddings_model)))
