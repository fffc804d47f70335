"""Several processes and several lives: who holds a delivery, and what becomes of it when its holder is gone."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest
from tests.contracts.clock import HandClock
from tests.contracts.jobs import within
from tests.rooms.webhooks.office import Endpoint, endpoint, office

from spadework.delivery import Address, Tried
from spadework.webhooks.outbound import LEASE_S, PATIENCE_S

pytestmark = pytest.mark.anyio

DAY = 86_400.0
SOON = 30.0


@pytest.fixture
async def place() -> AsyncGenerator[Endpoint]:
    async with endpoint() as opened:
        yield opened


@within(SOON)
async def test_two_processes_tell_of_every_job_once(home: Path, place: Endpoint) -> None:
    clock = HandClock()
    async with office(home, clock) as one, office(home, clock) as two, anyio.create_task_group() as group:
        jobs = [await one.ended(place.url, question=f"Question {n}?") for n in range(20)]
        jobs += [await two.ended(f"{place.url}&n={n}", question=f"Further {n}?") for n in range(20)]
        group.start_soon(one.courier().run)
        group.start_soon(two.courier().run)
        await place.wait(40)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert sorted(arrival.json["data"]["job_id"] for arrival in place.arrivals) == sorted(job.id for job in jobs)
    assert len(place.ids) == 40


@within(SOON)
async def test_a_job_that_ends_elsewhere_in_the_process_is_told_without_being_asked_for(
    home: Path, place: Endpoint
) -> None:
    async with office(home) as here, anyio.create_task_group() as group:
        group.start_soon(here.courier().run)
        await anyio.wait_all_tasks_blocked()
        await here.ended(place.url)
        await place.wait(1)
        group.cancel_scope.cancel()


@within(SOON)
async def test_one_endpoint_that_hangs_keeps_no_other_waiting(home: Path, place: Endpoint) -> None:
    async with office(home) as here, endpoint() as slow, anyio.create_task_group() as group:
        listener = socket.create_server(("127.0.0.1", 0))
        hangs = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        for n in range(30):
            await here.ended(hangs, question=f"Slow {n}?")
        await here.ended(place.url)
        group.start_soon(here.courier().run)
        await place.wait(1)
        assert slow.connections == 0
        group.cancel_scope.cancel()
    listener.close()


@within(SOON)
async def test_a_courier_that_is_stopped_on_the_way_leaves_the_delivery_to_the_next(
    home: Path, place: Endpoint
) -> None:
    async with office(home) as here:
        stuck = anyio.Event()
        place.answer = lambda: (stuck.set(), None)[1]
        listener = socket.create_server(("127.0.0.1", 0))
        job = await here.ended(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        async with anyio.create_task_group() as group:
            group.start_soon(here.courier().run)
            await anyio.wait_readable(listener)
            assert await here.store.outbox.due_in() == pytest.approx(LEASE_S)
            group.cancel_scope.cancel()
        assert await here.store.outbox.due_in() == 0
        assert (await here.delivery(job)).attempt == 0
        listener.close()


@within(SOON)
async def test_a_claim_that_ran_out_is_another_process_and_the_late_answer_counts_for_nothing(
    home: Path, place: Endpoint
) -> None:
    clock = HandClock()
    async with office(home, clock) as frozen, office(home, clock) as alive:
        job = await frozen.ended(place.url)
        (held,) = await frozen.store.outbox.claim(1, LEASE_S)
        assert await alive.courier().round() == pytest.approx(LEASE_S)
        clock.pass_s(LEASE_S)
        await alive.courier().round()
        assert await frozen.store.outbox.settle(held, Tried("too late", gone=True), PATIENCE_S) is None
        assert (await alive.delivery(job)).state == "delivered"
        assert (await alive.store.outbox.endpoints("local"))[0].disabled == ""
        assert place.ids == {held.id}


@within(SOON)
async def test_a_reboot_and_a_jumping_wall_clock_neither_lose_nor_hasten_a_delivery(
    home: Path, place: Endpoint
) -> None:
    async with office(home) as here:
        place.always(500)
        await here.ended(place.url)
        await here.drive(here.courier(), 2_105)
        assert await here.courier().round() == pytest.approx(7_200)
        for jump in (8 * DAY, -9 * DAY):
            here.clock.jump(jump)
            assert await here.courier().round() == pytest.approx(7_200)
        here.clock.jump(DAY)
        here.clock.reboot(1_200)
    async with office(home, here.clock) as here:
        assert await here.courier().round() == pytest.approx(6_000)
        here.clock.jump(-30 * DAY)
        here.clock.reboot(0)
    async with office(home, here.clock) as here:
        # A clock that fell back a month cannot put a delivery off for a month.
        wait = await here.courier().round()
        assert wait is not None
        assert wait <= 1.25 * DAY
        place.always(200)
        here.clock.pass_s(wait)
        assert await here.courier().round() is None
        assert len(place.ids) == 1


@within(SOON)
async def test_whoever_asks_again_for_the_same_research_is_told_too(home: Path, place: Endpoint) -> None:
    async with office(home) as here, endpoint() as second, endpoint() as third:
        job = await here.job(place.url)
        for _ in range(2):
            assert (await here.job(second.url)).id == job.id
        await here.end(job)
        await here.courier().round()
        assert (len(place.arrivals), len(second.arrivals)) == (1, 1)
        # The job has ended: a webhook that is new to it is told at once.
        for _ in range(2):
            assert (await here.job(third.url, Address("inbox", "/elsewhere"))).id == job.id
            await here.courier().round()
        assert (len(place.arrivals), len(second.arrivals), len(third.arrivals)) == (1, 1, 1)
        assert not (home / "inbox").exists()


@within(SOON)
async def test_a_job_is_kept_until_its_webhook_is_settled(home: Path, place: Endpoint) -> None:
    async with office(home) as here:
        place.always(500)
        job = await here.ended(place.url)
        await here.courier().round()
        # The desk sleeps through the job's whole retention.
        here.clock.pass_s(8 * DAY)
        for _ in range(2):
            assert (await here.store.sweep()).expired == 0
        place.always(200)
        await here.courier().round()
        assert place.arrivals[-1].json["data"]["job_id"] == job.id
        assert (await here.store.sweep()).expired == 1
        assert await here.store.outbox.deliveries("local") == []
