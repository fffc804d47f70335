"""Each vendor engine's whole life against its stand-in: submit, look, report, money."""

from __future__ import annotations

import json

import anyio
import pytest
from tests.rooms.engines.bench import Hands, Workbench, finish, job
from tests.standins.cloro import Cloro
from tests.standins.parallel import Parallel
from tests.standins.perplexity import Perplexity
from tests.standins.script import Script

from spadework.engines.cloro import Cloro as CloroEngine
from spadework.engines.parallel import Parallel as ParallelEngine
from spadework.engines.perplexity import Perplexity as PerplexityEngine
from spadework_tools.models import Outcome

pytestmark = pytest.mark.anyio

COMPANY = {
    "type": "object",
    "properties": {"industry": {"type": "string"}, "employees": {"type": "integer"}},
    "required": ["industry", "employees"],
}


async def test_perplexity_reports_with_every_mark_on_its_claim_and_the_cost_it_was_told(tmp_path):
    standin = Perplexity()
    standin.script = Script(polls=3)
    with anyio.fail_after(20):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"perplexity": url}, Hands())
            work = job("perplexity", include_domains=("example.org",), published_after="2026-01-31")
            report, pauses = await finish(PerplexityEngine(), work, bench)
            assert len(standin.ledger) == 1
            body = standin.ledger.purchases[0].body
            assert body["effort"] == "medium"
            assert body["background"] is True
            filters = body["tools"][0]["filters"]
            assert filters == {"search_domain_filter": ["example.org"], "search_after_date_filter": "01/31/2026"}
            assert len(pauses) == 3
            assert len(report.sources) == 12
            assert len(report.citations) == 12
            for citation in report.citations:
                claim = report.text[citation.target.start : citation.target.end]
                assert claim == citation.quote
                assert report.text[citation.target.end :].startswith(f" [{citation.id}]")
            assert (report.cost.amount, report.cost.kind) == (0.016, "reported")
            totals = await bench.ledger.totals()
            assert (totals.spent_usd, totals.reserved_usd) == (0.016, 0.0)
            await bench.http.aclose()


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_an_engine_lives_on_trio_as_well(tmp_path, anyio_backend):
    standin = Parallel()
    with anyio.fail_after(20):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"parallel": url}, Hands())
            report, _ = await finish(ParallelEngine(), job("parallel", "lite"), bench)
            assert report.text
            await bench.http.aclose()


async def test_perplexity_gives_data_by_schema(tmp_path):
    standin = Perplexity()
    with anyio.fail_after(20):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"perplexity": url}, Hands())
            report, _ = await finish(PerplexityEngine(), job("perplexity", output_schema=COMPANY), bench)
            assert report.schema_ok is True
            assert set(report.data) == {"industry", "employees"}
            assert f"**employees**: {report.data['employees']}" in report.text
            await bench.http.aclose()


async def test_the_old_sonar_api_still_works_at_a_gateway_that_speaks_it(tmp_path):
    standin = Perplexity(sonar=True)
    standin.sonar.created_as = "QUEUED"
    with anyio.fail_after(20):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"perplexity": url}, Hands())
            report, _ = await finish(PerplexityEngine(), job("perplexity", "sonar-async"), bench)
            assert "<think>" not in report.text
            assert len(report.citations) == 6
            assert report.citations[0].quote in report.text
            assert report.cost.amount == 0.4
            assert len(standin.ledger) == 1
            await bench.http.aclose()


async def test_parallel_gives_a_report_with_its_basis_and_a_computed_price(tmp_path):
    standin = Parallel()
    standin.script = Script(polls=3)
    with anyio.fail_after(20):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"parallel": url}, Hands())
            work = job("parallel", "ultra", exclude_domains=("example.com",), published_after="2026-01-31")
            report, _ = await finish(ParallelEngine(), work, bench)
            bought = standin.ledger.purchases[0].body
            assert bought["processor"] == "ultra"
            assert bought["source_policy"] == {"exclude_domains": ["example.com"], "after_date": "2026-01-31"}
            assert bought["task_spec"]["output_schema"]["type"] == "text"
            assert report.text.startswith("# ")
            assert report.basis[0].target.kind == "document"
            assert report.basis[0].confidence.level is not None
            assert [citation.quote in report.text for citation in report.citations] == [True] * 3
            assert (report.cost.amount, report.cost.kind) == (0.3, "computed")
            assert report.provenance.vendor_ids["interaction"].startswith("trun_")
            await bench.http.aclose()


async def test_parallel_gives_data_with_a_basis_for_each_field(tmp_path):
    standin = Parallel()
    with anyio.fail_after(20):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"parallel": url}, Hands())
            report, _ = await finish(ParallelEngine(), job("parallel", "core", output_schema=COMPANY), bench)
            assert report.schema_ok is True
            assert [basis.target.pointer for basis in report.basis] == ["/industry", "/employees"]
            assert all(basis.citation_ids for basis in report.basis)
            assert f"**industry**: {report.data['industry']} [c1]" in report.text
            await bench.http.aclose()


async def test_an_empty_schema_lets_parallel_choose_the_form(tmp_path):
    standin = Parallel()
    with anyio.fail_after(20):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"parallel": url}, Hands())
            report, _ = await finish(ParallelEngine(), job("parallel", "core", output_schema={}), bench)
            assert {basis.target.pointer for basis in report.basis} >= {"/leaders", "/leaders/0", "/leaders/1"}
            assert report.schema_ok is None
            await bench.http.aclose()


async def test_records_come_back_row_by_row_in_their_order_with_reasons_for_what_is_missing(tmp_path):
    standin = Parallel()
    standin.scripts = {
        "Broken Ltd": Script(polls=1, fate="failed", error=("x", "The site is down.")),
        "Quiet Ltd": Script(polls=1, unverified=frozenset({"employees"})),
    }
    records = [{"company": name} for name in ("Acme HVAC", "Broken Ltd", "Quiet Ltd")]
    with anyio.fail_after(20):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"parallel": url}, Hands())
            work = job("parallel", records=records, output_schema=COMPANY)
            report, _ = await finish(ParallelEngine(), work, bench)
            assert report.outcome is Outcome.PARTIAL
            assert report.data[0]["industry"]
            assert report.data[1] is None
            assert report.data[2]["employees"] is None
            reasons = {basis.target.pointer: basis.reasoning for basis in report.basis}
            assert reasons["/1"] == "The site is down."
            assert "No reliable source states employees" in reasons["/2/employees"]
            assert report.text.index("Acme HVAC") < report.text.index("Broken Ltd") < report.text.index("Quiet Ltd")
            assert report.cost.amount == 0.02
            assert len(standin.ledger) == 3
            await bench.http.aclose()


async def test_cloro_gives_the_snapshot_its_sources_and_its_credits(tmp_path):
    standin = Cloro()
    with anyio.fail_after(20):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"cloro": url}, Hands())
            work = job("cloro", "chatgpt")
            report, _ = await finish(CloroEngine(), work, bench)
            assert standin.ledger.purchases[0].key == work.id
            assert len(report.sources) == 5
            assert sum(source.seen_as == "cited" for source in report.sources) == 3
            assert (report.cost.amount, report.cost.unit) == (7, "credits")
            assert (await bench.ledger.totals()).spent_usd == pytest.approx(0.0056)
            await bench.http.aclose()


@pytest.mark.parametrize("tier", ["perplexity", "gemini", "copilot", "aimode", "google", "google-news"])
async def test_cloro_speaks_to_each_answer_engine(tmp_path, tier):
    standin = Cloro()
    with anyio.fail_after(20):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"cloro": url}, Hands())
            report, _ = await finish(CloroEngine(), job("cloro", tier), bench)
            assert report.text
            assert report.outcome is Outcome.FULL
            await bench.http.aclose()


@pytest.mark.parametrize(
    ("engine", "standin", "name", "tier"),
    [
        (PerplexityEngine, Perplexity, "perplexity", "medium"),
        (ParallelEngine, Parallel, "parallel", "pro"),
        (CloroEngine, Cloro, "cloro", "chatgpt"),
    ],
)
async def test_a_ten_minute_job_costs_at_most_forty_requests(tmp_path, engine, standin, name, tier):
    hands = Hands()
    vendor = standin(clock=hands.wall)
    vendor.script = Script(seconds=600)
    with anyio.fail_after(30):
        async with vendor.serve() as url:
            bench = Workbench(tmp_path / "job", {name: url}, hands)
            _, pauses = await finish(engine(), job(name, tier), bench)
            assert sum(pauses) >= 600
            assert len(vendor.log) <= 40
            assert len(vendor.ledger) == 1
            await bench.http.aclose()


async def test_a_follow_up_names_the_earlier_run_to_its_own_vendor_and_tells_another_one_what_was_found(tmp_path):
    perplexity, parallel = Perplexity(), Parallel()
    with anyio.fail_after(20):
        async with perplexity.serve() as one, parallel.serve() as two:
            urls = {"perplexity": one, "parallel": two}
            first = Workbench(tmp_path / "a", urls, Hands())
            report, _ = await finish(PerplexityEngine(), job("perplexity"), first)
            again = Workbench(tmp_path / "b", urls, Hands(), earlier=report)
            await finish(PerplexityEngine(), job("perplexity", follow_up_to="r_1"), again)
            linked = perplexity.ledger.purchases[1].body["previous_response_id"]
            assert linked == report.provenance.vendor_ids["response"]
            other = Workbench(tmp_path / "c", urls, Hands(), earlier=report)
            await finish(ParallelEngine(), job("parallel", "lite", follow_up_to="r_1"), other)
            assert "An earlier report on this said" in json.dumps(parallel.ledger.purchases[0].body["input"])
            for bench in (first, again, other):
                await bench.http.aclose()
