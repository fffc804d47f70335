"""A process that is killed on the way loses no webhook, and two lives of one delivery are one id."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import anyio.abc
import pytest
from tests.contracts.jobs import within
from tests.rooms.webhooks.office import Endpoint, endpoint, office

from spadework.clock import SystemClock
from spadework.webhooks.outbound import LEASE_S

pytestmark = pytest.mark.anyio

#: Ends jobs and says so; then, if asked, delivers.
LIFE = """
import pathlib, sys, anyio
from spadework.clock import SystemClock
from tests.rooms.webhooks.office import office
async def main():
    async with office(pathlib.Path(sys.argv[1]), SystemClock()) as here:
        if sys.argv[2] == "deliver":
            await here.courier().run()
        for n in range(int(sys.argv[2])):
            job = await here.ended(sys.argv[3], question=f"Question {n}?")
            print(job.id, flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""
ENV = {"PYTHONPATH": ":".join(path for path in sys.path if path), "PATH": "/usr/bin:/bin"}


class Later(SystemClock):
    """A process that looks after the dead one's claim has run out."""

    def boot(self) -> float:
        return super().boot() + LEASE_S


@pytest.fixture
async def place() -> AsyncGenerator[Endpoint]:
    async with endpoint() as opened:
        yield opened


def life(home: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", LIFE, str(home), *words], env=ENV, stdout=subprocess.PIPE)


async def said(process: subprocess.Popen[bytes], count: int) -> list[str]:
    assert process.stdout is not None
    lines = process.stdout
    return [(await anyio.to_thread.run_sync(lines.readline)).decode().strip() for _ in range(count)]


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    if process.stdout is not None:
        process.stdout.close()


@within(60)
async def test_a_kill_between_the_end_of_a_job_and_its_delivery_loses_nothing(home: Path, place: Endpoint) -> None:
    process = life(home, "5", place.url)
    ids = await said(process, 5)
    kill(process)
    assert not place.arrivals
    async with office(home, SystemClock()) as here:
        assert await here.courier().round() is None
    assert sorted(arrival.json["data"]["job_id"] for arrival in place.arrivals) == sorted(ids)


@within(60)
async def test_a_kill_in_the_middle_of_a_delivery_sends_it_again_under_its_id(home: Path, place: Endpoint) -> None:
    async with office(home, SystemClock()) as here:
        job = await here.ended(place.url)
    victims = [life(home, "deliver")]

    def die() -> None:
        # The request is here, and its answer will find nobody.
        kill(victims[0])

    place.answer = die
    await place.wait(1)
    place.always(204)
    async with office(home, SystemClock()) as here:
        # The dead one's claim still stands.
        wait = await here.courier().round()
        assert wait is not None
        assert 0 < wait <= LEASE_S
    async with office(home, Later()) as here:
        assert await here.courier().round() is None
        delivery = await here.delivery(job)
        assert (delivery.state, delivery.attempt) == ("delivered", 1)
    assert [arrival.id for arrival in place.arrivals] == [delivery.id] * 2
