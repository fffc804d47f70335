"""What every `JobStore` promises about writing to a job and cancelling it."""

from __future__ import annotations

import pytest
from tests.contracts.clock import HandClock
from tests.contracts.conftest import Opener
from tests.contracts.jobs import BOTH, DAY, LEASE_S, SOURCE, a_job, ended, running, within

from spadework.job import Event, IllegalMove
from spadework.registry import Change, Fenced, JobStore
from spadework_tools.errors import UnknownJob
from spadework_tools.models import Fault, Outcome, Status

pytestmark = BOTH


class TestUpdate:
    @within(10)
    async def test_a_change_is_written_whole(self, store: JobStore, other: JobStore, clock: HandClock) -> None:
        lease = await running(store, clock)
        events = [Event(at=1, kind="progress", text="reading"), Event(at=2, kind="note", data={"pages": 3})]
        fields = {"phase": "reading", "progress": 0.5, "sources": 3, "eta_s": 10}
        job = await store.update(lease, Change(fields, events, {f"step/{lease.job.id}/read": b"\x00"}))
        assert (job.phase, job.progress, job.sources, job.eta_s) == ("reading", 0.5, 3, 10)
        assert await other.get(job.id) == job
        assert await other.payload(f"step/{job.id}/read") == b"\x00"
        kinds = [(event.seq, event.kind) for event in await other.events(job.id)]
        assert kinds == [(1, "queued"), (2, "running"), (3, "progress"), (4, "note")]

    @within(10)
    async def test_a_completed_job_keeps_its_report_until_it_expires(self, opener: Opener, clock: HandClock) -> None:
        store = await opener(retention_s=8 * DAY)
        lease = await running(store, clock)
        clock.pass_s(60)
        done = Change({"status": Status.COMPLETED, "outcome": Outcome.FULL}, payloads={lease.job.result_key: b"all"})
        job = await store.update(lease, done)
        assert (job.status, job.outcome, job.finished_at) == (Status.COMPLETED, Outcome.FULL, clock.wall())
        assert job.expires_at == clock.wall() + 8 * DAY
        assert await store.payload(job.result_key) == b"all"
        assert await store.get(job.id) == job
        with pytest.raises(Fenced):
            await store.update(lease, Change({"phase": "once more"}))

    @within(10)
    async def test_a_fenced_write_leaves_nothing(self, store: JobStore, other: JobStore, clock: HandClock) -> None:
        lease = await running(store, clock)
        clock.pass_s(LEASE_S + 1)
        (taken,) = await other.claim("w2", 1, LEASE_S)
        before = await store.get(lease.job.id), await store.events(lease.job.id)
        late = Change(
            {"status": Status.COMPLETED}, [Event(at=0, kind="note")], {lease.job.result_key: b"zombie", SOURCE: b"z"}
        )
        with pytest.raises(Fenced):
            await store.update(lease, late)
        assert (await store.get(lease.job.id), await store.events(lease.job.id)) == before
        assert await store.payload(lease.job.result_key) is None
        assert await store.payload(SOURCE) is None
        await other.update(taken, Change({"phase": "mine"}))

    @within(10)
    async def test_an_older_fence_of_the_same_worker_is_refused(self, store: JobStore, clock: HandClock) -> None:
        old = await running(store, clock)
        await store.update(old, Change(due=clock.boot()))
        (new,) = await store.claim("w1", 1, LEASE_S)
        with pytest.raises(Fenced):
            await store.update(old, Change({"phase": "old"}))
        await store.update(new, Change({"phase": "new"}))

    @within(10)
    async def test_a_parked_job_is_nobodys_until_it_is_due(
        self, store: JobStore, other: JobStore, clock: HandClock
    ) -> None:
        lease = await running(store, clock)
        await store.update(lease, Change(due=clock.boot() + 60))
        with pytest.raises(Fenced):
            await store.update(lease, Change({"phase": "after parking"}))
        clock.pass_s(59)
        assert await other.claim("w2", 1, LEASE_S) == []
        assert await other.due_in() == pytest.approx(1)
        clock.pass_s(1)
        (again,) = await other.claim("w2", 1, LEASE_S)
        assert (again.job.id, again.job.status) == (lease.job.id, Status.RUNNING)

    @within(10)
    async def test_a_job_that_needs_input_can_wait_and_go_on(self, store: JobStore, clock: HandClock) -> None:
        lease = await running(store, clock)
        fault = Fault(code="missing_key", message="A key is missing. Set it.")
        job = await store.update(lease, Change({"status": Status.NEEDS_INPUT, "error": fault}, due=clock.boot() + 30))
        assert (job.status, job.error) == (Status.NEEDS_INPUT, fault)
        clock.pass_s(30)
        (again,) = await store.claim("w1", 1, LEASE_S)
        assert again.job.status is Status.NEEDS_INPUT
        job = await store.update(again, Change({"status": Status.RUNNING, "error": None}))
        assert await store.get(job.id) == job
        assert job.error is None

    @within(10)
    async def test_a_payload_stays_as_it_was_first_kept(self, store: JobStore, clock: HandClock) -> None:
        lease = await running(store, clock)
        key = f"step/{lease.job.id}/plan"
        await store.update(lease, Change(payloads={key: b"first"}))
        await store.update(lease, Change(payloads={key: b"second"}))
        assert await store.payload(key) == b"first"

    @within(10)
    async def test_a_checkpoint_alone_is_no_news_to_a_reader(self, store: JobStore, clock: HandClock) -> None:
        lease = await running(store, clock)
        version = await store.version()
        job = await store.update(lease, Change(payloads={f"step/{lease.job.id}/plan": b"x"}))
        assert (job.version, await store.version()) == (lease.job.version, version)

    @within(10)
    async def test_an_illegal_move_writes_nothing(self, store: JobStore, clock: HandClock) -> None:
        lease = await running(store, clock)
        with pytest.raises(IllegalMove):
            await store.update(lease, Change({"status": Status.QUEUED}, payloads={lease.job.result_key: b"x"}))
        assert await store.payload(lease.job.result_key) is None
        await store.update(lease, Change({"phase": "on"}))

    @within(10)
    @pytest.mark.parametrize("name", ["id", "owner", "request", "seq", "version", "claims", "nonsense"])
    async def test_what_no_update_may_write(self, store: JobStore, clock: HandClock, name: str) -> None:
        lease = await running(store, clock)
        with pytest.raises(ValueError, match=name):
            await store.update(lease, Change({name: 1}))

    @within(10)
    @pytest.mark.parametrize("key", ["result/other", "step/other/x", "src/short", "src/../x", "free", "result/{id}x"])
    async def test_a_payload_key_names_its_job_or_a_source(self, store: JobStore, clock: HandClock, key: str) -> None:
        lease = await running(store, clock)
        with pytest.raises(ValueError, match="payload key"):
            await store.update(lease, Change(payloads={key.format(id=lease.job.id): b""}))


class TestCancel:
    @within(10)
    async def test_a_queued_job_ends_at_once(self, store: JobStore, clock: HandClock) -> None:
        job, _ = await store.submit(a_job(clock))
        cancelled, changed = await store.cancel(job.id, "ann")
        assert (cancelled.status, changed) == (Status.CANCELLED, True)
        assert cancelled.expires_at is not None
        assert await store.get(job.id) == cancelled
        assert await store.claim("w1", 1, LEASE_S) == []
        assert await store.cancel(job.id, "ann") == (cancelled, False)

    @within(10)
    async def test_a_running_job_is_asked_to_stop(self, store: JobStore, other: JobStore, clock: HandClock) -> None:
        lease = await running(store, clock)
        asked, changed = await other.cancel(lease.job.id)
        assert (asked.status, asked.cancel_requested, changed) == (Status.RUNNING, True, True)
        assert (await other.cancel(lease.job.id))[1] is False
        job = await store.update(lease, Change({"phase": "stopping"}))
        assert job.cancel_requested
        job = await store.update(lease, Change({"status": Status.CANCELLED}))
        assert (job.status, await store.get(job.id)) == (Status.CANCELLED, job)

    @within(10)
    async def test_asking_a_job_to_stop_is_not_lost_under_an_update(self, store: JobStore, clock: HandClock) -> None:
        """The holder's first update after a claim, its later ones, and a parking each keep the wish."""
        lease = await running(store, clock)
        await store.update(lease, Change({"phase": "reading"}))
        await store.cancel(lease.job.id)
        assert (await store.get(lease.job.id)).cancel_requested
        await store.update(lease, Change({"phase": "more"}))
        await store.update(lease, Change(due=clock.boot() + 5))
        assert (await store.get(lease.job.id)).cancel_requested

    @within(10)
    async def test_a_parked_job_comes_to_the_front_to_be_stopped(self, store: JobStore, clock: HandClock) -> None:
        lease = await running(store, clock)
        await store.update(lease, Change(due=clock.boot() + 900))
        await store.submit(a_job(clock))
        await store.cancel(lease.job.id)
        (again,) = await store.claim("w2", 1, LEASE_S)
        assert (again.job.id, again.job.cancel_requested) == (lease.job.id, True)

    @within(10)
    @pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
    async def test_an_ended_job_stays_as_it_is(self, store: JobStore, clock: HandClock, status: Status) -> None:
        job_id = await ended(store, clock, status)
        before = await store.get(job_id)
        assert await store.cancel(job_id) == (before, False)
        assert await store.get(job_id) == before

    @within(10)
    async def test_a_foreign_job_cannot_be_cancelled(self, store: JobStore, clock: HandClock) -> None:
        job, _ = await store.submit(a_job(clock))
        with pytest.raises(UnknownJob):
            await store.cancel(job.id, "bob")
        assert (await store.get(job.id)).status is Status.QUEUED
