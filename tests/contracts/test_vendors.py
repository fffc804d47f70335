"""What every bought engine owes its desk, whoever the vendor is; driven against the stand-ins over real sockets."""

from __future__ import annotations

from email.utils import formatdate
from pathlib import Path

import pytest
from tests.contracts.clock import HandClock
from tests.contracts.jobs import within
from tests.contracts.workbench import HOUSES, House, opened
from tests.standins.answers import MULTIBYTE, huge
from tests.standins.faults import Kind
from tests.standins.script import Script
from tests.standins.standin import KEY

from spadework.engines import Later
from spadework_tools.errors import BadReply, EngineFailed, MissingKey
from spadework_tools.models import Outcome, Report

pytestmark = pytest.mark.anyio
EACH = pytest.mark.parametrize("house", HOUSES.values(), ids=list(HOUSES))


@EACH
@within(20)
async def test_a_job_is_bought_once_and_its_report_is_cited_costed_and_dated(
    house: House, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        shop.standin.script = Script(seconds=60)
        job, bench = shop.job(), shop.bench()
        report = await shop.drive(job, bench)
        assert len(shop.standin.ledger) == 1
        money = await shop.booked(job)
    assert "heat pumps" in report.text and report.outcome is Outcome.FULL
    known = {source.id for source in report.sources}
    assert known and {citation.source_id for citation in report.citations} <= known and report.citations
    assert report.provenance.engine == house.name and report.provenance.tier == house.tier
    assert report.provenance.verified_on == "2026-11-21" and report.provenance.vendor_ids
    assert shop.standin.ledger.purchases[0].id in report.provenance.vendor_ids.values()
    assert report.cost.amount is not None and report.cost.kind in ("reported", "computed")
    assert money.state == "booked" and money.spent_micros is not None
    assert money.spent_micros == round((shop.standin.ledger.purchases[0].price_usd or 0) * 1_000_000)
    assert KEY not in str(bench.kept) and KEY not in str(bench.notes)


@EACH
@within(20)
async def test_a_finished_job_gives_its_report_again_without_asking_anyone(
    house: House, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        job, bench = shop.job(), shop.bench()
        first = await shop.drive(job, bench)
        asked = len(shop.standin.log)
        shop.standin.runs.clear()
        again = await shop.drive(job, bench)
    assert again == first and len(shop.standin.log) == asked


@EACH
@within(20)
async def test_a_ten_minute_job_is_looked_at_at_most_forty_times(
    house: House, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        shop.standin.script = Script(seconds=600)
        start = clock.wall()
        await shop.drive(shop.job(), shop.bench())
        assert len(shop.standin.log) <= 42
        assert clock.wall() - start <= 600 * 1.25


@EACH
@within(20)
async def test_a_failed_run_fails_the_job_in_the_vendors_own_words(
    house: House, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        shop.standin.script = Script(polls=1, fate="failed", error=("x", "The planner lost the thread."))
        job = shop.job()
        end = await shop.endure(job, shop.bench())
        money = await shop.booked(job)
    assert isinstance(end, EngineFailed) and end.code == "run_failed"
    assert "The planner lost the thread" in end.message and money.state != "open"
    assert len(shop.standin.ledger) == 1


@EACH
@within(30)
async def test_a_run_that_never_ends_is_given_up_at_a_deadline(house: House, tmp_path: Path, clock: HandClock) -> None:
    async with opened(house, tmp_path, clock) as shop:
        shop.standin.script = Script(fate="never", running_as="dreaming")
        end = await shop.endure(shop.job(), shop.bench(), most=2000)
    assert isinstance(end, EngineFailed) and end.code == "deadline"
    assert len(shop.standin.ledger) == 1


@EACH
@within(20)
async def test_an_unknown_status_word_breaks_no_job(house: House, tmp_path: Path, clock: HandClock) -> None:
    async with opened(house, tmp_path, clock) as shop:
        shop.standin.script = Script(polls=5, running_as="pondering")
        assert isinstance(await shop.drive(shop.job(), shop.bench()), Report)


@EACH
@within(20)
async def test_unknown_fields_everywhere_break_no_job(house: House, tmp_path: Path, clock: HandClock) -> None:
    async with opened(house, tmp_path, clock) as shop:
        plain = await shop.drive(shop.job(), shop.bench())
        for where in ("submit", "group", "look", "result", "group_look"):
            shop.standin.faults.add(Kind.UNKNOWN_FIELD, where, times=None)
        strange = await shop.drive(shop.job(), shop.bench())
    assert (strange.text, strange.data, strange.cost) == (plain.text, plain.data, plain.cost)
    assert [source.url for source in strange.sources] == [source.url for source in plain.sources]
    assert [citation.quote for citation in strange.citations] == [citation.quote for citation in plain.citations]


@EACH
@pytest.mark.parametrize(
    "kind",
    [
        Kind.MALFORMED,
        Kind.HTML,
        Kind.EMPTY,
        Kind.TRUNCATED,
        Kind.WRONG_TYPES,
        Kind.UNKNOWN_STATUS,
        Kind.LOST_AFTER,
        Kind.LOST_BEFORE,
        Kind.SERVER_ERROR,
        Kind.RATE_LIMIT,
    ],
)
@within(20)
async def test_one_spoiled_look_delays_a_job_and_breaks_nothing(
    house: House, kind: Kind, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        shop.standin.script = Script(polls=4)
        job, bench = shop.job(), shop.bench()
        await shop.bought(job, bench)
        fault = shop.standin.faults.add(kind, match=job.request.question)
        report = await shop.drive(job, bench)
        assert shop.standin.faults.taken == [fault]
        assert len(shop.standin.ledger) == 1
    assert "heat pumps" in report.text


@EACH
@pytest.mark.parametrize("kind", [Kind.MALFORMED, Kind.HTML, Kind.EMPTY])
@within(20)
async def test_a_vendor_that_only_talks_nonsense_ends_the_job_with_a_typed_error(
    house: House, kind: Kind, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        job, bench = shop.job(), shop.bench()
        await shop.bought(job, bench)
        shop.standin.faults.add(kind, times=None)
        end = await shop.endure(job, bench)
        money = await shop.booked(job)
    assert isinstance(end, EngineFailed) and end.code == BadReply.code
    assert money.state == "unknown" and len(shop.standin.ledger) == 1


@EACH
@within(20)
async def test_an_hour_of_outage_only_makes_a_bought_job_late(house: House, tmp_path: Path, clock: HandClock) -> None:
    async with opened(house, tmp_path, clock) as shop:
        job, bench = shop.job(), shop.bench()
        await shop.bought(job, bench)
        shop.standin.faults.add(Kind.SERVER_ERROR, times=None)
        back, asked = clock.wall() + 3600, len(shop.standin.log)
        while clock.wall() < back:
            assert isinstance(await shop.step(job, bench), Later)
        assert len(shop.standin.log) - asked <= 60
        shop.standin.faults.clear()
        await shop.drive(job, bench)
        assert len(shop.standin.ledger) == 1


@EACH
@within(20)
async def test_a_vendor_that_cannot_be_reached_is_tried_again_and_then_bought_from_once(
    house: House, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        job, bench = shop.job(), shop.bench()
        variable = f"SPADEWORK_{house.name.upper()}_BASE_URL"
        bench.base[variable] = "http://127.0.0.1:9"
        back = clock.wall() + 3600
        while clock.wall() < back:
            assert isinstance(await shop.step(job, bench), Later)
        bench.base[variable] = shop.url
        await shop.drive(job, bench)
        assert len(shop.standin.ledger) == 1


@EACH
@pytest.mark.parametrize("wait_s", [300, 7200])
@pytest.mark.parametrize("form", ["seconds", "date"])
@within(20)
async def test_a_refused_submit_is_sent_again_no_sooner_than_the_vendor_allows(
    house: House, wait_s: int, form: str, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        after = str(wait_s) if form == "seconds" else formatdate(clock.wall() + wait_s, usegmt=True)
        shop.standin.faults.add(Kind.RATE_LIMIT, house.buys, retry_after=after)
        await shop.drive(shop.job(), shop.bench())
        tries = [seen.at for seen in shop.standin.log if seen.where == house.buys]
        assert len(tries) == 2 and tries[1] - tries[0] >= wait_s - 1
        assert len(shop.standin.ledger) == 1


@EACH
@within(20)
async def test_a_refused_look_comes_no_sooner_than_the_vendor_allows(
    house: House, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        job, bench = shop.job(), shop.bench()
        await shop.bought(job, bench)
        shop.standin.faults.add(Kind.RATE_LIMIT, retry_after="900")
        first = len(shop.standin.log)
        await shop.drive(job, bench)
        tries = [seen.at for seen in shop.standin.log[first:]]
        assert tries[1] - tries[0] >= 900


@EACH
@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        (Kind.BAD_KEY, {"bad_key"}),
        (Kind.NO_CREDIT, {"no_credit"}),
        (Kind.RETIRED_ENDPOINT, {"endpoint_retired"}),
        (Kind.RETIRED_MODEL, {"model_retired", "vendor_refused"}),
    ],
)
@within(20)
async def test_a_lasting_refusal_is_a_typed_error_that_costs_nothing(
    house: House, kind: Kind, codes: set[str], tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        shop.standin.faults.add(kind, times=None)
        job, bench = shop.job(), shop.bench()
        end = await shop.endure(job, bench)
        money = await shop.booked(job)
    assert isinstance(end, EngineFailed) and end.code in codes and not end.retryable
    assert end.code == "model_retired" or kind is not Kind.RETIRED_MODEL or house.name == "cloro"
    assert (money.state, money.counts_micros, len(shop.standin.ledger)) == ("released", 0, 0)
    assert KEY not in str(end)


@EACH
@pytest.mark.parametrize("key", ["", "short", "has a space in it", "line\nbreak-in-it", "ключ-ключ-ключ"])
@within(20)
async def test_a_key_that_cannot_be_one_is_refused_before_a_byte_leaves(
    house: House, key: str, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        bench = shop.bench()
        bench.keys[house.name] = key
        end = await shop.endure(shop.job(), bench)
        assert isinstance(end, EngineFailed) and end.code == "bad_key" and shop.standin.log == []
        bench.keys.clear()
        with pytest.raises(MissingKey):
            await shop.drive(shop.job(), bench)
        assert shop.standin.log == []


@EACH
@within(60)
async def test_a_five_megabyte_report_of_many_alphabets_comes_whole(
    house: House, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        text = huge()
        shop.standin.script = Script(text=text)
        report = await shop.drive(shop.job(), shop.bench())
    assert report.text.count(MULTIBYTE) == text.count(MULTIBYTE)
    for citation in report.citations:
        if citation.target.kind == "span":
            assert report.text[citation.target.start : citation.target.end]


@EACH
@within(20)
async def test_half_an_emoji_is_replaced_and_said(house: House, tmp_path: Path, clock: HandClock) -> None:
    async with opened(house, tmp_path, clock) as shop:
        shop.standin.script = Script(text="The market \ud83d grew by a tenth [1]. It will grow again [2].")
        report = await shop.drive(shop.job(), shop.bench())
    assert "grew by a tenth" in report.model_dump_json()
    assert report.text.encode("utf-8") and any("replaced" in warning for warning in report.provenance.warnings)


@EACH
@within(20)
async def test_a_run_that_is_missing_for_a_moment_is_not_lost(house: House, tmp_path: Path, clock: HandClock) -> None:
    async with opened(house, tmp_path, clock) as shop:
        job, bench = shop.job(), shop.bench()
        await shop.bought(job, bench)
        held = dict(shop.standin.runs)
        shop.standin.runs.clear()
        engine = house.engine()
        for _ in range(2):
            assert isinstance(await engine.work(job, bench), Later)
            clock.pass_s(60)
        shop.standin.runs.update(held)
        assert isinstance(await shop.drive(job, bench), Report)
        assert len(shop.standin.ledger) == 1


@EACH
@within(20)
async def test_a_cancel_before_anything_was_sent_says_nothing_goes_on(
    house: House, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        assert await house.engine().stop(shop.job(), shop.bench()) == ""
        assert shop.standin.log == []


@EACH
@within(20)
async def test_a_cancel_of_a_running_job_says_what_goes_on_and_may_be_billed(
    house: House, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        shop.standin.script = Script(fate="never")
        job, bench = shop.job(), shop.bench()
        await shop.bought(job, bench)
        said = await house.engine().stop(job, bench)
        again = await house.engine().stop(job, bench)
        assert (shop.standin.count("cancel") > 0) == (house.name == "perplexity")
        assert (await shop.booked(job)).state == "unknown"
    assert isinstance(said, str) and isinstance(again, str)
    assert "billed" in said or "costs" in said


@EACH
@within(20)
async def test_a_cancel_that_races_with_completion_gives_the_report(
    house: House, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(house, tmp_path, clock) as shop:
        shop.standin.script = Script(polls=0, on_cancel="finishes")
        job, bench = shop.job(), shop.bench()
        await shop.bought(job, bench)
        ended = await house.engine().stop(job, bench)
        money = await shop.booked(job)
    assert isinstance(ended, Report) and "heat pumps" in ended.text and money.state == "booked"


@EACH
@within(20)
async def test_a_cancel_that_cannot_reach_the_vendor_says_so(house: House, tmp_path: Path, clock: HandClock) -> None:
    async with opened(house, tmp_path, clock) as shop:
        shop.standin.script = Script(fate="never")
        job, bench = shop.job(), shop.bench()
        await shop.bought(job, bench)
        shop.standin.faults.add(Kind.LOST_BEFORE, times=None)
        said = await house.engine().stop(job, bench)
    assert isinstance(said, str) and "may be billed" in said
