"""The registry's tables, which stand in diskcache's own database so that one transaction covers jobs and payloads.

`born` numbers the jobs in the order of their arrival, whatever the wall clock did; it is the row id, so every index
ends in it and lists come out newest first. The queue's length is kept by triggers: counting 100,000 rows takes
milliseconds. `rq_refs` says which jobs still need a source's text, which several may share. `rq_deliveries` says who is
told of a job's end, `rq_endpoints` with which secrets.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from spadework.clock import Clock
from spadework.registry.mail import reboot

#: One tuple of statements for each schema; a database at schema n gets those after the n-th. Only ever added to.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE rq_meta (k TEXT PRIMARY KEY, n) WITHOUT ROWID""",
        """CREATE TABLE rq_jobs (
            born INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            owner TEXT NOT NULL,
            status TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            idem TEXT,
            prio INTEGER NOT NULL,
            due REAL,
            worker TEXT,
            fence INTEGER NOT NULL,
            claims INTEGER NOT NULL,
            cancel INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            kept INTEGER NOT NULL,
            version INTEGER NOT NULL,
            created REAL NOT NULL,
            expires REAL,
            rec TEXT NOT NULL)""",
        """CREATE INDEX rq_due ON rq_jobs (prio, due) WHERE due IS NOT NULL""",
        """CREATE INDEX rq_held ON rq_jobs (worker) WHERE worker IS NOT NULL""",
        """CREATE INDEX rq_ended ON rq_jobs (expires) WHERE expires IS NOT NULL""",
        """CREATE INDEX rq_status ON rq_jobs (status)""",
        """CREATE INDEX rq_owner ON rq_jobs (owner, status)""",
        """CREATE UNIQUE INDEX rq_idem ON rq_jobs (owner, idem) WHERE idem IS NOT NULL""",
        """CREATE INDEX rq_same ON rq_jobs (owner, fingerprint) WHERE idem IS NULL""",
        """CREATE TABLE rq_events (
            job INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            weight INTEGER NOT NULL,
            data TEXT NOT NULL,
            PRIMARY KEY (job, seq)) WITHOUT ROWID""",
        """CREATE TABLE rq_refs (job INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (job, key)) WITHOUT ROWID""",
        """CREATE INDEX rq_refs_key ON rq_refs (key)""",
        """CREATE TABLE rq_workers (id TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID""",
        """CREATE TABLE rq_tombs (
            id TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            status TEXT NOT NULL,
            until REAL NOT NULL) WITHOUT ROWID""",
        """CREATE INDEX rq_tombs_until ON rq_tombs (until)""",
        """CREATE TRIGGER rq_queued_in AFTER INSERT ON rq_jobs WHEN NEW.status = 'queued' BEGIN
            UPDATE rq_meta SET n = n + 1 WHERE k = 'queued'; END""",
        """CREATE TRIGGER rq_queued_move AFTER UPDATE OF status ON rq_jobs
            WHEN (OLD.status = 'queued') <> (NEW.status = 'queued') BEGIN
            UPDATE rq_meta SET n = n + (CASE NEW.status WHEN 'queued' THEN 1 ELSE -1 END) WHERE k = 'queued'; END""",
        """CREATE TRIGGER rq_queued_out AFTER DELETE ON rq_jobs WHEN OLD.status = 'queued' BEGIN
            UPDATE rq_meta SET n = n - 1 WHERE k = 'queued'; END""",
        """INSERT INTO rq_meta VALUES ('version', 0), ('queued', 0)""",
    ),
    (
        """CREATE TABLE rq_deliveries (
            id TEXT PRIMARY KEY,
            job TEXT NOT NULL,
            owner TEXT NOT NULL,
            kind TEXT NOT NULL,
            address TEXT NOT NULL,
            state TEXT NOT NULL,
            due REAL,
            at REAL NOT NULL,
            fence INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            note TEXT NOT NULL,
            UNIQUE (job, kind, address))""",
        """CREATE INDEX rq_deliveries_due ON rq_deliveries (due) WHERE due IS NOT NULL""",
        """CREATE TABLE rq_endpoints (
            owner TEXT NOT NULL,
            url TEXT NOT NULL,
            secret TEXT NOT NULL,
            older TEXT,
            older_until REAL,
            since REAL,
            last REAL,
            disabled TEXT,
            PRIMARY KEY (owner, url)) WITHOUT ROWID""",
    ),
    ("""ALTER TABLE rq_workers ADD COLUMN since REAL NOT NULL DEFAULT 0""",),
)

SCHEMA = len(STEPS)


def migrate(con: sqlite3.Connection) -> None:
    """Bring the tables to this code's schema, inside the caller's transaction."""
    found = con.execute("SELECT 1 FROM sqlite_master WHERE name = 'rq_meta'").fetchone()
    row = con.execute("SELECT n FROM rq_meta WHERE k = 'schema'").fetchone() if found else (0,)
    if row[0] == SCHEMA:
        return
    for statements in STEPS[row[0] :]:
        for statement in statements:
            con.execute(statement)
    con.execute("INSERT OR REPLACE INTO rq_meta VALUES ('schema', ?)", (SCHEMA,))


def settle(con: sqlite3.Connection, clock: Clock, hold_s: float, gap_s: float) -> None:
    """Take note of the boot, inside the caller's transaction.

    Boot times of another boot mean nothing: all its workers are dead, and whatever waited for a time is due. The sweep
    holds for `hold_s` if the wall clock went back meanwhile or on by more than `gap_s`: a machine without a working
    clock battery starts with some time or other, and is put right once it has a network.
    """
    boot_id = _meta(con, "boot_id")
    if boot_id == clock.boot_id:
        return
    if boot_id is not None:
        con.execute("UPDATE rq_jobs SET worker = NULL, due = 0 WHERE worker IS NOT NULL")
        con.execute("UPDATE rq_jobs SET due = 0 WHERE due > 0")
        con.execute("DELETE FROM rq_workers")
        reboot(con, (clock.boot(), clock.wall()))
    wall, boot = clock.wall(), clock.boot()
    last = _meta(con, "swept_wall")
    doubtful = last is not None and not -60 <= wall - last <= gap_s
    values = {"boot_id": clock.boot_id, "swept_wall": wall, "swept_boot": boot, "hold": boot + hold_s * doubtful}
    con.executemany("INSERT OR REPLACE INTO rq_meta VALUES (?, ?)", values.items())


def _meta(con: sqlite3.Connection, name: str) -> Any:
    row = con.execute("SELECT n FROM rq_meta WHERE k = ?", (name,)).fetchone()
    return row[0] if row else None
