"""Who works on what: claims with fences, one lease for each worker, and the jobs of dead workers.

A worker is dead when its process is gone (`presence.py`: at once) or when its lease has run out on the boot clock (it
lives, but has stopped). Its jobs go to the front of the queue with a new fence at the next claim, so whatever it still
writes is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from spadework.clock import Clock
from spadework.job import Event
from spadework.registry import Lease
from spadework.registry.presence import Presence
from spadework.registry.record import COLUMNS, Row, job_of
from spadework.registry.session import Session
from spadework.registry.tables import BY_ID, Tables, bump
from spadework_tools.models import Fault, Status

#: How often a job may be claimed without progress.
CLAIMS = 5
#: A worker found dead within so many seconds of its first claim says little about its jobs: whoever killed it so soon
#: kills the next one too. Such a claim counts for this part of one, so that a job which does kill its worker is still
#: given up, after some twenty.
YOUNG_S = 2.0
YOUNG_COUNTS = 0.25

# The one order that needs no sort: each priority in turn, and in it what is due, the longest due first. Left to
# itself, SQLite picks the status index and sorts the whole queue.
_PRIO = """SELECT prio, due FROM rq_jobs INDEXED BY rq_due WHERE due IS NOT NULL AND prio > ?
    ORDER BY prio, due LIMIT 1"""
_DUE = f"""SELECT {COLUMNS} FROM rq_jobs INDEXED BY rq_due WHERE due IS NOT NULL AND prio = ? AND due <= ?
    ORDER BY due, born LIMIT ?"""  # noqa: S608 - constants only, as everywhere in this file
_HELD = f"SELECT {COLUMNS} FROM rq_jobs INDEXED BY rq_held WHERE worker = ?"  # noqa: S608
_OTHERS = "SELECT id, until, since FROM rq_workers"
_ENLIST = "INSERT OR REPLACE INTO rq_workers (id, until, since) VALUES (?, ?, ?)"
_RENEW = "UPDATE rq_workers SET until = ? WHERE id = ?"
_STRIKE = "DELETE FROM rq_workers WHERE id = ?"
# A job handed back in good order was not tried in vain.
_RETURN = """UPDATE rq_jobs SET worker = NULL, due = 0, claims = max(claims - 1, 0) WHERE worker = ?"""
_UNDO = f"{_RETURN} AND id = ? AND fence = ?"


class Leases:
    """The registry's workers and what they hold, for one thread alone."""

    def __init__(self, session: Session, clock: Clock, tables: Tables, presence: Presence) -> None:
        self._session = session
        self._clock = clock
        self._tables = tables
        self._presence = presence
        self._enlisted: set[str] = set()

    def claim(self, worker: str, n: int, lease_s: float, job_id: str | None) -> list[Lease]:
        """See `JobStore.claim`. The one named is taken whenever nobody holds it, due or not.

        A worker that has lost its lease gets nothing until its heartbeat has told it so. Raises ValueError for a
        worker's name that is in use elsewhere.
        """
        return self._session.write(lambda: self._claim(worker, n, lease_s, job_id), durable=False)

    def _claim(self, worker: str, n: int, lease_s: float, job_id: str | None) -> list[Lease]:
        self._presence.hold(worker)
        now = self._clock.boot()
        if not self._enlist(worker, now, lease_s):
            return []
        self.reap()
        leases: list[Lease] = []
        for row in self._due(now, n) if job_id is None else self._named(job_id):
            lease = self._take(row, worker)
            if lease is not None:
                leases.append(lease)
        return leases

    def _enlist(self, worker: str, now: float, lease_s: float) -> bool:
        if worker in self._enlisted:
            return self._session.con.execute(_RENEW, (now + lease_s, worker)).rowcount == 1
        self._session.con.execute(_ENLIST, (worker, now + lease_s, now))
        self._enlisted.add(worker)
        return True

    def _prios(self) -> Iterator[tuple[int, float]]:
        """Every priority that waits, the first first, with the earliest time at which one of its jobs is due."""
        last = -(2**62)
        while found := self._session.rows(_PRIO, (last,)):
            last, due = found[0]
            yield last, due

    def _due(self, now: float, n: int) -> list[Row]:
        rows: list[Row] = []
        for prio, first in self._prios():
            if first <= now:
                found = self._session.rows(_DUE, (prio, now, n - len(rows)))
                rows.extend(Row._make(row) for row in found)
            if len(rows) >= n:
                break
        return rows

    def _named(self, job_id: str) -> list[Row]:
        rows = [Row._make(row) for row in self._session.rows(BY_ID, (job_id,))]
        return [row for row in rows if row.due is not None]

    def _take(self, row: Row, worker: str) -> Lease | None:
        """The lease of a free job; None for one that was claimed too often in vain, which fails."""
        job = job_of(row)
        if row.claims >= CLAIMS:
            fault = Fault(
                code="poison",
                message="the job was started again and again, and each time its worker died before any progress; what "
                "was reserved for it at a vendor stays counted. Start it again with a smaller request, or report it.",
            )
            self._tables.save(row, job, {"status": Status.FAILED, "error": fault}, due=None)
            return None
        fence = row.fence + 1
        fields: dict[str, Any] = {}
        if job.status is Status.QUEUED:
            fields = {"status": Status.RUNNING, "started_at": self._clock.wall()}
        job = self._tables.save(row, job, fields, due=None, worker=worker, fence=fence, claims=row.claims + 1)
        return Lease(job, worker, fence)

    def heartbeat(self, worker: str, lease_s: float) -> bool:
        """See `JobStore.heartbeat`."""
        values = (self._clock.boot() + lease_s, worker)
        work = partial(self._session.rows, f"{_RENEW} RETURNING 1", values)
        alive = bool(self._session.write(work, durable=False))
        if not alive:
            self._forget(worker)
        return alive

    def leave(self, worker: str) -> None:
        """See `JobStore.leave`."""
        self._session.write(lambda: self._leave(worker), durable=False)
        self._forget(worker)

    def _leave(self, worker: str) -> None:
        con = self._session.con
        con.execute(_STRIKE, (worker,))
        if con.execute(_RETURN, (worker,)).rowcount:
            bump(con)

    def _forget(self, worker: str) -> None:
        self._enlisted.discard(worker)
        self._presence.drop(worker)

    def undo(self, leases: Sequence[Lease]) -> None:
        """Give back leases that reached nobody."""
        if leases:
            self._session.write(lambda: self._undo(leases), durable=False)

    def _undo(self, leases: Sequence[Lease]) -> None:
        con = self._session.con
        for lease in leases:
            con.execute(_UNDO, (lease.worker, lease.job.id, lease.fence))
        bump(con)

    def reap(self) -> int:
        """Free the jobs of dead workers, inside the caller's transaction; returns how many workers were dead."""
        now = self._clock.boot()
        # Workers of this very process are evidently alive, however late their heartbeat is.
        dead = [
            (worker, since)
            for worker, until, since in self._session.rows(_OTHERS)
            if worker not in self._enlisted and (until < now or self._presence.gone(worker))
        ]
        for worker, since in dead:
            self._session.con.execute(_STRIKE, (worker,))
            self._free(worker, spared=1 - YOUNG_COUNTS if now - since < YOUNG_S else 0.0)
        return len(dead)

    def _free(self, worker: str, spared: float) -> None:
        """Put a dead worker's jobs at the front of the queue, with so much of its claim on them uncounted."""
        for found in self._session.rows(_HELD, (worker,)):
            row = Row._make(found)
            event = Event(at=self._clock.wall(), kind="recovered", text="Its worker is gone; it will be resumed.")
            claims = max(0.0, row.claims - spared)
            self._tables.save(row, job_of(row), {}, (event,), worker=None, due=0.0, claims=claims)

    def due_in(self) -> float | None:
        """See `JobStore.due_in`."""
        first = min((due for _, due in self._prios()), default=None)
        return None if first is None else max(0.0, first - self._clock.boot())
