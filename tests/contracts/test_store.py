"""What every `JobStore` promises, whatever it keeps its jobs in: taking jobs in and reading them.

Each test of this folder speaks through the port alone. `store` and `other` are two handles on one registry, as two
processes have.
"""

from __future__ import annotations

import anyio
import pytest
from tests.contracts.clock import HandClock
from tests.contracts.conftest import Opener
from tests.contracts.jobs import BOTH, DAY, LEASE_S, a_job, ended, running, within

from spadework.registry import Change, JobStore
from spadework_tools.errors import BadRequest, IdempotencyMismatch, QueueFull, UnknownJob
from spadework_tools.models import Status

pytestmark = BOTH


class TestSubmit:
    @within(10)
    async def test_a_job_reads_back_as_it_was_stored(self, store: JobStore, other: JobStore, clock: HandClock) -> None:
        job = a_job(clock, include_domains=("a.org",), output_schema={"type": "object"}, label="mine", max_cost_usd=2.5)
        stored, created = await store.submit(job)
        assert created
        assert stored == job.model_copy(update={"seq": stored.seq, "version": stored.version})
        assert await store.get(job.id) == stored
        assert await other.get(job.id, "ann") == stored

    @within(10)
    async def test_one_key_is_one_job(self, store: JobStore, other: JobStore, clock: HandClock) -> None:
        first, _ = await store.submit(a_job(clock, idempotency_key="k"))
        clock.pass_s(3 * DAY)
        again, created = await other.submit(a_job(clock, idempotency_key="k", label="a label changes no work"))
        assert (again.id, created) == (first.id, False)

    @within(10)
    async def test_one_key_with_other_arguments_names_what_differs(self, store: JobStore, clock: HandClock) -> None:
        first, _ = await store.submit(a_job(clock, idempotency_key="k"))
        with pytest.raises(IdempotencyMismatch) as caught:
            await store.submit(a_job(clock, "Something else?", idempotency_key="k", effort="high"))
        assert caught.value.fields == ("effort", "question")
        assert first.id in str(caught.value)
        assert len((await store.list()).jobs) == 1

    @within(10)
    async def test_a_key_belongs_to_its_owner(self, store: JobStore, clock: HandClock) -> None:
        first, _ = await store.submit(a_job(clock, idempotency_key="k"))
        second, created = await store.submit(a_job(clock, "Another?", owner="bob", idempotency_key="k"))
        assert created
        assert second.id != first.id

    @within(20)
    async def test_many_submits_of_one_key_at_once_are_one_job(
        self, store: JobStore, other: JobStore, clock: HandClock
    ) -> None:
        answers: list[tuple[str, bool]] = []

        async def submit(where: JobStore) -> None:
            job, created = await where.submit(a_job(clock, idempotency_key="k"))
            answers.append((job.id, created))

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(submit, store)
                tasks.start_soon(submit, other)
        assert len({job_id for job_id, _ in answers}) == 1
        assert sum(created for _, created in answers) == 1

    @within(10)
    async def test_the_same_request_within_the_window_is_the_same_job(self, store: JobStore, clock: HandClock) -> None:
        first, _ = await store.submit(a_job(clock), dedupe_s=DAY)
        clock.pass_s(DAY - 1)
        again, created = await store.submit(a_job(clock, "What  is new?", label="x"), dedupe_s=DAY)
        assert (again.id, created) == (first.id, False)
        clock.pass_s(2)
        _, created = await store.submit(a_job(clock), dedupe_s=DAY)
        assert created

    @within(10)
    async def test_without_a_window_the_same_request_is_a_new_job(self, store: JobStore, clock: HandClock) -> None:
        await store.submit(a_job(clock))
        _, created = await store.submit(a_job(clock))
        assert created

    @within(10)
    @pytest.mark.parametrize("fate", ["failed", "cancelled", "cancelling", "keyed", "foreign"])
    async def test_what_a_request_does_not_repeat(self, store: JobStore, clock: HandClock, fate: str) -> None:
        """A job that came to nothing, one under a key, and someone else's are not given for a new request."""
        fields = {"keyed": {"idempotency_key": "k"}, "foreign": {"owner": "bob"}}.get(fate, {})
        lease = await running(store, clock, **fields)
        if fate == "failed":
            await store.update(lease, Change({"status": Status.FAILED}))
        if fate in ("cancelled", "cancelling"):
            await store.cancel(lease.job.id)
        if fate == "cancelled":
            await store.update(lease, Change({"status": Status.CANCELLED}))
        _, created = await store.submit(a_job(clock), dedupe_s=DAY)
        assert created

    @within(10)
    async def test_a_completed_job_answers_the_same_request(self, store: JobStore, clock: HandClock) -> None:
        job_id = await ended(store, clock)
        again, created = await store.submit(a_job(clock), dedupe_s=DAY)
        assert (again.id, created) == (job_id, False)

    @within(10)
    async def test_the_same_job_handed_in_twice_is_one(self, store: JobStore, clock: HandClock) -> None:
        """A caller that saw RegistryBusy after all may hand in the very same job again."""
        job = a_job(clock)
        await store.submit(job)
        again, created = await store.submit(job)
        assert (again.id, created) == (job.id, False)
        assert len((await store.list()).jobs) == 1

    @within(10)
    async def test_a_full_queue_accepts_nothing_until_one_leaves(self, opener: Opener, clock: HandClock) -> None:
        store = await opener(limit=2)
        first, _ = await store.submit(a_job(clock, idempotency_key="k"))
        second, _ = await store.submit(a_job(clock))
        with pytest.raises(QueueFull) as caught:
            await store.submit(a_job(clock))
        assert (caught.value.queued, caught.value.limit) == (2, 2)
        repeated, created = await store.submit(a_job(clock, idempotency_key="k"))
        assert (repeated.id, created) == (first.id, False)
        await store.cancel(second.id)
        await store.submit(a_job(clock))
        await store.claim("w1", 1, LEASE_S)
        await store.submit(a_job(clock))
        with pytest.raises(QueueFull):
            await store.submit(a_job(clock))

    @within(10)
    async def test_a_lone_surrogate_in_the_request_survives(self, store: JobStore, clock: HandClock) -> None:
        """A JSON body may hold one, and it must not make the job unreadable."""
        job, _ = await store.submit(a_job(clock, output_schema={"title": "\ud800"}))
        assert (await store.get(job.id)).request.output_schema == {"title": "\ud800"}


class TestRead:
    @within(10)
    async def test_a_foreign_job_reads_as_none_at_all(self, store: JobStore, clock: HandClock) -> None:
        job, _ = await store.submit(a_job(clock))
        with pytest.raises(UnknownJob) as foreign:
            await store.get(job.id, "bob")
        absent = "r_" + "0" * 36
        with pytest.raises(UnknownJob) as unknown:
            await store.get(absent, "bob")
        assert str(foreign.value).replace(job.id, "…") == str(unknown.value).replace(absent, "…")
        assert (await store.get(job.id, None)).id == job.id

    @within(20)
    async def test_pages_join_to_the_whole_list_newest_first(self, store: JobStore, clock: HandClock) -> None:
        """The order is that of arrival, also across a wall clock that went back."""
        ids: list[str] = []
        for number in range(25):
            clock.jump(-3_600 if number == 12 else 1)
            job, _ = await store.submit(a_job(clock, owner="ann" if number % 5 else "bob"))
            ids.append(job.id)
        seen: list[str] = []
        cursor = None
        while True:
            page = await store.list(limit=4, cursor=cursor)
            seen += [job.id for job in page.jobs]
            cursor = page.cursor
            if cursor is None:
                break
            assert len(page.jobs) == 4
        assert seen == ids[::-1]
        assert [job.id for job in (await store.list("bob")).jobs] == ids[20::-5]
        assert (await store.list("nobody")).jobs == ()

    @within(10)
    async def test_a_list_keeps_to_the_statuses_asked_for(self, store: JobStore, clock: HandClock) -> None:
        done = await ended(store, clock)
        failed = await ended(store, clock, Status.FAILED)
        queued, _ = await store.submit(a_job(clock))
        both = await store.list("ann", [Status.COMPLETED, Status.FAILED])
        assert [job.id for job in both.jobs] == [failed, done]
        assert [job.id for job in (await store.list(None, [Status.QUEUED])).jobs] == [queued.id]
        assert [job.id for job in (await store.list(None, [Status.QUEUED, Status.FAILED])).jobs] == [queued.id, failed]
        assert (await store.list("ann", [Status.CANCELLED])).jobs == ()

    @within(10)
    async def test_a_page_stays_put_while_jobs_arrive(self, store: JobStore, clock: HandClock) -> None:
        ids = [(await store.submit(a_job(clock)))[0].id for _ in range(4)]
        page = await store.list("ann", limit=2)
        await store.submit(a_job(clock))
        older = await store.list("ann", limit=2, cursor=page.cursor)
        assert [job.id for job in older.jobs] == ids[1::-1]
        assert older.cursor is None

    @within(10)
    @pytest.mark.parametrize("cursor", ["", "x", "j", "j-1", "j1 ", "j" + "9" * 40, "j1; DROP TABLE rq_jobs"])
    async def test_a_cursor_that_no_list_gave_is_refused(self, store: JobStore, cursor: str) -> None:
        with pytest.raises(BadRequest):
            await store.list(cursor=cursor)

    @within(10)
    async def test_a_payload_nobody_kept_is_none(self, store: JobStore) -> None:
        assert await store.payload("result/nothing") is None
