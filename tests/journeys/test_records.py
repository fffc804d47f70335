"""Rows over the user's own files, as an agent asks for them: in order, with a basis, and across a kill."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Connect
from tests.journeys.server import call, ended, exported, page, raw, refused, texts, whole
from tests.journeys.test_entailment import claims
from tests.journeys.wire import Wire
from tests.rooms.local.desk import wiki
from tests.rooms.local.test_rows import FORM, QUESTION, reads, record
from tests.standins.model import Model
from tests.standins.server import serve, serving

NAMES = [f"Qel{n:03d}" for n in (17, 3, 21, 8, 5, 12, 1, 26)]
WANTED: dict[str, Any] = {
    "question": QUESTION, "engine": "local", "output_schema": FORM, "records": [{"name": name} for name in NAMES],
}  # fmt: skip
ROWS = [{"name": name, "berths": int(name[3:]) + 3, "pilot_miles": int(name[3:]) + 1} for name in NAMES]


def answers(asked: str) -> str:
    return reads(asked) if "<record>" in asked else '{"verdicts": []}'


@pytest.mark.anyio
async def test_an_agent_gets_a_row_for_each_record_and_the_basis_of_each_field(
    client: Connect, home: Path, tmp_path: Path
) -> None:
    folder = wiki(tmp_path / "wiki", 30)
    async with serve(Model(answers)) as base:
        async with client(roots=[folder], llm_base_url=f"{base}/v1", llm_model="small") as agent:
            ticket = await call(agent, "start_research", folders=[str(folder)], **WANTED)
            assert (await ended(agent, ticket["job_id"]))["outcome"] == "full"
            data, _ = await whole(agent, ticket["job_id"], view="data")
            text, _ = await whole(agent, ticket["job_id"], view="full")
            section, _ = await page(agent, ticket["job_id"], view="brief")
        report = await exported(home, ticket["job_id"], tmp_path)
    assert json.loads(data) == ROWS
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        f"## Row {n}: {name}" for n, name in enumerate(NAMES)
    ]
    assert "Row 0: Qel017" in section
    citations = {one["id"]: one for one in report["citations"]}
    for number, row in enumerate(ROWS):
        (basis,) = [one for one in report["basis"] if one["target"].get("pointer") == f"/{number}/berths"]
        (mark,) = basis["citation_ids"]
        assert f"has {row['berths']} berths" in citations[mark]["quote"]
        assert basis["confidence"]["level"] == "medium"
        assert citations[mark]["target"]["pointer"] == f"/{number}/berths"
        assert citations[mark]["verdicts"]["quote"]["verdict"] == "verbatim"
    printed = [one for one in report["citations"] if one["target"]["kind"] == "span"]
    assert {one["verdicts"]["support"]["verdict"] for one in printed} == {"not_checked"}, "a quote claims nothing more"


@pytest.mark.anyio
async def test_each_value_of_a_row_is_put_to_the_model_as_a_sentence_on_its_record(
    client: Connect, home: Path, tmp_path: Path
) -> None:
    folder, put = wiki(tmp_path / "wiki", 30), dict[str, str]()

    def say(asked: str) -> str:
        if "<record>" in asked:
            return reads(asked)
        found = claims(asked)
        put.update({text: evidence["e1"] for _, text, evidence in found})
        words = re.compile(r"has \d+ berths|board ships \d+ miles")
        rows = [
            {"claim": name, "verdict": "entailed", "evidence": ["e1"], "quote": words.findall(evidence["e1"])[0]}
            for name, _, evidence in found
        ]
        return json.dumps({"verdicts": rows})

    async with serve(Model(say)) as base:
        async with client(roots=[folder], llm_base_url=f"{base}/v1", llm_model="small") as agent:
            wanted = {**WANTED, "records": WANTED["records"][:2]}
            ticket = await call(agent, "start_research", folders=[str(folder)], **wanted)
            assert (await ended(agent, ticket["job_id"]))["outcome"] == "full"
        report = await exported(home, ticket["job_id"], tmp_path)
    assert set(put) == {
        "Qel017, berths: 20", "Qel017, pilot miles: 18", "Qel003, berths: 6", "Qel003, pilot miles: 4",
    }  # fmt: skip
    assert put["Qel003, berths: 6"].startswith("Harbour Qel003: ")
    pointed = [one["verdicts"]["support"] for one in report["citations"] if one["target"]["kind"] == "pointer"]
    assert [(one["verdict"], one["method"]) for one in pointed] == [("entailed", "model:small")] * 4
    assert all(one["detail"]["lexical"] in ("lexically_supported", "uncertain") for one in pointed)


@pytest.mark.anyio
async def test_auto_takes_records_over_folders_to_local_and_refuses_too_many(client: Connect, tmp_path: Path) -> None:
    folder = wiki(tmp_path / "wiki", 30)
    async with client(roots=[folder]) as agent:
        wanted = {**WANTED, "engine": "auto", "folders": [str(folder)]}
        ticket = await call(agent, "start_research", **wanted)
        assert ticket["engine"] == "local"
        assert (await ended(agent, ticket["job_id"]))["outcome"] == "partial"
        data, _ = await whole(agent, ticket["job_id"], view="data")
        assert json.loads(data) == [{**dict.fromkeys(row), "name": row["name"]} for row in ROWS]
        many = [{"name": f"x{n}"} for n in range(1_001)]
        for engine in ("auto", "local"):
            said = await refused(agent, "start_research", **{**wanted, "engine": engine, "records": many})
            assert "at most 1,000" in said
        listing = await raw(agent, "check_research")
        assert json.loads(texts(listing)[0])["jobs"][0]["job_id"] == ticket["job_id"], "nothing else was started"


def test_a_killed_server_does_no_finished_row_again(wire: Callable[..., Wire], tmp_path: Path) -> None:
    folder, asked = wiki(tmp_path / "wiki", 30), Counter[str]()
    reached, gate = threading.Event(), threading.Event()

    def say(text: str) -> str:
        if "<record>" in text:
            asked[record(text)["name"]] += 1
            if len(asked) == 5 and not gate.is_set():
                reached.set()
                assert gate.wait(60)
        return answers(text)

    with serving(Model(say)) as base:
        settings = {"roots": [folder], "llm_base_url": f"{base}/v1", "llm_model": "small", "lease_s": 1, "inline_s": 0}
        first = wire(**settings)
        ticket = first.ask("start_research", folders=[str(folder)], **WANTED)
        assert reached.wait(60), first.said
        first.stop(signal.SIGKILL)
        gate.set()
        second = wire(**settings)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            (job,) = second.ask("check_research", job_ids=[ticket["job_id"]], wait_s=20)["jobs"]
            if job["status"] == "completed":
                break
        assert (job["status"], job.get("outcome")) == ("completed", "full"), second.said
        found = second.call("get_result", {"job_id": ticket["job_id"], "view": "data"})
    assert json.loads(found["content"][0]["text"]) == ROWS
    assert {name: count for name, count in asked.items() if count > 1} in ({}, {NAMES[4]: 2})
    assert re.fullmatch(r"r_\w+", ticket["job_id"])
