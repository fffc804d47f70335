"""What a vendor's job must not do to an agent: each bad request, cap, key and answer is said, or only takes longer."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conftest import Connect
from tests.journeys.market import COMPANY, KINDS, market
from tests.journeys.server import call, ended, raw, refused, texts, whole
from tests.standins.faults import Kind
from tests.standins.script import Script


@pytest.mark.anyio
async def test_a_missing_empty_or_malformed_key_is_said_before_anything_is_sent(client: Connect) -> None:
    async with market("parallel", "perplexity") as ((parallel, perplexity), settings):
        settings |= {"PARALLEL_API_KEY": "  ", "PERPLEXITY_API_KEY": "with a blank"}
        async with client(inline_s=2, **settings) as agent:
            words = await refused(agent, "start_research", question="What is new?", engine="parallel")
            assert "PARALLEL_API_KEY" in words
            assert "missing_key" in words
            words = await refused(agent, "start_research", question="What is new?", engine="cloro")
            assert "CLORO_API_KEY" in words
            ticket = await call(agent, "start_research", question="What is new?", engine="perplexity:fast")
            fault = (await ended(agent, ticket["job_id"]))["error"]
            assert fault["code"] == "bad_key"
            assert "with a blank" not in fault["message"]
        assert parallel.log == perplexity.log == []


# Money.


@pytest.mark.anyio
async def test_caps_refuse_before_sending_and_give_the_figures(client: Connect) -> None:
    async with (
        market("parallel") as ((standin,), settings),
        client(inline_s=0, daily_cap_usd=0.008, **settings) as agent,
    ):
        words = await refused(
            agent, "start_research", question="A dear one?", engine="parallel:ultra8x", max_cost_usd=1.5
        )
        assert "$2.40" in words
        assert "$1.50" in words
        assert standin.log == []
        first = await call(agent, "start_research", question="The first one?", engine="parallel:lite-fast")
        second = await call(agent, "start_research", question="The second one?", engine="parallel:lite-fast")
        ends = [await ended(agent, ticket["job_id"]) for ticket in (first, second)]
        over = next(end for end in ends if end["status"] == "failed")
        assert over["error"]["code"] == "budget_exceeded"
        for figure in ("$0.005", "$0.008", "SPADEWORK_DAILY_CAP_USD"):
            assert figure in over["error"]["message"]
        assert sorted(end["status"] for end in ends) == ["completed", "failed"]
        assert len(standin.ledger) == 1
        free = await call(agent, "start_research", question="By auto?", output_schema=COMPANY)
        assert free["engine"] == "local"
        assert "above the budget: parallel" in free["why"]


@pytest.mark.anyio
async def test_a_run_whose_running_total_crosses_the_jobs_cap_is_stopped_at_the_vendor(client: Connect) -> None:
    async with market("perplexity") as ((standin,), settings), client(inline_s=0, **settings) as agent:
        standin.script = Script(fate="never", running_usd=0.025)
        asked = {"question": "What is new?", "engine": "perplexity:fast"}
        ticket = await call(agent, "start_research", max_cost_usd=0.02, **asked)
        fault = (await ended(agent, ticket["job_id"]))["error"]
        assert fault["code"] == "budget_exceeded"
        for words in ("$0.025", "$0.02 ", "told to stop"):
            assert words in fault["message"].replace(",", " ")
        assert (len(standin.ledger), standin.count("cancel")) == (1, 1)


# Bad input.

DEEP = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "object", "properties": {
    "c": {"type": "object", "properties": {"d": {"type": "string"}}}}}}}}}  # fmt: skip
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown tier": ({"engine": "parallel:mega"}, "lite"),
    "unknown engine": ({"engine": "parallell"}, "parallel"),
    "deep schema": ({"engine": "parallel", "output_schema": DEEP}, "Flatten"),
    "no schema at all": ({"engine": "parallel", "output_schema": {"type": "objekt"}}, "output_schema"),
    "schema of a list": ({"engine": "parallel", "output_schema": {"type": "array"}}, "of type object"),
    "10,000 records": (
        {"engine": "parallel", "output_schema": COMPANY, "records": [{"n": n} for n in range(10_000)]},
        "Split them",
    ),
    "records of text": ({"engine": "parallel", "output_schema": COMPANY, "records": ["Acme"]}, "records"),
    "records elsewhere": (
        {"engine": "perplexity", "output_schema": COMPANY, "records": [{"n": 1}]},
        "cannot use records",
    ),
    "scheme": ({"engine": "perplexity", "include_domains": ["https://example.com"]}, "include_domains"),
    "wild card": ({"engine": "perplexity", "include_domains": ["*.example.com"]}, "not a bare domain"),
    "21 domains": ({"engine": "perplexity", "exclude_domains": [f"a{n}.example" for n in range(21)]}, "at most 20"),
    "domains for cloro": ({"engine": "cloro", "include_domains": ["example.com"]}, "cannot use include_domains"),
    "long question": ({"engine": "cloro", "question": "x" * 10_001}, "at most 10,000"),
}


@pytest.mark.anyio
async def test_what_a_vendor_would_refuse_is_refused_before_anything_is_stored_or_spent(client: Connect) -> None:
    async with market(*KINDS) as (standins, settings), client(inline_s=0, **settings) as agent:
        for name, (arguments, words) in WRONG.items():
            said = await refused(agent, "start_research", **{"question": "What is new?", **arguments})
            assert words in said, f"{name}: {said}"
        assert (await call(agent, "check_research"))["jobs"] == []
        assert all(standin.log == [] for standin in standins)


@pytest.mark.anyio
async def test_whatever_the_vendor_answers_a_job_only_arrives_later(client: Connect) -> None:
    async with market("perplexity") as ((standin,), settings), client(inline_s=0, **settings) as agent:
        standin.script = Script(polls=1)
        kinds = [Kind.HTML, Kind.TRUNCATED, Kind.WRONG_TYPES, Kind.SURROGATE, Kind.UNKNOWN_STATUS, Kind.SERVER_ERROR]
        jobs: dict[str, Kind] = {}
        for kind in kinds:
            question = f"a question with {kind.value} in it"
            standin.faults.add(kind, "look", match=question)
            ticket = await call(agent, "start_research", question=question, engine="perplexity:fast")
            jobs[ticket["job_id"]] = kind
        for job_id, kind in jobs.items():
            assert (await ended(agent, job_id))["status"] == "completed", kind
            text, _ = await whole(agent, job_id, view="full")
            assert text.encode()
        assert len(standin.ledger) == len(kinds)
        assert len(standin.faults.taken) == len(kinds)


@pytest.mark.anyio
async def test_the_retired_api_is_called_retired_and_never_a_bad_key(client: Connect) -> None:
    async with market("perplexity") as ((standin,), settings), client(inline_s=0, **settings) as agent:
        asked = {"question": "What is new?", "engine": "perplexity:sonar-async"}
        ticket = await call(agent, "start_research", **asked)
        fault = (await ended(agent, ticket["job_id"]))["error"]
        assert fault["code"] == "endpoint_retired"
        assert "has retired this API" in fault["message"]
        assert "key" not in fault["message"].replace("idempotency_key", "")
        result = await raw(agent, "get_result", job_id=ticket["job_id"])
        assert result.is_error
        assert "has retired this API" in texts(result)[0]
        assert len(standin.ledger) == 0
