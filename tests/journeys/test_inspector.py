"""The MCP Inspector's CLI, a client that is not ours and not the SDK's, over stdio in both eras."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.journeys import inspector, papers
from tests.journeys.server import AROUND, COMMAND, environment
from tests.journeys.wire import Wire
from tests.promises.test_tools import NAMES

pytestmark = pytest.mark.parametrize("era", ["modern", "legacy"])

Run = Callable[..., inspector.Ran]


@pytest.fixture(scope="module")
def entry() -> Path:
    """The Inspector; without the npm registry there is none, which CI does not accept."""
    try:
        return inspector.installed()
    except inspector.Unreachable as reason:
        if AROUND.get("CI") == "true":
            raise
        pytest.skip(f"the npm registry cannot be reached: {reason}")


@pytest.fixture
def run(entry: Path, era: str, home: Path, tmp_path: Path) -> Run:
    """Runs one method against a fresh server process on the test's home."""

    def inspect(method: str, *arguments: str, **settings: object) -> inspector.Ran:
        env = environment(home, **settings)
        given = inspector.flags({name: value for name, value in env.items() if name.startswith("SPADEWORK_")})
        options = ["--protocol-era", era, "--method", method, *arguments, "--format", "json", "-q", *given]
        # The Inspector keeps a catalogue in its user's home.
        return inspector.inspect(entry, *options, *COMMAND, env={"HOME": str(tmp_path)}, place=tmp_path)

    return inspect


def called(run: Run, tool: str, arguments: dict[str, Any], code: int = 0, **settings: object) -> dict[str, Any]:
    """A tool's result through the Inspector."""
    given = ["--tool-name", tool, "--tool-args-json", json.dumps(arguments)]
    ran = run("tools/call", *given, **settings)
    assert ran.code == code, ran
    found = ran.json
    return found.get("result", found)


def test_the_inspector_shakes_hands(run: Run, era: str) -> None:
    ran = run("initialize")
    assert ran.code == 0, ran
    shown = json.dumps(ran.json)
    assert "spadework" in shown
    assert ("2026-07-28" if era == "modern" else "2025-11-25") in shown


def test_the_inspector_finds_the_four_tools_and_no_fault_in_their_schemas(run: Run) -> None:
    ran = run("tools/list", "--strict")
    assert ran.code == 0, ran
    assert "error" not in ran.err.lower(), ran.err
    found = ran.json
    assert [tool["name"] for tool in found.get("result", found)["tools"]] == NAMES


def test_the_inspector_goes_the_whole_way_from_question_to_quotes(run: Run, tmp_path: Path) -> None:
    folder = papers.library(tmp_path / "library")
    asked = {"question": papers.QUESTION, "folders": [str(folder)], "engine": "local"}
    ticket = called(run, "start_research", asked, roots=folder, inline_s=30)["structuredContent"]
    job_id = ticket["job_id"]
    found = called(run, "check_research", {"job_ids": [job_id], "wait_s": 20}, roots=folder)["structuredContent"]
    while found["jobs"][0]["status"] in ("queued", "running"):
        found = called(run, "check_research", {"job_ids": [job_id], "wait_s": 20}, roots=folder)["structuredContent"]
    assert found["jobs"][0]["status"] == "completed"
    brief = called(run, "get_result", {"job_id": job_id})
    assert "structuredContent" not in brief
    quotes = called(run, "get_result", {"job_id": job_id, "view": "citations"})["content"][0]["text"]
    assert "640 metres long" in quotes
    late = called(run, "cancel_research", {"job_id": job_id})["structuredContent"]
    assert (late["status"], late["changed"]) == ("completed", False)


def test_the_inspector_cancels_a_job_that_an_earlier_server_left_running(run: Run, wire: Callable[..., Wire]) -> None:
    earlier = wire()
    ticket = earlier.ask("start_research", question="Slow [script: read 600 1; report]", engine="scripted")
    earlier.stop(None)
    gone = called(run, "cancel_research", {"job_id": ticket["job_id"]}, inline_s=10)["structuredContent"]
    assert gone["changed"] is True
    again = called(run, "cancel_research", {"job_id": ticket["job_id"]})["structuredContent"]
    assert (again["status"], again["changed"]) == ("cancelled", False)


def test_a_refusal_is_an_error_result_to_the_inspector(run: Run) -> None:
    """The Inspector leaves with 5 when a tool's answer is an error (2.12.0)."""
    refused = called(run, "get_result", {"job_id": "r_nobody"}, code=5)
    assert refused["isError"] is True
    assert refused["content"][0]["text"].startswith("unknown_job: ")
    refused = called(run, "start_research", {"question": "What is new?", "folder": "/tmp"}, code=5)
    assert "'folders'" in refused["content"][0]["text"]


def test_the_inspector_starts_what_the_example_file_says(entry: Path, era: str, home: Path, tmp_path: Path) -> None:
    example = json.loads((Path(__file__).parents[2] / "mcp.json.example").read_text(encoding="utf-8"))
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": example["mcpServers"]}), encoding="utf-8")
    env = {
        "HOME": str(tmp_path), "SPADEWORK_HOME": str(home),
        "PATH": os.pathsep.join([str(inspector.NODE.parent), str(Path(sys.executable).parent), AROUND["PATH"]]),
    }  # fmt: skip
    options = ["--config", "mcp.json", "--server", "spadework", "--protocol-era", era, "--method", "tools/list"]
    ran = inspector.inspect(entry, *options, "--format", "json", "-q", env=env, place=tmp_path)
    assert ran.code == 0, ran
    found = ran.json
    assert [tool["name"] for tool in found.get("result", found)["tools"]] == NAMES
