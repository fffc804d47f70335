"""The registry: the disk-backed store of jobs, events and payloads, and the port (`JobStore`) every store keeps.

Why a port: one machine keeps its jobs in a diskcache directory (`disk.py`), a fleet in PostgreSQL, and the same
contract suite (`tests/contracts`) holds both. Times that decide ownership (`due`, leases) are boot-clock seconds;
times a person reads are wall-clock seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from spadework.delivery import Address, Delivery, Endpoint, State, Tried
from spadework.job import Event, Job
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


class Outbox(Protocol):
    """The deliveries of a store. Every method is safe to call from several processes at once.

    The store writes a delivery together with its job and makes it due in the very transaction that ends the job, so
    that no kill comes between. Whichever process is alive claims what is due and says what came of it; a claim that is
    not settled in time is anybody's again, so a delivery happens at least once.
    """

    async def claim(self, n: int, lease_s: float, busy: Collection[Address] = ()) -> list[Delivery]:
        """Take up to `n` deliveries that are due, one for each address and none for a busy one, for `lease_s`."""
        ...

    async def settle(self, delivery: Delivery, tried: Tried, patience_s: float) -> State | None:
        """Write down what came of a claimed delivery; its state now, or None when it was no longer the claimer's.

        An endpoint that is gone, or has failed without a break for `patience_s`, is disabled, and the job says so.
        """
        ...

    async def give_back(self, delivery: Delivery) -> None:
        """Make a claimed delivery due at once, since nobody here will finish it."""
        ...

    async def due_in(self, busy: Collection[Address] = ()) -> float | None:
        """Seconds until the next delivery to an address that is not busy (0: one is due), or None if none waits."""
        ...

    async def secrets(self, owner: str, url: str) -> tuple[str, ...]:
        """The valid secrets of an endpoint, the newest first; one is made where there is none."""
        ...

    async def deliveries(self, owner: str, limit: int = 50) -> list[Delivery]:
        """The newest webhooks of an owner, newest first."""
        ...

    async def endpoints(self, owner: str) -> list[Endpoint]:
        """The webhook endpoints of an owner."""
        ...

    async def redeliver(self, owner: str, name: str) -> list[Delivery]:
        """Send an ended job's webhooks again, under the same ids: one by its id, or all of a job by the job's.

        Their endpoints are enabled again. Raises UnknownDelivery.
        """
        ...

    async def rotate(self, owner: str, url: str, secret: str, keep_s: float) -> Endpoint:
        """Give an endpoint a new secret, once; the one before stays valid for `keep_s`.

        An endpoint that is new is made known; one that was disabled is enabled again.
        """
        ...


class JobStore(Protocol):
    """Holds the truth about jobs. Every method is safe to call from several processes at once."""

    @property
    def outbox(self) -> Outbox:
        """The deliveries that become due when jobs end."""
        ...

    async def submit(self, job: Job, *, dedupe_s: float = 0.0, tell: Sequence[Address] = ()) -> tuple[Job, bool]:
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

        A job claimed more than five times without progress fails as `poison` instead; a claim whose worker died
        within two seconds of its start counts for a quarter.
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
