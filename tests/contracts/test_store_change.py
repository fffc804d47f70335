"""What every `JobStore` promises about when a job last changed."""

from __future__ import annotations

import pytest
from tests.contracts.clock import HandClock
from tests.contracts.jobs import BOTH, LEASE_S, a_job, within

from spadework.registry import Change, JobStore
from spadework_tools.models import Status

pytestmark = BOTH


@within(10)
async def test_a_job_says_when_a_reader_could_last_see_a_change_and_nothing_else_moves_that(
    store: JobStore, other: JobStore, clock: HandClock
) -> None:
    job, _ = await store.submit(a_job(clock))
    assert job.changed_at is None
    clock.pass_s(5)
    (lease,) = await store.claim("w1", 1, LEASE_S, job.id)
    assert (await other.get(job.id)).changed_at == clock.wall()
    clock.pass_s(5)
    reading = await store.update(lease, Change({"phase": "reading"}, durable=False))
    assert reading.changed_at == clock.wall()
    clock.pass_s(5)
    # A checkpoint, a heartbeat and what changes nothing are not seen by who reads the job.
    await store.update(lease, Change(payloads={f"step/{job.id}/a": b"1"}))
    await store.update(lease, Change({"phase": "reading"}, durable=False))
    await store.heartbeat("w1", LEASE_S)
    assert (await other.get(job.id)).changed_at == reading.changed_at
    ended = await store.update(lease, Change({"status": Status.COMPLETED}))
    assert ended.changed_at == clock.wall()
    clock.pass_s(5)
    await store.cancel(job.id)
    assert (await other.get(job.id)).changed_at == ended.changed_at


@within(10)
async def test_when_a_job_changed_is_the_stores_own_word(store: JobStore, clock: HandClock) -> None:
    await store.submit(a_job(clock))
    (lease,) = await store.claim("w1", 1, LEASE_S)
    with pytest.raises(ValueError, match="changed_at"):
        await store.update(lease, Change({"changed_at": 1.0}))
