"""Measure the local engine on a folder of documents: `python benchmarks/documents.py FOLDER`.

Runs whole jobs through `Local.work` with a bench that keeps its checkpoints on disk: one from nothing to the first
answer, then one for each of up to 60 questions made from the headings it finds in the corpus. Prints one JSON object;
times in seconds and milliseconds, resident memory at its peak in MB.
"""

from __future__ import annotations

import hashlib
import json
import math
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio

from spadework.clock import Clock, SystemClock
from spadework.egress import Egress
from spadework.engines.local.database import location
from spadework.engines.local.engine import Local
from spadework.engines.local.index import Index
from spadework.engines.local.plan import parts
from spadework.engines.local.select import find
from spadework.job import Job, fingerprint, new_id
from spadework.ledger import FileLedger, Ledger
from spadework_tools.errors import MissingKey
from spadework_tools.models import Report, Request

QUESTIONS = 60


class DiskBench:
    """A bench whose checkpoints and snapshots are files."""

    def __init__(self, home: Path) -> None:
        self._home, self._clock = home, SystemClock()
        home.mkdir(parents=True)

    @property
    def clock(self) -> Clock:
        return self._clock

    async def progress(
        self, phase: str, done: int = 0, total: int | None = None, *, sources: int | None = None, note: str = ""
    ) -> None:
        """Nobody watches a benchmark."""

    @property
    def http(self) -> Egress:
        return Egress()

    @property
    def ledger(self) -> Ledger:
        return FileLedger(self._home / "ledger.jsonl", self._clock, None)

    def key(self, name: str) -> str:
        raise MissingKey(f"the benchmark has no key for {name}")

    def setting(self, name: str) -> str | None:
        return None

    def hook(self, vendor: str) -> str | None:
        return None

    async def earlier(self) -> Report | None:
        return None

    async def recall(self, step: str) -> bytes | None:
        path = anyio.Path(self._home / step)
        return await path.read_bytes() if await path.exists() else None

    async def keep(self, step: str, value: bytes, *, durable: bool = False) -> None:
        await anyio.Path(self._home / step).write_bytes(value)

    async def snapshot(self, text: str) -> str:
        data = text.encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(data).hexdigest()
        await anyio.Path(self._home / digest).write_bytes(data)
        return digest

    def text(self, sha256: str) -> str:
        return (self._home / sha256).read_bytes().decode("utf-8", "surrogatepass")


async def main(folder: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        desk = Path(home)
        local = Local(desk / "index", (folder,), folder)
        checked = exact = answered = 0
        spent = time.process_time()
        cold, bench, report = await run(local, desk / "jobs", f"What is {folder.name} about?", folder)
        spent = time.process_time() - spent
        place = location(desk / "index", [folder])
        with Index(place) as index:
            size, headings = index.size(), sample(index)
            questions = [f"How does {heading} work?" for heading in headings]
            times = [timed(index, question) for question in questions]
        jobs: list[float] = []
        for question in questions:
            took, bench, report = await run(local, desk / "jobs", question, folder)
            jobs.append(took * 1000)
            good = [right(report, bench, number) for number in range(len(report.citations))]
            checked, exact, answered = checked + len(good), exact + sum(good), answered + bool(good)
    return {
        "folder": str(folder),
        "files": size.documents,
        "chars": size.characters,
        "passages": size.passages,
        "cold_s": round(cold, 2),
        "cold_cpu_s": round(spent, 2),
        "questions": len(questions),
        "answered": answered,
        "query_ms_p50": round(at(times, 0.50), 1),
        "query_ms_p95": round(at(times, 0.95), 1),
        "job_ms_p50": round(at(jobs, 0.50), 1),
        "job_ms_p95": round(at(jobs, 0.95), 1),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "citations": checked,
        "exact": exact,
    }


async def run(local: Local, jobs: Path, question: str, folder: Path) -> tuple[float, DiskBench, Report]:
    """One whole job; returns its seconds, its bench and its report."""
    began = time.perf_counter()
    request = Request(question=question, folders=(str(folder),))
    job = Job(
        id=new_id(time.time()),
        owner="benchmark",
        request=request,
        fingerprint=fingerprint(request),
        engine="local",
        created_at=time.time(),
    )
    bench = DiskBench(jobs / job.id)
    await local.admit(request, None)
    report = await local.work(job, bench)
    if not isinstance(report, Report):
        sys.exit("the local engine put its own job off, which it never should")
    return time.perf_counter() - began, bench, report


def right(report: Report, bench: DiskBench, number: int) -> bool:
    """Whether a citation's quote is exactly its slice of the kept snapshot, and its mark stands where it says."""
    citation = report.citations[number]
    source = next(source for source in report.sources if source.id == citation.source_id)
    held = bench.text(source.sha256 or "")[citation.start : citation.end]
    target = report.text[citation.target.start : citation.target.end]
    return held == citation.quote and target.endswith(f"[{citation.id}]")


def timed(index: Index, question: str) -> float:
    """Milliseconds to find the quotes for one question."""
    began = time.perf_counter()
    for part in parts(question):
        find(index, part, "medium")
    return (time.perf_counter() - began) * 1000


def sample(index: Index) -> list[str]:
    """Headings spread evenly over the corpus, each once."""
    total = index.size().passages
    found = index.passage(range(1, total + 1, max(1, total // (4 * QUESTIONS))))
    headings = dict.fromkeys(passage.heading.rpartition(" › ")[2] for passage in found.values())
    return [heading for heading in headings if 3 <= len(heading) <= 120][:QUESTIONS]


def at(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/documents.py FOLDER")
    print(json.dumps(anyio.run(main, Path(sys.argv[1]).resolve())))
