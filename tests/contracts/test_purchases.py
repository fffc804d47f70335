"""Paying once: whatever is lost, killed or spoiled while a run is bought, the stand-in's ledger shows no second one.

Parallel's group tells what happened, so its jobs always complete. Perplexity tells nothing, so its jobs end as
unconfirmed and are never sent again. cloro proves a purchase but hides its id, so one more is bought for a fraction
of a cent, and the report says so.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contracts.clock import HandClock
from tests.contracts.jobs import within
from tests.contracts.workbench import HOUSES, Fuse, House, Killed, Shop, Side, Workbench, opened
from tests.standins.faults import Kind
from tests.standins.ledger import Purchase

from spadework.engines import Bench, Later
from spadework.engines.line import Line
from spadework.engines.perplexity import Perplexity as Engine
from spadework.engines.vendor import Handle
from spadework.job import Job
from spadework_tools.errors import EngineFailed
from spadework_tools.models import Report

pytestmark = pytest.mark.anyio
EACH = pytest.mark.parametrize("house", HOUSES.values(), ids=list(HOUSES))
#: What cloro may buy twice at most, in dollars.
THRESHOLD_USD = 0.05

AFTER = (
    Kind.LOST_AFTER,
    Kind.STALL_AFTER,
    Kind.ERROR_AFTER,
    Kind.TRUNCATED,
    Kind.MALFORMED,
    Kind.HTML,
    Kind.EMPTY,
    Kind.WRONG_TYPES,
)
BEFORE = (Kind.LOST_BEFORE, Kind.STALL, Kind.SERVER_ERROR)


def judge(house: House, end: Report | EngineFailed, bought: list[Purchase], *, taken: bool) -> None:
    """Whether a job that had one accident while it was bought ended as its vendor allows."""
    if house.name == "parallel":
        assert isinstance(end, Report) and len(bought) == 1
    elif house.name == "perplexity":
        assert len(bought) == (1 if taken else 0)
        assert isinstance(end, EngineFailed) and end.code == "unconfirmed" and not end.retryable
        assert "may have been bought" in end.message and "not sent again" in end.message
    else:
        assert isinstance(end, Report) and len(bought) == (2 if taken else 1)
        assert len({purchase.key for purchase in bought}) == len(bought)
        assert sum(purchase.price_usd or 0 for purchase in bought) <= THRESHOLD_USD
        assert any("lost" in warning for warning in end.provenance.warnings) == taken


@EACH
@pytest.mark.parametrize("kind", AFTER)
@within(20)
async def test_an_accepted_order_whose_answer_is_lost_or_spoiled_is_not_simply_sent_again(
    house: House, kind: Kind, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        shop.options["timeout_s"] = 0.5
        shop.standin.faults.add(kind, house.buys)
        job = shop.job()
        end = await shop.endure(job, shop.bench())
        judge(house, end, shop.standin.ledger.purchases, taken=True)
        money = await shop.booked(job)
    assert money.state == ("unknown" if isinstance(end, EngineFailed) else "booked")


@EACH
@pytest.mark.parametrize("kind", BEFORE)
@within(20)
async def test_an_order_that_was_perhaps_never_accepted_is_found_out_about_first(
    house: House, kind: Kind, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        shop.options["timeout_s"] = 0.5
        shop.standin.faults.add(kind, house.buys)
        end = await shop.endure(shop.job(), shop.bench())
        judge(house, end, shop.standin.ledger.purchases, taken=False)


@EACH
@pytest.mark.parametrize("status", [500, 502, 503, 504])
@within(20)
async def test_a_server_error_after_acceptance_is_no_proof_of_anything(
    house: House, status: int, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        shop.standin.faults.add(Kind.ERROR_AFTER, house.buys, status=status)
        end = await shop.endure(shop.job(), shop.bench())
        judge(house, end, shop.standin.ledger.purchases, taken=True)


@within(20)
async def test_a_group_that_lags_behind_is_looked_at_twice_before_anything_is_sent_again(
    tmp_path: Path, clock: HandClock
) -> None:
    async with opened(HOUSES["parallel"], tmp_path, clock) as shop:
        shop.standin.lag = 1  # type: ignore[attr-defined]
        shop.standin.faults.add(Kind.LOST_AFTER, "add")
        report = await shop.drive(shop.job(), shop.bench())
        assert isinstance(report, Report) and len(shop.standin.ledger) == 1


@within(20)
async def test_cloro_losing_every_first_answer_is_bought_from_no_more_than_the_threshold_allows(
    tmp_path: Path, clock: HandClock
) -> None:
    """The order's answer is lost, the 409 that proves it comes through, and so on with every new key."""
    async with opened(HOUSES["cloro"], tmp_path, clock) as shop:
        for passed in range(20):
            shop.standin.faults.add(Kind.LOST_AFTER, "submit", after=passed)
        end = await shop.endure(shop.job(), shop.bench())
        bought = shop.standin.ledger
    assert isinstance(end, EngineFailed) and end.code == "unconfirmed"
    assert len(bought) > 1 and bought.total_usd <= THRESHOLD_USD
    assert len(bought) == len({entry.key for entry in bought.purchases})


@EACH
@within(30)
async def test_a_vendor_whose_answers_are_lost_for_ever_is_given_up_and_bought_from_once(
    house: House, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        shop.standin.faults.add(Kind.LOST_AFTER, house.buys, times=None)
        shop.standin.faults.add(Kind.LOST_AFTER, "list", times=None)
        end = await shop.endure(shop.job(), shop.bench(), most=1500)
        assert len(shop.standin.ledger) == 1
    assert isinstance(end, EngineFailed) and end.code == "unconfirmed"


class Careless(Engine):
    """Perplexity's engine, but it takes a lost answer for a lost order."""

    async def recover(self, job: Job, bench: Bench, line: Line, attempt: int) -> Handle | Later:
        await self.disproved(bench, attempt, "surely not")
        return Later(0.0)


@within(20)
async def test_these_tests_catch_an_engine_that_sends_a_lost_order_again(tmp_path: Path, clock: HandClock) -> None:
    """The control: without the rule the same accident buys twice."""
    async with opened(HOUSES["perplexity"], tmp_path, clock) as shop:
        shop.standin.faults.add(Kind.LOST_AFTER, "submit")
        job, bench = shop.job(), shop.bench()
        engine = Careless()
        while not isinstance(got := await engine.work(job, bench), Report):
            clock.pass_s(got.after_s)
        assert len(shop.standin.ledger) == 2


async def _points(shop: Shop, what: str) -> int:
    """How many checkpoints or requests an undisturbed job passes."""
    fuse = Fuse(what)  # type: ignore[arg-type]
    bench = _fused(shop, fuse)
    await shop.drive(shop.job("An undisturbed question about boilers"), bench)
    return fuse.seen


def _fused(shop: Shop, fuse: Fuse) -> Workbench:
    shop.door.fuse = fuse if fuse.what == "request" else None
    return shop.bench(fuse=fuse if fuse.what == "keep" else None)


async def _killed_once(shop: Shop, job: Job, fuse: Fuse) -> Report | EngineFailed:
    """The end of a job whose process died at the fuse and was started anew."""
    bench = _fused(shop, fuse)
    try:
        await shop.drive(job, bench)
    except Killed:
        shop.door.fuse = None
        bench.fuse = None
        return await shop.endure(job, bench)
    raise AssertionError("the fuse did not burn")


@EACH
@pytest.mark.parametrize("what", ["keep", "request"])
@pytest.mark.parametrize("side", ["before", "after"])
@within(60)
async def test_a_job_killed_at_any_point_and_started_anew_pays_once(
    house: House, what: str, side: Side, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        points = await _points(shop, what)
        assert points >= 3
        for point in range(points):
            question = f"Question {point} about heat pumps"
            end = await _killed_once(shop, shop.job(question), Fuse(what, side, point))  # type: ignore[arg-type]
            bought = shop.standin.ledger.matching(question)
            if house.name == "parallel":
                assert isinstance(end, Report) and len(bought) == 1, f"killed {side} {what} {point}"
            elif house.name == "perplexity":
                assert len(bought) <= 1, f"killed {side} {what} {point}"
                assert isinstance(end, Report) or end.code == "unconfirmed", f"killed {side} {what} {point}: {end}"
            else:
                assert isinstance(end, Report) and 1 <= len(bought) <= 2, f"killed {side} {what} {point}"
                assert len({entry.key for entry in bought}) == len(bought)


@EACH
@within(20)
async def test_a_cancel_after_a_lost_answer_says_that_it_may_have_been_bought(
    house: House, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        shop.standin.faults.add(Kind.LOST_AFTER, house.buys)
        job, bench = shop.job(), shop.bench()
        while len(shop.standin.ledger) == 0:
            await shop.step(job, bench)
        said = await house.engine().stop(job, bench)
        assert len(shop.standin.ledger) == 1
    assert isinstance(said, Report) or "bought" in said or "billed" in said
