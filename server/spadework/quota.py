"""Quotas: what one owner may take of a desk that many use: calls a minute, requests at once, jobs under way."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

import anyio

from spadework.delivery import Address
from spadework.desk import Desk
from spadework.job import Job
from spadework.registry import JobStore
from spadework_tools.errors import RateLimited, TooManyJobs
from spadework_tools.models import Status

#: So many owners are remembered; who called longest ago starts anew.
OWNERS = 10_000
#: How many of an owner's newest jobs are looked at to see whether a request repeats one.
TWINS = 200
_LIVE = (Status.QUEUED, Status.RUNNING, Status.NEEDS_INPUT)


class Rate:
    """So many calls a minute for each owner, any number of them at once (the generic cell rate algorithm)."""

    def __init__(self, per_minute: int, now: Callable[[], float] = monotonic) -> None:
        self.per_minute = per_minute
        self._each = 60.0 / per_minute
        self._now = now
        # When the calls that an owner has made would have come at the even pace.
        self._paid: OrderedDict[str, float] = OrderedDict()

    def spend(self, owner: str) -> int:
        """Take one call; 0, or the whole seconds until there is one again, and then nothing is taken."""
        now = self._now()
        paid = max(now, self._paid.get(owner, now))
        over = paid + self._each - (now + 60.0)
        if over > 1e-9:
            return max(1, math.ceil(over))
        self._paid[owner] = paid + self._each
        self._paid.move_to_end(owner)
        if len(self._paid) > OWNERS:
            self._paid.popitem(last=False)
        return 0

    def demand(self, owner: str) -> None:
        """Take one call. Raises RateLimited."""
        if wait_s := self.spend(owner):
            raise RateLimited(self.per_minute, wait_s)


class Crowd:
    """So many requests at once for each owner."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside: dict[str, int] = {}

    @contextmanager
    def admit(self, owner: str) -> Generator[bool]:
        """Count a request in and out; whether there was room for it."""
        inside = self._inside.get(owner, 0)
        if inside >= self._most:
            yield False
            return
        self._inside[owner] = inside + 1
        try:
            yield True
        finally:
            self._inside[owner] -= 1
            if not self._inside[owner]:
                del self._inside[owner]


@dataclass(frozen=True)
class Rationed(Desk):
    """A desk for one owner of many: no more than `most` of its jobs are queued or running at once."""

    most: int = 20
    _turn: anyio.Lock = field(default_factory=anyio.Lock)

    async def _submitted(self, job: Job, tell: Sequence[Address]) -> tuple[Job, bool]:
        """See `Desk`. One start after the other, so that two cannot share the last place. Raises TooManyJobs."""
        async with self._turn:
            live = await self.store.list(job.owner, statuses=_LIVE, limit=self.most)
            if len(live.jobs) >= self.most and not await _repeats(self.store, job):
                raise TooManyJobs(len(live.jobs), self.most)
            return await super()._submitted(job, tell)


async def _repeats(store: JobStore, job: Job) -> bool:
    """Whether an owner's recent job is the same; handing that one back starts nothing."""
    key = job.request.idempotency_key
    recent = (await store.list(job.owner, limit=TWINS)).jobs
    return any(one.request.idempotency_key == key if key else one.fingerprint == job.fingerprint for one in recent)
