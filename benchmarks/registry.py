"""What the registry costs over plain sqlite3, and how it stands at 100,000 jobs.

    python benchmarks/registry.py [--quick] [--home FOLDER]

Prints one JSON object. The rival is hand-written sqlite3 on a database of the same schema, with the same pragmas, the
same gate file and the same record encoding; both sides run interleaved, and a figure is the median of five ratios of
throughput (above 1: the registry is faster). `--home` on a RAM disk takes the syncs out, which otherwise hide our own
cost in `create` and `finish`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from spadework.clock import SystemClock
from spadework.job import Event, Job, fingerprint, new_id
from spadework.registry import Change, Lease
from spadework.registry.core import Core, Limits
from spadework.registry.gate import Gate
from spadework.registry.journal import _packed
from spadework.registry.record import COLUMNS, Row, job_of, record
from spadework.registry.thread import Thread
from spadework_tools.models import Request, Status

CLOCK = SystemClock()
LIMITS = Limits(queued=10_000_000)
RESULT = b"r" * 2_000
QUESTION = "How did the sales of heat pumps in Norway and Sweden develop from 2015 to 2025, and what drove the change? "


def a_job(number: int) -> Job:
    request = Request(
        question=f"{QUESTION}({number})", include_domains=("ssb.no", "scb.se"), max_cost_usd=2.0, label=f"run {number}"
    )
    wall = CLOCK.wall()
    return Job(
        id=new_id(wall), owner=f"owner{number % 5}", request=request, fingerprint=fingerprint(request), engine="local",
        created_at=wall, eta_s=120, cost_estimate_usd=0.0,
    )  # fmt: skip


def progress() -> Event:
    return Event(at=CLOCK.wall(), kind="progress", text="read 12 of 40 pages of the statistics office")


class Ours:
    """The registry's own synchronous core."""

    def __init__(self, home: Path) -> None:
        self.core = Core.open(home, CLOCK, LIMITS)

    def create(self, job: Job) -> None:
        self.core.tables.submit(job, 86_400)

    def claim(self) -> Lease:
        return self.core.leases.claim("bench", 1, 3_600, None)[0]

    def append(self, lease: Lease) -> None:
        self.core.tables.update(lease, Change({"progress": 0.3, "sources": 12}, [progress()], durable=False))

    def finish(self, lease: Lease) -> None:
        job_id = lease.job.id
        change = Change({"status": Status.COMPLETED, "phase": "done"}, payloads={f"result/{job_id}": RESULT})
        self.core.tables.update(lease, change)

    def get(self, job_id: str) -> Job:
        return self.core.tables.get(job_id, None)


class Raw:
    """The same work in plain sqlite3, on the same schema."""

    def __init__(self, home: Path) -> None:
        Core.open(home, CLOCK, LIMITS).close()
        folder = home / "registry"
        self.con = sqlite3.connect(folder / "cache.db", timeout=5, isolation_level=None)
        for pragma in ("cache_size = 1024", "mmap_size = 0", f"journal_size_limit = {32 << 20}"):
            self.con.execute(f"PRAGMA {pragma}")
        self._gate = Gate(folder / ".gate")
        self._sync = ""

    def _write(self, work: Callable[[], Any], sync: str) -> Any:
        self._gate.take()
        try:
            if sync != self._sync:
                self.con.execute(f"PRAGMA synchronous = {sync}")
                self._sync = sync
            self.con.execute("BEGIN IMMEDIATE")
            try:
                result = work()
            except BaseException:
                self.con.execute("ROLLBACK")
                raise
            self.con.execute("COMMIT")
            return result
        finally:
            self._gate.drop()

    def _one(self, sql: str, *values: Any) -> Any:
        return self.con.execute(sql, values).fetchone()

    def _bump(self) -> int:
        return self._one("UPDATE rq_meta SET n = n + 1 WHERE k = 'version' RETURNING n")[0]

    def _event(self, born: int, seq: int, event: Event) -> None:
        self.con.execute("INSERT INTO rq_events VALUES (?, ?, 0, ?)", (born, seq, _packed(event)))

    def create(self, job: Job) -> None:
        rec = record(job)

        def work() -> None:
            self._one(
                f"SELECT {COLUMNS} FROM rq_jobs INDEXED BY rq_same WHERE owner = ? AND fingerprint = ? AND idem IS NULL"
                " AND created >= ? AND cancel = 0 AND status NOT IN ('failed', 'cancelled') ORDER BY born DESC LIMIT 1",
                job.owner, job.fingerprint, CLOCK.wall() - 86_400,
            )  # fmt: skip
            self._one("SELECT n FROM rq_meta WHERE k = 'queued'")
            born = self._bump()
            self.con.execute(
                f"INSERT INTO rq_jobs ({COLUMNS}) VALUES (?, ?, ?, 'queued', ?, NULL, 0, ?, NULL, 0, 0, 0, 1, 1, ?, ?,"
                " NULL, ?)",
                (born, job.id, job.owner, job.fingerprint, CLOCK.boot(), born, job.created_at, rec),
            )
            self._event(born, 1, Event(at=CLOCK.wall(), kind="queued"))

        self._write(work, "FULL")

    def claim(self) -> Lease:
        def work() -> Lease:
            now = CLOCK.boot()
            self.con.execute("INSERT OR REPLACE INTO rq_workers VALUES ('bench', ?, ?)", (now + 3_600, now))
            self.con.execute("SELECT id, until, since FROM rq_workers").fetchall()
            prio = self._one(
                "SELECT prio, due FROM rq_jobs INDEXED BY rq_due WHERE due IS NOT NULL AND prio > ?"
                " ORDER BY prio, due LIMIT 1", -(2**62),
            )[0]  # fmt: skip
            row = Row._make(
                self._one(
                    f"SELECT {COLUMNS} FROM rq_jobs INDEXED BY rq_due WHERE due IS NOT NULL AND prio = ? AND due <= ?"
                    " ORDER BY due, born LIMIT ?",
                    prio,
                    now,
                    1,
                )
            )
            job = job_of(row).model_copy(update={"status": Status.RUNNING, "started_at": CLOCK.wall()})
            version = self._bump()
            self._event(row.born, row.seq + 1, Event(at=CLOCK.wall(), kind="running"))
            self.con.execute(
                "UPDATE rq_jobs SET due = NULL, worker = 'bench', fence = fence + 1, claims = claims + 1,"
                " seq = seq + 1, kept = kept + 1, version = ?, rec = ?, status = 'running' WHERE born = ?",
                (version, record(job), row.born),
            )
            return Lease(job.model_copy(update={"version": version, "seq": row.seq + 1}), "bench", row.fence + 1)

        return self._write(work, "NORMAL")

    def _held(self, lease: Lease) -> Row:
        row = Row._make(self._one(f"SELECT {COLUMNS} FROM rq_jobs WHERE id = ?", lease.job.id))
        assert (row.worker, row.fence) == ("bench", lease.fence)
        return row

    def append(self, lease: Lease) -> None:
        def work() -> Job:
            row = self._held(lease)
            job = job_of(row).model_copy(update={"progress": 0.3, "sources": 12})
            version = self._bump()
            self._event(row.born, row.seq + 1, progress())
            self.con.execute(
                "UPDATE rq_jobs SET claims = 0, seq = ?, kept = kept + 1, version = ?, rec = ? WHERE born = ?",
                (row.seq + 1, version, record(job), row.born),
            )
            return job.model_copy(update={"version": version, "seq": row.seq + 1})

        self._write(work, "NORMAL")

    def finish(self, lease: Lease) -> None:
        def work() -> Job:
            row = self._held(lease)
            key, now = f"result/{row.id}", time.time()
            self._one("SELECT rowid FROM Cache WHERE key = ? AND raw = 1", key)
            self.con.execute(
                "INSERT INTO Cache (key, raw, store_time, access_time, access_count, size, mode, value)"
                " VALUES (?, 1, ?, ?, 0, 0, 1, ?)", (key, now, now, RESULT),
            )  # fmt: skip
            job = job_of(row).model_copy(update={"status": Status.COMPLETED, "phase": "done", "finished_at": now})
            version = self._bump()
            self._event(row.born, row.seq + 1, Event(at=now, kind="completed"))
            self.con.execute(
                "UPDATE rq_jobs SET due = NULL, worker = NULL, claims = 0, seq = ?, kept = kept + 1, version = ?,"
                " expires = ?, rec = ?, status = 'completed' WHERE born = ?",
                (row.seq + 1, version, now + 604_800, record(job), row.born),
            )
            return job.model_copy(update={"version": version, "seq": row.seq + 1})

        self._write(work, "FULL")

    def get(self, job_id: str) -> Job:
        return job_of(Row._make(self._one(f"SELECT {COLUMNS} FROM rq_jobs WHERE id = ?", job_id)))


def direct(works: list[Callable[[], Any]]) -> tuple[float, list[Any]]:
    start = time.perf_counter()
    results = [work() for work in works]
    return time.perf_counter() - start, results


async def hopped(thread: Thread, works: list[Callable[[], Any]]) -> tuple[float, list[Any]]:
    start = time.perf_counter()
    results = [await thread.call(work) for work in works]
    return time.perf_counter() - start, results


STEPS = ("create", "claim", "append", "finish", "get")


class Contest:
    """The registry against plain sqlite3, by turns."""

    def __init__(self, home: Path, *, hop: bool) -> None:
        self._home = home
        self._threads = {"ours": Thread("ours"), "raw": Thread("raw")} if hop else {}
        self._numbers = iter(range(10_000_000))

    async def _run(self, side: str, works: list[Callable[[], Any]]) -> tuple[float, list[Any]]:
        return await hopped(self._threads[side], works) if self._threads else direct(works)

    async def ratios(self, n: int) -> dict[str, float]:
        """The registry's throughput over plain sqlite3's, for each operation."""
        sides: dict[str, Any] = {}
        for side, make in (("ours", Ours), ("raw", Raw)):
            sides[side] = (await self._run(side, [partial(make, self._home / side)]))[1][0]
        ratios: dict[str, list[float]] = {step: [] for step in STEPS}
        for repetition in range(6):
            spent = {side: dict.fromkeys(STEPS, 0.0) for side in sides}
            for chunk in range(n // 50):
                for side in sorted(sides, reverse=bool((repetition + chunk) % 2)):
                    await self._chunk(side, sides[side], spent[side])
            for step in STEPS:
                ratios[step].append(spent["raw"][step] / spent["ours"][step])
        for thread in self._threads.values():
            thread.stop()
        # The first repetition warms the caches.
        return {step: round(statistics.median(values[1:]), 3) for step, values in ratios.items()}

    async def _chunk(self, side: str, store: Ours | Raw, spent: dict[str, float]) -> None:
        jobs = [a_job(next(self._numbers)) for _ in range(50)]
        leases: list[Any] = []
        for step in STEPS:
            work: Callable[..., Any] = getattr(store, step)
            given: dict[str, list[Any]] = {"create": jobs, "get": [job.id for job in jobs]}
            works = [work] * 50 if step == "claim" else [partial(work, value) for value in given.get(step, leases)]
            seconds, results = await self._run(side, works)
            spent[step] += seconds
            leases = results if step == "claim" else leases


def prefill(home: Path, count: int) -> None:
    """As many jobs as asked for, in every status, as `submit` writes them but in one transaction."""
    core = Core.open(home, CLOCK, LIMITS)
    con = core._session.con
    con.execute("BEGIN IMMEDIATE")
    for number in range(count):
        job = a_job(number)
        core.tables._submit(job, record(job), 0)
    con.execute("UPDATE rq_jobs SET status = 'completed', due = NULL WHERE born % 10 > 4")
    con.execute("UPDATE rq_jobs SET status = 'failed', due = NULL WHERE born % 1000 = 7")
    con.execute("COMMIT")
    con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    core.close()


def p50_ms(work: Callable[[], Any], times: int) -> float:
    spent = [direct([work])[0] for _ in range(times)]
    return round(statistics.median(spent) * 1_000, 3)


def scale(home: Path, count: int) -> dict[str, float]:
    """Sizes, lists and opening with many jobs."""
    prefill(home, count)
    size = (home / "registry" / "cache.db").stat().st_size
    opening: list[float] = []
    for _ in range(7):
        start = time.perf_counter()
        core = Core.open(home, CLOCK, LIMITS)
        opening.append(time.perf_counter() - start)
        core.close()
    core = Core.open(home, CLOCK, LIMITS)
    page = core.tables.page
    middle = f"j{count // 2}"
    some = core.tables.page(None, (), middle, 50).jobs[0].id
    figures = {
        "newest_50_ms": p50_ms(lambda: page(None, (), None, 50), 100),
        "newest_50_of_owner_ms": p50_ms(lambda: page("owner3", (), None, 50), 100),
        "newest_50_rare_status_ms": p50_ms(lambda: page("owner3", (Status.FAILED,), None, 50), 100),
        "middle_page_ms": p50_ms(lambda: page(None, (), middle, 50), 100),
        "middle_page_of_owner_ms": p50_ms(lambda: page("owner3", (), middle, 50), 100),
        "get_ms": p50_ms(lambda: core.tables.get(some, None), 1_000),
        "claim_1_ms": p50_ms(lambda: core.leases.claim("bench", 1, 3_600, None), 200),
        "due_in_ms": p50_ms(core.leases.due_in, 200),
        "open_ms": round(statistics.median(opening) * 1_000, 1),
        "bytes_per_job": round(size / count),
    }
    core.close()
    return figures


def writer(home: Path, count: int, start: Any, out: Any) -> None:
    core = Core.open(home, CLOCK, LIMITS)
    jobs = [a_job(number) for number in range(count)]
    start.wait()
    begun = time.perf_counter()
    spent = [direct([partial(core.tables.submit, job, 0.0)])[0] for job in jobs]
    out.put((begun, time.perf_counter(), spent))
    core.close()


def crowd(home: Path, count: int, writers: int = 8) -> dict[str, float]:
    """Synced writes of several processes at once."""
    Core.open(home, CLOCK, LIMITS).close()
    fork = multiprocessing.get_context("fork")
    start, out = fork.Barrier(writers), fork.SimpleQueue()
    processes = [fork.Process(target=writer, args=(home, count // writers, start, out)) for _ in range(writers)]
    for process in processes:
        process.start()
    parts = [out.get() for _ in processes]
    for process in processes:
        process.join()
    spent = sorted(value for part in parts for value in part[2])
    seconds = max(part[1] for part in parts) - min(part[0] for part in parts)
    return {
        "writes": len(spent),
        "writes_per_s": round(len(spent) / seconds),
        "p50_ms": round(spent[len(spent) // 2] * 1_000, 2),
        "p99_ms": round(spent[len(spent) * 99 // 100] * 1_000, 2),
        "worst_ms": round(spent[-1] * 1_000, 2),
    }


def fsync_ms(home: Path) -> float:
    fd = os.open(home / "probe", os.O_RDWR | os.O_CREAT)

    def sync() -> None:
        os.pwrite(fd, bytes(4_096), 0)
        os.fsync(fd)

    found = p50_ms(sync, 300)
    os.close(fd)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="small sizes, for a first look")
    parser.add_argument("--home", type=Path, help="where to put the databases; default: the temporary folder")
    given = parser.parse_args()
    small = given.quick
    home = Path(tempfile.mkdtemp(prefix="spadework-bench-", dir=given.home))
    try:
        figures: dict[str, Any] = {
            "fsync_p50_ms": fsync_ms(home),
            "throughput_over_sqlite3": anyio.run(Contest(home / "direct", hop=False).ratios, 100 if small else 500),
            "with_thread_hop": anyio.run(Contest(home / "hop", hop=True).ratios, 100 if small else 500),
            "jobs": 5_000 if small else 100_000,
            **scale(home / "scale", 5_000 if small else 100_000),
            "eight_synced_writers": crowd(home / "crowd", 800 if small else 10_000),
        }
    finally:
        shutil.rmtree(home)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
