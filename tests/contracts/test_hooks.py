"""What a purchase says of where its end may be told: the vendor's own field where somebody listens, else nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from parallel.types import RunInputParam, WebhookParam
from pydantic import TypeAdapter
from tests.contracts.clock import HandClock
from tests.contracts.jobs import within
from tests.contracts.workbench import HOUSES, House, opened
from tests.standins.faults import Kind
from tests.standins.inbox import Inbox, sealed
from tests.standins.inbox import opened as unsealed
from tests.standins.parallel import Parallel
from tests.standins.script import Script

pytestmark = pytest.mark.anyio
URL = "https://desk.example.org/webhooks/{}"
HOOKED = ("parallel", "cloro")
BETA = "webhook-2025-08-12"
ROWS = [{"company_name": name} for name in ("Acme", "Brix", "Corvid")]


def strictly(body: dict[str, Any]) -> None:
    """Hold a run's input against the types of the vendor's own package, which name every field."""
    assert body.keys() <= RunInputParam.__annotations__.keys()
    # What the type does not name would be missing from what it makes of it.
    assert TypeAdapter(WebhookParam).validate_python(body["webhook"], strict=True) == body["webhook"]
    assert all(len(name) <= 16 and len(str(value)) <= 512 for name, value in body["metadata"].items())


@pytest.mark.parametrize("name", HOOKED)
@within(20)
async def test_an_order_names_the_url_where_somebody_listens_and_the_job_that_it_is_for(
    name: str, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(HOUSES[name], tmp_path, clock) as shop:
        shop.standin.courier.stop()
        job, bench = shop.job(), shop.bench(hooks={name: URL.format(name)})
        await shop.bought(job, bench)
        (bought,) = shop.standin.ledger.purchases
        assert bought.body["webhook"]["url"] == URL.format(name)
        if name == "parallel":
            strictly(bought.body)
            assert bought.body["metadata"]["job"] == job.id
            assert {seen.headers.get("parallel-beta") for seen in shop.standin.log} == {BETA}
        else:
            assert bought.key == job.id


@pytest.mark.parametrize("house", HOUSES.values(), ids=list(HOUSES))
@within(20)
async def test_an_order_says_nothing_of_it_where_nobody_does(house: House, tmp_path: Path, clock: HandClock) -> None:
    async with opened(house, tmp_path, clock) as shop:
        for hooks in ({}, {"perplexity": URL, "somebody": URL}):
            await shop.bought(shop.job(), shop.bench(hooks=hooks))
        assert all("webhook" not in bought.body for bought in shop.standin.ledger.purchases)
        assert all("parallel-beta" not in seen.headers for seen in shop.standin.log)


@within(20)
async def test_every_row_of_a_list_tells_its_own_end_also_where_the_orders_answer_was_lost(
    tmp_path: Path, clock: HandClock
) -> None:
    async with opened(HOUSES["parallel"], tmp_path, clock) as shop:
        shop.standin.courier.stop()
        shop.standin.faults.add(Kind.LOST_AFTER, "add")
        schema = {"type": "object", "properties": {"industry": {"type": "string"}}}
        job = shop.job(records=ROWS, output_schema=schema)
        await shop.bought(job, shop.bench(hooks={"parallel": URL.format("parallel")}))
        bodies = [bought.body for bought in shop.standin.ledger.purchases]
        for body in bodies:
            strictly(body)
        assert [body["metadata"] for body in bodies] == [{"row": str(row), "job": job.id} for row in range(3)]


@pytest.mark.parametrize("name", HOOKED)
@within(20)
async def test_the_vendor_says_there_when_the_run_has_ended_and_names_the_job_under_its_signature(
    name: str, tmp_path: Path, clock: HandClock
) -> None:
    inbox, secret = Inbox(), "whsec_c2VjcmV0LW9mLXRoZS1hY2NvdW50"
    with inbox.serving() as there:
        async with opened(HOUSES[name], tmp_path, clock) as shop:
            shop.standin.secret = secret  # type: ignore[attr-defined]
            shop.standin.script = Script(seconds=60)
            job, bench = shop.job(), shop.bench(hooks={name: f"{there}/{name}"})
            await shop.bought(job, bench)
            assert not inbox.letters
            await shop.drive(job, bench)
            inbox.wait(1)
    (letter,) = inbox.letters
    if isinstance(shop.standin, Parallel):
        assert unsealed(secret.encode(), letter.headers, letter.body)
        assert letter.json["data"]["metadata"] == {"row": "0", "job": job.id}
        assert "output" not in letter.json["data"]
    else:
        assert sealed(secret.encode(), letter.headers, letter.body)
        assert letter.json["task"]["idempotencyKey"] == job.id
