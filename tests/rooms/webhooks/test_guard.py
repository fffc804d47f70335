"""Where no webhook goes: refused at the start where it can be seen, and when it is sent always."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.contracts.jobs import within
from tests.rooms.webhooks.office import Office, endpoint, office

from spadework.caller import Caller
from spadework.desk import Desk
from spadework.engines import Engine
from spadework.engines.scripted import Scripted
from spadework_tools.errors import BadWebhook
from spadework_tools.models import Request

pytestmark = pytest.mark.anyio

EVIDENT = [
    "http://example.org/hook",
    "ftp://example.org/hook",
    "javascript:alert(1)",
    "example.org/hook",
    "https://",
    "https://user:pass@example.org/",
    "https://user@example.org/",
    "https://example.org:22/",
    "https://example.org:8443/",
    "https://127.0.0.1/",
    "https://10.1.2.3/",
    "https://172.16.0.1/",
    "https://192.168.0.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    "https://[::1]/",
    "https://[fd00:ec2::254]/",
    "https://[fe80::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[64:ff9b::a00:1]/",
    "https://[2002:a00:1::]/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://x.localhost/",
    "https://metadata.google.internal/",
    "https://exa\nmple.org/",
    "https://127.0.0.2:9/",
]


def desk(here: Office, **options: Any) -> Desk:
    engines: Mapping[str, Engine] = {"scripted": Scripted()}
    caller = Caller(here.kit.settings, base=here.kit.settings.home, **options)
    return Desk(here.store, engines, caller, here.clock, here.kit.ledger, judge=here.kit.http.judge)


def asking(url: str | None) -> Request:
    return Request(question="What is new? [script: report 300]", engine="scripted", webhook_url=url)


@within(20)
@pytest.mark.parametrize("url", EVIDENT)
async def test_an_address_that_is_evidently_wrong_is_refused_before_anything_is_stored(home: Path, url: str) -> None:
    async with office(home, allow_private=("127.0.0.2:8443",)) as here:
        with pytest.raises(BadWebhook, match="webhook_url cannot be told, so nothing was started") as caught:
            await desk(here).start(asking(url))
        assert "SPADEWORK_ALLOW_PRIVATE" in caught.value.message
        assert "pass" not in caught.value.message.replace("SPADEWORK_ALLOW", "")
        assert not (await here.store.list()).jobs
        assert not await here.store.outbox.endpoints("local")


@within(20)
@pytest.mark.parametrize("url", ["https://example.org/hook?x=1", "https://8.8.8.8/", "http://intranet.lan:99/hook"])
async def test_a_public_address_and_an_allowed_host_are_accepted(home: Path, url: str) -> None:
    async with office(home, allow_private=("intranet.lan",)) as here:
        ticket = await desk(here).start(asking(url))
        (delivery,) = await here.store.outbox.deliveries("local")
        assert (delivery.job_id, delivery.address.to, delivery.state) == (ticket.job_id, url, "waiting")


@within(20)
async def test_the_webhook_of_the_settings_is_told_of_every_job_without_one_of_its_own(home: Path) -> None:
    async with office(home, webhook_url="https://example.org/all") as here:
        one = await desk(here).start(asking(None))
        other = await desk(here).start(asking("https://example.org/one").model_copy(update={"label": "own"}))
        assert other.job_id == one.job_id
        found = [delivery.address.to for delivery in await here.store.outbox.deliveries("local")]
        assert found == ["https://example.org/one", "https://example.org/all"]
    async with office(home, here.clock, webhook_url="http://10.0.0.1/") as here:
        with pytest.raises(BadWebhook, match="the setting webhook_url cannot be told"):
            await desk(here).start(asking(None))


def leading(*addresses: str, port: int) -> Any:
    """A resolver whose answers follow each other (an empty one: no such name); the last one stays."""
    left = list(addresses)

    def lookup(host: str, wanted: int, *_: Any) -> list[Any]:
        address = left.pop(0) if len(left) > 1 else left[0]
        if not address:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port if address.startswith("127.") else wanted))]

    return lookup


@within(20)
@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "192.168.1.1"])
async def test_a_name_that_leads_inside_is_refused_when_it_is_sent_and_no_byte_leaves(home: Path, address: str) -> None:
    async with endpoint() as inside, office(home, lookup=leading(address, port=inside.port)) as here:
        here.kit.http.judge("https://rebound.example.org/hook")
        job = await here.ended("https://rebound.example.org/hook")
        for _ in range(3):
            wait = await here.courier().round()
            assert wait is not None
            here.clock.pass_s(wait)
        delivery = await here.delivery(job)
        assert (delivery.state, delivery.attempt, inside.connections) == ("due", 3, 0)
        assert "rebound.example.org" in delivery.note
        assert "may not be reached" in delivery.note


@within(20)
async def test_a_name_is_judged_anew_at_every_try(home: Path) -> None:
    async with endpoint() as inside:
        lookup = leading("", "", "127.0.0.1", port=inside.port)
        async with office(home, lookup=lookup) as here:
            job = await here.ended("https://rebound.example.org/hook")
            notes: list[str] = []
            for _ in range(4):
                await here.courier().round()
                notes.append((await here.delivery(job)).note)
                here.clock.pass_s(8_000)
            assert ["may not be reached" in note for note in notes] == [False, False, True, True]
            assert inside.connections == 0


@within(20)
async def test_a_host_that_is_no_longer_allowed_is_told_nothing_more(home: Path) -> None:
    async with endpoint() as place:
        async with office(home) as here:
            job = await here.ended(place.url)
        async with office(home, here.clock, allow_private=()) as here:
            await here.courier().round()
            assert place.connections == 0
            assert "scheme 'http'" in (await here.delivery(job)).note


@within(20)
async def test_the_same_name_with_plain_http_is_not_sent_to_in_clear(home: Path) -> None:
    async with office(home, lookup=leading("93.184.216.34", port=80)) as here:
        job = await here.ended("http://example.org/hook")
        with anyio.fail_after(5):
            await here.courier().round()
        assert "scheme 'http' is not in allowed_schemes" in (await here.delivery(job)).note
