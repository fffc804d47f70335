"""What goes wrong while a run is going: outages, strange answers, refusals, failures and cancels."""

from __future__ import annotations

import anyio
import pytest
from tests.rooms.engines.bench import Hands, Workbench, finish, job
from tests.standins import answers
from tests.standins.cloro import Cloro
from tests.standins.faults import Kind
from tests.standins.parallel import Parallel
from tests.standins.perplexity import Perplexity
from tests.standins.script import Script

from spadework.engines import Later
from spadework.engines.cloro import Cloro as CloroEngine
from spadework.engines.parallel import Parallel as ParallelEngine
from spadework.engines.perplexity import Perplexity as PerplexityEngine
from spadework.engines.vendor import Vendor
from spadework_tools.errors import BadRequest, BudgetExceeded, EngineFailed, MissingKey, Trouble, UnknownEngine
from spadework_tools.models import Outcome, Report

pytestmark = pytest.mark.anyio

VENDORS = [
    pytest.param(PerplexityEngine, Perplexity, "perplexity", id="perplexity"),
    pytest.param(ParallelEngine, Parallel, "parallel", id="parallel"),
    pytest.param(CloroEngine, Cloro, "cloro", id="cloro"),
]
SUBMIT = {"perplexity": "submit", "parallel": "add", "cloro": "submit"}


async def _bought(engine: Vendor, work, bench) -> None:
    while await bench.recall("upstream") is None:
        got = await engine.work(work, bench)
        assert isinstance(got, Later)
        bench.clock.pass_(got.after_s)


@pytest.mark.parametrize(("engine", "standin", "name"), VENDORS)
async def test_a_vendor_that_is_away_for_an_hour_only_delays_the_job(tmp_path, engine, standin, name):
    vendor, hands = standin(), Hands()
    with anyio.fail_after(30):
        async with vendor.serve() as url:
            bench = Workbench(tmp_path / "job", {name: url}, hands)
            runner, work = engine(), job(name)
            await _bought(runner, work, bench)
            vendor.faults.add(Kind.SERVER_ERROR, "any", times=None, status=502)
            asked, gone = len(vendor.log), hands.at
            while hands.at < gone + 3600:
                got = await runner.work(work, bench)
                assert isinstance(got, Later)
                hands.pass_(got.after_s)
            assert len(vendor.log) - asked <= 30
            vendor.faults.clear()
            back = hands.at
            await finish(runner, work, bench)
            assert hands.at - back <= 300
            assert len(vendor.ledger) == 1
            await bench.http.aclose()


PASSING = [
    Kind.SERVER_ERROR,
    Kind.LOST_BEFORE,
    Kind.TRUNCATED,
    Kind.MALFORMED,
    Kind.HTML,
    Kind.EMPTY,
    Kind.WRONG_TYPES,
    Kind.UNKNOWN_FIELD,
    Kind.UNKNOWN_STATUS,
    Kind.SURROGATE,
    Kind.RATE_LIMIT,
    Kind.BAD_KEY,
    Kind.RETIRED_ENDPOINT,
]


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize(("engine", "standin", "name"), VENDORS)
async def test_two_strange_answers_while_a_run_goes_on_end_no_job(tmp_path, engine, standin, name, kind):
    vendor = standin()
    with anyio.fail_after(30):
        async with vendor.serve() as url:
            bench = Workbench(tmp_path / "job", {name: url}, Hands())
            runner, work = engine(), job(name)
            await _bought(runner, work, bench)
            vendor.faults.add(kind, "look", times=2)
            report, _ = await finish(runner, work, bench)
            assert "\ud83d" not in report.text
            report.model_dump_json().encode()
            assert len(vendor.ledger) == 1
            await bench.http.aclose()


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Kind.BAD_KEY, "bad_key"),
        (Kind.NO_CREDIT, "no_credit"),
        (Kind.RETIRED_ENDPOINT, "endpoint_retired"),
        (Kind.RETIRED_MODEL, "model_retired"),
    ],
)
@pytest.mark.parametrize(("engine", "standin", "name"), VENDORS)
async def test_a_refused_order_has_its_own_code_and_costs_nothing(tmp_path, engine, standin, name, kind, code):
    vendor = standin()
    vendor.faults.add(kind, SUBMIT[name])
    with anyio.fail_after(20):
        async with vendor.serve() as url:
            bench = Workbench(tmp_path / "job", {name: url}, Hands())
            with pytest.raises(EngineFailed) as caught:
                await engine().work(job(name), bench)
            assert caught.value.code == code
            totals = await bench.ledger.totals()
            assert (totals.spent_usd, totals.reserved_usd, len(vendor.ledger)) == (0, 0, 0)
            await bench.http.aclose()


async def test_the_vendors_own_sonar_endpoint_is_retired_and_not_a_matter_of_the_key(tmp_path):
    vendor = Perplexity(sonar=False)
    with anyio.fail_after(20):
        async with vendor.serve() as url:
            bench = Workbench(tmp_path / "job", {"perplexity": url}, Hands())
            with pytest.raises(EngineFailed) as caught:
                await PerplexityEngine().work(job("perplexity", "sonar-async"), bench)
            assert caught.value.code == "endpoint_retired"
            assert "Sonar is now the Agent API" in caught.value.message
            await bench.http.aclose()


@pytest.mark.parametrize(("engine", "standin", "name"), VENDORS)
async def test_a_run_that_the_vendor_lost_ends_after_ten_minutes_of_asking(tmp_path, engine, standin, name):
    vendor, hands = standin(), Hands()
    with anyio.fail_after(20):
        async with vendor.serve() as url:
            bench = Workbench(tmp_path / "job", {name: url}, hands)
            runner, work = engine(), job(name)
            await _bought(runner, work, bench)
            vendor.runs.clear()
            gone = hands.at
            with pytest.raises(EngineFailed):
                await finish(runner, work, bench)
            assert 600 <= hands.at - gone <= 1200
            await bench.http.aclose()


@pytest.mark.parametrize(("engine", "standin", "name"), VENDORS)
async def test_a_failed_run_is_told_in_the_vendors_words(tmp_path, engine, standin, name):
    vendor = standin()
    vendor.script = Script(fate="failed", error=("boom", "The planner gave\x1b[31m up."))
    with anyio.fail_after(20):
        async with vendor.serve() as url:
            bench = Workbench(tmp_path / "job", {name: url}, Hands())
            with pytest.raises(EngineFailed) as caught:
                await finish(engine(), job(name), bench)
            assert caught.value.code == "run_failed"
            assert "The planner gave" in caught.value.message
            assert "\x1b" not in caught.value.message
            await bench.http.aclose()


@pytest.mark.parametrize(("engine", "standin", "name"), VENDORS)
async def test_a_run_that_never_ends_is_given_up(tmp_path, engine, standin, name):
    vendor, hands = standin(), Hands()
    vendor.script = Script(fate="never")
    with anyio.fail_after(30):
        async with vendor.serve() as url:
            bench = Workbench(tmp_path / "job", {name: url}, hands)
            with pytest.raises(EngineFailed) as caught:
                await finish(engine(), job(name), bench, looks=500)
            assert caught.value.code == "deadline"
            assert hands.at - 1_795_000_000 >= 3600
            await bench.http.aclose()


async def test_perplexity_is_told_to_stop_and_what_it_did_is_booked_as_unknown(tmp_path):
    vendor = Perplexity()
    vendor.script = Script(polls=50)
    with anyio.fail_after(20):
        async with vendor.serve() as url:
            bench = Workbench(tmp_path / "job", {"perplexity": url}, Hands())
            runner, work = PerplexityEngine(), job("perplexity")
            await _bought(runner, work, bench)
            note = await runner.stop(work, bench)
            assert isinstance(note, str)
            assert "told to stop" in note
            assert vendor.count("cancel") == 1
            assert (await bench.ledger.totals()).unknown_usd == 0.1
            await bench.http.aclose()


async def test_a_cancel_that_races_with_completion_gives_the_report(tmp_path):
    vendor = Perplexity()
    vendor.script = Script(polls=50, on_cancel="finishes")
    with anyio.fail_after(20):
        async with vendor.serve() as url:
            bench = Workbench(tmp_path / "job", {"perplexity": url}, Hands())
            runner, work = PerplexityEngine(), job("perplexity")
            await _bought(runner, work, bench)
            report = await runner.stop(work, bench)
            assert isinstance(report, Report)
            assert (await bench.ledger.totals()).spent_usd == 0.016
            await bench.http.aclose()


@pytest.mark.parametrize(("engine", "standin", "name"), VENDORS)
async def test_a_finished_run_gives_its_report_when_it_is_stopped(tmp_path, engine, standin, name):
    vendor = standin()
    vendor.script = Script(polls=0)
    with anyio.fail_after(20):
        async with vendor.serve() as url:
            bench = Workbench(tmp_path / "job", {name: url}, Hands())
            runner, work = engine(), job(name)
            await _bought(runner, work, bench)
            assert isinstance(await runner.stop(work, bench), Report)
            await bench.http.aclose()


@pytest.mark.parametrize(
    ("engine", "standin", "name", "words"),
    [(ParallelEngine, Parallel, "parallel", "up to $0.10"), (CloroEngine, Cloro, "cloro", "costs $0.0032")],
)
async def test_a_vendor_that_cannot_stop_is_named_with_what_it_may_bill(tmp_path, engine, standin, name, words):
    vendor = standin()
    vendor.script = Script(polls=50)
    with anyio.fail_after(20):
        async with vendor.serve() as url:
            bench = Workbench(tmp_path / "job", {name: url}, Hands())
            runner, work = engine(), job(name)
            await _bought(runner, work, bench)
            note = await runner.stop(work, bench)
            assert isinstance(note, str)
            assert words in note
            await bench.http.aclose()


@pytest.mark.parametrize(("engine", "standin", "name"), VENDORS)
async def test_stopping_what_was_never_bought_says_nothing_and_holds_no_money(tmp_path, engine, standin, name):
    bench = Workbench(tmp_path / "job", {}, Hands())
    assert await engine().stop(job(name), bench) == ""
    assert (await bench.ledger.totals()).jobs == 0


@pytest.mark.parametrize(("engine", "standin", "name"), VENDORS)
async def test_the_caps_refuse_before_anything_is_sent(tmp_path, engine, standin, name):
    vendor = standin()
    with anyio.fail_after(20):
        async with vendor.serve() as url:
            bench = Workbench(tmp_path / "job", {name: url}, Hands(), cap=0.001)
            with pytest.raises(BudgetExceeded, match=r"cap of \$0.001"):
                await engine().work(job(name), bench)
            free = Workbench(tmp_path / "other" / "job", {name: url}, Hands())
            with pytest.raises(BudgetExceeded, match=r"cap is \$0.001"):
                await engine().work(job(name, max_cost_usd=0.001), free)
            with pytest.raises(BudgetExceeded):
                await engine().admit(job(name, max_cost_usd=0.001).request, None)
            assert vendor.log == []


@pytest.mark.parametrize("key", ["", "abc12", "has space in it", "line\nbreak-in-it", "schlüssel-mit-umlaut"])
@pytest.mark.parametrize(("engine", "standin", "name"), VENDORS)
async def test_a_key_that_can_be_none_is_refused_before_anything_is_sent(tmp_path, engine, standin, name, key):
    bench = Workbench(tmp_path / "job", {name: "http://127.0.0.1:9"}, Hands(), key=key)
    with pytest.raises(EngineFailed) as caught:
        await engine().work(job(name), bench)
    assert caught.value.code == "bad_key"
    assert not key or key not in caught.value.message


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://user:pass@127.0.0.1:9/", "nowhere", "http://[::1"])
@pytest.mark.parametrize(("engine", "standin", "name"), VENDORS)
async def test_a_base_url_that_leads_nowhere_is_told_and_leaves_nothing_in_doubt(tmp_path, engine, standin, name, url):
    bench = Workbench(tmp_path / "job", {name: url}, Hands())
    for _ in range(2):
        with pytest.raises(Trouble) as caught:
            await engine().work(job(name), bench)
        assert caught.value.code == "egress_refused"
    assert (await bench.ledger.totals()).reserved_usd == 0


async def test_a_missing_key_is_named(tmp_path):
    bench = Workbench(tmp_path / "job", {}, Hands(), key=None)
    with pytest.raises(MissingKey, match="PARALLEL_API_KEY"):
        await ParallelEngine().work(job("parallel"), bench)


DEEP: dict = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "object"}}}}}
DEEPER: dict = {"type": "object", "properties": {"x": DEEP}}
BAD = [
    ("perplexity", {"include_domains": ("*.example.org",)}, "bare domain"),
    ("perplexity", {"include_domains": tuple(f"d{n}.example" for n in range(21))}, "at most 20"),
    ("perplexity", {"output_schema": {"type": "nothing"}}, "no JSON Schema"),
    ("perplexity", {"records": [{"a": 1}], "output_schema": {}}, "cannot use records"),
    ("perplexity", {"folders": ("/tmp",)}, "cannot use folders"),
    ("parallel", {"output_schema": DEEPER}, "nests 4 levels"),
    ("parallel", {"output_schema": {"type": "array"}}, "of type object"),
    ("parallel", {"records": [{"a": n} for n in range(10_000)], "output_schema": {}}, "10,000 records"),
    ("parallel", {"records": [{"a": "x" * 25_000}], "output_schema": {}}, "record 0"),
    ("parallel", {"published_before": "2026-01-01"}, "cannot use published_before"),
    ("cloro", {"include_domains": ("example.org",)}, "cannot use include_domains"),
    ("cloro", {"question": "x" * 10_001}, "at most 10,000"),
]


@pytest.mark.parametrize(("name", "fields", "words"), BAD)
async def test_what_the_vendor_would_refuse_is_refused_before_it_costs_anything(name, fields, words):
    engine = {"perplexity": PerplexityEngine, "parallel": ParallelEngine, "cloro": CloroEngine}[name]()
    with pytest.raises(BadRequest, match=words):
        await engine.admit(job(name, **fields).request, None)


async def test_an_unknown_tier_is_answered_with_those_there_are():
    with pytest.raises(UnknownEngine, match=r"lite, base, .*ultra8x"):
        await ParallelEngine().admit(job("parallel").request, "ultra9x")


async def test_every_processor_of_parallel_is_a_tier():
    tiers = set(ParallelEngine.facts.tiers)
    base = {"lite", "base", "core", "core2x", "pro", "ultra", "ultra2x", "ultra4x", "ultra8x"}
    assert tiers == base | {f"{name}-fast" for name in base}
    assert (await ParallelEngine().admit(job("parallel").request, "ultra8x-fast")).cost_usd == 2.4


async def test_a_vendor_that_echoes_the_key_does_not_spread_it(tmp_path):
    vendor = Perplexity()
    with anyio.fail_after(20):
        async with vendor.serve() as url:
            key = next(iter(vendor.keys))
            vendor.script = Script(text=f"Your key is {key}.")
            bench = Workbench(tmp_path / "job", {"perplexity": url}, Hands())
            report, _ = await finish(PerplexityEngine(), job("perplexity"), bench)
            assert key not in report.model_dump_json()
            kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
            assert key.encode() not in kept
            await bench.http.aclose()


async def test_an_incomplete_answer_with_text_is_a_partial_report(tmp_path):
    vendor = Perplexity()
    vendor.script = Script(fate="incomplete")
    with anyio.fail_after(20):
        async with vendor.serve() as url:
            bench = Workbench(tmp_path / "job", {"perplexity": url}, Hands())
            report, _ = await finish(PerplexityEngine(), job("perplexity"), bench)
            assert report.outcome is Outcome.PARTIAL
            await bench.http.aclose()


@pytest.mark.parametrize(("engine", "standin", "name"), VENDORS)
async def test_a_five_megabyte_report_comes_home_whole(tmp_path, engine, standin, name):
    vendor = standin()
    text = answers.huge()
    vendor.script = Script(text=text, polls=1)
    with anyio.fail_after(30):
        async with vendor.serve() as url:
            bench = Workbench(tmp_path / "job", {name: url}, Hands())
            report, _ = await finish(engine(), job(name, "chatgpt" if name == "cloro" else None), bench)
            assert report.text == text
            await bench.http.aclose()


async def test_auto_may_go_elsewhere_only_where_nothing_was_bought(tmp_path):
    vendor = Perplexity()
    vendor.faults.add(Kind.RATE_LIMIT, "submit", times=None)
    with anyio.fail_after(20):
        async with vendor.serve() as url:
            bench = Workbench(tmp_path / "job", {"perplexity": url}, Hands())
            work = job("perplexity").evolve(request=job("auto").request)
            with pytest.raises(EngineFailed) as caught:
                await finish(PerplexityEngine(), work, bench)
            assert caught.value.code == "rate_limited"
            assert len(vendor.ledger) == 0
            await bench.http.aclose()
