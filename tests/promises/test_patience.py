"""An agent that does as it is told looks seldom, at little cost, and is not late; a question waits, but not for ever.

Half hours and weeks pass on a clock that the test moves; the registry, the desk, the tools and the runner are real.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.contracts.clock import HandClock
from tests.promises.tokens import tokens

from spadework.asking import PATIENCE_S
from spadework.bench import Kit
from spadework.caller import Caller
from spadework.desk import Desk
from spadework.egress import Egress
from spadework.engines.scripted import Scripted
from spadework.job import Job
from spadework.ledger import FileLedger
from spadework.registry import Change
from spadework.registry.disk import DiskStore
from spadework.runner import Runner
from spadework.settings import Settings
from spadework_tools.check import CHECK
from spadework_tools.errors import JobExpired
from spadework_tools.models import Outcome, Request, Status
from spadework_tools.start import START

pytestmark = pytest.mark.anyio

HALF_AN_HOUR = 1_800.0

#: What happens to a job: at which second after its start, and what is written.
Story = Iterator[tuple[float, Change]]


@dataclass(frozen=True)
class House:
    """One home's store, its kit and its desk, over a clock that stands still until it is moved."""

    clock: HandClock
    kit: Kit
    desk: Desk

    @property
    def store(self) -> DiskStore:
        store = self.kit.store
        assert isinstance(store, DiskStore)
        return store

    async def until(self, job_id: str, met: Callable[[Job], bool]) -> Job:
        with anyio.fail_after(30):
            version = 0
            while not met(job := await self.store.get(job_id)):
                version = await self.store.changed(version, 1)
        return job


@asynccontextmanager
async def housed(home: Path, *, working: bool = False) -> AsyncGenerator[House]:
    clock = HandClock()
    settings = Settings(home=home, inline_s=0)
    async with await DiskStore.open(home, clock) as store, anyio.create_task_group() as group:
        http, ledger = Egress(), FileLedger(home / "ledger.jsonl", clock)
        kit = Kit(store, clock, http, ledger, settings)
        engines = {"scripted": Scripted()}
        if working:
            group.start_soon(Runner(kit, engines).run)
        yield House(clock, kit, Desk(store, engines, Caller(settings), clock, ledger))
        group.cancel_scope.cancel()
        await http.aclose()


def silent() -> Story:
    """A vendor that is left alone for half an hour."""
    yield 1, Change(fields={"phase": "waiting"})


def polled() -> Story:
    """A vendor that is looked at every half minute and has nothing to say."""
    for second in range(1, int(HALF_AN_HOUR), 30):
        yield second, Change(fields={"phase": f"waiting, look {second // 30 + 1}"})


def telling() -> Story:
    """Work that says every ten seconds how far it is."""
    for second in range(10, int(HALF_AN_HOUR), 10):
        done = second / HALF_AN_HOUR
        fields = {"phase": f"reading {second}/1800", "progress": done, "eta_s": round(HALF_AN_HOUR - second)}
        yield second, Change(fields={**fields, "sources": second}, durable=False)


def hasty() -> Story:
    """Work that thinks it is nearly done, all the time."""
    for second in range(10, int(HALF_AN_HOUR), 10):
        yield second, Change(fields={"phase": f"reading {second}", "eta_s": 30}, durable=False)


def unknown() -> Story:
    """Work of which nobody can say how long it takes."""
    yield 1, Change(fields={"phase": "searching", "eta_s": None})


STORIES = {story.__name__: story for story in (silent, polled, telling, hasty, unknown)}


class Agent:
    """Starts a job, looks again exactly when it is told to, and counts what it reads and writes."""

    def __init__(self, house: House, story: Story) -> None:
        self._house, self._story = house, story
        self._next = next(story, None)
        self._passed = 0.0
        self.looks = self.spent = 0

    async def call(self, tool: Any, **arguments: Any) -> dict[str, Any]:
        answer = await tool.call(arguments, self._house.desk)
        self.spent += sum(map(tokens, answer.texts)) + tokens(arguments)
        return answer.structured

    async def research(self, effort: str) -> float:
        """Half an hour's work; how many seconds after its end it was seen to have ended."""
        asked = {"question": "What is new? [script: park 1800]", "engine": "scripted", "effort": effort}
        ticket = await self.call(START, **asked)
        job_id, wait_s = ticket["job_id"], ticket["poll_after_s"]
        (self._lease,) = await self._house.store.claim("w_story", 1, 1e9, job_id)
        since: dict[str, str] = {}
        while self.looks < 100:
            await self._pass(wait_s)
            self.looks += 1
            found = await self.call(CHECK, job_ids=[job_id], **since)
            if found["jobs"] and found["jobs"][0]["status"] == "completed":
                return self._passed - HALF_AN_HOUR
            wait_s, since = found["poll_after_s"], {"since": found["since"]}
        raise AssertionError("the agent looks for ever")

    async def _pass(self, seconds: float) -> None:
        """Let time go by, and the story with it."""
        until = self._passed + seconds
        while self._next is not None and self._next[0] <= until:
            await self._tell(*self._next)
            self._next = next(self._story, None)
            if self._next is None:
                ended = {"status": Status.COMPLETED, "outcome": Outcome.FULL, "phase": "done", "progress": 1.0}
                self._next = (HALF_AN_HOUR, Change(fields=ended)) if self._passed < HALF_AN_HOUR else None
        self._house.clock.pass_s(until - self._passed)
        self._passed = until

    async def _tell(self, second: float, change: Change) -> None:
        self._house.clock.pass_s(second - self._passed)
        self._passed = second
        await self._house.store.update(self._lease, change)


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
async def test_a_half_hour_job_is_looked_at_eight_times_at_most_for_1500_tokens_and_seen_soon_after_its_end(
    home: Path, story: Callable[[], Story]
) -> None:
    async with housed(home) as house:
        agent = Agent(house, story())
        late = await agent.research("high")
    if story is hasty:
        # Whoever promises the end every ten seconds is looked at more often than others, but not without end.
        assert agent.looks <= 15, agent.looks
    else:
        assert agent.looks <= 8, agent.looks
        assert agent.spent <= 1_500, agent.spent
    assert 0 <= late <= HALF_AN_HOUR / 5, late


async def test_a_client_that_polls_by_itself_looks_less_often_the_longer_it_takes(home: Path) -> None:
    async with housed(home) as house:
        request = Request(question="[script: hang]", engine="scripted", effort="low")
        job_id = (await house.desk.start(request)).job_id
        intervals: list[int] = []
        for _ in range(12):
            intervals.append((await house.desk.look(job_id)).poll_s)
            house.clock.pass_s(60)
    assert intervals[0] == 5
    assert intervals[-1] == 15
    assert intervals[1:] == sorted(intervals[1:])


async def asked(house: House, script: str) -> str:
    """A job that asks its question."""
    request = Request(question=f"[script: {script}]", engine="scripted", effort="low")
    job_id = (await house.desk.start(request)).job_id
    await house.until(job_id, lambda job: job.status is Status.NEEDS_INPUT)
    return job_id


async def test_a_question_that_nobody_answers_for_a_week_ends_its_job_and_says_so(home: Path) -> None:
    async with housed(home, working=True) as house:
        job_id = await asked(house, "ask Which year?")
        house.clock.pass_s(PATIENCE_S - 60)
        await anyio.sleep(1.5)
        assert (await house.store.get(job_id)).status is Status.NEEDS_INPUT
        house.clock.pass_s(120)
        job = await house.until(job_id, lambda job: job.status.terminal)
    assert job.status is Status.FAILED
    assert job.error is not None
    assert job.error.code == "unanswered"


async def test_the_time_that_an_answer_takes_is_no_part_of_the_works_limit(home: Path) -> None:
    async with housed(home, working=True) as house:
        job_id = await asked(house, "ask Which year?; read 2 0; report")
        house.clock.pass_s(2 * 86_400)
        await house.desk.answer(job_id, {"q0.0": "1999"})
        job = await house.until(job_id, lambda job: job.status.terminal)
    assert job.status is Status.COMPLETED


async def test_a_job_past_its_time_is_gone_as_a_task_even_where_it_is_yet_to_be_swept(home: Path) -> None:
    async with housed(home, working=True) as house:
        job_id = (await house.desk.start(Request(question="[script: report]", engine="scripted"))).job_id
        job = await house.until(job_id, lambda job: job.status.terminal)
        assert job.expires_at is not None
        assert (await house.desk.look(job_id)).expires_at == job.expires_at
        house.clock.jump(job.expires_at - house.clock.wall() + 1)
        with pytest.raises(JobExpired):
            await house.desk.look(job_id)
