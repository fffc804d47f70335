"""Webhooks out of the house: told once or more under one id, on the specification's schedule, to real sockets."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from email.utils import formatdate
from pathlib import Path

import anyio
import pytest
from tests.contracts.jobs import within
from tests.rooms.webhooks.office import QUESTION, Endpoint, endpoint, office

from spadework.delivery import fresh_secret
from spadework.webhooks.outbound import SCHEDULE
from spadework_tools.errors import UnknownDelivery
from spadework_tools.models import Status

pytestmark = pytest.mark.anyio

HOUR, DAY = 3_600.0, 86_400.0
SOON = 30.0


@pytest.fixture
async def place() -> AsyncGenerator[Endpoint]:
    async with endpoint() as opened:
        yield opened


@within(SOON)
async def test_an_ended_job_is_told_signed_and_thin(home: Path, place: Endpoint) -> None:
    async with office(home) as here:
        job = await here.job(place.url, label="pumps ☃")
        assert await here.courier().round() is None
        assert not place.arrivals
        ended = await here.end(job)
        assert await here.courier().round() is None
        (arrival,) = place.arrivals
        assert arrival.json == {
            "type": "research.completed",
            "timestamp": "2027-01-15T08:00:00.000Z",
            "data": {
                "job_id": job.id,
                "status": "completed",
                "outcome": "full",
                "label": "pumps ☃",
                "links": {
                    "resource": f"research://jobs/{job.id}",
                    "report": f"research://jobs/{job.id}/report.md",
                    "cli": f"spadework show {job.id}",
                },
            },
        }
        assert arrival.signed(await here.secret(place.url), here.clock.wall())
        assert not arrival.signed(fresh_secret(), here.clock.wall())
        assert arrival.id.startswith("msg_")
        assert arrival.headers["content-type"] == "application/json"
        assert arrival.headers["user-agent"].startswith("spadework/")
        assert QUESTION.encode() not in arrival.body
        assert b"the whole report" not in arrival.body
        assert (await here.delivery(job)).state == "delivered"
        assert ended.version == (await here.store.get(job.id)).version


@within(SOON)
async def test_the_longest_letter_stays_under_2_kilobytes(home: Path, place: Endpoint) -> None:
    async with office(home) as here:
        await here.ended(place.url, label="🏔" * 80)
        await here.courier().round()
        assert len(place.arrivals[0].body) < 2_000


@within(SOON)
@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
async def test_every_way_to_end_is_told(home: Path, place: Endpoint, status: Status) -> None:
    async with office(home) as here:
        await here.end(await here.job(place.url), status)
        await here.courier().round()
        assert place.arrivals[0].json["type"] == f"research.{status}"
        assert place.arrivals[0].json["data"]["outcome"] is None


@within(SOON)
async def test_a_job_cancelled_in_the_queue_and_one_given_up_as_poison_are_told(home: Path, place: Endpoint) -> None:
    async with office(home) as here:
        cancelled, poison = await here.job(place.url), await here.job(place.url, question="Another question?")
        await here.store.cancel(cancelled.id)
        for n in range(6):
            for lease in await here.store.claim(f"w{n}", 1, 1, poison.id):
                assert lease.job.id == poison.id
            here.clock.pass_s(2)
            await here.store.sweep()
            await here.store.heartbeat(f"w{n}", -1)
            here.clock.pass_s(2)
            here.store._core.leases._forget(f"w{n}")
        assert (await here.store.get(poison.id)).error is not None
        await here.courier().round()
        assert [(one.json["type"], one.json["data"]["job_id"]) for one in place.arrivals] == [
            ("research.cancelled", cancelled.id),
            ("research.failed", poison.id),
        ]


@within(SOON)
async def test_an_endpoint_away_for_six_hours_is_told_at_the_first_step_after_its_return(
    home: Path, place: Endpoint
) -> None:
    async with office(home) as here:
        courier, gone_at = here.courier(), here.clock.wall()
        place.answer = lambda: None
        job = await here.ended(place.url)
        await here.drive(courier, 6 * HOUR)
        away = len(place.arrivals)
        due = (await here.delivery(job)).at
        place.always(200)
        await here.drive(courier, 80 * HOUR)
        assert away == 5
        assert len(place.arrivals) == away + 1
        assert int(place.arrivals[-1].headers["webhook-timestamp"]) == pytest.approx(due, abs=1)
        assert due - gone_at - 6 * HOUR < SCHEDULE[away]
        assert place.ids == {(await here.delivery(job)).id}


@within(SOON)
@pytest.mark.parametrize("steady", [True, False], ids=["to the second", "with jitter"])
async def test_the_schedule_is_walked_to_its_end_under_one_id(home: Path, place: Endpoint, steady: bool) -> None:
    async with office(home, steady=steady) as here:
        place.always(500)
        begun = here.clock.wall()
        job = await here.ended(place.url)
        await here.drive(here.courier(), 100 * HOUR)
        times = [int(arrival.headers["webhook-timestamp"]) - begun for arrival in place.arrivals]
        waits = [later - earlier for earlier, later in zip([0, *times], times, strict=False)]
        assert len(times) == 10
        slack = 0.0 if steady else 0.2
        for wait, planned in zip(waits, SCHEDULE, strict=True):
            assert planned * (1 - slack) - 1 <= wait <= planned * (1 + slack) + 1
        if steady:
            assert times[-1] == 75 * 3_600 + 35 * 60 + 5
        else:
            assert waits != [round(wait) for wait in SCHEDULE]
        delivery = await here.delivery(job)
        assert (delivery.state, delivery.attempt, place.ids) == ("failed", 10, {delivery.id})
        # Each try is signed for its own time, over the same body.
        assert len({arrival.body for arrival in place.arrivals}) == 1
        (event,) = [event for event in await here.store.events(job.id) if event.kind == "webhook"]
        assert "not delivered in 10 tries: 127.0.0.1 answered 500" in event.text
        assert f"spadework webhooks redeliver {delivery.id}" in event.text
        assert "token=private" not in event.text


@within(SOON)
@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 429, 500, 504])
async def test_only_2xx_is_success_and_no_redirect_is_followed(home: Path, place: Endpoint, status: int) -> None:
    async with office(home) as here, endpoint() as elsewhere:
        place.always(status, location=elsewhere.url)
        job = await here.ended(place.url)
        assert await here.courier().round() == pytest.approx(5)
        assert (await here.delivery(job)).state == "due"
        assert elsewhere.connections == 0


@within(SOON)
@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_2xx_is_success(home: Path, place: Endpoint, status: int) -> None:
    async with office(home) as here:
        place.always(status)
        job = await here.ended(place.url)
        assert await here.courier().round() is None
        assert (await here.delivery(job)).state == "delivered"


@within(SOON)
@pytest.mark.parametrize(
    ("header", "wait_s"),
    [("120", 120), ("120.5", 120.5), ("date", 600), ("2", 5), ("-5", 5), ("soon", 5), ("nan", 5), ("1e9", DAY)],
)
async def test_retry_after_is_honoured_and_bounded(home: Path, place: Endpoint, header: str, wait_s: float) -> None:
    async with office(home) as here:
        told = formatdate(here.clock.wall() + 600, usegmt=True) if header == "date" else header
        place.always(429, retry_after=told)
        await here.ended(place.url)
        assert await here.courier().round() == pytest.approx(wait_s)


@within(SOON)
async def test_410_disables_the_endpoint_at_once_and_the_job_says_so(home: Path, place: Endpoint) -> None:
    async with office(home) as here:
        place.always(410)
        job = await here.ended(place.url)
        assert await here.courier().round() is None
        (known,) = await here.store.outbox.endpoints("local")
        assert known.disabled == "127.0.0.1 answered 410"
        (event,) = [event for event in await here.store.events(job.id) if event.kind == "webhook"]
        assert "gets no more: 127.0.0.1 answered 410" in event.text
        # The next job's is not even tried, and its job says so too.
        other = await here.ended(place.url, question="Another question?")
        assert await here.courier().round() is None
        assert len(place.arrivals) == 1
        assert (await here.delivery(other)).state == "disabled"
        assert [event.kind for event in await here.store.events(other.id)].count("webhook") == 1


@within(SOON)
async def test_a_redelivery_keeps_the_id_and_enables_the_endpoint(home: Path, place: Endpoint) -> None:
    async with office(home) as here:
        place.always(410)
        job = await here.ended(place.url)
        await here.courier().round()
        place.always(200)
        name = (await here.delivery(job)).id
        for handle in (name, job.id):
            (again,) = await here.store.outbox.redeliver("local", handle)
            assert (again.id, again.state) == (name, "due")
            await here.courier().round()
        assert [arrival.id for arrival in place.arrivals] == [name] * 3
        assert (await here.store.outbox.endpoints("local"))[0].disabled == ""
        await here.ended(place.url, question="Another question?")
        await here.courier().round()
        assert len(place.arrivals) == 4
        for wrong in ("msg_no", ""):
            with pytest.raises(UnknownDelivery):
                await here.store.outbox.redeliver("local", wrong)
        with pytest.raises(UnknownDelivery):
            await here.store.outbox.redeliver("somebody else", name)
        with pytest.raises(UnknownDelivery):
            await here.store.outbox.redeliver("local", (await here.job(place.url, question="Still running?")).id)


@within(SOON)
async def test_120_hours_of_unbroken_failure_disable_an_endpoint_and_a_success_begins_anew(
    home: Path, place: Endpoint
) -> None:
    async with office(home) as here:
        courier = here.courier()

        async def fail(hours: float, status: int = 503) -> None:
            place.always(status)
            await here.ended(place.url, question=f"What of {here.clock.wall()}?")
            await here.drive(courier, hours * HOUR)

        await fail(60)
        await fail(50)
        await fail(1, 200)
        await fail(60)
        # The machine is off for a week in between: nobody tried, so that time does not count.
        here.clock.reboot(7 * DAY)
    async with office(home, here.clock) as here:
        await here.drive(here.courier(), 50 * HOUR)
        (known,) = await here.store.outbox.endpoints("local")
        assert known.disabled == ""
        assert known.failing_s == pytest.approx(51.6 * HOUR, rel=0.01)
        await here.ended(place.url, question="What after all that?")
        await here.drive(here.courier(), 60 * HOUR)
        (known,) = await here.store.outbox.endpoints("local")
        assert "failed for 133 hours" in known.disabled
        assert "503" in known.disabled


@within(SOON)
async def test_for_a_day_after_a_rotation_both_secrets_sign(home: Path, place: Endpoint) -> None:
    async with office(home) as here:
        await here.ended(place.url)
        old, new = await here.secret(place.url), fresh_secret()
        for _ in range(2):
            # A command that is asked twice over changes nothing the second time.
            assert (await here.store.outbox.rotate("local", place.url, new, DAY)).secrets == (new, old)
        await here.courier().round()
        assert all(place.arrivals[0].signed(secret, here.clock.wall()) for secret in (old, new))
        here.clock.pass_s(DAY)
        await here.ended(place.url, question="A day later?")
        await here.courier().round()
        assert place.arrivals[1].signed(new, here.clock.wall())
        assert not place.arrivals[1].signed(old, here.clock.wall())


@within(SOON)
async def test_each_url_and_each_owner_has_a_secret_of_its_own_that_outlives_the_process(
    home: Path, place: Endpoint
) -> None:
    async with office(home) as here:
        await here.job(place.url)
        await here.job(place.url + "2", question="Another question?")
        await here.job(place.url, owner="ann")
        found = [await here.secret(place.url), await here.secret(place.url + "2"), await here.secret(place.url, "ann")]
        assert len(set(found)) == 3
        assert [one.url for one in await here.store.outbox.endpoints("local")] == [place.url, place.url + "2"]
    async with office(home, here.clock) as here:
        assert await here.secret(place.url) == found[0]
    assert {path.stat().st_mode & 0o077 for path in (home / "registry").rglob("*")} == {0}


@within(SOON)
async def test_an_endpoint_that_answers_without_end_has_answered(home: Path) -> None:
    async def endless(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            with pytest.raises((anyio.BrokenResourceError, anyio.ClosedResourceError)):
                await stream.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
                while True:
                    await stream.send(b"x" * 65_536)

    async with (
        office(home) as here,
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, endless)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        job = await here.ended(f"http://127.0.0.1:{port}/")
        await here.courier().round()
        assert (await here.delivery(job)).state == "delivered"
        group.cancel_scope.cancel()


@within(SOON)
async def test_a_delivery_that_stumbles_over_a_defect_ends_no_courier(
    home: Path, place: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    async with office(home) as here:
        job = await here.job(place.url)
        # What no version of ours has written: a secret that is none.
        await here.store.outbox.rotate("local", place.url, "geheim", 0)
        await here.end(job)
        await here.ended(place.url + "2", question="Another question?")
        assert await here.courier().round() == pytest.approx(5)
        assert len(place.arrivals) == 1
        assert (await here.delivery(job)).note == "spadework hit a defect of its own (ValueError)"
        assert "24 to 64 bytes" in caplog.text
        assert "geheim" not in caplog.text
