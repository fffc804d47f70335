"""The runner: what becomes of a job, whatever its engine does, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
import trio.testing
from tests.rooms.house import Rig, rig

from spadework.engines import Bench, Later
from spadework.engines.scripted import Scripted
from spadework.job import Job
from spadework.reports.packed import unpack
from spadework.runner import Runner
from spadework_tools.models import Outcome, Report, Status

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Hours pass in milliseconds: the clock jumps when nothing has happened for 20 ms."""
    return ("trio", {"clock": trio.testing.MockClock(autojump_threshold=0.02)})


@asynccontextmanager
async def running(runner: Runner) -> AsyncGenerator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(runner.run)
        yield
        group.cancel_scope.cancel()


async def finished(place: Rig, script: str, **job: float) -> Job:
    added = await place.add(script, **job)
    async with running(place.runner()):
        return await place.ended(added)


async def test_a_job_ends_with_its_report_and_its_counts(home: Path) -> None:
    async with rig(home) as place:
        job = await finished(place, "read 3 10; report 5000")
        payload = await place.store.payload(job.result_key)
        assert payload is not None
        report = unpack(payload)
        assert (job.status, job.outcome, job.progress, job.phase) == (Status.COMPLETED, Outcome.FULL, 1.0, "done")
        assert job.sources == len(report.sources) > 3
        assert job.finished_at is not None
        assert job.started_at is not None
        assert job.finished_at - job.started_at == pytest.approx(30, abs=10)


async def test_every_citation_of_a_report_is_a_slice_of_its_kept_snapshot(home: Path) -> None:
    async with rig(home) as place:
        job = await finished(place, "report 3000")
        report = unpack(await place.store.payload(job.result_key) or b"")
        sources = {source.id: source for source in report.sources}
        for citation in report.citations:
            snapshot = (await place.store.payload(f"src/{sources[citation.source_id].sha256}") or b"").decode()
            assert snapshot[citation.start : citation.end] == citation.quote


async def test_nothing_found_is_said_and_no_prose_is_made(home: Path) -> None:
    async with rig(home) as place:
        job = await finished(place, "none")
        assert (job.status, job.outcome) == (Status.COMPLETED, Outcome.NO_EVIDENCE)


async def test_an_engine_that_gives_up_fails_its_job_in_its_own_words(home: Path) -> None:
    async with rig(home) as place:
        job = await finished(place, "fail no_credit Your credit is used up. Top it up.")
        assert job.status is Status.FAILED
        assert job.error is not None
        assert (job.error.code, job.error.message) == ("no_credit", "Your credit is used up. Top it up.")


async def test_a_defect_ends_its_own_job_and_no_other(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with rig(home) as place:
        bad, good = await place.add("crash"), await place.add("report")
        async with running(place.runner()):
            bad, good = await place.ended(bad), await place.ended(good)
        assert (bad.status, good.status) == (Status.FAILED, Status.COMPLETED)
        assert bad.error is not None
        assert bad.error.code == "internal"
        assert "the script said so" not in bad.error.message
        assert "the script said so" in caplog.text


async def test_work_without_end_is_stopped_at_its_deadline(home: Path) -> None:
    async with rig(home) as place:
        job = await finished(place, "hang", deadline_s=60)
        assert job.status is Status.FAILED
        assert job.error is not None
        assert job.error.code == "deadline"
        assert "60 s" in job.error.message


async def test_a_parked_job_holds_no_hand_and_comes_back_when_it_is_due(home: Path) -> None:
    async with rig(home) as place:
        parked = await place.add("park 50; report")
        async with running(place.runner(concurrency=1)):
            await place.until(parked, Status.RUNNING, "waiting")
            other = await place.ended(await place.add("read 1 10; report"))
            parked = await place.ended(parked)
        assert parked.started_at is not None
        assert parked.finished_at is not None
        assert other.finished_at is not None
        assert other.finished_at < parked.finished_at
        assert parked.finished_at - parked.started_at == pytest.approx(50, abs=10)


async def test_a_running_job_is_cancelled_and_a_second_cancel_changes_nothing(home: Path) -> None:
    async with rig(home) as place:
        job = await place.add("hang")
        async with running(place.runner()):
            await place.until(job, Status.RUNNING, "starting")
            _, changed = await place.store.cancel(job.id)
            ended = await place.ended(job)
            _, again = await place.store.cancel(job.id)
        assert (ended.status, changed, again) == (Status.CANCELLED, True, False)


async def test_a_parked_job_is_cancelled_without_waiting_for_its_due_time(home: Path) -> None:
    async with rig(home) as place:
        job = await place.add("park 500000; report")
        async with running(place.runner()):
            await place.until(job, Status.RUNNING, "waiting")
            await place.store.cancel(job.id)
            assert (await place.ended(job, within_s=60)).status is Status.CANCELLED


class Finisher(Scripted):
    """A vendor whose work was done when the cancel reached it."""

    async def stop(self, job: Job, bench: Bench) -> Report | str:
        request = job.request.model_copy(update={"question": "What is new? [script: report]"})
        report = await super().work(job.model_copy(update={"request": request}), bench)
        assert not isinstance(report, Later)
        return report


async def test_a_cancel_that_races_with_completion_gives_the_result(home: Path) -> None:
    async with rig(home) as place:
        job = await place.add("hang")
        async with running(place.runner({"scripted": Finisher()})):
            await place.until(job, Status.RUNNING, "starting")
            await place.store.cancel(job.id)
            ended = await place.ended(job)
        assert ended.status is Status.COMPLETED
        assert await place.store.payload(ended.result_key) is not None


async def test_a_stopped_runner_gives_its_jobs_back_and_no_page_is_read_twice(home: Path) -> None:
    async with rig(home) as place:
        job = await place.add("read 30 1; report")
        async with running(place.runner()):
            await place.until(job, Status.RUNNING, "reading 1")
        seen = await place.store.get(job.id)
        begun = place.clock.boot()
        async with running(place.runner()):
            ended = await place.ended(job)
        pages_left = 30 - int(seen.phase.split()[1].split("/")[0])
        assert ended.status is Status.COMPLETED
        assert place.clock.boot() - begun <= pages_left + 12


async def test_two_runners_on_one_store_run_every_job_once(home: Path) -> None:
    async with rig(home) as place:
        jobs = [await place.add(f"read 1 {n % 3}; report {n + 300}") for n in range(60)]
        async with running(place.runner()), running(place.runner()):
            ended = [await place.ended(job) for job in jobs]
        assert all(job.status is Status.COMPLETED for job in ended)
        for job in ended:
            events = await place.store.events(job.id, limit=1_000)
            assert [event.kind for event in events].count("completed") == 1
            assert [event.seq for event in events] == list(range(1, len(events) + 1))


async def test_a_wall_clock_jump_steals_no_lease_and_ends_no_job(home: Path) -> None:
    async with rig(home) as place:
        job = await place.add("read 20 10; report")
        async with running(place.runner()):
            await place.until(job, Status.RUNNING, "reading")
            place.clock.jump += 2 * 86_400
            await anyio.sleep(60)
            place.clock.jump -= 3 * 86_400
            ended = await place.ended(job)
        assert ended.status is Status.COMPLETED
        assert ended.claims <= 1
