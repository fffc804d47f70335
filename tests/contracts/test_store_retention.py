"""What every `JobStore` promises about how long things are kept."""

from __future__ import annotations

import pytest
from tests.contracts.clock import HandClock
from tests.contracts.conftest import Opener
from tests.contracts.jobs import BOTH, DAY, LEASE_S, SOURCE, a_job, ended, running, within

from spadework.registry import Change, JobStore
from spadework_tools.errors import JobExpired, UnknownJob
from spadework_tools.models import Status

pytestmark = BOTH


class TestSweep:
    @within(10)
    async def test_an_ended_job_goes_when_its_time_is_over_and_leaves_a_tombstone(
        self, opener: Opener, clock: HandClock
    ) -> None:
        store = await opener(retention_s=DAY, tombstone_s=2 * DAY)
        job_id = await ended(store, clock, idempotency_key="k")
        living, _ = await store.submit(a_job(clock))
        clock.pass_s(DAY - 1)
        assert (await store.sweep()).expired == 0
        assert await store.payload(f"result/{job_id}") == b"report"
        clock.pass_s(1)
        assert (await store.sweep()).expired == 1
        with pytest.raises(JobExpired):
            await store.get(job_id, "ann")
        with pytest.raises(JobExpired):
            await store.cancel(job_id)
        with pytest.raises(UnknownJob):
            await store.get(job_id, "bob")
        assert await store.payload(f"result/{job_id}") is None
        assert await store.events(job_id) == []
        assert [job.id for job in (await store.list()).jobs] == [living.id]
        clock.pass_s(2 * DAY)
        assert (await store.sweep()).tombstones == 1
        with pytest.raises(UnknownJob):
            await store.get(job_id, "ann")
        assert (await store.get(living.id)).status is Status.QUEUED
        _, created = await store.submit(a_job(clock, idempotency_key="k"))
        assert created

    @within(10)
    async def test_a_source_lives_as_long_as_one_job_that_refers_to_it(self, opener: Opener, clock: HandClock) -> None:
        store = await opener(retention_s=DAY)
        first = await running(store, clock)
        await store.update(first, Change({"status": Status.COMPLETED}, payloads={SOURCE: b"text"}))
        clock.pass_s(DAY / 2)
        second = await running(store, clock, "w2")
        await store.update(second, Change({"status": Status.COMPLETED}, payloads={SOURCE: b"text"}))
        clock.pass_s(DAY / 2)
        assert (await store.sweep()).expired == 1
        assert await store.payload(SOURCE) == b"text"
        clock.pass_s(DAY / 2)
        assert (await store.sweep()).expired == 1
        assert await store.payload(SOURCE) is None

    @within(10)
    async def test_the_checkpoints_of_one_job_go_and_its_neighbours_stay(
        self, opener: Opener, clock: HandClock
    ) -> None:
        store = await opener(retention_s=DAY)
        kept = await running(store, clock, "w2")
        await store.update(kept, Change(payloads={f"step/{kept.job.id}/a": b"kept"}))
        gone = await running(store, clock)
        keys = [f"step/{gone.job.id}/{name}" for name in ("a", "z/deep", "~")] + [f"raw/{gone.job.id}"]
        await store.update(gone, Change({"status": Status.FAILED}, payloads=dict.fromkeys(keys, b"x")))
        clock.pass_s(DAY)
        await store.sweep()
        assert [await store.payload(key) for key in keys] == [None] * 4
        assert await store.payload(f"step/{kept.job.id}/a") == b"kept"

    @within(20)
    async def test_a_sweep_keeps_to_its_budget(self, opener: Opener, clock: HandClock) -> None:
        store = await opener(retention_s=DAY)
        for _ in range(7):
            await ended(store, clock)
        clock.pass_s(DAY)
        assert [(await store.sweep(3)).expired for _ in range(4)] == [3, 3, 1, 0]

    @within(10)
    @pytest.mark.parametrize("jump", [8 * DAY, -2 * DAY])
    async def test_after_a_jump_of_the_wall_clock_nothing_is_deleted_for_an_hour(
        self, opener: Opener, clock: HandClock, jump: float
    ) -> None:
        store = await opener(retention_s=DAY)
        job_id = await ended(store, clock)
        await store.sweep()
        clock.jump(jump)
        assert (await store.sweep()).paused
        clock.pass_s(1_800)
        assert (await store.sweep()).paused
        clock.jump(-jump)
        assert (await store.sweep()).paused
        assert (await store.get(job_id)).status is Status.COMPLETED
        clock.pass_s(3_600)
        swept = await store.sweep()
        assert (swept.paused, swept.expired) == (False, 0)
        clock.pass_s(DAY)
        assert (await store.sweep()).expired == 1

    @within(10)
    async def test_a_clock_that_went_wild_over_a_reboot_deletes_nothing_for_an_hour(
        self, opener: Opener, clock: HandClock
    ) -> None:
        store = await opener(retention_s=DAY)
        await ended(store, clock)
        await store.close()
        clock.reboot(off_s=3_000 * DAY)
        store = await opener(retention_s=DAY)
        assert (await store.sweep()).paused
        clock.pass_s(3_601)
        assert (await store.sweep()).expired == 1

    @within(10)
    async def test_an_ordinary_reboot_delays_no_sweep(self, opener: Opener, clock: HandClock) -> None:
        store = await opener(retention_s=60)
        await ended(store, clock)
        await store.close()
        clock.reboot(off_s=120)
        store = await opener(retention_s=60)
        assert (await store.sweep()).expired == 1

    @within(10)
    async def test_a_sweep_frees_the_jobs_of_dead_workers(
        self, store: JobStore, other: JobStore, clock: HandClock
    ) -> None:
        lease = await running(store, clock)
        clock.pass_s(LEASE_S + 1)
        assert (await other.sweep()).workers == 1
        assert await other.due_in() == 0
        assert [event.kind for event in await other.events(lease.job.id, after=2)] == ["recovered"]


class TestLife:
    @within(10)
    async def test_jobs_outlive_the_process(self, opener: Opener, clock: HandClock) -> None:
        store = await opener()
        job_id = await ended(store, clock)
        queued, _ = await store.submit(a_job(clock))
        await store.close()
        store = await opener()
        assert (await store.get(job_id)).status is Status.COMPLETED
        assert await store.payload(f"result/{job_id}") == b"report"
        (lease,) = await store.claim("w2", 1, LEASE_S)
        assert lease.job.id == queued.id

    @within(10)
    async def test_a_closed_store_does_nothing_more(self, opener: Opener, clock: HandClock) -> None:
        store = await opener()
        await store.close()
        await store.close()
        with pytest.raises(RuntimeError):
            await store.submit(a_job(clock))
