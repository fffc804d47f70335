"""Waking a job that waits: it is looked at now instead of later, once, and its own time holds all the same."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
import trio.testing
from tests.rooms.house import Rig, rig

from spadework.engines import Bench, Later
from spadework.engines.scripted import Scripted
from spadework.job import Job
from spadework.runner import Runner
from spadework_tools.models import Report, Status

pytestmark = pytest.mark.anyio

PAUSE_S = 90.0


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Hours pass in milliseconds: the clock jumps when nothing has happened for 20 ms."""
    return ("trio", {"clock": trio.testing.MockClock(autojump_threshold=0.02)})


@dataclass
class Waiting(Scripted):
    """An engine whose run ends at the look number `last`; a look takes `takes_s`, the next one comes late."""

    last: int = 99
    takes_s: float = 0.0
    looks: list[float] = field(default_factory=list[float])
    looking: anyio.Event = field(default_factory=anyio.Event)

    async def work(self, job: Job, bench: Bench) -> Report | Later:
        self.looks.append(bench.clock.boot())
        self.looking.set()
        await anyio.sleep(self.takes_s)
        return await super().work(job, bench) if len(self.looks) >= self.last else Later(PAUSE_S)


@asynccontextmanager
async def waiting(place: Rig, engine: Waiting) -> AsyncGenerator[tuple[Runner, Job]]:
    """A job whose first look is over, and its runner."""
    runner = place.runner({"scripted": engine})
    job = await place.add("report")
    async with anyio.create_task_group() as group:
        group.start_soon(runner.run)
        await place.until(job, Status.RUNNING, "waiting")
        yield runner, job
        group.cancel_scope.cancel()


async def test_a_job_that_waits_for_minutes_ends_as_soon_as_it_is_woken(home: Path) -> None:
    async with rig(home) as place, waiting(place, engine := Waiting(last=2)) as (runner, job):
        begun = place.clock.boot()
        runner.wake(job.id)
        assert (await place.ended(job)).status is Status.COMPLETED
        assert len(engine.looks) == 2
        assert engine.looks[1] - begun < 5


async def test_many_wakings_are_one_look_and_the_next_one_keeps_its_time(home: Path) -> None:
    async with rig(home) as place, waiting(place, engine := Waiting(last=3)) as (runner, job):
        for _ in range(100):
            runner.wake(job.id)
        await place.ended(job)
        assert len(engine.looks) == 3
        assert engine.looks[2] - engine.looks[1] == pytest.approx(PAUSE_S, abs=5)


async def test_a_job_that_is_woken_while_it_is_looked_at_is_looked_at_once_more(home: Path) -> None:
    async with rig(home) as place, waiting(place, engine := Waiting(last=3, takes_s=2.0)) as (runner, job):
        engine.looking = anyio.Event()
        runner.wake(job.id)
        await engine.looking.wait()
        for _ in range(10):
            runner.wake(job.id)
        await place.ended(job)
        assert len(engine.looks) == 3
        assert engine.looks[2] - engine.looks[1] < 10


async def test_waking_a_job_that_has_ended_or_never_was_does_nothing(home: Path) -> None:
    async with rig(home) as place, waiting(place, engine := Waiting(last=2)) as (runner, job):
        runner.wake(job.id)
        ended = await place.ended(job)
        runner.wake(job.id)
        runner.wake("r_nobody")
        await anyio.sleep(2 * PAUSE_S)
        assert len(engine.looks) == 2
        assert await place.store.get(job.id) == ended
