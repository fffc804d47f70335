"""A vendor's report whose faults are known: each is marked exactly so, kept, and found again offline by the command."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.conftest import Connect
from tests.journeys.server import call, ended, environment, exported, page
from tests.standins.perplexity import Perplexity
from tests.standins.script import Script
from tests.standins.server import Receive, Scope, Send, serve
from tests.standins.standin import KEY

pytestmark = pytest.mark.anyio

QUESTION = "How long is the Harrow Bridge, and who opened it?"
SPAN = "The main span of the Harrow Bridge is 640 metres long and carries two lanes and a tramway."
OPENED = "It was opened in 1931 by the mayor of Oldport, Clara Voss."
TEXT = (
    "# The Harrow Bridge\n\n"
    "The main span of the Harrow Bridge is 640 metres long and carries two lanes and a tramway [1].\n\n"
    "It was opened in 1931 by the mayor of Oldport, Clara Voss [2].\n\n"
    "The first toll of the bridge was four pence for a horse [3].\n\n"
    "Analysts at Morwen Capital expect 45,000 visitors at the Lisbon festival in June 2024 [4].\n"
)
PAGES = {
    "/span": f"<h1>Harrow Bridge</h1><p>A page about a bridge and its river.</p><p>{SPAN}</p>",
    "/opening": f"<h1>The opening</h1><p>The bridge has a long history.</p><p>{OPENED}</p><p>Crowds came.</p>",
    "/festival": "<h1>Trams</h1><p>The tramway over the river was electrified early and has red cars since then.</p>",
}


class Site:
    """The pages that the vendor cites; one is gone. Counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/robots.txt":
            self.asked.append(scope["path"])
        body = PAGES.get(scope["path"])
        html = f"<!doctype html><html lang=en><title>Page</title><body><main>{body}</main></body></html>"
        status = 404 if body is None else 200
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": html.encode()})


class Careless(Perplexity):
    """Quotes one page as it is, one with another year, one that is gone, and one that says nothing of the claim."""

    site = ""

    def _output(self, run: Any) -> list[dict[str, Any]]:
        items = super()._output(run)
        found = [
            {"id": 1, "url": f"{self.site}/span", "title": "Span", "snippet": SPAN},
            {"id": 2, "url": f"{self.site}/opening", "title": "Opening", "snippet": OPENED.replace("1931", "1913")},
            {"id": 3, "url": f"{self.site}/tolls", "title": "Tolls", "snippet": "The first toll was four pence."},
            {"id": 4, "url": f"{self.site}/festival", "title": "Trams", "snippet": ""},
        ]
        searched = {"type": "search_results", "queries": ["bridge"], "results": found}
        return [searched, *(item for item in items if item["type"] == "message")]


@asynccontextmanager
async def reported(client: Connect) -> AsyncIterator[tuple[Any, str, Site]]:
    """The ended job of the careless vendor, its server, and the site."""
    site, vendor = Site(), Careless()
    vendor.scripts = {"Harrow": Script(polls=1, text=TEXT)}
    async with serve(site) as base, vendor.serve() as url:
        vendor.site = base
        host = base.partition("//")[2]
        settings = {"PERPLEXITY_API_KEY": KEY, "perplexity_base_url": url, "allow_private": host}
        async with client(**settings) as agent:
            ticket = await call(agent, "start_research", question=QUESTION, engine="perplexity:fast")
            standing = await ended(agent, ticket["job_id"])
            assert (standing["status"], standing["outcome"]) == ("completed", "full")
            yield agent, ticket["job_id"], site


def verdicts(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        tuple(one["verdicts"][axis]["verdict"] for axis in ("url", "quote", "support"))  # type: ignore[misc]
        for one in report["citations"]
    ]


async def run(home: Path, *words: str) -> tuple[int, str]:
    """What `spadework` prints, and its exit code."""
    with anyio.fail_after(60):
        done = await anyio.run_process(
            [sys.executable, "-m", "spadework", *words, "--no-desk"], env=environment(home), check=False
        )
    return done.returncode, done.stdout.decode() + (done.stderr.decode() if done.returncode not in (0, 1) else "")


async def test_a_vendors_report_is_marked_exactly_where_it_is_wrong(
    client: Connect, home: Path, tmp_path: Path
) -> None:
    async with reported(client) as (agent, job_id, site):
        shown, _ = await page(agent, job_id, view="citations")
        assert sorted(site.asked) == ["/festival", "/opening", "/span", "/tolls"]
        report = await exported(home, job_id, tmp_path)
        assert verdicts(report) == [
            ("resolves", "verbatim", "lexically_supported"),
            ("resolves", "altered", "lexically_supported"),
            ("not_found", "not_checked", "uncertain"),
            ("resolves", "not_checked", "lexically_unsupported"),
        ]
        assert "quote altered" in shown
        right, altered, dead, unheld = report["citations"]
        assert right["quote"] == SPAN
        assert "#:~:text=" in right["fragment_url"]
        diff = altered["verdicts"]["quote"]["detail"]["diff"]
        assert [(one["quote"], one["source"]) for one in diff] == [("1913", "1931")]
        assert altered["start"] is None
        assert dead["verdicts"]["url"]["detail"]["status"] == 404
        assert set(unheld["verdicts"]["support"]["detail"]["missing_numbers"]) == {"45000", "2024"}

        code, out = await run(home, "verify", job_id, "--json")
        assert code == 0, out
        told = json.loads(out)
        assert (told["snapshots"], told["changes"]) == (3, [])
        assert [one["quote"]["verdict"] for one in told["citations"]] == [row[1] for row in verdicts(report)]
        assert len(site.asked) == 4, "an offline check asks nobody"


async def test_a_snapshot_that_was_tampered_with_fails_the_check(client: Connect, home: Path) -> None:
    async with reported(client) as (_, job_id, _site):
        pass
    (file,) = home.rglob("cache.db")
    con = sqlite3.connect(file)
    with con:
        con.execute(
            "UPDATE Cache SET value = CAST(replace(CAST(value AS TEXT), '640', '460') AS BLOB) WHERE key LIKE 'src/%'"
        )
    con.close()
    code, out = await run(home, "verify", job_id)
    assert code == 1, out


async def test_the_page_of_the_report_shows_the_verdicts(client: Connect, home: Path, tmp_path: Path) -> None:
    async with reported(client) as (_, job_id, _site):
        code, out = await run(home, "export", job_id, "-o", str(tmp_path / "x.html"))
        assert code == 0, out
    html = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "quote: altered" in html
    assert "<del>1913</del>" in html
    assert "<script" not in html
