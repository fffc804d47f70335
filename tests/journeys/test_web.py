"""Research on the web as a person runs it: over a loopback web, cited, and the second time without a request."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.journeys.server import COMMAND, environment
from tests.standins.server import serving
from tests.standins.web import Web

Run = Callable[..., subprocess.CompletedProcess[str]]
QUESTION = "How many berths has the harbour of Qel017?"
ANSWER = "The harbour of Qel017 has 20 berths for fishing boats and one for a ferry."


@pytest.fixture
def web() -> Web:
    return Web()


@pytest.fixture
def base(web: Web) -> Iterator[str]:
    with serving(web) as url:
        yield url


@pytest.fixture
def run(home: Path, tmp_path: Path, base: str) -> Run:
    """Runs `spadework` in an empty folder, pointed at the loopback web with these settings beside."""

    def spadework(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        places = {"searxng_url": base, "web_backends": "searxng,wikipedia", "wikipedia_base_url": base}
        environ = environment(home, **{**places, "allow_private": base.removeprefix("http://"), **settings})
        return subprocess.run(
            [*COMMAND[:3], *words, "--no-desk"], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=90,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return spadework


def test_research_over_the_web_is_cited_and_the_second_time_sends_nothing(run: Run, web: Web, base: str) -> None:
    done = run("research", QUESTION, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)["report"]
    assert report["citations"][0]["quote"] == ANSWER
    source = next(one for one in report["sources"] if one["id"] == report["citations"][0]["source_id"])
    assert source["url"] == f"{base}/wiki/Qel017"
    assert "path" not in source
    for citation in report["citations"]:
        target = citation["target"]
        assert report["text"][target["start"] : target["end"]].endswith(f"[{citation['id']}]")
    sent = len(web.asked)
    assert web.fetches > 0
    again = run("research", QUESTION, "--json")
    assert json.loads(again.stdout)["report"]["citations"] == report["citations"]
    assert len(web.asked) == sent, web.asked[sent:]


def test_a_request_that_names_folders_sends_nothing_whatever_the_settings(run: Run, web: Web, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("# Qel017\n\nThe harbour of Qel017 has 99 berths.\n", encoding="utf-8")
    done = run("research", QUESTION, "--in", "notes", "--json", web="on")
    assert done.returncode == 0, done.stderr
    assert "99 berths" in json.loads(done.stdout)["report"]["text"]
    assert web.asked == []


def test_the_web_stays_shut_where_the_setting_says_off(run: Run, web: Web) -> None:
    done = run("research", QUESTION, "--json", web="off")
    assert json.loads(done.stdout)["report"]["outcome"] == "no_evidence", "there is nothing of it in the empty folder"
    assert web.asked == []


def test_without_a_network_the_report_says_so(run: Run) -> None:
    nowhere = "http://127.0.0.1:9"
    done = run("research", QUESTION, "--json", searxng_url=nowhere, wikipedia_base_url=nowhere)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)["report"]
    assert report["outcome"] == "no_evidence"
    assert "no search gave a page to read" in report["text"]
    said = report["provenance"]["warnings"]
    assert [line.split(" failed")[0] for line in said] == ["search by searxng", "search by wikipedia"]


def test_a_misspelt_back_end_or_mode_stops_the_start(run: Run) -> None:
    assert "web" in run("research", QUESTION, web="maybe").stderr
    assert "web_backends" in run("research", QUESTION, web_backends="searxng,gogle").stderr
