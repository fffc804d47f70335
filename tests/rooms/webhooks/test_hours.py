"""The courier by itself, hour by hour of virtual time: it wakes when something is due, and gives up on who hangs."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.abc
import pytest
import trio.testing
from tests.rooms.house import LoopClock
from tests.rooms.webhooks.office import endpoint, office

from spadework.webhooks.outbound import SCHEDULE, TIMEOUT_S

pytestmark = pytest.mark.anyio

HOUR = 3_600.0


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Hours pass in seconds: the clock jumps when nothing has happened for 20 ms."""
    return ("trio", {"clock": trio.testing.MockClock(autojump_threshold=0.02)})


async def test_an_endpoint_away_for_six_hours_is_told_within_one_step_of_its_return(home: Path) -> None:
    async with endpoint() as place, office(home, LoopClock()) as here, anyio.create_task_group() as group:
        begun = here.clock.boot()
        place.answer = lambda: (204, {}) if here.clock.boot() - begun >= 6 * HOUR else None
        job = await here.ended(place.url)
        group.start_soon(here.courier().run)
        await here.tried(job, "delivered", pace_s=HOUR, within_s=76 * HOUR)
        times = [int(arrival.headers["webhook-timestamp"]) for arrival in place.arrivals]
        took = times[-1] - times[0]
        tries = len(place.arrivals)
        assert tries == 6
        assert took == pytest.approx(sum(SCHEDULE[:tries]), abs=tries * 2)
        assert took - 6 * HOUR < SCHEDULE[tries - 1]
        assert len(place.ids) == 1
        group.cancel_scope.cancel()


async def test_an_endpoint_that_never_answers_is_given_up_after_its_time(home: Path) -> None:
    async with office(home, LoopClock()) as here, endpoint() as place:
        held = anyio.Event()

        async def hang(stream: anyio.abc.SocketStream) -> None:
            async with stream:
                await held.wait()

        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            anyio.create_task_group() as group,
        ):
            group.start_soon(listener.serve, hang)
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            job = await here.ended(f"http://127.0.0.1:{port}/")
            begun = here.clock.boot()
            group.start_soon(here.courier().run)
            # Meanwhile another one is told at once.
            await here.ended(place.url, question="Another question?")
            await place.wait(1)
            assert here.clock.boot() - begun < TIMEOUT_S
            delivery = await here.tried(job, within_s=HOUR)
            assert TIMEOUT_S <= here.clock.boot() - begun <= TIMEOUT_S + 10
            assert "no whole answer within 20 s" in delivery.note
            group.cancel_scope.cancel()
