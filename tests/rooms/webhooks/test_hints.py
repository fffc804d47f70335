"""What a vendor's message does: a waiting job is looked at once, and nothing else ever happens."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.contracts.clock import HandClock
from tests.contracts.jobs import within
from tests.standins import webhooks

from spadework.bench import JobBench, Kit
from spadework.caller import Caller
from spadework.egress import Egress
from spadework.engines.vendor import Handle
from spadework.job import Job, fingerprint, new_id
from spadework.ledger import FileLedger
from spadework.registry import Change
from spadework.registry.disk import DiskStore
from spadework.settings import Settings
from spadework.webhooks import hints as room
from spadework.webhooks.hints import Hints
from spadework_tools.errors import BadSignature, RegistryBusy
from spadework_tools.models import Request, Status

pytestmark = pytest.mark.anyio

SECRET, KEY = "a-signing-secret", "a-key-of-our-own"
SOON = 20


class Moody(DiskStore):
    """A store that is busy for the next `refuse` reads of a job."""

    refuse = 0

    async def get(self, job_id: str, owner: str | None = None) -> Job:
        if self.refuse:
            self.refuse -= 1
            raise RegistryBusy(5.0)
        return await super().get(job_id, owner)


@dataclass
class Desk:
    """A home with jobs that wait for vendors, and the hints that are taken there."""

    kit: Kit
    clock: HandClock
    woken: list[str] = field(default_factory=list[str])
    hints: Hints = field(init=False)

    def __post_init__(self) -> None:
        self.hints = Hints(self.kit, self.woken.append)

    async def job(self, engine: str = "parallel", runs: Sequence[str] = ("trun_1",), *, bought: bool = True) -> Job:
        """A job whose runs were bought, and which waits."""
        request = Request(question="How large is the market?", engine=engine)
        wall = self.clock.wall()
        job = Job(
            id=new_id(wall), owner="local", request=request, fingerprint=fingerprint(request), engine=engine,
            created_at=wall,
        )  # fmt: skip
        await self.kit.store.submit(job)
        (lease,) = await self.kit.store.claim("w", 1, 30, job.id)
        bench = JobBench(self.kit, lease)
        if bought:
            more = {"runs": list(runs)} if engine == "parallel" else {}
            await bench.keep("upstream", Handle(runs[0], wall, more).encode(), durable=True)
        return await bench.write(Change(fields={"phase": "waiting"}, due=self.clock.boot() + 600))

    def message(
        self, job: Job | str, run: str = "trun_1", name: str = "m1", status: str = "completed", at: float = 0,
        secret: str = SECRET,
    ) -> tuple[bytes, dict[str, str]]:  # fmt: skip
        """A message of Parallel about a run, signed `at` seconds from now."""
        labels = {"row": "0", "job": job if isinstance(job, str) else job.id}
        told = {"type": "task_run.status", "data": {"run_id": run, "status": status, "metadata": labels}}
        body = json.dumps(told).encode()
        return body, webhooks.parallel(secret, name, int(self.clock.wall() + at), body)

    async def parallel(self, job: Job | str, run: str = "trun_1", name: str = "m1", **more: Any) -> bool:
        """The same, taken."""
        body, headers = self.message(job, run, name, **more)
        return await self.hints.take("parallel", headers, body)

    async def cloro(self, job: Job, task: str = "t-1", attempt: int = 1, key: str = "", status: str = "FAILED") -> bool:
        """A message of cloro about a task."""
        told = {"id": task, "status": status, "idempotencyKey": key or job.id}
        body = json.dumps({"task": told, "response": {"text": "x" * 300_000}}).encode()
        sent = webhooks.cloro(SECRET, f"{task}-{attempt}", int(self.clock.wall()), body)
        return await self.hints.take("cloro", sent, body)


@asynccontextmanager
async def desk(home: Path, **hooks: str) -> AsyncGenerator[Desk]:
    """A desk over a home, closed at the end."""
    clock = HandClock()
    async with await Moody.open(home, clock) as store:
        secrets = {vendor: (SecretStr("an-older-secret"), SecretStr(SECRET)) for vendor in ("parallel", "cloro")}
        settings = Settings(home=home, webhook_secrets=secrets, vendor_keys={"parallel": SecretStr(KEY)})
        http = Egress()
        yield Desk(Kit(store, clock, http, FileLedger(home / "l.jsonl", clock), settings, hooks=hooks), clock)
        await http.aclose()


@within(SOON)
async def test_a_waiting_job_is_woken_by_its_vendor_and_not_by_the_same_message_again(home: Path) -> None:
    async with desk(home) as here:
        first, second = await here.job(), await here.job("cloro", ("t-1",))
        assert await here.parallel(first)
        assert await here.cloro(second, key=f"{second.id}.2")
        assert here.woken == [first.id, second.id]
        for attempt in (1, 2, 3):
            here.clock.pass_s(100)
            assert not await here.parallel(first)
            assert not await here.cloro(second, attempt=attempt)
        assert here.woken == [first.id, second.id]
        assert await here.parallel(first, name="m2", secret="an-older-secret")
        assert (await here.kit.store.get(first.id)).phase == "waiting"


@within(SOON)
async def test_what_is_forged_stale_or_about_nothing_of_ours_wakes_nobody(home: Path) -> None:
    async with desk(home) as here:
        job, other = await here.job(), await here.job("cloro", ("t-1",))
        unbought = await here.job(bought=False)
        ended = await here.job()
        (lease,) = await here.kit.store.claim("w", 1, 30, ended.id)
        await here.kit.store.update(lease, Change(fields={"status": Status.CANCELLED}))
        before = await here.kit.store.version()
        for wrong in ({"secret": "another-secret"}, {"at": -301}, {"at": 301}):
            with pytest.raises(BadSignature):
                await here.parallel(job, **wrong)  # type: ignore[arg-type]
        for number, (who, run) in enumerate(
            [(job, "trun_2"), (job, ""), (ended, "trun_1"), (unbought, "trun_1"), (other, "t-1"),
             ("r_nobody", "trun_1"), ("", "trun_1")]
        ):  # fmt: skip
            assert not await here.parallel(who, run, f"n{number}")
        assert not await here.parallel(job, name="early", status="running")
        assert not await here.cloro(job, "trun_1")
        assert here.woken == []
        assert await here.kit.store.version() == before
        # What came too early for its run does not use up the message of its end.
        assert not await here.cloro(other, status="PROCESSING")
        assert await here.cloro(other)


@within(SOON)
async def test_a_job_of_many_runs_is_woken_once_when_all_are_said_to_have_ended(home: Path) -> None:
    async with desk(home) as here:
        runs = [f"trun_{number}" for number in range(200)]
        job = await here.job(runs=runs)
        for run in runs[:-1]:
            assert not await here.parallel(job, run, run)
            assert not await here.parallel(job, run, f"{run}-twice")
        assert here.woken == []
        assert await here.parallel(job, runs[-1], "last")
        assert here.woken == [job.id]


@within(SOON)
async def test_no_more_than_so_many_half_told_jobs_are_remembered(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "COUNTED", 1)
    async with desk(home) as here:
        first, second = await here.job(runs=["a1", "a2"]), await here.job(runs=["b1", "b2"])
        for job, run in ((first, "a1"), (second, "b1"), (first, "a2")):
            assert not await here.parallel(job, run, run)
        assert await here.parallel(first, "a1", "again")
        assert here.woken == [first.id]


@within(SOON)
async def test_messages_are_remembered_for_longer_than_they_are_taken_and_no_more_of_them_than_fit(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "SEEN", 2)
    async with desk(home) as here:
        job = await here.job()
        assert await here.parallel(job, at=300)
        here.clock.pass_s(600)
        assert not await here.parallel(job)
        for name in ("m2", "m3", "m4"):
            assert await here.parallel(job, name=name)
        assert len(here.hints._seen) <= 3
        here.clock.pass_s(room.SEEN_S + 1)
        assert await here.parallel(job, name="m4")
        assert list(here.hints._seen) == ["parallel m4"]


@within(SOON)
async def test_a_message_that_met_a_busy_store_counts_when_it_comes_again(home: Path) -> None:
    async with desk(home) as here:
        job = await here.job()
        here.kit.store.refuse = 1  # type: ignore[attr-defined]
        with pytest.raises(RegistryBusy):
            await here.parallel(job)
        assert here.woken == []
        assert await here.parallel(job)


@within(SOON)
async def test_a_vendor_without_a_secret_is_refused_by_name(home: Path) -> None:
    async with desk(home) as here:
        job = await here.job()
        here.hints = Hints(Kit(**{**vars(here.kit), "settings": Settings(home=home)}), here.woken.append)
        with pytest.raises(BadSignature, match="SPADEWORK_PARALLEL_WEBHOOK_SECRET is not set"):
            await here.parallel(job, secret="")
        assert here.woken == []


@within(SOON)
async def test_a_purchase_is_told_where_to_report_only_with_the_key_whose_secret_is_known(home: Path) -> None:
    url = "https://desk.example.org/webhooks/parallel"
    async with desk(home, parallel=url) as here:
        job = await here.job()
        (lease,) = await here.kit.store.claim("w", 1, 30, job.id)
        bench = JobBench(here.kit, lease)
        assert (bench.hook("parallel"), bench.hook("perplexity")) == (url, None)
        # Another account's runs are signed with another secret.
        theirs = Settings(home=home, vendor_keys={"parallel": SecretStr("another-key-that-is-set")})
        here.kit.callers.arrive(Caller(theirs))
        assert bench.hook("parallel") is None
    async with desk(home / "other") as here:
        (lease,) = await here.kit.store.claim("w", 1, 30, (await here.job()).id)
        assert JobBench(here.kit, lease).hook("parallel") is None
