"""What every `JobStore` promises about events, versions and waiting for a change."""

from __future__ import annotations

import time

import anyio
import pytest
from tests.contracts.clock import HandClock
from tests.contracts.jobs import BOTH, LEASE_S, a_job, running, within

from spadework.job import Event
from spadework.registry import Change, JobStore
from spadework_tools.models import Status

pytestmark = BOTH


class TestEvents:
    @within(10)
    async def test_they_are_numbered_without_gaps_and_read_in_parts(self, store: JobStore, clock: HandClock) -> None:
        lease = await running(store, clock)
        for number in range(10):
            await store.update(lease, Change(events=[Event(at=number, kind="progress", text=str(number))] * 2))
        await store.update(lease, Change({"status": Status.COMPLETED}))
        everything = await store.events(lease.job.id)
        assert [event.seq for event in everything] == list(range(1, 24))
        assert (everything[0].kind, everything[-1].kind) == ("queued", "completed")
        assert await store.events(lease.job.id, after=20) == everything[20:]
        assert await store.events(lease.job.id, after=3, limit=2) == everything[3:5]
        assert (await store.get(lease.job.id)).seq == 23
        assert await store.events("r_unknown") == []

    @within(10)
    async def test_a_change_of_status_is_told_once(self, store: JobStore, clock: HandClock) -> None:
        lease = await running(store, clock)
        told = Event(at=7, kind="completed", text="in the engine's words")
        await store.update(lease, Change({"status": Status.COMPLETED}, [told]))
        assert [event.text for event in await store.events(lease.job.id) if event.kind == "completed"] == [told.text]

    @within(30)
    async def test_old_progress_gives_way_and_changes_of_state_stay(self, store: JobStore, clock: HandClock) -> None:
        lease = await running(store, clock)
        await store.update(lease, Change(events=[Event(at=0, kind="note", text="kept")]))
        for start in range(0, 1_500, 100):
            batch = [Event(at=0, kind="progress", text=str(start + number)) for number in range(100)]
            await store.update(lease, Change(events=batch, durable=False))
        await store.update(lease, Change({"status": Status.COMPLETED}))
        kept = await store.events(lease.job.id, limit=5_000)
        assert len(kept) <= 1_000
        assert [event.kind for event in kept if event.kind != "progress"] == ["queued", "running", "note", "completed"]
        progress = [int(event.text) for event in kept if event.kind == "progress"]
        assert progress == list(range(progress[0], 1_500))
        assert len(progress) > 800

    @within(10)
    async def test_an_oversized_event_is_clipped_not_refused(self, store: JobStore, clock: HandClock) -> None:
        lease = await running(store, clock)
        big = Event(at=3, kind="note", text="é" * 9_000, data={"x": "y" * 9_000})
        await store.update(lease, Change(events=[big]))
        (clipped,) = await store.events(lease.job.id, after=2)
        assert big.text.startswith(clipped.text)
        assert clipped.data == {"clipped": True}
        assert len(clipped.model_dump_json().encode()) <= 4_096


class TestChanges:
    @within(10)
    async def test_every_visible_change_moves_the_version(self, store: JobStore, clock: HandClock) -> None:
        job, _ = await store.submit(a_job(clock))
        versions = [job.version]
        (lease,) = await store.claim("w1", 1, LEASE_S)
        versions.append(lease.job.version)
        versions.append((await store.update(lease, Change({"phase": "a"}))).version)
        versions.append((await store.cancel(job.id))[0].version)
        versions.append((await store.update(lease, Change({"status": Status.CANCELLED}))).version)
        assert versions == sorted(set(versions))
        assert await store.version() == versions[-1]

    @within(10)
    async def test_polling_a_vendor_is_no_news_to_a_reader(self, store: JobStore, clock: HandClock) -> None:
        """Parking and claiming again change nothing a reader sees; the store's own counter tells other runners."""
        lease = await running(store, clock)
        for _ in range(3):
            before = await store.version()
            await store.update(lease, Change(due=clock.boot()))
            assert await store.version() > before
            (lease,) = await store.claim("w1", 1, LEASE_S)
        assert (await store.get(lease.job.id)).version == lease.job.version

    @within(10)
    @pytest.mark.parametrize("own", [True, False])
    async def test_a_waiter_wakes_on_a_change(
        self, store: JobStore, other: JobStore, clock: HandClock, *, own: bool
    ) -> None:
        since = await store.version()
        woken: list[int] = []

        async def wait() -> None:
            woken.append(await store.changed(since, 60))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert woken == []
            await (store if own else other).submit(a_job(clock))
        assert woken == [since + 1] * 5

    @within(10)
    async def test_a_waiter_far_ahead_does_not_keep_the_others_asleep(
        self, store: JobStore, other: JobStore, clock: HandClock
    ) -> None:
        since = await store.version()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.changed, since + 1_000, 60)
            await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(5):
                async with anyio.create_task_group() as waiters:
                    waiters.start_soon(store.changed, since, 60)
                    await anyio.wait_all_tasks_blocked()
                    await other.submit(a_job(clock))
            tasks.cancel_scope.cancel()

    @within(10)
    async def test_the_waiters_go_on_when_the_one_that_looks_is_cancelled(
        self, store: JobStore, other: JobStore, clock: HandClock
    ) -> None:
        since = await store.version()
        async with anyio.create_task_group() as first, anyio.create_task_group() as second:
            first.start_soon(store.changed, since, 60)
            await anyio.wait_all_tasks_blocked()
            second.start_soon(store.changed, since, 60)
            await anyio.wait_all_tasks_blocked()
            first.cancel_scope.cancel()
            # `second` is entered last, so the cancelled group's end waits for it.
            with anyio.CancelScope(shield=True):
                await other.submit(a_job(clock))
        assert await store.version() == since + 1

    @within(10)
    async def test_without_a_change_the_wait_ends_with_its_time(self, store: JobStore) -> None:
        since = await store.version()
        assert await store.changed(since, 0.2) == since
        assert await store.changed(since - 1, 60) == since

    @within(10)
    async def test_the_time_until_the_next_due_job(self, store: JobStore, clock: HandClock) -> None:
        assert await store.due_in() is None
        lease = await running(store, clock)
        assert await store.due_in() is None
        await store.update(lease, Change(due=clock.boot() + 40))
        clock.pass_s(15)
        assert await store.due_in() == pytest.approx(25)
        await store.submit(a_job(clock))
        assert await store.due_in() == 0

    @within(60)
    async def test_a_thousand_who_wait_cost_little_and_are_all_told(self, store: JobStore, clock: HandClock) -> None:
        """Measured over two seconds: 1.4 s of the processor where each of them looks 20 times a second."""
        since = await store.version()
        woken: list[int] = []

        async def wait() -> None:
            woken.append(await store.changed(since, 60))

        async with anyio.create_task_group() as group:
            for _ in range(1_000):
                group.start_soon(wait)
            await anyio.sleep(1)
            begun = time.process_time()
            await anyio.sleep(2)
            spent = time.process_time() - begun
            await store.submit(a_job(clock))
        assert spent < 0.6
        assert len(woken) == 1_000
        assert min(woken) > since
