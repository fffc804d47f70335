"""The MCP Inspector's CLI over HTTP in both eras, and over HTTP+SSE, which is of the older one alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.journeys import inspector, papers
from tests.journeys.server import AROUND
from tests.promises.served import Served
from tests.promises.test_tools import NAMES

Run = Callable[..., inspector.Ran]
DOORS = [("http", "modern"), ("http", "legacy"), ("sse", "legacy")]
TOKEN = "inspector-0123456789abcdef"


@pytest.fixture(scope="module")
def entry() -> Path:
    """The Inspector; without the npm registry there is none, which CI does not accept."""
    try:
        return inspector.installed()
    except inspector.Unreachable as reason:
        if AROUND.get("CI") == "true":
            raise
        pytest.skip(f"the npm registry cannot be reached: {reason}")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return papers.library(tmp_path_factory.mktemp("shelf") / "library")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, library: Path) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("inspected")
    with Served(place / "home", place, roots=[library], tokens=f"me={TOKEN}", inline_s=5) as process:
        process.token = TOKEN
        yield process


@pytest.fixture(params=DOORS, ids=["-".join(door) for door in DOORS])
def run(entry: Path, served: Served, request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs one method through a door."""
    transport, era = request.param
    url = f"{served.url}/{'mcp' if transport == 'http' else 'sse'}"

    def inspect(method: str, *arguments: str, token: str = TOKEN) -> inspector.Ran:
        options = [url, "--transport", transport, "--protocol-era", era, "--method", method, *arguments]
        options += ["--header", f"Authorization: Bearer {token}", "--format", "json", "-q"]
        return inspector.inspect(entry, *options, env={"HOME": str(tmp_path)}, place=tmp_path)

    return inspect


def called(run: Run, tool: str, code: int = 0, **arguments: Any) -> dict[str, Any]:
    ran = run("tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments))
    assert ran.code == code, ran
    return ran.json.get("result", ran.json)


def test_the_inspector_finds_the_four_tools_and_no_fault_in_their_schemas(run: Run) -> None:
    ran = run("tools/list", "--strict")
    assert ran.code == 0, ran
    assert "error" not in ran.err.lower(), ran.err
    assert [tool["name"] for tool in ran.json.get("result", ran.json)["tools"]] == NAMES


def test_the_inspector_asks_and_reads_quotes(run: Run, served: Served, library: Path) -> None:
    asked = {"question": papers.QUESTION, "folders": [str(library)], "engine": "local"}
    ticket = served.ask("start_research", **asked)
    served.ended(ticket["job_id"])
    # In the stateless era the Inspector is given a task and follows it to its result; the job is the same.
    again = called(run, "start_research", **asked)
    assert ticket["job_id"] in json.dumps(again)
    quotes = called(run, "get_result", job_id=ticket["job_id"], view="citations")["content"][0]["text"]
    assert "640 metres long" in quotes
    refused = called(run, "get_result", code=5, job_id="r_nobody")
    assert refused["content"][0]["text"].startswith("unknown_job: ")


def test_the_inspector_reads_a_jobs_resource(run: Run, served: Served, library: Path) -> None:
    asked = {"question": papers.QUESTION, "folders": [str(library)], "engine": "local"}
    job_id = served.ask("start_research", **asked)["job_id"]
    served.ended(job_id)
    listed = run("resources/templates/list")
    assert listed.code == 0, listed
    templates = listed.json.get("result", listed.json)["resourceTemplates"]
    assert any(one["uriTemplate"].startswith("research://jobs/{job_id}") for one in templates), templates
    ran = run("resources/read", "--uri", f"research://jobs/{job_id}")
    assert ran.code == 0, ran
    assert job_id in ran.out


def test_the_inspector_is_kept_out_without_a_token(run: Run) -> None:
    """It leaves with 3 where a server wants authorization (2.12.0)."""
    ran = run("tools/list", token="wrong-0123456789abcdefgh")
    assert ran.code != 0
    assert "start_research" not in ran.out
