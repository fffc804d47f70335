"""An agent's whole journey over stdio, with the SDK's client, in both protocol versions that clients speak."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.conftest import Connect
from tests.journeys import papers
from tests.journeys.server import call, ended, exported, page, raw, refused, texts, whole

pytestmark = pytest.mark.anyio

VIEWS = ("brief", "outline", "citations", "full")


async def researched(agent: Any, folder: Path, **arguments: Any) -> str:
    """A finished job over the library."""
    ticket = await call(
        agent,
        "start_research",
        **{"question": papers.QUESTION, "folders": [str(folder)], "engine": "local"} | arguments,
    )
    standing = await ended(agent, ticket["job_id"])
    assert standing["status"] == "completed", standing
    return ticket["job_id"]


async def test_an_agent_starts_looks_in_and_reads_a_cited_report(client: Connect, era: str, tmp_path: Path) -> None:
    folder = papers.library(tmp_path / "library")
    async with client(era, roots=[folder]) as agent:
        job_id = await researched(agent, folder)
        text, place = await whole(agent, job_id, view="full")
        assert hashlib.sha256(text.encode()).hexdigest() == place["sha256"]
        for name, answer in papers.ANSWERS.items():
            assert answer in papers.squeezed(text), f"{name}'s answer is not in the report:\n{text}"
        citations, _ = await whole(agent, job_id, view="citations")
        for name in papers.ANSWERS:
            assert name in citations


async def test_every_citation_quotes_its_file_word_for_word_at_the_place_it_states(
    home: Path, client: Connect, tmp_path: Path
) -> None:
    folder = papers.library(tmp_path / "library")
    async with client(roots=[folder]) as agent:
        job_id = await researched(agent, folder)
    report = await exported(home, job_id, tmp_path)
    sources = {source["id"]: source for source in report["sources"]}
    assert len({source["path"] for source in sources.values()}) >= 5
    assert len(report["citations"]) >= 5
    for citation in report["citations"]:
        source = sources[citation["source_id"]]
        name = (
            Path(source["path"]).relative_to(folder).as_posix()
            if Path(source["path"]).is_absolute()
            else source["path"]
        )
        name = name.removeprefix("library/")
        pages = papers.pages_of(name)
        shown = pages[(citation.get("page") or 1) - 1]
        assert papers.squeezed(citation["quote"]) in papers.squeezed(shown), (name, citation)
        assert (citation.get("page") is not None) == name.endswith(".pdf")
        assert citation["end"] - citation["start"] == len(citation["quote"])
        assert citation["verdicts"]["quote"]["verdict"] == "verbatim"
        if name.endswith((".md", ".rst", ".txt", ".py")):
            text = (folder / name).read_text(encoding="utf-8")
            assert text[citation["start"] : citation["end"]] == citation["quote"]
            assert citation["line"] == text.count("\n", 0, citation["start"]) + 1


async def test_every_view_can_be_read_and_pages_join_to_the_text_whose_hash_is_given(
    client: Connect, era: str, tmp_path: Path
) -> None:
    folder = papers.library(tmp_path / "library")
    async with client(era, roots=[folder]) as agent:
        job_id = await researched(agent, folder)
        for view in VIEWS:
            once, at = await page(agent, job_id, view=view, max_chars=20_000)
            assert at["cursor"] is None
            assert hashlib.sha256(once.encode()).hexdigest() == at["sha256"]
            joined, last = await whole(agent, job_id, view=view, max_chars=500)
            assert joined == once
            assert last["sha256"] == at["sha256"]
        outline, _ = await page(agent, job_id, view="outline")
        full, _ = await whole(agent, job_id, view="full")
        opened = [name for name in section_ids(outline) if (await page(agent, job_id, view="section", section=name))[0]]
        assert len(opened) >= 2
        body, _ = await whole(agent, job_id, view="section", section=opened[-1])
        assert body.strip() in full
        found, _ = await whole(agent, job_id, view="evidence", query="granite breakwater length")
        assert "640 metres" in found
        assert "breakwater.pdf" in found


def section_ids(outline: str) -> list[str]:
    """The ids an outline offers: the first word of each of its list lines."""
    words = [line.strip("-*# ").split() for line in outline.splitlines() if line.strip()]
    return [word[0].strip("`[]():,.") for word in words if word and any(sign.isdigit() for sign in word[0])]


@pytest.mark.parametrize(("arguments", "hint"), [
    ({"view": "section", "section": "s99"}, "s1."),
    ({"view": "section"}, "section"),
    ({"view": "evidence"}, "query"),
    ({"cursor": "made-up"}, "cursor"),
    ({"max_chars": 499}, "max_chars"),
    ({"max_chars": 20_001}, "max_chars"),
    ({"view": "everything"}, "view"),
])  # fmt: skip
async def test_a_view_that_cannot_be_shown_is_refused_with_what_can(
    client: Connect, arguments: dict[str, Any], hint: str
) -> None:
    async with client() as agent:
        ticket = await call(agent, "start_research", question="[script: report 3000]", engine="scripted")
        await ended(agent, ticket["job_id"])
        said = await refused(agent, "get_result", job_id=ticket["job_id"], **arguments)
        assert said.startswith("bad_request: ")
        assert hint in said


async def test_an_engine_that_fills_no_schema_says_so_and_the_data_view_says_why_it_is_empty(
    client: Connect, home: Path, tmp_path: Path
) -> None:
    folder = papers.library(tmp_path / "library")
    schema = {"type": "object", "properties": {"price_eur": {"type": "number"}}}
    async with client(roots=[folder]) as agent:
        job_id = await researched(agent, folder, output_schema=schema)
        said = await refused(agent, "get_result", job_id=job_id, view="data")
        assert "data" in said
        brief, _ = await page(agent, job_id)
        assert "output_schema" in brief
    report = await exported(home, job_id, tmp_path)
    assert report.get("data") is None
    assert report.get("schema_ok") is not True


async def test_a_long_poll_returns_as_soon_as_the_job_ends_and_an_unchanged_job_costs_no_words(
    client: Connect, era: str
) -> None:
    async with client(era, inline_s=0) as agent:
        ticket = await call(agent, "start_research", question="[script: read 1 1; report]", engine="scripted")
        assert ticket["status"] in ("queued", "running")
        assert ticket["poll_after_s"] >= 1
        seen = await call(agent, "check_research", job_ids=[ticket["job_id"]])
        begun = anyio.current_time()
        standing = await ended(agent, ticket["job_id"], within=20)
        assert anyio.current_time() - begun < 15
        assert standing["status"] == "completed"
        last = await call(agent, "check_research", job_ids=[ticket["job_id"]], since=seen["since"])
        assert last["jobs"][0]["job_id"] == ticket["job_id"]
        quiet = await call(agent, "check_research", job_ids=[ticket["job_id"]], since=last["since"])
        assert quiet["unchanged"] is True
        assert quiet["jobs"] == []


async def test_a_short_job_is_finished_before_start_research_returns(client: Connect) -> None:
    async with client() as agent:
        ticket = await call(agent, "start_research", question="[script: read 1 0.1; report]", engine="scripted")
        assert ticket["status"] == "completed"
        assert ticket["created"] is True


async def test_a_waiting_check_returns_early_only_on_a_change_of_its_own_jobs(client: Connect) -> None:
    async with client(inline_s=0) as agent:
        slow = await call(agent, "start_research", question="slow [script: hang]", engine="scripted")
        await until_running(agent, slow["job_id"])
        before = await call(agent, "check_research", job_ids=[slow["job_id"]])
        await call(agent, "start_research", question="other [script: report]", engine="scripted")
        begun = anyio.current_time()
        quiet = await call(agent, "check_research", job_ids=[slow["job_id"]], since=before["since"], wait_s=2)
        assert quiet["unchanged"] is True
        assert anyio.current_time() - begun >= 1.9


async def until_running(agent: Any, job_id: str) -> None:
    """Wait until a runner has the job in hand."""
    with anyio.fail_after(20):
        since = None
        while True:
            more = {} if since is None else {"since": since}
            found = await call(agent, "check_research", job_ids=[job_id], wait_s=5, **more)
            if found["jobs"] and found["jobs"][0]["status"] == "running":
                return
            since = found["since"]


async def test_a_running_job_is_cancelled_and_cancelling_again_changes_nothing(client: Connect, era: str) -> None:
    async with client(era, inline_s=1) as agent:
        ticket = await call(agent, "start_research", question="[script: read 3 0; hang]", engine="scripted")
        await until_running(agent, ticket["job_id"])
        first = await call(agent, "cancel_research", job_id=ticket["job_id"])
        assert first["changed"] is True
        assert first["note"]
        standing = await ended(agent, ticket["job_id"], within=10)
        assert standing["status"] == "cancelled"
        second = await call(agent, "cancel_research", job_id=ticket["job_id"])
        assert second["changed"] is False
        assert second["status"] == "cancelled"
        said = await refused(agent, "get_result", job_id=ticket["job_id"])
        assert said.startswith("no_report: ")


async def test_a_finished_job_stays_finished_when_it_is_cancelled(client: Connect) -> None:
    async with client() as agent:
        ticket = await call(agent, "start_research", question="[script: report]", engine="scripted")
        await ended(agent, ticket["job_id"])
        late = await call(agent, "cancel_research", job_id=ticket["job_id"])
        assert (late["status"], late["changed"]) == ("completed", False)
        assert (await page(agent, ticket["job_id"]))[0]


async def test_the_same_request_without_a_key_returns_the_same_job(client: Connect, era: str) -> None:
    async with client(era) as agent:
        one = await call(agent, "start_research", question="the  same thing [script: report]", engine="scripted")
        two = await call(agent, "start_research", question="the same\tthing [script: report]", engine="scripted")
        other = await call(agent, "start_research", question="another thing [script: report]", engine="scripted")
        assert (two["job_id"], two["created"]) == (one["job_id"], False)
        assert two["cost_estimate_usd"] == 0
        assert other["job_id"] != one["job_id"]


async def test_a_key_used_again_with_other_arguments_is_refused_and_names_what_differs(
    client: Connect, era: str
) -> None:
    async with client(era) as agent:
        asked = {"question": "first [script: report]", "engine": "scripted", "idempotency_key": "q3"}
        one = await call(agent, "start_research", **asked)
        two = await call(agent, "start_research", **asked, label="a label is no other work")
        assert (two["job_id"], two["created"]) == (one["job_id"], False)
        said = await refused(
            agent, "start_research", **{**asked, "question": "second [script: report]", "effort": "high"}
        )
        assert said.startswith("idempotency_mismatch: ")
        assert one["job_id"] in said
        assert "effort" in said
        assert "question" in said
        assert "label" not in said


async def test_two_hundred_starts_at_once_with_one_key_make_one_job(client: Connect) -> None:
    async with client() as agent:
        tickets: list[dict[str, Any]] = []

        async def start() -> None:
            tickets.append(
                await call(
                    agent, "start_research", question="[script: report]", engine="scripted", idempotency_key="one"
                )
            )

        async with anyio.create_task_group() as group:
            for _ in range(200):
                group.start_soon(start)
        assert len({ticket["job_id"] for ticket in tickets}) == 1
        assert sum(ticket["created"] for ticket in tickets) == 1


async def test_the_list_of_jobs_is_newest_first_and_pages_reach_every_job_once(client: Connect, era: str) -> None:
    async with client(era) as agent:
        made = [
            (await call(agent, "start_research", question=f"number {n} [script: report]", engine="scripted"))["job_id"]
            for n in range(23)
        ]
        listed: list[str] = []
        found = await call(agent, "check_research")
        listed += [job["job_id"] for job in found["jobs"]]
        while found.get("cursor"):
            found = await call(agent, "check_research", cursor=found["cursor"])
            listed += [job["job_id"] for job in found["jobs"]]
        assert listed == made[::-1]
        assert (await refused(agent, "check_research", cursor="made-up")).startswith("bad_request: ")


async def test_a_failed_job_says_why_and_a_crashed_one_shows_nothing_of_its_insides(client: Connect) -> None:
    async with client() as agent:
        told = await call(
            agent,
            "start_research",
            question="[script: fail vendor_down The vendor is away. Try later.]",
            engine="scripted",
        )
        standing = await ended(agent, told["job_id"])
        assert standing["status"] == "failed"
        assert standing["error"] == {"code": "vendor_down", "message": "The vendor is away. Try later."}
        crashed = await call(agent, "start_research", question="[script: crash]", engine="scripted")
        standing = await ended(agent, crashed["job_id"])
        assert standing["error"]["code"] == "internal"
        assert "the script said so" not in json.dumps(standing)
        assert "The vendor is away" in await refused(agent, "get_result", job_id=told["job_id"])


async def test_a_job_that_found_nothing_says_so_and_writes_no_prose(client: Connect, tmp_path: Path) -> None:
    folder = papers.library(tmp_path / "library")
    async with client(roots=[folder]) as agent:
        ticket = await call(
            agent,
            "start_research",
            question="Quantum chromodynamics lattice spacing?",
            folders=[str(folder)],
            engine="local",
        )
        standing = await ended(agent, ticket["job_id"])
        assert (standing["status"], standing["outcome"]) == ("completed", "no_evidence")
        assert standing.get("error") is None
        brief, _ = await page(agent, ticket["job_id"])
        assert "[c1]" not in brief


async def test_a_report_can_be_read_in_a_later_session(client: Connect, era: str, tmp_path: Path) -> None:
    folder = papers.library(tmp_path / "library")
    async with client(era, roots=[folder]) as agent:
        job_id = await researched(agent, folder)
        first, _ = await whole(agent, job_id, view="full")
    async with client(era, roots=[folder]) as later:
        found = await call(later, "check_research")
        assert found["jobs"][0]["job_id"] == job_id
        assert (await whole(later, job_id, view="full"))[0] == first


async def test_a_changed_file_is_read_again_and_a_deleted_one_is_cited_no_more(client: Connect, tmp_path: Path) -> None:
    folder = papers.library(tmp_path / "library")
    async with client(roots=[folder], dedupe_hours=0) as agent:
        await researched(agent, folder)
        (folder / "tides.md").write_text(papers.MARKDOWN.replace("one calendar year", "two calendar years"))
        (folder / "breakwater.pdf").unlink()
        job_id = await researched(agent, folder)
        text, _ = await whole(agent, job_id, view="full")
        assert "two calendar years" in papers.squeezed(text)
        assert "one calendar year" not in papers.squeezed(text)
        assert "640 metres" not in text


async def test_a_not_yet_finished_report_says_when_to_come_back(client: Connect) -> None:
    async with client(inline_s=0) as agent:
        ticket = await call(agent, "start_research", question="[script: hang]", engine="scripted")
        result = await raw(agent, "get_result", job_id=ticket["job_id"])
        (said,) = texts(result)
        assert result.is_error
        assert said.startswith("not_ready: ")
        assert "check_research" in said
