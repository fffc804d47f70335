"""What is past its time goes: ended jobs with their events and payloads, later their tombstones.

A job stays for as long as a webhook is still to be told of its end.

Retention is told in wall time, which can jump. The sweep therefore compares both clocks with those of the last sweep;
when they disagree by more than a minute, it deletes nothing until they have agreed for an hour.
"""

from __future__ import annotations

from spadework.clock import Clock
from spadework.registry import Swept, mail
from spadework.registry.blobs import DROP, DROP_UNDER
from spadework.registry.leases import Leases
from spadework.registry.session import Session
from spadework.registry.tables import KINDS, bump

#: By how much the clocks may disagree between two sweeps, and how long they must agree after they did not; seconds.
JUMP_S = 60.0
HOLD_S = 3_600.0

#: How long a machine may have been off before its clock is doubted at the next start, in seconds.
GAP_S = 86_400.0

_SEEN = "SELECT k, n FROM rq_meta WHERE k IN ('swept_wall', 'swept_boot', 'hold')"
_NOTE = "INSERT OR REPLACE INTO rq_meta VALUES (?, ?)"
_ENDED = """SELECT born, id, owner, status FROM rq_jobs INDEXED BY rq_ended
    WHERE expires IS NOT NULL AND expires <= ? AND NOT EXISTS (
        SELECT 1 FROM rq_deliveries WHERE job = rq_jobs.id AND kind = 'webhook' AND due IS NOT NULL)
    ORDER BY expires LIMIT ?"""
_TOMBS = "SELECT id FROM rq_tombs INDEXED BY rq_tombs_until WHERE until <= ? ORDER BY until LIMIT ?"
_SHARED = "SELECT key FROM rq_refs WHERE job = ?"
_WANTED = "SELECT 1 FROM rq_refs WHERE key = ? LIMIT 1"


class Sweeper:
    """Removes what is past its time, for one thread alone."""

    def __init__(self, session: Session, clock: Clock, leases: Leases, tombstone_s: float) -> None:
        self._session = session
        self._clock = clock
        self._leases = leases
        self._tombstone_s = tombstone_s

    def sweep(self, budget: int) -> Swept:
        """See `JobStore.sweep`; one transaction."""
        return self._session.write(lambda: self._sweep(budget), durable=False)

    def _sweep(self, budget: int) -> Swept:
        workers = self._leases.reap()
        if not self._steady():
            return Swept(workers=workers, paused=True)
        wall = self._clock.wall()
        con = self._session.con
        ended = self._session.rows(_ENDED, (wall, budget))
        for born, job_id, owner, status in ended:
            self._drop(born, job_id)
            values = (job_id, owner, status, wall + self._tombstone_s)
            con.execute("INSERT OR REPLACE INTO rq_tombs VALUES (?, ?, ?, ?)", values)
        tombs = self._session.rows(_TOMBS, (wall, budget - len(ended)))
        con.executemany("DELETE FROM rq_tombs WHERE id = ?", tombs)
        if ended:
            bump(con)
        return Swept(expired=len(ended), tombstones=len(tombs), workers=workers)

    def _drop(self, born: int, job_id: str) -> None:
        """A job's row, events and payloads; a shared source goes with the last job that refers to it."""
        con = self._session.con
        con.execute("DELETE FROM rq_jobs WHERE born = ?", (born,))
        con.execute("DELETE FROM rq_events WHERE job = ?", (born,))
        mail.drop(con, job_id)
        for kind in KINDS:
            con.execute(DROP, (f"{kind}/{job_id}",))
            # "0" is the character after "/".
            con.execute(DROP_UNDER, (f"{kind}/{job_id}/", f"{kind}/{job_id}0"))
        shared = self._session.rows(_SHARED, (born,))
        con.execute("DELETE FROM rq_refs WHERE job = ?", (born,))
        for (key,) in shared:
            if not self._session.rows(_WANTED, (key,)):
                con.execute(DROP, (key,))

    def _steady(self) -> bool:
        """Whether the wall clock can be trusted with a deletion."""
        seen = dict(self._session.rows(_SEEN))
        wall, boot = self._clock.wall(), self._clock.boot()
        drift = (wall - seen["swept_wall"]) - (boot - seen["swept_boot"])
        hold = boot + HOLD_S if abs(drift) > JUMP_S else seen["hold"]
        values = {"swept_wall": wall, "swept_boot": boot, "hold": hold}
        self._session.con.executemany(_NOTE, values.items())
        return boot >= hold
