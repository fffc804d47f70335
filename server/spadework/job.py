"""The job: one research request and its life, from queued to a terminal state.

Pure data. A `Job` never changes; `move` makes the next one and refuses what `MOVES` does not allow.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from spadework_tools.models import Ask, Fault, Outcome, Request, Status

#: What may follow what. A terminal status has no way out; a running job goes back to the queue when its worker dies.
MOVES: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.CANCELLED, Status.FAILED}),
    Status.RUNNING: frozenset({Status.RUNNING, Status.NEEDS_INPUT, Status.COMPLETED, Status.FAILED, Status.CANCELLED}),
    Status.NEEDS_INPUT: frozenset({Status.RUNNING, Status.CANCELLED, Status.FAILED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}


class IllegalMove(Exception):
    """A move that `MOVES` does not allow; always a defect of ours, never the caller's."""


class Job(BaseModel):
    """One research request and where it stands.

    The store keeps ownership, fences and due times beside it; they are no business of who reads a job.
    `version` is the store's change counter at the last write, `seq` the number of this job's last event, `begun` the
    boot id and boot time of the first work on it, from which its deadline counts. `placed`: `auto` chose the engine,
    for the reason in `why`, after those in `tried` had refused (each with its error code) at no cost. `changed_at` is
    the wall time of the last write that a reader can see; `asks` is what the job waits to be told since `asked_at`,
    and `answers` what it has been told, by the questions' keys.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: int = 1
    id: str
    owner: str
    request: Request
    fingerprint: str
    engine: str
    tier: str | None = None
    placed: bool = False
    why: str = ""
    tried: tuple[tuple[str, str], ...] = ()
    status: Status = Status.QUEUED
    outcome: Outcome | None = None
    phase: str = ""
    progress: float | None = None
    sources: int = 0
    eta_s: int | None = None
    error: Fault | None = None
    asks: tuple[Ask, ...] = ()
    asked_at: float | None = None
    answers: Mapping[str, str] = {}
    cost_estimate_usd: float | None = None
    cost_usd: float | None = None
    created_at: float
    changed_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    deadline_s: float | None = None
    begun: tuple[str, float] | None = None
    expires_at: float | None = None
    cancel_requested: bool = False
    claims: float = 0
    seq: int = 0
    version: int = 0

    @property
    def result_key(self) -> str:
        """Where the job's report is stored as its engine gave it."""
        return f"result/{self.id}"

    @property
    def verified_key(self) -> str:
        """Where it is stored once its citations were checked and the job is done; looked for first."""
        return f"result/{self.id}/verified"

    def evolve(self, **changes: Any) -> Self:
        """The job with some fields changed; `status` may only change as `MOVES` allows.

        Raises:
            IllegalMove: the status cannot follow the present one.
        """
        status = changes.get("status", self.status)
        if status is not self.status and status not in MOVES[self.status]:
            raise IllegalMove(f"{self.id}: {self.status} cannot become {status}")
        return self.model_copy(update=changes)


class Event(BaseModel):
    """One thing that happened to a job, in the order of `seq`; `at` is wall time."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    seq: int = 0
    at: float
    kind: str
    text: str = ""
    data: dict[str, Any] = {}


def new_id(wall: float) -> str:
    """A job id: `r_`, a millisecond time prefix and 128 random bits in base32; sorts by creation, unguessable."""
    stamp = int(wall * 1000).to_bytes(6, "big") + b"\0\0\0\0"
    random = secrets.token_bytes(20)
    # 6 bytes of time and 20 random ones would straddle base32's 5-byte groups: encode each part on its own.
    prefix = base64.b32hexencode(stamp).decode("ascii").lower()[:10]
    return f"r_{prefix}{base64.b32hexencode(random).decode('ascii').lower()[:26]}"


def canonical(request: Request) -> dict[str, Any]:
    """The request as compared for sameness: what changes the work, with the question's white space normalised.

    The idempotency key, the label and the webhook do not change the research, so they take no part.
    """
    fields = request.model_dump(mode="json", exclude={"idempotency_key", "label", "webhook_url"})
    fields["question"] = " ".join(request.question.split())
    return fields


def fingerprint(request: Request) -> str:
    """SHA-256 of the canonical request, in hex."""
    text = json.dumps(canonical(request), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def differences(one: Request, other: Request) -> tuple[str, ...]:
    """The names of the fields in which two requests ask for different work."""
    left, right = canonical(one), canonical(other)
    return tuple(sorted(name for name in left if left[name] != right[name]))
