"""Paying once: whatever becomes of a submit's answer or of the process, a run is bought once or said to be in doubt."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from tests.rooms.engines.bench import Hands, Workbench, finish, job
from tests.standins.cloro import Cloro
from tests.standins.faults import Kind
from tests.standins.parallel import Parallel
from tests.standins.perplexity import Perplexity, error
from tests.standins.script import Script

from spadework.engines import Later
from spadework.engines.cloro import Cloro as CloroEngine
from spadework.engines.parallel import Parallel as ParallelEngine
from spadework.engines.perplexity import Perplexity as PerplexityEngine
from spadework_tools.errors import EngineFailed

pytestmark = pytest.mark.anyio

LOST = (Kind.LOST_AFTER, Kind.STALL_AFTER, Kind.ERROR_AFTER, Kind.TRUNCATED, Kind.HTML, Kind.EMPTY, Kind.MALFORMED)
UNTAKEN = (Kind.LOST_BEFORE, Kind.STALL)


@pytest.mark.parametrize("kind", LOST + UNTAKEN)
async def test_parallel_completes_after_a_lost_answer_having_bought_once(tmp_path, kind):
    standin = Parallel()
    standin.faults.add(kind, "add")
    with anyio.fail_after(20):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"parallel": url}, Hands())
            report, _ = await finish(ParallelEngine(timeout_s=0.5), job("parallel", "lite"), bench)
            assert report.text
            assert len(standin.ledger) == 1
            await bench.http.aclose()


@pytest.mark.parametrize("lag", [0, 1])
async def test_parallel_buys_again_only_what_two_listings_do_not_show(tmp_path, lag):
    standin = Parallel()
    standin.lag = lag
    standin.faults.add(Kind.LOST_AFTER, "add")
    records = [{"company": f"Company {place}"} for place in range(5)]
    with anyio.fail_after(20):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"parallel": url}, Hands())
            work = job("parallel", records=records, output_schema={"type": "object", "properties": {"a": {}}})
            report, _ = await finish(ParallelEngine(), work, bench)
            assert len(report.data) == 5
            assert len(standin.ledger) == 5
            await bench.http.aclose()


@pytest.mark.parametrize("kind", LOST + UNTAKEN)
@pytest.mark.parametrize("tier", ["medium", "sonar-async"])
async def test_perplexity_never_orders_again_by_itself_and_says_that_the_purchase_is_unconfirmed(tmp_path, kind, tier):
    standin = Perplexity(sonar=True)
    standin.faults.add(kind, "submit" if tier == "medium" else "sonar_submit")
    engine = PerplexityEngine(timeout_s=0.5)
    with anyio.fail_after(20):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"perplexity": url}, Hands())
            work = job("perplexity", tier)
            assert isinstance(await engine.work(work, bench), Later)
            for _ in range(3):
                with pytest.raises(EngineFailed) as caught:
                    await engine.work(work, bench)
                assert caught.value.code == "unconfirmed"
                assert "idempotency_key" in caught.value.message
            assert standin.count("submit") + standin.count("sonar_submit") == 1
            totals = await bench.ledger.totals()
            assert totals.unknown_usd == totals.spent_usd > 0
            await bench.http.aclose()


@pytest.mark.parametrize("kind", LOST)
async def test_cloro_buys_a_lost_task_once_more_and_says_so(tmp_path, kind):
    standin = Cloro()
    standin.faults.add(kind, "submit")
    with anyio.fail_after(20):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"cloro": url}, Hands())
            report, _ = await finish(CloroEngine(timeout_s=0.5), job("cloro", "chatgpt"), bench)
            assert len(standin.ledger) == 2
            assert any("1 earlier task(s)" in warning for warning in report.provenance.warnings)
            assert (await bench.ledger.totals()).spent_usd == pytest.approx(0.0112)
            await bench.http.aclose()


@pytest.mark.parametrize("kind", UNTAKEN)
async def test_cloro_proves_by_its_key_that_a_task_was_not_taken(tmp_path, kind):
    standin = Cloro()
    standin.faults.add(kind, "submit")
    with anyio.fail_after(20):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"cloro": url}, Hands())
            report, _ = await finish(CloroEngine(timeout_s=0.5), job("cloro", "chatgpt"), bench)
            assert len(standin.ledger) == 1
            assert not any("earlier task" in warning for warning in report.provenance.warnings)
            await bench.http.aclose()


async def test_cloro_stops_buying_at_the_price_threshold(tmp_path):
    standin = Cloro()
    for after in (0, 1, 2):  # every first answer of a round is lost, the 409 that follows it is not
        standin.faults.add(Kind.LOST_AFTER, "submit", after=after)
    engine = CloroEngine()
    with anyio.fail_after(20):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"cloro": url}, Hands())
            with pytest.raises(EngineFailed) as caught:
                await finish(engine, job("cloro", "chatgpt"), bench)
            assert caught.value.code == "unconfirmed"
            assert len(standin.ledger) == 3
            assert standin.ledger.total_usd <= 0.05
            await bench.http.aclose()


async def test_cloro_gives_a_task_up_that_was_lost_for_longer_than_the_vendor_keeps_it(tmp_path):
    standin = Cloro()
    standin.faults.add(Kind.LOST_AFTER, "submit", times=None)
    hands = Hands()
    with anyio.fail_after(60):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"cloro": url}, hands)
            with pytest.raises(EngineFailed) as caught:
                await finish(CloroEngine(), job("cloro", "chatgpt"), bench, looks=1000)
            assert caught.value.code == "unconfirmed"
            assert hands.at - 1_795_000_000 == pytest.approx(24 * 3600, rel=0.01)
            assert len(standin.ledger) == 1
            await bench.http.aclose()


@pytest.mark.parametrize(
    ("engine", "standin", "name", "where"),
    [
        (PerplexityEngine, Perplexity, "perplexity", "submit"),
        (ParallelEngine, Parallel, "parallel", "add"),
        (ParallelEngine, Parallel, "parallel", "group"),
        (CloroEngine, Cloro, "cloro", "submit"),
    ],
)
@pytest.mark.parametrize("after", ["7200", "Sun, 22 Nov 2026 12:00:00 GMT", "soon", "-5", None])
async def test_a_429_is_waited_out_as_long_as_the_vendor_asks_and_then_bought_once(
    tmp_path, engine, standin, name, where, after
):
    hands = Hands()
    vendor = standin(clock=hands.wall)
    vendor.faults.add(Kind.RATE_LIMIT, where, times=2, retry_after=after)
    with anyio.fail_after(20):
        async with vendor.serve() as url:
            bench = Workbench(tmp_path / "job", {name: url}, hands)
            report, pauses = await finish(engine(), job(name), bench)
            assert report.text
            assert len(vendor.ledger) == 1
            assert (await bench.ledger.totals()).reserved_usd == 0
            if after == "7200":
                assert pauses[0] >= 7200
            if after is not None and after.startswith("Sun"):
                assert 1_795_000_000 + pauses[0] >= 1_795_348_800
            await bench.http.aclose()


async def test_a_refused_connection_proves_that_nothing_was_bought(tmp_path):
    standin = Perplexity()
    hands = Hands()
    with anyio.fail_after(20):
        async with standin.serve() as url:
            pass  # the port is closed again
        bench = Workbench(tmp_path / "job", {"perplexity": url}, hands)
        engine, work = PerplexityEngine(), job("perplexity")
        for _ in range(3):
            assert isinstance(await engine.work(work, bench), Later)
        assert (await bench.ledger.totals()).reserved_usd == 0
        async with standin.serve() as url:
            bench.urls["perplexity"] = url
            await finish(engine, work, bench)
            assert len(standin.ledger) == 1
        await bench.http.aclose()


async def test_an_older_api_that_does_not_know_effort_is_asked_by_preset(tmp_path, monkeypatch):
    standin = Perplexity()
    judge = standin._judge

    def older(body):
        if "effort" in body:
            raise error(400, "invalid_request", 'invalid request body: json: unknown field "effort"', "effort")
        judge(body)

    monkeypatch.setattr(standin, "_judge", older)
    with anyio.fail_after(20):
        async with standin.serve() as url:
            bench = Workbench(tmp_path / "job", {"perplexity": url}, Hands())
            await finish(PerplexityEngine(), job("perplexity"), bench)
            assert standin.ledger.purchases[0].body["preset"] == "medium"
            await bench.http.aclose()


WORKER = """
import sys, anyio
from pathlib import Path
from spadework.job import Job
from tests.rooms.engines.bench import Hands, Workbench, finish
from spadework.engines.cloro import Cloro
from spadework.engines.parallel import Parallel
from spadework.engines.perplexity import Perplexity

folder, url, line = sys.argv[1:]
job = Job.model_validate_json(line)
engine = {"cloro": Cloro, "parallel": Parallel, "perplexity": Perplexity}[job.engine](timeout_s=5)
bench = Workbench(Path(folder), {job.engine: url}, Hands())

async def main():
    await finish(engine, job, bench)

print("ready", flush=True)
sys.stdin.readline()
anyio.run(main)
"""


@pytest.mark.parametrize(
    ("engine", "standin", "name"),
    [
        (ParallelEngine, Parallel, "parallel"),
        (PerplexityEngine, Perplexity, "perplexity"),
        (CloroEngine, Cloro, "cloro"),
    ],
)
async def test_a_process_killed_anywhere_around_its_purchase_never_leads_to_a_second_one(
    tmp_path, engine, standin, name
):
    """The kill falls at a random moment of the 15 ms after the intent was written, in which the purchase is made."""
    vendor = standin()
    vendor.script = Script(polls=1)
    if isinstance(vendor, Cloro):
        vendor.concurrency = 1_000  # the stand-in ends a task only when it is looked at, and nobody looks at a lost one
    chance = random.Random(7)
    kills, unconfirmed, extra, caught = 12, 0, 0, 0
    with anyio.fail_after(120):
        async with vendor.serve() as url:
            for place in range(kills):
                before = len(vendor.ledger)
                folder = tmp_path / f"job{place}" / "bench"
                work = job(name, "chatgpt" if name == "cloro" else None, label=str(place))
                await anyio.to_thread.run_sync(_kill, folder, url, work.model_dump_json(), chance.random() * 0.015)
                caught += (folder / "intent.1").exists() and not (folder / "upstream").exists()
                bench = Workbench(folder, {name: url}, Hands())
                try:
                    await finish(engine(), work, bench)
                except EngineFailed as error:
                    assert error.code == "unconfirmed"
                    unconfirmed += 1
                await bench.http.aclose()
                extra += max(0, len(vendor.ledger) - before - 1)
    assert caught, "no kill fell between the intent and the vendor's id"
    if name == "parallel":
        assert (extra, unconfirmed) == (0, 0)
    elif name == "perplexity":
        assert extra == 0
    else:
        assert unconfirmed == 0
        assert extra * 0.0056 <= kills * 0.05


def _kill(folder: Path, url: str, line: str, after_s: float) -> None:
    paths = os.pathsep.join(["server", "tools", "."])
    child = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), url, line],
        env={"PATH": os.defpath, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdin
    assert child.stdout
    assert child.stdout.readline() == b"ready\n"
    child.stdin.write(b"\n")
    child.stdin.flush()
    until = time.monotonic() + 10
    while not (folder / "intent.1").exists() and child.poll() is None and time.monotonic() < until:
        time.sleep(0.0005)
    time.sleep(after_s)
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    child.stdin.close()
    child.stdout.close()
