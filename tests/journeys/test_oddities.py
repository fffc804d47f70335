"""What a vendor or a caller does that nobody expects, over the real server: each costs a sentence, never a report."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tests.conftest import Connect
from tests.journeys.market import COMPANY, KINDS, market
from tests.journeys.server import call, ended, exported, raw, refused, texts, whole
from tests.standins.faults import Kind
from tests.standins.script import Script

pytestmark = pytest.mark.anyio
FAST = {"question": "How are heat pumps sold?", "engine": "perplexity:fast"}


async def test_a_report_with_signs_that_nobody_sees_is_paged_to_exactly_what_its_sum_says(client: Connect) -> None:
    async with market("perplexity") as ((standin,), settings), client(inline_s=0, **settings) as agent:
        hidden = "Sales\u200b rose\u00ad by \u202etwo\u2069 thirds,\ufeff o" + "\u0301" * 9 + "n the whole.[1]\r\n\r\n"
        standin.script = Script(polls=1, text="# Sales\u200b\r\n\r\n" + hidden * 40)
        job = (await call(agent, "start_research", **FAST))["job_id"]
        assert (await ended(agent, job))["status"] == "completed"
        for view in ("full", "brief", "citations"):
            text, place = await whole(agent, job, view=view, max_chars=600)
            assert hashlib.sha256(text.encode()).hexdigest() == place["sha256"], view
            assert "\u200b" not in text


async def test_a_price_that_cannot_be_true_costs_neither_the_report_nor_the_days_cap(client: Connect) -> None:
    async with (
        market("perplexity") as ((standin,), settings),
        client(inline_s=0, daily_cap_usd=0.05, **settings) as agent,
    ):
        for said in (1e305, 1e12, -3.0):
            standin.script = Script(polls=1, cost_usd=said)
            job = (await call(agent, "start_research", **{**FAST, "question": f"What costs {said}?"}))["job_id"]
            assert (await ended(agent, job))["status"] == "completed", said
            text, _ = await whole(agent, job)
            assert "Cost: unknown" in text


async def test_auto_leaves_out_who_cannot_take_the_form_of_the_data(client: Connect) -> None:
    async with market("perplexity", "parallel") as (_, settings), client(inline_s=0, **settings) as agent:
        forms = {
            "a list": {"type": "array", "items": {"type": "string"}},
            "a tree": {"type": "object", "properties": {"next": {"$ref": "#"}}},
            "a long one": {"type": "object", "properties": {"a": {"type": "string", "description": "x" * 30_000}}},
        }
        for name, form in forms.items():
            ticket = await call(agent, "start_research", question=f"As {name}?", output_schema=form)
            assert ticket["engine"].startswith("perplexity"), name


async def test_a_long_question_in_another_script_is_counted_by_its_letters(client: Connect) -> None:
    async with market("parallel") as ((standin,), settings), client(inline_s=0, **settings) as agent:
        standin.script = Script(polls=0)
        await call(agent, "start_research", question="热泵市场有多大？" * 1_000, engine="parallel:lite-fast")


async def test_a_domain_goes_out_in_its_plain_form_and_never_as_its_opposite(client: Connect) -> None:
    async with market(*KINDS) as (standins, settings), client(inline_s=0, **settings) as agent:
        for engine in ("perplexity:fast", "parallel:lite-fast"):
            for wrong in ("-example.com", "example..com", "example.com?q", "a.com,b.com", "\u202eexample.com"):
                for argument in ("include_domains", "exclude_domains"):
                    said = await refused(
                        agent, "start_research", question="Where?", engine=engine, **{argument: [wrong]}
                    )
                    assert "not a bare domain" in said
        assert all(standin.log == [] for standin in standins)
        standins[0].script = Script(polls=1)
        ticket = await call(agent, "start_research", **FAST, include_domains=["München.DE", "example.com."])
        assert (await ended(agent, ticket["job_id"]))["status"] == "completed"
        (tool,) = standins[0].ledger.purchases[0].body["tools"]
        assert tool["filters"]["search_domain_filter"] == ["xn--mnchen-3ya.de", "example.com"]


async def test_a_follow_up_goes_on_from_a_run_that_broke_off_and_not_from_nothing(client: Connect) -> None:
    async with market("perplexity") as ((standin,), settings), client(inline_s=0, **settings) as agent:
        standin.script = Script(polls=1, fate="incomplete")
        first = (await call(agent, "start_research", **FAST))["job_id"]
        assert (await ended(agent, first))["outcome"] == "partial"
        standin.script = Script(polls=1)
        asked = {"question": "And in Norway?", "engine": "perplexity:fast"}
        then = (await call(agent, "start_research", **asked, follow_up_to=first))["job_id"]
        assert (await ended(agent, then))["status"] == "completed"
        assert "An earlier report on this said" in standin.ledger.purchases[1].body["input"]
        standin.script = Script(polls=1, fate="failed")
        lost = (await call(agent, "start_research", question="A lost one?", engine="perplexity:fast"))["job_id"]
        assert (await ended(agent, lost))["status"] == "failed"
        bought = len(standin.ledger)
        after = (await call(agent, "start_research", **asked, follow_up_to=lost))["job_id"]
        fault = (await ended(agent, after))["error"]
        assert fault["code"] == "nothing_to_follow"
        assert lost in fault["message"]
        assert len(standin.ledger) == bought


async def test_a_refusal_without_a_word_of_json_ends_the_job_at_once(client: Connect) -> None:
    async with market("parallel") as ((standin,), settings):
        standin.faults.add(Kind.HTML, "group", times=None)
        settings["PARALLEL_API_KEY"] = "another-key-than-theirs"
        async with client(inline_s=0, **settings) as agent:
            ticket = await call(agent, "start_research", question="Who are you?", engine="parallel:lite-fast")
            assert (await ended(agent, ticket["job_id"], within=15))["error"]["code"] == "bad_key"


async def test_a_wait_longer_than_the_job_may_take_is_said_at_once(client: Connect) -> None:
    async with market(*KINDS) as (standins, settings), client(inline_s=0, **settings) as agent:
        engines = ("perplexity:fast", "parallel:lite-fast", "cloro:google")
        for standin, engine in zip(standins, engines, strict=True):
            standin.faults.add(Kind.RATE_LIMIT, times=None, retry_after="9999999")
            ticket = await call(agent, "start_research", question="How long?", engine=engine)
            fault = (await ended(agent, ticket["job_id"], within=15))["error"]
            assert fault["code"] == "rate_limited"
            assert "168 hours" in fault["message"]
            assert len(standin.log) == 1


async def test_a_value_cannot_break_out_of_its_line(client: Connect) -> None:
    async with market("perplexity") as ((standin,), settings), client(inline_s=0, **settings) as agent:
        data = {"company_name": "Acme\r\n```\n# Not a heading", "a\n# b": "x\x1b[31m", "industry": "pumps"}
        standin.script = Script(polls=1, text=json.dumps(data))
        job = (await call(agent, "start_research", **FAST, output_schema=COMPANY))["job_id"]
        assert (await ended(agent, job))["status"] == "completed"
        text, _ = await whole(agent, job, view="full")
        assert [line for line in text.split("\n") if line[:1] not in ("-", " ")] == []
        contents, _ = await whole(agent, job, view="outline")
        assert contents.count("\n") == 1


async def test_a_record_keeps_every_field_that_it_brought(client: Connect) -> None:
    async with market("parallel") as ((standin,), settings), client(inline_s=0, **settings) as agent:
        record = {"instruction": "mine", "research_instruction": "mine too"}
        ticket = await call(
            agent,
            "start_research",
            question="Fill it in.",
            engine="parallel:lite-fast",
            records=[record],
            output_schema=COMPANY,
        )
        assert (await ended(agent, ticket["job_id"]))["status"] == "completed"
        sent = standin.ledger.purchases[0].body["input"]
        assert record.items() <= sent.items()
        assert "Fill it in." in sent.values()


async def test_a_ledger_with_a_line_that_cannot_be_read_stops_no_job(client: Connect, home: Path) -> None:
    home.mkdir(parents=True)
    (home / "ledger.jsonl").write_bytes(b"[" * 200_000 + b"\n\xff\n")
    async with market("perplexity") as ((standin,), settings), client(inline_s=0, **settings) as agent:
        standin.script = Script(polls=1)
        job = (await call(agent, "start_research", **FAST))["job_id"]
        assert (await ended(agent, job))["status"] == "completed"


async def test_a_folder_in_the_ledgers_place_is_named_to_who_would_spend(client: Connect, home: Path) -> None:
    (home / "ledger.jsonl").mkdir(parents=True)
    async with market("perplexity") as ((standin,), settings), client(inline_s=0, **settings) as agent:
        said = await refused(agent, "start_research", question="What is new?")
        assert "ledger.jsonl" in said
        assert standin.log == []


async def test_a_run_that_wrote_nothing_is_no_full_report(client: Connect, home: Path, tmp_path: Path) -> None:
    async with market("perplexity") as ((standin,), settings):
        async with client(inline_s=0, **settings) as agent:
            standin.script = Script(polls=1, text="  ")
            job = (await call(agent, "start_research", **FAST))["job_id"]
            assert (await ended(agent, job))["outcome"] == "partial"
            assert "without writing anything" in texts(await raw(agent, "get_result", job_id=job))[0]
        report = await exported(home, job, tmp_path)
        assert report["sources"]
