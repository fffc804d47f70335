"""What a vendor's engine does when a run takes a turn: an API that changed between two jobs, a result that lags."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contracts.clock import HandClock
from tests.contracts.jobs import within
from tests.contracts.workbench import HOUSES, House, opened
from tests.standins.faults import Kind
from tests.standins.script import Script

from spadework_tools.errors import EngineFailed

pytestmark = pytest.mark.anyio
PERPLEXITY, PARALLEL, CLORO = (HOUSES[name] for name in ("perplexity", "parallel", "cloro"))


@within(20)
async def test_a_follow_up_crosses_between_the_old_api_and_the_new_with_what_was_found(
    tmp_path: Path, clock: HandClock
) -> None:
    async with opened(PERPLEXITY, tmp_path, clock, sonar=True) as shop:
        shop.standin.script = Script(seconds=60)
        old = await shop.drive(shop.job(tier="sonar-async"), shop.bench())
        await shop.drive(shop.job("And in Spain?", follow_up_to="r_old"), shop.bench(before=old))
        assert (
            "previous_response_id" not in shop.standin.ledger.purchases[-1].body
            and old.text[:60] in shop.standin.ledger.purchases[-1].body["input"]
        )
        await shop.drive(shop.job("In Peru?", tier="sonar-async", follow_up_to="r_old"), shop.bench(before=old))
        (message,) = shop.standin.ledger.purchases[-1].body["request"]["messages"]
        assert message["content"].startswith("In Peru?") and old.text[:60] in message["content"]


@pytest.mark.parametrize(("house", "place", "key"), [(PARALLEL, "result", "output"), (CLORO, "look", "response")])
@within(20)
async def test_a_run_that_is_done_without_its_result_is_asked_again(
    house: House, place: str, key: str, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        shop.standin.script = Script(polls=0)
        shop.standin.faults.add(Kind.WRONG_TYPES, place, times=2, keys=(key,))
        report = await shop.drive(shop.job(), shop.bench())
        assert len(shop.standin.faults.taken) == 2 and "heat pumps" in report.text
        shop.standin.faults.add(Kind.WRONG_TYPES, place, times=None, keys=(key,))
        end = await shop.endure(shop.job("And for good?"), shop.bench())
    assert isinstance(end, EngineFailed) and "gives no result" in end.message
