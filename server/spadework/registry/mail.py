"""What a job's own transactions do to its deliveries: lodged with it, due with its end, gone with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from spadework.delivery import Address, fresh_id, fresh_secret

#: The longest wait between two tries that another boot may be told of, seconds.
LONGEST_S = 1.25 * 86_400

_LODGE = """INSERT OR IGNORE INTO rq_deliveries (id, job, owner, kind, address, state, due, at, fence, attempt, note)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, '')"""
_KNOW = "INSERT OR IGNORE INTO rq_endpoints (owner, url, secret) VALUES (?, ?, ?)"
_POST = "UPDATE rq_deliveries SET state = 'due', due = ?, at = ? WHERE job = ? AND state = 'waiting'"
_DROP = "DELETE FROM rq_deliveries WHERE job = ?"
_REBOOT = "UPDATE rq_deliveries SET due = ?1 + min(max(at - ?2, 0), ?3) WHERE due IS NOT NULL"
# Only the time that was lived through counts as failing: nobody tried while the machine was off.
_REBOOT_FAILING = "UPDATE rq_endpoints SET since = ?1 - (last - since), last = ?1 WHERE since IS NOT NULL"


def lodge(
    con: sqlite3.Connection, job_id: str, owner: str, tell: Sequence[Address], now: tuple[float, float], *, ended: bool
) -> None:
    """Note whom to tell of a job's end; `now` is boot and wall time.

    Of a job that has ended a webhook is told at once, and nobody else: whoever asks for it sees the end by himself.
    """
    for address in tell:
        if address.kind == "webhook":
            con.execute(_KNOW, (owner, address.to, fresh_secret()))
        elif ended:
            continue
        state, due = ("due", now[0]) if ended else ("waiting", None)
        con.execute(_LODGE, (fresh_id(), job_id, owner, address.kind, address.to, state, due, now[1]))


def post(con: sqlite3.Connection, job_id: str, now: tuple[float, float]) -> None:
    """The job has ended: its deliveries are due."""
    con.execute(_POST, (*now, job_id))


def drop(con: sqlite3.Connection, job_id: str) -> None:
    """The job is gone, and its deliveries with it."""
    con.execute(_DROP, (job_id,))


def reboot(con: sqlite3.Connection, now: tuple[float, float]) -> None:
    """Carry the times of an earlier boot over to this one, as far as the wall clock can be believed."""
    con.execute(_REBOOT, (*now, LONGEST_S))
    con.execute(_REBOOT_FAILING, (now[0],))
