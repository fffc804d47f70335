"""The registry: the disk-backed store of jobs, events and payloads, and the port (`JobStore`) every store keeps.

Why a port: one machine keeps its jobs in a diskcache directory (`disk.py`), a fleet in PostgreSQL, and the same
contract suite (`tests/contracts`) holds both. Times that decide ownership (`due`, leases) are boot-clock seconds;
times a person reads are wall-clock seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from spadework.job import Event, Job
from spadework.registry.letters import Address, Outbox
from spadework_tools.models import Status


class Fenced(Exception):
    """The job is no longer this worker's: stop all work on it, with no further side effect."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's hold on one job. Only the newest fence of a job may write to it."""

    job: Job
    worker: str
    fence: int


@dataclass(frozen=True, slots=True)
class Change:
    """What one update writes, in one transaction.

    `fields` are `Job` fields; `payloads` are immutable byte values by key. `due` (boot-clock seconds) parks the job:
    nobody owns it until then. A terminal status ends ownership too. `durable` asks for a synced commit, which
    acknowledgements and money need; progress does not.
    """

    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])
    events: Sequence[Event] = ()
    payloads: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    due: float | None = None
    durable: bool = True


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of jobs, newest first; `cursor` leads to the next older page."""

    jobs: tuple[Job, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed, reclaimed or found."""

    expired: int = 0
    tombstones: int = 0
    workers: int = 0
    paused: bool = False


class JobStore(Protocol):
    """Holds the truth about jobs. Every method is safe to call from several processes at once."""

    @property
    def outbox(self) -> Outbox:
        """The deliveries that become due when jobs end."""
        ...

    async def submit(
        self, job: Job, *, dedupe_s: float = 0.0, tell: Sequence[Address] = ()
    ) -> tuple[Job, bool]:
        """Store a new job durably: `(job, True)`, or the job that it repeats: `(job, False)`.

        Either way `tell` are told when it ends; a webhook new to a job that has ended is told at once.

        A job repeats another of the same owner when its idempotency key is the same, or, without a key, when its
        fingerprint is the same, the other carries no key, was created at most `dedupe_s` ago and neither failed nor
        was cancelled. Raises IdempotencyMismatch for one key with two fingerprints, QueueFull, StorageFull, ReadOnly.
        """
        ...

    async def get(self, job_id: str, owner: str | None = None) -> Job:
        """One job. Raises UnknownJob (also for another owner's), JobExpired while its tombstone lasts."""
        ...

    async def list(
        self,
        owner: str | None = None,
        statuses: Sequence[Status] = (),
        *,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Listing:
        """One page of jobs, newest first. Raises BadRequest for a cursor that we did not give."""
        ...

    async def claim(self, worker: str, n: int, lease_s: float, job_id: str | None = None) -> list[Lease]:
        """Take up to `n` due jobs (or the one named), dead workers' first; a queued job starts running.

        A job claimed more than five times without progress fails as `poison` instead.
        """
        ...

    async def update(self, lease: Lease, change: Change) -> Job:
        """Write a change to a job that is held. Raises Fenced when it is not, and writes nothing then."""
        ...

    async def heartbeat(self, worker: str, lease_s: float) -> bool:
        """Keep the worker's jobs for another `lease_s`; False: all is lost, drop everything."""
        ...

    async def leave(self, worker: str) -> None:
        """Give every job of this worker back, to the front of the queue; for a clean stop."""
        ...

    async def cancel(self, job_id: str, owner: str | None = None) -> tuple[Job, bool]:
        """Cancel: `(job, changed)`. A queued job ends at once, one at work is asked to stop, an ended one stays."""
        ...

    async def events(self, job_id: str, after: int = 0, limit: int = 100) -> list[Event]:
        """A job's events after `after`, oldest first."""
        ...

    async def version(self) -> int:
        """The store's change counter; a job's `version` is its value at the job's last change."""
        ...

    async def changed(self, since: int, timeout_s: float, look_s: float = 0.05) -> int:
        """Wait until the counter passes `since` or the time is over; returns the counter.

        Wakes across processes, whose changes are looked for every `look_s` seconds: who waits idly asks for more.
        """
        ...

    async def due_in(self) -> float | None:
        """Seconds until the next unowned job is due (0: one is), or None if none waits."""
        ...

    async def payload(self, key: str) -> bytes | None:
        """A stored payload, or None."""
        ...

    async def sweep(self, budget: int = 200) -> Swept:
        """Remove what is past its time, at most `budget` rows; frees the jobs of dead workers."""
        ...

    async def close(self) -> None:
        """Let go of files and threads; further calls fail."""
        ...
