"""An agent that does as it is told looks seldom, at little cost, and is not late: half-hour jobs in virtual time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio.testing
from tests.promises.tokens import tokens
from tests.rooms.house import Rig, rig

from spadework.asking import PATIENCE_S
from spadework.caller import Caller
from spadework.desk import Desk
from spadework.engines.scripted import Scripted
from spadework_tools.check import CHECK
from spadework_tools.errors import JobExpired
from spadework_tools.models import Request, Status
from spadework_tools.start import START

pytestmark = pytest.mark.anyio

HALF_AN_HOUR = 1_800
#: Ways in which a job can take half an hour: a vendor that says nothing until the end, one that is looked at every half
#: minute, work that tells its progress, and one of which nobody can say how long it takes.
SCRIPTS = {
    "silent": "park 1800; report 60000",
    "polled": "; ".join(["park 30"] * 60) + "; report 60000",
    "telling": "read 360 5; report 60000",
    "hasty": "read 10 1; park 1790; report 60000",
}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return ("trio", {"clock": trio.testing.MockClock(autojump_threshold=0.02)})


@dataclass
class Agent:
    """Starts a job, and looks again exactly when it is told to; everything it reads is counted."""

    desk: Desk
    looks: int = 0
    spent: int = 0

    async def call(self, tool: Any, **arguments: Any) -> dict[str, Any]:
        answer = await tool.call(arguments, self.desk)
        self.spent += sum(map(tokens, answer.texts)) + tokens(arguments)
        assert answer.structured is not None
        return answer.structured

    async def research(self, script: str, effort: str = "medium") -> str:
        """The id of a job that has ended."""
        asked = {"question": f"What is new? [script: {script}]", "engine": "scripted", "effort": effort}
        ticket = await START.call(asked, self.desk)
        self.spent += sum(map(tokens, ticket.texts))
        assert ticket.structured is not None
        job_id, wait_s = ticket.structured["job_id"], ticket.structured["poll_after_s"]
        since: dict[str, str] = {}
        while True:
            await anyio.sleep(wait_s)
            self.looks += 1
            found = await self.call(CHECK, job_ids=[job_id], **since)
            if found["jobs"] and found["jobs"][0]["status"] == "completed":
                return job_id
            wait_s, since = found["poll_after_s"], {"since": found["since"]}


@asynccontextmanager
async def at_work(home: Path) -> AsyncGenerator[tuple[Rig, Desk]]:
    async with rig(home) as place, anyio.create_task_group() as group:
        settings = place.kit.settings.model_copy(update={"inline_s": 0})
        desk = Desk(place.store, {"scripted": Scripted()}, Caller(settings), place.clock, place.kit.ledger)
        group.start_soon(place.runner().run)
        yield place, desk
        group.cancel_scope.cancel()


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
async def test_a_half_hour_job_is_looked_at_eight_times_at_most_for_1500_tokens_and_seen_soon_after_its_end(
    home: Path, script: str
) -> None:
    async with at_work(home) as (place, desk):
        agent = Agent(desk)
        # A script of sixty steps is no length for a question that anybody pays for: it is not counted.
        job_id = await agent.research(script, "high")
        job = await place.store.get(job_id)
        assert job.finished_at is not None
        late = place.clock.wall() - job.finished_at
        took = job.finished_at - job.created_at
    assert took >= HALF_AN_HOUR - 60
    assert agent.looks <= 8, agent
    assert agent.spent <= 1_500, agent
    assert late <= 0.2 * took, (late, took)


async def test_a_short_job_is_looked_at_soon(home: Path) -> None:
    async with at_work(home) as (_, desk):
        agent = Agent(desk)
        begun = anyio.current_time()
        await agent.research("read 10 1; report")
        assert anyio.current_time() - begun <= 20
    assert agent.looks <= 3


async def test_a_client_that_polls_by_itself_looks_less_often_the_longer_it_takes(home: Path) -> None:
    async with at_work(home) as (_, desk):
        job_id = (await desk.start(Request(question="[script: hang]", engine="scripted", effort="low"))).job_id
        intervals: list[int] = []
        for _ in range(12):
            intervals.append((await desk.look(job_id)).poll_s)
            await anyio.sleep(60)
    assert intervals[0] == 5
    assert intervals[-1] == 15
    assert all(5 <= interval <= 15 for interval in intervals)


async def test_a_question_that_nobody_answers_for_a_week_ends_its_job_and_says_so(home: Path) -> None:
    async with at_work(home) as (place, desk):
        job_id = (await desk.start(Request(question="[script: ask Which year?]", engine="scripted"))).job_id
        job = await place.until(await place.store.get(job_id), Status.NEEDS_INPUT)
        begun = place.clock.wall()
        job = await place.ended(job, within_s=2 * PATIENCE_S)
        assert place.clock.wall() - begun == pytest.approx(PATIENCE_S, rel=0.01)
    assert job.status is Status.FAILED
    assert job.error is not None
    assert job.error.code == "unanswered"


async def test_the_time_that_an_answer_takes_is_no_part_of_the_works_limit(home: Path) -> None:
    async with at_work(home) as (place, desk):
        script = "read 10 30; ask Which year?; read 10 30; report"
        job_id = (await desk.start(Request(question=f"[script: {script}]", engine="scripted", effort="low"))).job_id
        await place.until(await place.store.get(job_id), Status.NEEDS_INPUT)
        await anyio.sleep(2 * 86_400)
        await desk.answer(job_id, {"q1.0": "1999"})
        job = await place.ended(await place.store.get(job_id), within_s=3_600)
    assert job.status is Status.COMPLETED


async def test_a_job_past_its_time_is_gone_as_a_task_even_where_it_is_yet_to_be_swept(home: Path) -> None:
    async with at_work(home) as (place, desk):
        job_id = (await desk.start(Request(question="[script: report]", engine="scripted"))).job_id
        job = await place.ended(await place.store.get(job_id))
        assert job.expires_at is not None
        assert (await desk.look(job_id)).expires_at == job.expires_at
        place.clock.jump = job.expires_at - place.clock.wall() + 1
        with pytest.raises(JobExpired):
            await desk.look(job_id)
