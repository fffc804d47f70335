"""The jobs themselves: plain functions over one session, each write one transaction."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from typing import Any

from spadework.clock import Clock
from spadework.delivery import Address
from spadework.job import Event, Job, differences
from spadework.registry import Change, Fenced, Lease, Listing, journal, mail
from spadework.registry.blobs import FETCH, unpack
from spadework.registry.record import COLUMNS, OURS, Row, job_of, record
from spadework.registry.session import Session
from spadework_tools.errors import BadRequest, IdempotencyMismatch, JobExpired, QueueFull, UnknownJob
from spadework_tools.models import Status

BY_ID = f"SELECT {COLUMNS} FROM rq_jobs WHERE id = ?"  # noqa: S608 - constants only, as everywhere in this file
_BY_KEY = f"SELECT {COLUMNS} FROM rq_jobs WHERE owner = ? AND idem = ?"  # noqa: S608
_BY_WORK = f"""SELECT {COLUMNS} FROM rq_jobs INDEXED BY rq_same
    WHERE owner = ? AND fingerprint = ? AND idem IS NULL AND created >= ? AND cancel = 0
    AND status NOT IN ('failed', 'cancelled') ORDER BY born DESC LIMIT 1"""  # noqa: S608
_BY_BORN = f"""SELECT {COLUMNS} FROM rq_jobs WHERE born IN (SELECT value FROM json_each(?))
    ORDER BY born DESC"""  # noqa: S608
_INSERT = f"INSERT INTO rq_jobs ({COLUMNS}) VALUES ({', '.join('?' * 18)})"  # noqa: S608
_SAVE = """UPDATE rq_jobs SET due = ?, worker = ?, fence = ?, claims = ?, cancel = ?, seq = ?, kept = ?, version = ?,
    rec = ?{} WHERE born = ?"""
# A column that is named costs its index, changed or not.
_SAVE_SAME = _SAVE.format("")
_SAVE_MOVED = _SAVE.format(", status = ?")
_SAVE_ENDED = _SAVE.format(", status = ?, expires = ?")
# Progress touches no indexed column, so that it rewrites one page.
_SAVE_PROGRESS = "UPDATE rq_jobs SET claims = 0, seq = ?, kept = ?, version = ?, rec = ? WHERE born = ?"
_ALIVE = "UPDATE rq_jobs SET claims = 0 WHERE born = ? AND claims <> 0"
_BUMP = "UPDATE rq_meta SET n = n + 1 WHERE k = 'version' RETURNING n"
_VERSION = "SELECT n FROM rq_meta WHERE k = 'version'"
_QUEUED = "SELECT n FROM rq_meta WHERE k = 'queued'"
_TOMB = "SELECT owner FROM rq_tombs WHERE id = ?"
_REFER = "INSERT OR IGNORE INTO rq_refs VALUES (?, ?)"
_OLDER = "SELECT born FROM rq_jobs INDEXED BY {} WHERE {} AND born < ? ORDER BY born DESC LIMIT ?"
_PAGES = {
    (False, False): "SELECT born FROM rq_jobs WHERE born < ? ORDER BY born DESC LIMIT ?",
    (False, True): _OLDER.format("rq_status", "status = ?"),
    (True, True): _OLDER.format("rq_owner", "owner = ? AND status = ?"),
}
_CURSOR = re.compile(r"j([0-9]{1,18})")
_SHARED = re.compile(r"src/[0-9a-f]{64}")
#: The payloads that belong to one job and go with it: `kind/{job}` or `kind/{job}/{name}`.
KINDS = ("result", "step", "raw")
#: Payloads above this many bytes leave no pages behind in SQLite's cache, which a desk would carry for days.
LARGE = 1024 * 1024


def holds(row: Row, lease: Lease) -> bool:
    """Whether a lease still holds the job in this row."""
    return row.worker == lease.worker and row.fence == lease.fence


def bump(con: sqlite3.Connection) -> int:
    """The store's next version."""
    return con.execute(_BUMP).fetchone()[0]


class Tables:
    """The registry's jobs, for one thread alone."""

    def __init__(self, session: Session, clock: Clock, limit: int, retention_s: float) -> None:
        self._session = session
        self._clock = clock
        self._limit = limit
        self._retention_s = retention_s

    def submit(self, job: Job, dedupe_s: float, tell: Sequence[Address] = ()) -> tuple[Job, bool]:
        """See `JobStore.submit`. The same job handed in twice, by its id, is one job too."""
        if job.status is not Status.QUEUED:
            raise ValueError(f"{job.id}: a new job is queued, not {job.status}")
        rec = record(job)
        return self._session.write(lambda: self._lodged(job, rec, dedupe_s, tell), durable=True)

    def _lodged(self, job: Job, rec: str, dedupe_s: float, tell: Sequence[Address]) -> tuple[Job, bool]:
        """The job as it is kept, with those to tell of its end."""
        kept, created = self._submit(job, rec, dedupe_s)
        now = (self._clock.boot(), self._clock.wall())
        mail.lodge(self._session.con, kept.id, kept.owner, tell, now, ended=kept.status.terminal)
        return kept, created

    def _submit(self, job: Job, rec: str, dedupe_s: float) -> tuple[Job, bool]:
        con = self._session.con
        twin = self._twin(job, dedupe_s)
        if twin is not None:
            return job_of(twin), False
        queued = con.execute(_QUEUED).fetchone()[0]
        if queued >= self._limit:
            raise QueueFull(queued, self._limit)
        born = bump(con)
        now = self._clock.boot()
        key = job.request.idempotency_key
        row = Row(
            born=born,
            id=job.id,
            owner=job.owner,
            status="queued",
            fingerprint=job.fingerprint,
            idem=key,
            prio=0,
            due=now,
            worker=None,
            fence=0,
            claims=0,
            cancel=0,
            seq=1,
            kept=1,
            version=born,
            created=job.created_at,
            expires=None,
            rec=rec,
        )
        try:
            con.execute(_INSERT, row)
        except sqlite3.IntegrityError:
            found = self.row(job.id)
            if found is None or found.owner != job.owner:
                raise
            return job_of(found), False
        journal.append(con, born, 0, 0, (Event(at=self._clock.wall(), kind=Status.QUEUED),))
        return job.model_copy(update={"seq": 1, "version": born, "claims": 0}), True

    def _twin(self, job: Job, dedupe_s: float) -> Row | None:
        """The job that this one repeats."""
        key = job.request.idempotency_key
        if key is not None:
            row = self._one(_BY_KEY, (job.owner, key))
            if row is not None and row.fingerprint != job.fingerprint:
                fields = differences(job_of(row).request, job.request) or ("request",)
                raise IdempotencyMismatch(key, row.id, fields)
            return row
        if dedupe_s <= 0:
            return None
        return self._one(_BY_WORK, (job.owner, job.fingerprint, self._clock.wall() - dedupe_s))

    def row(self, job_id: str) -> Row | None:
        """The row of a job."""
        return self._one(BY_ID, (job_id,))

    def _one(self, sql: str, values: Sequence[Any]) -> Row | None:
        rows = self._session.rows(sql, values)
        return Row._make(rows[0]) if rows else None

    def _known(self, job_id: str, owner: str | None) -> Row:
        row = self.row(job_id)
        if row is not None and owner in (None, row.owner):
            return row
        if row is None:
            tomb = self._session.rows(_TOMB, (job_id,))
            if tomb and owner in (None, tomb[0][0]):
                raise JobExpired(job_id)
        raise UnknownJob(job_id)

    def get(self, job_id: str, owner: str | None) -> Job:
        """See `JobStore.get`."""
        return job_of(self._known(job_id, owner))

    def page(self, owner: str | None, statuses: Sequence[Status], cursor: str | None, limit: int) -> Listing:
        """See `JobStore.list`. `limit` is brought into 1 to 1,000."""
        limit = min(max(limit, 1), 1_000)
        before = _before(cursor)
        # One short index walk for each status, merged: a single query would sort all that match.
        wanted: Sequence[Status | None] = tuple(dict.fromkeys(statuses)) or (tuple(Status) if owner else (None,))
        born: list[int] = []
        for status in wanted:
            sql = _PAGES[owner is not None, status is not None]
            values = [value for value in (owner, status, before, limit + 1) if value is not None]
            born.extend(row[0] for row in self._session.rows(sql, values))
        born.sort(reverse=True)
        shown = born[:limit]
        rows = self._session.rows(_BY_BORN, (str(shown),))
        more = len(born) > limit
        return Listing(tuple(job_of(Row._make(row)) for row in rows), f"j{shown[-1]}" if more else None)

    def update(self, lease: Lease, change: Change) -> Job:
        """See `JobStore.update`."""
        fields = _checked(lease, change)
        job = self._session.write(lambda: self._update(lease, change, fields), durable=change.durable)
        if any(len(value) > LARGE for value in change.payloads.values()):
            self._session.shrink()
        return job

    def _update(self, lease: Lease, change: Change, fields: dict[str, Any]) -> Job:
        row = self.row(lease.job.id)
        if row is None or not holds(row, lease):
            raise Fenced(f"{lease.job.id} is no longer held by {lease.worker} with fence {lease.fence}")
        con = self._session.con
        for key, value in change.payloads.items():
            if key.startswith("src/"):
                con.execute(_REFER, (row.born, key))
            self._session.blobs.keep(key, value)
        if change.due is None and "status" not in fields:
            return self.save(row, job_of(row), fields, change.events, held=True, claims=0)
        status = fields.get("status")
        if status is not None and status.terminal:
            return self.save(row, job_of(row), fields, change.events, worker=None, due=None, claims=0)
        worker = lease.worker if change.due is None else None
        return self.save(row, job_of(row), fields, change.events, worker=worker, due=change.due, claims=0)

    def save(
        self,
        row: Row,
        job: Job,
        fields: dict[str, Any],
        events: Sequence[Event] = (),
        *,
        held: bool = False,
        **columns: Any,
    ) -> Job:
        """Write some fields of a job and some columns of its row, inside the caller's transaction.

        The store tells of a change of status itself where `events` does not. A job's version moves with what a reader
        can see of it; the store's counter also moves when work becomes due. `held`: nothing but the record and the
        claims differ, which spares the indexes.
        """
        con = self._session.con
        moved = fields.get("status", job.status) is not job.status
        if moved:
            fields, events = self._moved(fields, events)
        seen = bool(events) or any(getattr(job, name) != value for name, value in fields.items())
        counter = bump(con) if seen or columns.get("due") is not None else 0
        seq, kept = journal.append(con, row.born, row.seq, row.kept, events)
        after = job.evolve(
            **fields,
            seq=seq,
            version=counter if seen else row.version,
            changed_at=self._clock.wall() if seen else job.changed_at,
            claims=columns.get("claims", row.claims),
            cancel_requested=bool(columns.get("cancel", row.cancel)),
        )
        row = row._replace(
            **columns,
            status=after.status.value,
            seq=seq,
            kept=kept,
            version=after.version,
            expires=after.expires_at,
            rec=record(after) if seen else row.rec,
        )
        if moved and after.status.terminal:
            mail.post(con, after.id, (self._clock.boot(), self._clock.wall()))
        if moved or not held:
            self._put(row, moved=moved)
        elif seen:
            con.execute(_SAVE_PROGRESS, (row.seq, row.kept, row.version, row.rec, row.born))
        else:
            con.execute(_ALIVE, (row.born,))
        return after

    def _moved(self, fields: dict[str, Any], events: Sequence[Event]) -> tuple[dict[str, Any], Sequence[Event]]:
        """The fields and events of a job with a new status: when it ended, until when it is kept, what is told."""
        wall = self._clock.wall()
        status, error = fields["status"], fields.get("error")
        if status.terminal:
            fields = {"finished_at": wall, **fields, "expires_at": wall + self._retention_s}
        if all(event.kind != status for event in events):
            text = error.message if error is not None else ""
            events = (*events, Event(at=wall, kind=status.value, text=text))
        return fields, events

    def _put(self, row: Row, *, moved: bool) -> None:
        con = self._session.con
        values = (row.due, row.worker, row.fence, row.claims, row.cancel, row.seq, row.kept, row.version, row.rec)
        if row.expires is not None:
            con.execute(_SAVE_ENDED, (*values, row.status, row.expires, row.born))
        elif moved:
            con.execute(_SAVE_MOVED, (*values, row.status, row.born))
        else:
            con.execute(_SAVE_SAME, (*values, row.born))

    def cancel(self, job_id: str, owner: str | None) -> tuple[Job, bool]:
        """See `JobStore.cancel`."""
        return self._session.write(lambda: self._cancel(job_id, owner), durable=True)

    def _cancel(self, job_id: str, owner: str | None) -> tuple[Job, bool]:
        row = self._known(job_id, owner)
        job = job_of(row)
        if job.status.terminal or row.cancel:
            return job, False
        if job.status is Status.QUEUED:
            return self.save(row, job, {"status": Status.CANCELLED}, due=None), True
        # Whoever is alive must tell the vendor: a parked job comes to the front for it.
        due = 0.0 if row.worker is None else None
        event = Event(at=self._clock.wall(), kind="cancel_requested")
        return self.save(row, job, {}, (event,), cancel=1, due=due), True

    def events(self, job_id: str, after: int, limit: int) -> list[Event]:
        """See `JobStore.events`. No such job has no events."""
        return journal.unpack(self._session.rows(journal.READ, (job_id, after, limit)))

    def version(self) -> int:
        """See `JobStore.version`."""
        return self._session.rows(_VERSION)[0][0]

    def payload(self, key: str) -> bytes | None:
        """See `JobStore.payload`. Raises RegistryCorrupt for a row that we cannot have written."""
        rows = self._session.rows(FETCH, (key,))
        value = unpack(*rows[0]) if rows else None
        if value is not None and len(value) > LARGE:
            self._session.shrink()
        return value


def _before(cursor: str | None) -> int:
    if cursor is None:
        return 2**62
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise BadRequest(f"the cursor {cursor[:40]!r} is none that a listing gave. Leave it out to start at the top.")
    return int(match[1])


def _checked(lease: Lease, change: Change) -> dict[str, Any]:
    """A change's fields, or ValueError: a name or a key that no update may write is a defect of ours."""
    fields = dict(change.fields)
    if wrong := [name for name in fields if name in OURS or name not in Job.model_fields]:
        raise ValueError(f"an update cannot write {', '.join(sorted(wrong))}")
    if "status" in fields:
        fields["status"] = Status(fields["status"])
    for key in change.payloads:
        kind, _, rest = key.partition("/")
        own = kind in KINDS and (rest == lease.job.id or rest.startswith(f"{lease.job.id}/"))
        if not own and not _SHARED.fullmatch(key):
            raise ValueError(f"{key!r} is no payload key of {lease.job.id}")
    return fields
