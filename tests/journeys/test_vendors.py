"""Each vendor's jobs as an agent sees them: the tools of a real server, the vendor's stand-in on loopback.

Whatever happens on the way, the stand-in's ledger shows one purchase for each job.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import anyio
import pytest
from tests.conftest import Connect
from tests.journeys.desks import Place, until
from tests.journeys.market import COMPANY, KINDS, QUICK, bought, market, quick, setting, town
from tests.journeys.server import COMMAND, call, ended, page, whole
from tests.standins.faults import Kind
from tests.standins.parallel import Parallel
from tests.standins.perplexity import Perplexity
from tests.standins.script import Script
from tests.standins.standin import KEY

#: What a cancel says of a run that the vendor does not stop, or does.
NOTES = {"perplexity": "told to stop", "parallel": "has no way to stop", "cloro": "cannot stop"}
EACH = pytest.mark.parametrize("name", list(KINDS))


# One life.


@EACH
@pytest.mark.anyio
async def test_a_job_is_bought_once_and_comes_back_as_a_report_a_failure_or_a_cancel_with_the_vendors_words(
    name: str, client: Connect
) -> None:
    async with market(name) as ((standin,), settings), client(**settings) as agent:
        standin.scripts = {
            "failing": Script(polls=1, fate="failed", error=("x", "The planner gave up.")),
            "endless": Script(fate="never"),
        }
        good = {"question": "How large is the market for heat pumps?", "engine": quick(name), "label": "good"}
        ticket = await call(agent, "start_research", **good)
        again = await call(agent, "start_research", **good)
        bad = await call(agent, "start_research", question="a failing question", engine=quick(name))
        long = await call(agent, "start_research", question="an endless question", engine=quick(name))

        assert (ticket["engine"], ticket["created"]) == (quick(name), True)
        assert ticket["cost_estimate_usd"] == pytest.approx(QUICK[name][1])
        assert (again["job_id"], again["created"], again["cost_estimate_usd"]) == (ticket["job_id"], False, 0.0)

        done = await ended(agent, ticket["job_id"])
        assert (done["status"], done["outcome"], done["label"]) == ("completed", "full", "good")
        assert done["sources"] >= 1
        text, _ = await whole(agent, ticket["job_id"], view="full")
        assert len(text) > 40
        brief, _ = await page(agent, ticket["job_id"])
        assert "source" in brief
        cited, _ = await whole(agent, ticket["job_id"], view="citations")
        # Parallel's small processors give addresses without excerpts.
        assert ("[c1] (no quote given)" if name == "parallel" else "[c1] “") in cited
        assert "https://" in cited

        failed = await ended(agent, bad["job_id"])
        assert failed["status"] == "failed"
        assert failed["error"]["code"] == "run_failed"
        assert "The planner gave up" in failed["error"]["message"]

        while standin.count("look") < 4:  # noqa: ASYNC110 - another process looks
            await anyio.sleep(0.05)
        stopped = await call(agent, "cancel_research", job_id=long["job_id"])
        assert (stopped["status"], stopped["changed"]) == ("cancelled", True)
        assert NOTES[name] in stopped["note"]
        twice = await call(agent, "cancel_research", job_id=long["job_id"])
        assert (twice["status"], twice["changed"], twice["note"]) == ("cancelled", False, stopped["note"])
        kept = await call(agent, "cancel_research", job_id=ticket["job_id"])
        assert (kept["status"], kept["changed"]) == ("completed", False)
        assert len(standin.ledger) == 3
        assert standin.count("cancel") == (1 if name == "perplexity" else 0)


def test_a_server_killed_in_the_middle_leaves_its_runs_to_the_next_one_which_buys_nothing(tmp_path: Path) -> None:
    with town() as (standins, settings), Place(tmp_path) as place:
        first = place.agent(command=COMMAND, **settings)
        jobs = bought(first)
        until(lambda: all(standin.count("look") == 1 for standin in standins[:2]), what="the first looks")
        assert standins[2].count("look") <= 1
        first.leave(signal.SIGKILL)
        second = place.agent(command=COMMAND, **settings)
        ends = [second.ended(job_id) for job_id in jobs]
        assert [(end["status"], end["outcome"]) for end in ends] == [("completed", "full")] * 3
        assert [len(standin.ledger) for standin in standins] == [1, 1, 1]


def test_the_desk_brings_runs_home_when_every_client_has_gone(tmp_path: Path) -> None:
    with town() as (standins, settings), Place(tmp_path) as place:
        first = place.agent(**settings)
        jobs = bought(first)
        first.leave()
        until(
            lambda: all(standin.count("look") >= 2 for standin in standins), 60, "the looks of a desk without clients"
        )
        # A client that brings no keys reads what was bought with another's.
        later = place.agent()
        assert [later.ended(job_id)["status"] for job_id in jobs] == ["completed"] * 3
        assert [len(standin.ledger) for standin in standins] == [1, 1, 1]
        assert KEY not in place.log


# Data.


@pytest.mark.anyio
async def test_records_come_back_row_by_row_with_the_basis_of_each_field_and_a_reason_for_each_null(
    client: Connect,
) -> None:
    rows = [{"company_name": name} for name in ("Acme HVAC", "Broken Ltd", "Quiet Ltd", "Northwind Cooling")]
    async with market("parallel") as ((standin,), settings), client(inline_s=0, **settings) as agent:
        standin.scripts = {
            "Broken Ltd": Script(polls=1, fate="failed", error=("x", "The site is down.")),
            "Quiet Ltd": Script(polls=1, unverified=frozenset({"employees"})),
        }
        asked = {"question": "Enrich each company.", "output_schema": COMPANY, "records": rows}
        ticket = await call(agent, "start_research", engine="parallel:core-fast", **asked)
        assert ticket["cost_estimate_usd"] == pytest.approx(4 * 0.025)
        done = await ended(agent, ticket["job_id"])
        assert (done["status"], done["outcome"]) == ("completed", "partial")
        text, _ = await whole(agent, ticket["job_id"], view="data")
        data = json.loads(text)
        assert [row and row["company_name"] for row in data] == ["Acme HVAC", None, "Quiet Ltd", "Northwind Cooling"]
        assert data[2]["employees"] is None
        assert isinstance(data[0]["employees"], int)
        report, _ = await whole(agent, ticket["job_id"], view="full")
        assert "The site is down" in report
        assert len(standin.ledger) == len(rows)


def test_a_list_of_records_survives_a_kill_with_one_purchase_for_each_row(tmp_path: Path) -> None:
    standin = Parallel()
    standin.script = Script(seconds=6.0)
    rows = [{"company_name": f"Company {number}"} for number in range(25)]
    with standin.serving() as url, Place(tmp_path) as place:
        asked = {"question": "Enrich each.", "output_schema": COMPANY, "records": rows, "engine": "parallel:lite-fast"}
        first = place.agent(command=COMMAND, **setting(standin, url))
        job_id = first.ask("start_research", **asked)["job_id"]
        until(lambda: standin.count("group_look") == 1, what="the first look")
        first.leave(signal.SIGKILL)
        second = place.agent(command=COMMAND, **setting(standin, url))
        assert second.ended(job_id)["outcome"] == "full"
        answer = second.reply(second.call("get_result", job_id=job_id, view="data", max_chars=20_000))
        data = json.loads(answer["result"]["content"][0]["text"])
        assert [row["company_name"] for row in data] == [row["company_name"] for row in rows]
        assert len(standin.ledger) == len(rows)


# Placing.


@pytest.mark.anyio
async def test_auto_goes_by_keys_effort_output_and_budget_and_says_why(client: Connect) -> None:
    async with market("perplexity", "parallel") as (_, settings), client(inline_s=0, **settings) as agent:
        quickly = await call(agent, "start_research", question="What is a heat pump?", effort="low")
        deeply = await call(agent, "start_research", question="What is a heat pump?", effort="high")
        cheaply = await call(agent, "start_research", question="A heat pump?", effort="high", max_cost_usd=0.05)
        data = await call(agent, "start_research", question="Heat pumps, as data?", output_schema=COMPANY)
        assert (quickly["engine"], deeply["engine"]) == ("perplexity:low", "parallel:ultra")
        assert "low effort" in quickly["why"]
        assert "at most $0.30" in deeply["why"]
        assert cheaply["cost_estimate_usd"] <= 0.05
        assert "because of the budget" in cheaply["why"]
        assert data["engine"].startswith("parallel:")
        for ticket in (quickly, deeply, cheaply, data):
            await call(agent, "cancel_research", job_id=ticket["job_id"])
    async with market("perplexity") as (_, settings), client(inline_s=0, **settings) as agent:
        alone = await call(agent, "start_research", question="What else is a heat pump?", effort="high")
        assert alone["engine"] == "perplexity:high"
        assert "no key for parallel" in alone["why"]
        await call(agent, "cancel_research", job_id=alone["job_id"])


@pytest.mark.anyio
async def test_auto_goes_elsewhere_after_a_refusal_that_cost_nothing_and_keeps_saying_so(client: Connect) -> None:
    kinds = {"endpoint_retired": Kind.RETIRED_ENDPOINT, "bad_key": Kind.BAD_KEY, "no_credit": Kind.NO_CREDIT}
    async with (
        market("perplexity", "parallel") as ((perplexity, parallel), settings),
        client(inline_s=0, **settings) as agent,
    ):
        parallel.script = Script(polls=1)
        jobs: dict[str, str] = {}
        for code, kind in kinds.items():
            perplexity.faults.add(kind, "submit", times=None, match=code)
            ticket = await call(agent, "start_research", question=f"What is {code}?", effort="low")
            assert ticket["engine"].startswith("perplexity")
            jobs[code] = ticket["job_id"]
        for code, job_id in jobs.items():
            assert (await ended(agent, job_id))["status"] == "completed"
            after = await call(agent, "start_research", question=f"What is {code}?", effort="low")
            assert (after["job_id"], after["created"]) == (job_id, False)
            assert after["engine"].startswith("parallel:")
            assert after["why"].endswith(f"before it perplexity refused ({code}), at no cost")
        assert (len(perplexity.ledger), len(parallel.ledger)) == (0, len(kinds))


@pytest.mark.anyio
async def test_auto_stays_where_money_was_spent_even_when_the_run_fails(client: Connect) -> None:
    async with (
        market("perplexity", "parallel") as ((perplexity, parallel), settings),
        client(inline_s=0, **settings) as agent,
    ):
        perplexity.script = Script(polls=1, fate="failed")
        lost = "a question whose order is lost"
        perplexity.faults.add(Kind.LOST_AFTER, "submit", match=lost)
        bought = await call(agent, "start_research", question="a question that fails", effort="low")
        unsure = await call(agent, "start_research", question=lost, effort="low")
        assert (await ended(agent, bought["job_id"]))["error"]["code"] == "run_failed"
        fault = (await ended(agent, unsure["job_id"]))["error"]
        assert fault["code"] == "unconfirmed"
        assert "not sent again" in fault["message"]
        assert "idempotency_key" in fault["message"]
        assert (len(perplexity.ledger), len(parallel.ledger)) == (2, 0)


# Keys.


def test_a_job_without_its_key_waits_and_goes_on_by_itself_when_a_client_brings_it(tmp_path: Path) -> None:
    standin = Perplexity()
    with standin.serving() as url, Place(tmp_path) as place:
        given = setting(standin, url)
        first = place.agent(**given)
        job_id = first.ask("start_research", question="How are heat pumps sold?", engine="perplexity:fast")["job_id"]
        until(lambda: len(standin.ledger) == 1, what="the purchase")
        first.leave()
        place.kill()
        keyless = place.agent()
        waits = until(lambda: (job := keyless.standing(job_id)).get("error") and job, 30, "the wait for a key")
        assert waits["error"]["code"] == "missing_key"
        assert "PERPLEXITY_API_KEY" in waits["phase"]
        assert waits["status"] == "running"
        looks = standin.count("look")
        place.agent(**given).ask("check_research")
        done = keyless.ended(job_id)
        assert done["status"] == "completed", done
        assert "error" not in done or done["error"] is None
        assert standin.count("look") > looks
        assert len(standin.ledger) == 1


def test_a_process_without_the_key_does_not_keep_a_job_from_the_one_that_has_it(tmp_path: Path) -> None:
    """Two editors, one of them without keys, each with a server of its own on the same home."""
    standin = Perplexity()
    standin.script = Script(polls=1)
    with standin.serving() as url, Place(tmp_path) as place:
        place.agent(command=COMMAND).ask("check_research")
        keyed = place.agent(command=COMMAND, **setting(standin, url))
        questions = [f"How are heat pumps sold in town {number}?" for number in range(6)]
        jobs = [keyed.ask("start_research", question=asked, engine="perplexity:fast")["job_id"] for asked in questions]
        assert [keyed.ended(job_id)["status"] for job_id in jobs] == ["completed"] * len(jobs)
        assert len(standin.ledger) == len(jobs)
