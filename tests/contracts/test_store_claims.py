"""What every `JobStore` promises about claims, leases and dead workers."""

from __future__ import annotations

import anyio
import pytest
from tests.contracts.clock import HandClock
from tests.contracts.conftest import Opener
from tests.contracts.jobs import BOTH, DAY, LEASE_S, a_job, running, within

from spadework.registry import Change, Fenced, JobStore
from spadework_tools.models import Status

pytestmark = BOTH


class TestClaim:
    @within(10)
    async def test_a_claimed_job_runs_and_is_held_once(
        self, store: JobStore, other: JobStore, clock: HandClock
    ) -> None:
        job, _ = await store.submit(a_job(clock))
        clock.pass_s(5)
        (lease,) = await store.claim("w1", 5, LEASE_S)
        assert (lease.job.id, lease.job.status, lease.worker) == (job.id, Status.RUNNING, "w1")
        assert lease.job.started_at == clock.wall()
        assert lease.job == await store.get(job.id)
        assert await other.claim("w2", 5, LEASE_S) == []
        assert await store.claim("w1", 5, LEASE_S) == []

    @within(10)
    async def test_the_longest_waiting_comes_first(self, store: JobStore, clock: HandClock) -> None:
        ids = [(await store.submit(a_job(clock)))[0].id for _ in range(4)]
        leases = await store.claim("w1", 3, LEASE_S)
        assert [lease.job.id for lease in leases] == ids[:3]

    @within(30)
    async def test_workers_share_a_queue_without_overlap(
        self, store: JobStore, other: JobStore, clock: HandClock
    ) -> None:
        ids = {(await store.submit(a_job(clock)))[0].id for _ in range(100)}
        taken: list[str] = []

        async def work(where: JobStore, name: str) -> None:
            while leases := await where.claim(name, 3, LEASE_S):
                taken.extend(lease.job.id for lease in leases)

        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(work, store, f"a{number}")
                tasks.start_soon(work, other, f"b{number}")
        assert len(taken) == 100
        assert set(taken) == ids

    @within(10)
    async def test_the_named_job_is_taken_and_no_other(self, store: JobStore, clock: HandClock) -> None:
        await store.submit(a_job(clock))
        job, _ = await store.submit(a_job(clock))
        (lease,) = await store.claim("w1", 5, LEASE_S, job.id)
        assert lease.job.id == job.id
        assert await store.claim("w1", 5, LEASE_S, job.id) == []
        assert await store.claim("w1", 5, LEASE_S, "r_unknown") == []

    @within(10)
    async def test_a_worker_that_keeps_its_heartbeat_keeps_its_jobs(
        self, store: JobStore, other: JobStore, clock: HandClock
    ) -> None:
        lease = await running(store, clock)
        for _ in range(10):
            clock.pass_s(LEASE_S - 1)
            assert await store.heartbeat("w1", LEASE_S)
            assert await other.claim("w2", 1, LEASE_S) == []
        await store.update(lease, Change({"phase": "still here"}))

    @within(10)
    async def test_a_silent_workers_job_goes_to_another_before_all_others(
        self, store: JobStore, other: JobStore, clock: HandClock
    ) -> None:
        lease = await running(store, clock)
        waiting, _ = await store.submit(a_job(clock))
        clock.pass_s(LEASE_S + 1)
        first, second = await other.claim("w2", 2, LEASE_S)
        assert (first.job.id, second.job.id) == (lease.job.id, waiting.id)
        assert first.fence > lease.fence
        with pytest.raises(Fenced):
            await store.update(lease, Change({"phase": "zombie"}))
        assert not await store.heartbeat("w1", LEASE_S)

    @within(10)
    async def test_a_worker_that_lost_its_lease_hears_of_it_before_it_gets_more(
        self, store: JobStore, other: JobStore, clock: HandClock
    ) -> None:
        """Otherwise a claim would renew it, and nobody would tell it to drop the work it has lost."""
        await running(store, clock)
        clock.pass_s(LEASE_S + 1)
        await other.sweep()
        await store.submit(a_job(clock))
        assert await store.claim("w1", 1, LEASE_S) == []
        assert not await store.heartbeat("w1", LEASE_S)
        assert len(await store.claim("w1", 2, LEASE_S)) == 2

    @within(10)
    async def test_a_heartbeat_of_a_worker_that_holds_nothing_is_false(self, store: JobStore) -> None:
        assert not await store.heartbeat("nobody", LEASE_S)

    @within(10)
    @pytest.mark.parametrize("jump", [2 * DAY, -DAY, 8 * DAY])
    async def test_a_jump_of_the_wall_clock_steals_no_lease(
        self, store: JobStore, other: JobStore, clock: HandClock, jump: float
    ) -> None:
        lease = await running(store, clock)
        clock.jump(jump)
        assert await other.claim("w2", 1, LEASE_S) == []
        assert (await other.sweep()).workers == 0
        assert (await store.update(lease, Change({"phase": "mine"}))).phase == "mine"

    @within(10)
    async def test_a_store_that_closes_gives_its_workers_jobs_up_at_once(
        self, opener: Opener, clock: HandClock
    ) -> None:
        first = await opener()
        lease = await running(first, clock)
        await first.close()
        second = await opener()
        (again,) = await second.claim("w2", 1, LEASE_S)
        assert again.job.id == lease.job.id

    @within(10)
    async def test_a_worker_that_leaves_hands_its_jobs_back_to_the_front(
        self, store: JobStore, other: JobStore, clock: HandClock
    ) -> None:
        lease = await running(store, clock)
        await store.submit(a_job(clock))
        await store.leave("w1")
        (again,) = await other.claim("w2", 1, LEASE_S)
        assert again.job.id == lease.job.id
        with pytest.raises(Fenced):
            await store.update(lease, Change({"phase": "late"}))

    @within(10)
    async def test_after_a_reboot_every_worker_is_dead_and_everything_is_due(
        self, opener: Opener, clock: HandClock
    ) -> None:
        store = await opener()
        held = await running(store, clock)
        parked = await running(store, clock)
        await store.update(parked, Change(due=clock.boot() + 9_000))
        await store.close()
        clock.reboot()
        store = await opener()
        assert await store.due_in() == 0
        leases = await store.claim("w2", 5, LEASE_S)
        assert {lease.job.id for lease in leases} == {held.job.id, parked.job.id}
        assert not await store.heartbeat("w1", LEASE_S)

    @within(20)
    async def test_a_job_whose_workers_all_die_is_poison(self, opener: Opener, clock: HandClock) -> None:
        job = a_job(clock)
        await (await opener()).submit(job)
        for number in range(5):
            doomed = await opener()
            (lease,) = await doomed.claim(f"w{number}", 1, LEASE_S)
            assert lease.job.claims == number + 1
            clock.pass_s(3)
            await doomed.close()
        last = await opener()
        assert await last.claim("w9", 1, LEASE_S) == []
        failed = await last.get(job.id)
        assert failed.status is Status.FAILED
        assert failed.error is not None
        assert failed.error.code == "poison"
        assert failed.expires_at is not None

    @within(20)
    async def test_a_job_whose_workers_die_as_soon_as_they_start_is_poison_after_four_times_as_many(
        self, opener: Opener, clock: HandClock
    ) -> None:
        job = a_job(clock)
        await (await opener()).submit(job)
        claims = 0
        while True:
            doomed = await opener()
            if not await doomed.claim(f"w{claims}", 1, LEASE_S):
                break
            claims += 1
            clock.pass_s(0.5)
            await doomed.close()
        assert claims == 20
        failed = await doomed.get(job.id)
        assert failed.error is not None
        assert failed.error.code == "poison"

    @within(20)
    async def test_progress_makes_a_job_no_poison(self, opener: Opener, clock: HandClock) -> None:
        await (await opener()).submit(a_job(clock))
        for number in range(8):
            doomed = await opener()
            (lease,) = await doomed.claim(f"w{number}", 1, LEASE_S)
            if number == 3:
                await doomed.update(lease, Change({"sources": number}, durable=False))
            await doomed.close()

    @within(20)
    async def test_leaving_cleanly_makes_a_job_no_poison(self, store: JobStore, clock: HandClock) -> None:
        await store.submit(a_job(clock))
        for number in range(8):
            assert len(await store.claim(f"w{number}", 1, LEASE_S)) == 1
            await store.leave(f"w{number}")
