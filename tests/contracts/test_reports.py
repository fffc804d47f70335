"""What each vendor's answers become: tiers, filters, data, basis, rows, follow-ups, and the old Sonar API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.contracts.clock import HandClock
from tests.contracts.jobs import within
from tests.contracts.workbench import HOUSES, House, Shop, opened
from tests.standins.cloro import CREDITS
from tests.standins.faults import Kind
from tests.standins.perplexity import PRICES, Perplexity
from tests.standins.script import Script
from tests.standins.tasks import PRICES as PROCESSORS

from spadework.engines import Later
from spadework_tools.errors import BadRequest, EngineFailed, UnknownEngine
from spadework_tools.models import Outcome, Report, Request

pytestmark = pytest.mark.anyio
PERPLEXITY, PARALLEL, CLORO = (HOUSES[name] for name in ("perplexity", "parallel", "cloro"))
COMPANY = {
    "type": "object",
    "properties": {
        "company": {"type": "string"},
        "employees": {"type": ["integer", "null"]},
        "products": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["company", "employees", "products"],
}


def sent(shop: Shop, place: int = -1) -> dict[str, Any]:
    """The body of an accepted submit."""
    return shop.standin.ledger.purchases[place].body


def pointed(report: Report) -> dict[str | None, Any]:
    """Each basis by the pointer of its target."""
    return {basis.target.pointer: basis for basis in report.basis}


# Perplexity.


@pytest.mark.parametrize("tier", sorted(PRICES))
@within(20)
async def test_each_effort_of_perplexity_is_asked_for_and_its_reported_cost_is_booked(
    tier: str, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(PERPLEXITY, tmp_path, clock) as shop:
        job = shop.job(tier=tier)
        report = await shop.drive(job, shop.bench())
        assert sent(shop)["effort"] == tier and sent(shop)["background"] is True
        assert (await shop.booked(job)).spent_micros == round(PRICES[tier] * 1_000_000)
    assert (report.cost.amount, report.cost.kind) == (PRICES[tier], "reported")


@within(20)
async def test_all_of_perplexitys_search_results_are_merged_and_its_marks_lead_to_them(
    tmp_path: Path, clock: HandClock
) -> None:
    async with opened(PERPLEXITY, tmp_path, clock) as shop:
        shop.standin.script = Script(searches=5)
        bench = shop.bench()
        report = await shop.drive(shop.job(), bench)
    assert len(report.sources) == 20 and len({source.url for source in report.sources}) == 20
    quotes = [citation.quote for citation in report.citations]
    assert len(quotes) == 20 and all("the value was" in quote for quote in quotes)
    for citation in report.citations:
        start, end = citation.target.start, citation.target.end
        assert citation.target.kind == "span" and start is not None and end is not None and start < end
        assert f"measurement {citation.quote.split()[2]} " in report.text[start:end]
    assert report.usage["total_tokens"] == 2000 and report.provenance.model


@within(20)
async def test_perplexitys_filters_go_out_in_its_own_form(tmp_path: Path, clock: HandClock) -> None:
    async with opened(PERPLEXITY, tmp_path, clock) as shop:
        job = shop.job(
            include_domains=("iea.org", "europa.eu"),
            exclude_domains=("example.org",),
            published_after="2026-01-31",
            published_before="2026-11-01",
        )
        report = await shop.drive(job, shop.bench())
        (tool,) = [tool for tool in sent(shop)["tools"] if tool["type"] == "web_search"]
    assert tool["filters"] == {
        "search_domain_filter": ["iea.org", "europa.eu", "-example.org"],
        "search_after_date_filter": "01/31/2026",
        "search_before_date_filter": "11/01/2026",
    }
    assert {str(source.url).split("/")[2] for source in report.sources} == {"iea.org", "europa.eu"}


@within(20)
async def test_perplexitys_structured_output_is_checked_against_the_schema(tmp_path: Path, clock: HandClock) -> None:
    async with opened(PERPLEXITY, tmp_path, clock) as shop:
        good = await shop.drive(shop.job(output_schema=COMPANY), shop.bench())
        shop.standin.script = Script(text='{"company": 7}')
        off = await shop.drive(shop.job(output_schema=COMPANY), shop.bench())
        shop.standin.script = Script(text="I would rather write prose.")
        prose = await shop.drive(shop.job(output_schema=COMPANY), shop.bench())
        assert sent(shop)["response_format"]["json_schema"]["schema"] == COMPANY
    assert good.schema_ok is True and isinstance(good.data["employees"], int) and good.sources
    assert off.schema_ok is False and off.data == {"company": 7}
    assert prose.schema_ok is False and prose.data is None and prose.text and prose.provenance.warnings


@within(20)
async def test_an_incomplete_perplexity_run_is_a_partial_report(tmp_path: Path, clock: HandClock) -> None:
    async with opened(PERPLEXITY, tmp_path, clock) as shop:
        shop.standin.script = Script(fate="incomplete")
        assert (await shop.drive(shop.job(), shop.bench())).outcome is Outcome.PARTIAL


@pytest.mark.parametrize("fate", ["cancelled", "needs_input"])
@within(20)
async def test_a_perplexity_run_that_someone_else_stopped_or_that_asks_back_ends_the_job(
    fate: Any, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(PERPLEXITY, tmp_path, clock) as shop:
        shop.standin.script = Script(fate=fate)
        end = await shop.endure(shop.job(), shop.bench(), most=40)
    assert isinstance(end, EngineFailed) and end.code == "run_failed"


@within(20)
async def test_a_deployment_without_effort_is_asked_with_the_older_name(tmp_path: Path, clock: HandClock) -> None:
    async with opened(PERPLEXITY, tmp_path, clock) as shop:
        assert isinstance(shop.standin, Perplexity)
        shop.standin.unlearnt = {"effort"}
        await shop.drive(shop.job(), shop.bench())
        assert sent(shop)["preset"] == "medium" and "effort" not in sent(shop) and len(shop.standin.ledger) == 1


@within(20)
async def test_a_follow_up_is_linked_by_the_vendors_own_handle(tmp_path: Path, clock: HandClock) -> None:
    async with opened(PERPLEXITY, tmp_path, clock) as shop:
        first = await shop.drive(shop.job(), shop.bench())
        again = shop.job("And in Spain?", follow_up_to="r_first")
        await shop.drive(again, shop.bench(before=first))
        assert sent(shop)["previous_response_id"] == shop.standin.ledger.purchases[0].id
        assert sent(shop)["input"] == "And in Spain?"
    async with opened(PARALLEL, tmp_path, clock) as shop:
        mine = await shop.drive(shop.job(), shop.bench())
        await shop.drive(shop.job("And in Spain?", follow_up_to="r_first"), shop.bench(before=mine))
        assert sent(shop)["previous_interaction_id"] == shop.standin.ledger.purchases[0].id
        await shop.drive(shop.job("And in Peru?", follow_up_to="r_other"), shop.bench(before=first))
        assert "previous_interaction_id" not in sent(shop) and first.text[:60] in sent(shop)["input"]


@pytest.mark.parametrize("word", ["CREATED", "QUEUED"])
@within(20)
async def test_a_gateway_that_speaks_the_old_sonar_api_gives_a_whole_report(
    word: str, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(PERPLEXITY, tmp_path, clock, sonar=True) as shop:
        assert isinstance(shop.standin, Perplexity)
        shop.standin.sonar.created_as = word
        shop.standin.script = Script(seconds=120)
        job = shop.job(tier="sonar-async", include_domains=("livekit.io",))
        report = await shop.drive(job, shop.bench())
        assert len(shop.standin.ledger) == 1
        assert sent(shop)["request"]["search_domain_filter"] == ["livekit.io"]
    assert "<think>" not in report.text and report.text.startswith("# How large")
    assert len(report.sources) == 6 and all(citation.quote for citation in report.citations)
    assert (report.cost.amount, report.cost.kind) == (0.4, "reported")


@within(20)
async def test_a_failed_sonar_job_ends_in_its_own_words(tmp_path: Path, clock: HandClock) -> None:
    async with opened(PERPLEXITY, tmp_path, clock, sonar=True) as shop:
        shop.standin.script = Script(fate="failed", error=("x", "No sources were found"))
        end = await shop.endure(shop.job(tier="sonar-async"), shop.bench())
    assert isinstance(end, EngineFailed) and "No sources were found" in end.message


@within(20)
async def test_the_vendors_own_403_for_sonar_is_a_retired_endpoint_and_no_bad_key(
    tmp_path: Path, clock: HandClock
) -> None:
    async with opened(PERPLEXITY, tmp_path, clock) as shop:
        end = await shop.endure(shop.job(tier="sonar-async"), shop.bench())
        assert len(shop.standin.ledger) == 0
    assert isinstance(end, EngineFailed) and end.code == "endpoint_retired" and "key" not in end.message


# Parallel.


@pytest.mark.parametrize("processor", [*sorted(PROCESSORS), "core-fast", "ultra8x-fast"])
@within(20)
async def test_each_processor_of_parallel_is_bought_at_its_price(
    processor: str, tmp_path: Path, clock: HandClock
) -> None:
    async with opened(PARALLEL, tmp_path, clock) as shop:
        job = shop.job(tier=processor)
        report = await shop.drive(job, shop.bench())
        (bought,) = shop.standin.ledger.purchases
        assert bought.body["processor"] == processor and bought.group is not None
        assert (await shop.booked(job)).spent_micros == round((bought.price_usd or 0) * 1_000_000)
    assert (report.cost.amount, report.cost.kind) == (bought.price_usd, "computed")


@within(20)
async def test_parallels_data_keeps_the_basis_of_each_field_and_element(tmp_path: Path, clock: HandClock) -> None:
    async with opened(PARALLEL, tmp_path, clock) as shop:
        shop.standin.script = Script(unverified=frozenset({"employees"}))
        report = await shop.drive(shop.job(output_schema=COMPANY), shop.bench())
        assert sent(shop)["task_spec"] == {"output_schema": {"type": "json", "json_schema": COMPANY}}
    assert report.schema_ok is True and report.data["employees"] is None
    basis = pointed(report)
    assert set(basis) == {"/company", "/employees", "/products", "/products/0", "/products/1"}
    assert "No reliable source" in basis["/employees"].reasoning and basis["/employees"].citation_ids == ()
    assert basis["/employees"].confidence.level == "low"
    cited = {citation.id: citation for citation in report.citations}
    assert basis["/products/0"].citation_ids
    assert all(
        cited[one].quote and cited[one].target.pointer == "/products/0" for one in basis["/products/0"].citation_ids
    )


@within(20)
async def test_an_empty_schema_means_auto_and_lite_gives_neither_excerpt_nor_confidence(
    tmp_path: Path, clock: HandClock
) -> None:
    async with opened(PARALLEL, tmp_path, clock) as shop:
        report = await shop.drive(shop.job(output_schema={}, tier="lite"), shop.bench())
        assert sent(shop)["task_spec"] == {"output_schema": {"type": "auto"}}
    assert set(report.data) == {"summary", "market_size_usd", "leaders"} and report.sources
    assert all(basis.confidence.level is None for basis in report.basis)
    assert all(citation.quote == "" for citation in report.citations)


@within(20)
async def test_parallels_source_policy_goes_out_and_is_kept_to(tmp_path: Path, clock: HandClock) -> None:
    async with opened(PARALLEL, tmp_path, clock) as shop:
        job = shop.job(include_domains=("iea.org",), published_after="2026-01-31")
        report = await shop.drive(job, shop.bench())
        assert sent(shop)["source_policy"] == {"include_domains": ["iea.org"], "after_date": "2026-01-31"}
    assert all(str(source.url).startswith("https://iea.org/") for source in report.sources)


@within(30)
async def test_records_become_rows_in_their_order_each_with_its_basis_and_its_own_failure(
    tmp_path: Path, clock: HandClock
) -> None:
    names = ["Acme HVAC", "Doomed Ltd", "Northwind", "Zenith"]
    async with opened(PARALLEL, tmp_path, clock) as shop:
        shop.standin.scripts["Doomed"] = Script(polls=1, fate="failed", error=("x", "No such company."))
        shop.standin.script = Script(seconds=90, unverified=frozenset({"employees"}))
        job = shop.job(
            "Enrich each company", tier="lite", output_schema=COMPANY, records=[{"company": n} for n in names]
        )
        bench = shop.bench()
        report = await shop.drive(job, bench)
        assert len(shop.standin.ledger) == 4 and len({entry.group for entry in shop.standin.ledger.purchases}) == 1
        assert (await shop.booked(job)).state == "booked"
    assert report.outcome is Outcome.PARTIAL and report.schema_ok is False
    assert [row and row["company"] for row in report.data] == ["Acme HVAC", None, "Northwind", "Zenith"]
    basis = pointed(report)
    assert "No such company" in basis["/1"].reasoning and "/0/products/1" in basis
    assert "No reliable source" in basis["/2/employees"].reasoning
    assert report.cost.amount == pytest.approx(3 * 0.005)
    assert any(phase == "researching" for phase, _ in bench.notes)


@within(60)
async def test_a_thousand_records_with_a_lost_answer_are_bought_once_each(tmp_path: Path, clock: HandClock) -> None:
    async with opened(PARALLEL, tmp_path, clock) as shop:
        shop.standin.faults.add(Kind.LOST_AFTER, "add")
        records = [{"company": f"Company {place}"} for place in range(1000)]
        job = shop.job("Enrich each company", tier="lite", output_schema=COMPANY, records=records)
        report = await shop.drive(job, shop.bench())
        assert len(shop.standin.ledger) == 1000
    assert [row["company"] for row in report.data] == [record["company"] for record in records]
    assert report.outcome is Outcome.FULL and report.schema_ok is True


@within(20)
async def test_records_that_all_fail_end_the_job_in_the_vendors_words(tmp_path: Path, clock: HandClock) -> None:
    async with opened(PARALLEL, tmp_path, clock) as shop:
        shop.standin.script = Script(fate="failed", error=("x", "The index is closed."))
        job = shop.job("Enrich", tier="lite", output_schema=COMPANY, records=[{"company": "A"}, {"company": "B"}])
        end = await shop.endure(job, shop.bench())
    assert isinstance(end, EngineFailed) and "The index is closed" in end.message


@within(20)
async def test_a_cancel_of_records_says_how_many_runs_go_on_and_at_what_price(tmp_path: Path, clock: HandClock) -> None:
    async with opened(PARALLEL, tmp_path, clock) as shop:
        shop.standin.script = Script(fate="never")
        job = shop.job("Enrich", tier="core", output_schema=COMPANY, records=[{"company": "A"}, {"company": "B"}])
        bench = shop.bench()
        await shop.bought(job, bench)
        said = await PARALLEL.engine().stop(job, bench)
    assert isinstance(said, str) and "2 runs" in said and "$0.05" in said


# cloro.


@pytest.mark.parametrize("kind", sorted(CREDITS))
@within(20)
async def test_each_answer_engine_of_cloro_is_asked_and_its_credits_are_reported(
    kind: str, tmp_path: Path, clock: HandClock
) -> None:
    tier = kind.lower().replace("_", "-")
    async with opened(CLORO, tmp_path, clock) as shop:
        job = shop.job(tier=tier)
        report = await shop.drive(job, shop.bench())
        (bought,) = shop.standin.ledger.purchases
        assert bought.body["taskType"] == kind and bought.key is not None and bought.key.startswith(job.id)
    assert (report.cost.amount, report.cost.unit) == (CREDITS[kind], "credits")
    assert len(report.sources) == 5 and report.text and report.provenance.mode == "snapshot"


@within(20)
async def test_cloros_pills_are_cited_and_its_other_sources_only_searched(tmp_path: Path, clock: HandClock) -> None:
    async with opened(CLORO, tmp_path, clock) as shop:
        report = await shop.drive(shop.job(), shop.bench())
    assert len({source.url for source in report.sources}) == len(report.sources) == 5
    assert {citation.source_id for citation in report.citations} == {source.id for source in report.sources}


@within(20)
async def test_a_task_that_waits_in_cloros_queue_is_queued_and_then_done(tmp_path: Path, clock: HandClock) -> None:
    async with opened(CLORO, tmp_path, clock) as shop:
        shop.standin.concurrency = 0  # type: ignore[attr-defined]
        job, bench = shop.job(), shop.bench()
        await shop.bought(job, bench)
        for _ in range(3):
            assert isinstance(await shop.step(job, bench), Later)
        assert bench.notes[-1][0] == "queued"
        shop.standin.concurrency = 1  # type: ignore[attr-defined]
        assert isinstance(await shop.drive(job, bench), Report)


@within(20)
async def test_a_full_queue_is_waited_for_and_bought_from_once(tmp_path: Path, clock: HandClock) -> None:
    async with opened(CLORO, tmp_path, clock) as shop:
        shop.standin.queue_limit = 0  # type: ignore[attr-defined]
        job, bench = shop.job(), shop.bench()
        for _ in range(4):
            assert isinstance(await shop.step(job, bench), Later)
        shop.standin.queue_limit = 10  # type: ignore[attr-defined]
        await shop.drive(job, bench)
        assert len(shop.standin.ledger) == 1


# Refused before anything is spent.


@pytest.mark.parametrize(
    ("house", "fields"),
    [
        (PERPLEXITY, {"include_domains": [f"site{n}.org" for n in range(21)]}),
        (PERPLEXITY, {"records": [{"a": 1}], "output_schema": COMPANY}),
        (PARALLEL, {"output_schema": {"type": "array"}}),
        (PARALLEL, {"published_before": "2026-01-01"}),
        (PARALLEL, {"records": [{"a": 1}] * 10_000, "output_schema": COMPANY}),
        (PARALLEL, {"records": [{"a": "x" * 25_001}], "output_schema": COMPANY}),
        (CLORO, {"output_schema": COMPANY}),
        (CLORO, {"include_domains": ["iea.org"]}),
        (CLORO, {"follow_up_to": "r_x"}),
    ],
)
@within(20)
async def test_what_the_vendor_would_refuse_is_refused_at_admission(house: House, fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="nothing was started"):
        await house.engine().admit(Request(question="How large is it?", **fields), house.tier)


@pytest.mark.parametrize("house", HOUSES.values(), ids=list(HOUSES))
@within(20)
async def test_an_unknown_tier_is_refused_with_the_known_ones(house: House) -> None:
    with pytest.raises(UnknownEngine, match=house.tier):
        await house.engine().admit(Request(question="How large is it?"), "heroic")


@within(20)
async def test_the_raw_answer_is_kept_the_moment_it_is_seen(tmp_path: Path, clock: HandClock) -> None:
    async with opened(CLORO, tmp_path, clock) as shop:
        bench = shop.bench()
        await shop.drive(shop.job(), bench)
    assert json.loads(bench.kept["result"])["task"]["status"] == "COMPLETED"
