"""A job as a row: what the store decides by stands in columns, the rest in one versioned JSON record."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from spadework.job import Job

COLUMNS = (
    "born, id, owner, status, fingerprint, idem, prio, due, worker, fence, claims, cancel, seq, kept, version, "
    "created, expires, rec"
)

#: The fields that columns hold; they are not in the record.
HELD = frozenset(
    {
        "v",
        "id",
        "owner",
        "status",
        "fingerprint",
        "created_at",
        "expires_at",
        "cancel_requested",
        "claims",
        "seq",
        "version",
    }
)

#: What the store alone decides, so that no update may name it.
OURS = (HELD - {"status"}) | {"request", "changed_at"}


class Row(NamedTuple):
    """A row of `rq_jobs`, in the order of `COLUMNS`."""

    born: int
    id: str
    owner: str
    status: str
    fingerprint: str
    idem: str | None
    prio: int
    due: float | None
    worker: str | None
    fence: int
    claims: float
    cancel: int
    seq: int
    kept: int
    version: int
    created: float
    expires: float | None
    rec: str


def job_of(row: Row) -> Job:
    """The job that a row holds."""
    fields: dict[str, Any] = json.loads(row.rec)
    fields.update(
        id=row.id,
        owner=row.owner,
        status=row.status,
        fingerprint=row.fingerprint,
        created_at=row.created,
        expires_at=row.expires,
        cancel_requested=row.cancel,
        claims=row.claims,
        seq=row.seq,
        version=row.version,
    )
    return Job.model_validate(fields)


def record(job: Job) -> str:
    """The record of a job: its `v` first, and nothing that is at its default."""
    return f'{{"v":{job.v},{dump(job, HELD)[1:]}'


def dump(model: BaseModel, exclude: frozenset[str]) -> str:
    """Compact JSON of a model, without defaults."""
    held: Any = exclude
    try:
        return model.model_dump_json(exclude=held, exclude_defaults=True)
    except PydanticSerializationError:
        # A lone surrogate somewhere in the caller's own JSON: escaped, it survives the way to the disk and back.
        return json.dumps(model.model_dump(exclude=held, exclude_defaults=True), separators=(",", ":"))
