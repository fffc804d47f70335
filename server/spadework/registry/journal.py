"""A job's events: numbered without gaps, written with the state they describe, and bounded.

A job keeps 1,000 events of 4 kB. Beyond that the oldest progress goes first, then the oldest remarks; what changed the
job's state stays for as long as the job does.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from spadework.job import Event
from spadework.registry.record import dump
from spadework_tools.models import Status

#: How many events a job keeps, and how many go at once when there are more.
CAP = 1_000
STEP = 100

#: The longest an event may be on disk, in bytes.
LONGEST = 4_096

_STATES = frozenset({*Status, "cancel_requested", "recovered"})
_SEQ = frozenset({"seq"})

_ADD = "INSERT INTO rq_events VALUES (?, ?, ?, ?)"
_THIN = """DELETE FROM rq_events WHERE job = ?1 AND seq IN (
    SELECT seq FROM rq_events WHERE job = ?1 AND weight > 0 ORDER BY weight DESC, seq LIMIT ?2)"""
READ = """SELECT e.seq, e.data FROM rq_jobs j JOIN rq_events e ON e.job = j.born
    WHERE j.id = ? AND e.seq > ? ORDER BY e.seq LIMIT ?"""


def append(con: sqlite3.Connection, born: int, seq: int, kept: int, events: Sequence[Event]) -> tuple[int, int]:
    """Append events after number `seq`; returns the last number and how many are kept now."""
    for event in events:
        seq += 1
        con.execute(_ADD, (born, seq, _weight(event.kind), _packed(event)))
    kept += len(events)
    if kept > CAP:
        kept -= con.execute(_THIN, (born, kept - CAP + STEP)).rowcount
    return seq, kept


def unpack(rows: Sequence[tuple[int, str]]) -> list[Event]:
    """The events that `READ` finds: those of a job after a number, oldest first."""
    return [Event.model_validate({**json.loads(data), "seq": seq}) for seq, data in rows]


def _weight(kind: str) -> int:
    """0 stays for ever; of the rest the heavier goes first."""
    if kind in _STATES:
        return 0
    return 2 if kind == "progress" else 1


def _packed(event: Event) -> str:
    text = dump(event, _SEQ)
    if len(text) <= LONGEST and (text.isascii() or len(text.encode()) <= LONGEST):
        return text
    short = event.model_copy(update={"kind": event.kind[:40], "text": event.text[:400], "data": {"clipped": True}})
    return dump(short, _SEQ)
