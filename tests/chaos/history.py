"""Judges a registry by what its users were told: reads the logs of acknowledgements and the database, nothing else.

The database is read with plain SQLite, so that a fault of our own reading code cannot hide one of the writing code.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Findings:
    """What is wrong, by kind; a sound history has none. `counts` says how much was judged."""

    lost: list[str] = field(default_factory=list)
    phantom: list[str] = field(default_factory=list)
    duplicate: list[str] = field(default_factory=list)
    finished_twice: list[str] = field(default_factory=list)
    finish_lost: list[str] = field(default_factory=list)
    result_wrong: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not any(value for name, value in vars(self).items() if name != "counts")


def read(logs: Iterable[Path]) -> list[dict[str, Any]]:
    """The entries of the logs; a last line that its writer's death cut short is none."""
    entries: list[dict[str, Any]] = []
    for log in logs:
        for line in log.read_bytes().split(b"\n")[:-1]:
            entries.append(json.loads(line))
    return entries


def check(database: Path, logs: Iterable[Path]) -> Findings:
    """Compare what was asked and acknowledged with what the database holds.

    Entries: `ask` (key; before a submit), `taken` (key, id; its answer), `done` (id, fence; the answer to a finish).
    """
    entries = read(logs)
    asked = {entry["key"] for entry in entries if entry["op"] == "ask"}
    taken = {(entry["key"], entry["id"]) for entry in entries if entry["op"] == "taken"}
    done = Counter(entry["id"] for entry in entries if entry["op"] == "done")
    found = Findings()
    con = sqlite3.connect(database)
    jobs = {row[0]: row[1:] for row in con.execute("SELECT id, idem, status, seq, born FROM rq_jobs")}
    found.lost = sorted(job_id for _, job_id in taken if job_id not in jobs)
    found.phantom = sorted(job_id for job_id, row in jobs.items() if row[0] not in asked)
    answers = Counter(key for key, _ in taken)
    stored = Counter(row[0] for row in jobs.values())
    found.duplicate = sorted(key for key in asked if answers[key] > 1 or stored[key] > 1)
    found.finished_twice = sorted(job_id for job_id, times in done.items() if times > 1)
    found.finish_lost = sorted(job_id for job_id in done if job_id not in jobs or jobs[job_id][1] != "completed")
    found.unfinished = sorted(job_id for job_id, row in jobs.items() if row[1] not in ("completed", "failed"))
    _results(con, entries, jobs, found)
    _events(con, jobs, found)
    _whole(con, found)
    con.close()
    statuses = Counter(row[1] for row in jobs.values())
    found.counts = {"jobs": len(jobs), "acknowledged": len(taken), "finishes": sum(done.values()), **statuses}
    return found


def _results(con: sqlite3.Connection, entries: list[dict[str, Any]], jobs: dict[str, Any], found: Findings) -> None:
    """Every completed job has the result of the finish that was acknowledged, if one was."""
    told = {entry["id"]: f"{entry['id']}:{entry['fence']}".encode() for entry in entries if entry["op"] == "done"}
    kept = dict(con.execute("SELECT substr(key, 8), value FROM Cache WHERE key LIKE 'result/%'"))
    for job_id, row in jobs.items():
        if row[1] == "completed" and (job_id not in kept or kept[job_id] != told.get(job_id, kept[job_id])):
            found.result_wrong.append(job_id)


def _events(con: sqlite3.Connection, jobs: dict[str, Any], found: Findings) -> None:
    """Every job's events are numbered from 1 to its last, and tell of one end."""
    seqs: dict[int, list[int]] = {}
    ends: Counter[int] = Counter()
    for born, seq, data in con.execute("SELECT job, seq, data FROM rq_events ORDER BY job, seq"):
        seqs.setdefault(born, []).append(seq)
        ends[born] += json.loads(data)["kind"] in ("completed", "failed")
    for job_id, (_, status, seq, born) in jobs.items():
        if seqs.get(born) != list(range(1, seq + 1)) or ends[born] != (status in ("completed", "failed")):
            found.gaps.append(job_id)


def _whole(con: sqlite3.Connection, found: Findings) -> None:
    """The database itself is sound, and its counters say what it holds."""
    found.damage += [row[0] for row in con.execute("PRAGMA integrity_check") if row[0] != "ok"]
    pairs = {
        "queued": "SELECT count(*) FROM rq_jobs WHERE status = 'queued'",
        "version": "SELECT max(version, (SELECT n FROM rq_meta WHERE k = 'version')) FROM rq_jobs ORDER BY 1 DESC",
    }
    meta = dict(con.execute("SELECT k, n FROM rq_meta"))
    for name, sql in pairs.items():
        row = con.execute(sql).fetchone()
        if row and row[0] != meta[name]:
            found.damage.append(f"the counter {name} says {meta[name]}, and there are {row[0]}")
    if con.execute("SELECT count(*) FROM rq_jobs WHERE worker IS NOT NULL AND due IS NOT NULL").fetchone()[0]:
        found.damage.append("a job is both held and due")
