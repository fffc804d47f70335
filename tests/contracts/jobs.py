"""Jobs at the points of their life that tests start from, and the deadline every async test has."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

import anyio
import pytest
from tests.contracts.clock import HandClock

from spadework.clock import Clock
from spadework.job import Job, fingerprint, new_id
from spadework.registry import Change, JobStore, Lease
from spadework_tools.models import Request, Status

P = ParamSpec("P")
T = TypeVar("T")

DAY = 86_400.0
LEASE_S = 30.0
SOURCE = "src/" + "a" * 64

#: Marks a module whose every test runs on both event loops.
BOTH = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])]


def a_job(clock: Clock, question: str = "What is new?", *, owner: str = "ann", **fields: Any) -> Job:
    """A new job; `fields` are the request's."""
    request = Request(question=question, **fields)
    return Job(
        id=new_id(clock.wall()),
        owner=owner,
        request=request,
        fingerprint=fingerprint(request),
        engine="local",
        created_at=clock.wall(),
    )


async def running(store: JobStore, clock: HandClock, worker: str = "w1", **fields: Any) -> Lease:
    """A job that `worker` has just claimed."""
    job, _ = await store.submit(a_job(clock, **fields))
    (lease,) = await store.claim(worker, 1, LEASE_S, job.id)
    return lease


async def ended(store: JobStore, clock: HandClock, status: Status = Status.COMPLETED, **fields: Any) -> str:
    """The id of a job that has ended, with a result under its key."""
    lease = await running(store, clock, **fields)
    await store.update(lease, Change({"status": status}, payloads={lease.job.result_key: b"report"}))
    return lease.job.id


def within(seconds: float) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Fail an async test that takes longer."""

    def wrap(test: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @functools.wraps(test)
        async def run(*args: P.args, **kwargs: P.kwargs) -> T:
            with anyio.fail_after(seconds):
                return await test(*args, **kwargs)

        return run

    return wrap
