"""The way to the database thread: order, cancellation, and nothing that runs after its caller has gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import anyio
import pytest
from tests.contracts.clock import HandClock
from tests.contracts.jobs import BOTH, LEASE_S, a_job, within

from spadework.registry import Lease
from spadework.registry.disk import DiskStore
from spadework.registry.thread import Thread

pytestmark = BOTH


@pytest.fixture
def thread() -> Iterator[Thread]:
    made = Thread("test")
    yield made
    made.stop()


@within(10)
async def test_calls_run_in_order_on_one_thread(thread: Thread) -> None:
    seen: list[tuple[int, int]] = []

    async def call(number: int) -> None:
        await thread.call(lambda: seen.append((number, threading.get_ident())))

    for number in range(20):
        await call(number)
    assert [number for number, _ in seen] == list(range(20))
    assert len({ident for _, ident in seen}) == 1
    assert seen[0][1] != threading.get_ident()


@within(10)
async def test_an_error_reaches_its_caller(thread: Thread) -> None:
    with pytest.raises(ZeroDivisionError):
        await thread.call(lambda: 1 // 0)
    assert await thread.call(lambda: 3) == 3


@within(10)
async def test_work_whose_caller_left_before_it_began_never_runs(thread: Thread) -> None:
    gate, ran = threading.Event(), []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(thread.call, lambda: gate.wait(5))
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.05):
            await thread.call(lambda: ran.append("late"))
        gate.set()
    await thread.call(lambda: ran.append("after"))
    assert ran == ["after"]


@within(10)
async def test_work_that_has_begun_is_finished_and_taken_back(thread: Thread) -> None:
    gate, begun = threading.Event(), threading.Event()
    undone: list[str] = []

    def work() -> str:
        begun.set()
        gate.wait(5)
        return "result"

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(thread.call, work, undone.append)
        while not begun.is_set():
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
        gate.set()
    assert undone == ["result"]


@within(10)
async def test_a_loop_that_stands_still_does_not_hold_the_thread(thread: Thread) -> None:
    """A reply is handed over, not waited for: the next work runs while the loop has yet to hear of the last."""
    both = threading.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(thread.call, lambda: None)
        tasks.start_soon(thread.call, both.set)
        await anyio.wait_all_tasks_blocked()
        assert both.wait(5)


@within(10)
async def test_a_cancelled_claim_leaves_no_job_held_by_a_worker_that_does_not_know(
    store: DiskStore, clock: HandClock
) -> None:
    for _ in range(30):
        await store.submit(a_job(clock))
    received: list[Lease] = []

    async def claim() -> None:
        received.extend(await store.claim("w1", 1, LEASE_S))

    for _ in range(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(claim)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    assert len(received) < 30
    assert len(await store.claim("w1", 100, LEASE_S)) == 30 - len(received)
