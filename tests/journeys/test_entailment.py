"""A model on whether quotes show claims: bound to their words, beside the count, and the same without the model."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Connect
from tests.journeys.server import call, ended, exported, page
from tests.journeys.test_verify import run
from tests.standins.model import Model
from tests.standins.perplexity import Perplexity
from tests.standins.script import Script
from tests.standins.server import Receive, Scope, Send, serve
from tests.standins.standin import KEY

pytestmark = pytest.mark.anyio

QUESTION = "What is known of the Harrow Bridge?"
QUOTES = {
    "/span": "The main span of the Harrow Bridge is 640 metres long and carries two lanes and a tramway.",
    "/opening": "It was opened in 1931 by the mayor of Oldport, Clara Voss.",
    "/toll": "The first toll was four pence for a horse, and walkers paid nothing.",
    "/painters": "Painters have set up their easels on its northern bank since the trams came.",
}
SHOWN, TURNED, FIGURE, OPEN = (
    "With 640 metres the main span of the Harrow Bridge carries a tramway",
    "Clara Voss, mayor of Oldport, refused when it was opened in 1931",
    "The first toll for a horse was 9 pence",
    "Painters from the northern bank sell what they paint in Paris",
)
TEXT = "# The bridge\n\n" + "\n\n".join(
    f"{claim} [{n}]." for n, claim in enumerate((SHOWN, TURNED, FIGURE, OPEN), 1)
)  # fmt: skip
RULES = {SHOWN: "entailed", TURNED: "contradicted", FIGURE: "entailed", OPEN: "not_enough_info"}


class Pages:
    """The pages that are cited, each with its quote among other words."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        quote = QUOTES.get(scope["path"])
        body = f"<main><h1>Harrow</h1><p>The river is wide here.</p><p>{quote}</p><p>It is cold in winter.</p></main>"
        html = f"<!doctype html><html lang=en><title>Page</title><body>{body}</body></html>"
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200 if quote else 404, "headers": headers})
        await send({"type": "http.response.body", "body": html.encode()})


class Quoting(Perplexity):
    """Cites each page with its quote."""

    site = ""

    def _output(self, run: Any) -> list[dict[str, Any]]:
        found = [
            {"id": n, "url": f"{self.site}{path}", "title": "Harrow", "snippet": quote}
            for n, (path, quote) in enumerate(QUOTES.items(), 1)
        ]
        rest = [item for item in super()._output(run) if item["type"] == "message"]
        return [{"type": "search_results", "queries": ["bridge"], "results": found}, *rest]


def claims(asked: str) -> list[tuple[str, str, dict[str, str]]]:
    """The claims in a prompt, each with its id and its evidence."""
    found: list[tuple[str, str, dict[str, str]]] = []
    for part in asked.split("<claim ")[1:]:
        head = re.match(r'id="(k\d+)">(.*?)</claim>', part, re.DOTALL)
        assert head, part
        found.append((head[1], head[2], dict(re.findall(r'<evidence id="(e\d+)">(.*?)</evidence>', part))))
    return found


def words(evidence: dict[str, str]) -> str:
    """The quote in a claim's evidence."""
    return next(quote for quote in QUOTES.values() if quote in evidence["e1"])


def judges(asked: str) -> str:
    """A model that rules as `RULES` say, and copies the quote."""
    rows = [
        {"claim": name, "verdict": RULES[text.rstrip(".")], "evidence": ["e1"], "quote": words(evidence)}
        for name, text, evidence in claims(asked)
    ]
    return json.dumps({"verdicts": rows})


@asynccontextmanager
async def reported(client: Connect, say: Callable[[str], str]) -> AsyncIterator[tuple[Any, str, Model]]:
    """The ended job of a vendor whose claims a model has been asked about."""
    vendor, model = Quoting(), Model(say)
    vendor.scripts = {"Harrow": Script(polls=1, text=TEXT)}
    async with serve(Pages()) as base, serve(model) as mind, vendor.serve() as url:
        vendor.site = base
        settings = {"PERPLEXITY_API_KEY": KEY, "perplexity_base_url": url, "allow_private": base.partition("//")[2]}
        async with client(**settings, llm_base_url=f"{mind}/v1", llm_model="small") as agent:
            ticket = await call(agent, "start_research", question=QUESTION, engine="perplexity:fast")
            assert (await ended(agent, ticket["job_id"]))["status"] == "completed"
            yield agent, ticket["job_id"], model


def supports(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [one["verdicts"]["support"] for one in report["citations"]]


async def counted(client: Connect, home: Path, tmp_path: Path) -> list[str]:
    """What the count of words alone finds."""
    async with reported(client, lambda _: "I would rather talk.") as (_, job_id, _model):
        report = await exported(home, job_id, tmp_path)
    assert any("did not say whether quotes show claims" in line for line in report["provenance"]["warnings"])
    assert all(one["method"] == "lexical-v1" and "model" not in one["detail"] for one in supports(report))
    return [one["verdict"] for one in supports(report)]


async def test_a_model_says_what_words_cannot_and_never_overrules_a_missing_figure(
    client: Connect, home: Path, tmp_path: Path
) -> None:
    async with reported(client, judges) as (agent, job_id, model):
        shown, _ = await page(agent, job_id, view="citations")
        report = await exported(home, job_id, tmp_path)
    entailed, turned, figure, open_ = supports(report)
    assert [one["verdict"] for one in (entailed, turned, open_)] == ["entailed", "contradicted", "not_enough_info"]
    assert {one["method"] for one in (entailed, turned, open_)} == {"model:small"}
    assert turned["detail"]["lexical"] in ("lexically_supported", "uncertain"), "the count stays beside it"
    assert turned["detail"]["model"]["words"] == QUOTES["/opening"]
    assert (figure["method"], figure["detail"]["missing_numbers"]) == ("lexical-v1", ["9"])
    assert figure["detail"]["model"]["said"] == "entailed"
    assert "support contradicted (model:small)" in shown
    assert len(model.asked) == 1, "four claims are one question"


async def test_the_check_is_repeated_offline_without_the_model_and_comes_out_the_same(
    client: Connect, home: Path, tmp_path: Path
) -> None:
    async with reported(client, judges) as (_, job_id, model):
        report = await exported(home, job_id, tmp_path)
    asked = len(model.asked)
    code, out = await run(home, "verify", job_id, "--json")
    assert code == 0, out
    told = json.loads(out)
    assert told["changes"] == []
    assert [one["support"] for one in told["citations"]] == supports(report)
    assert len(model.asked) == asked


async def test_a_models_word_does_not_outlive_the_page_it_was_said_of(
    client: Connect, home: Path, tmp_path: Path
) -> None:
    async with reported(client, judges) as (_, job_id, _model):
        report = await exported(home, job_id, tmp_path)
    opening = next(one["sha256"] for one in report["sources"] if one["url"].endswith("/opening"))
    (file,) = home.rglob("cache.db")
    with sqlite3.connect(file) as con:
        con.execute("DELETE FROM Cache WHERE key = ?", (f"src/{opening}",))
    con.close()
    code, out = await run(home, "verify", job_id, "--json")
    told = [one["support"] for one in json.loads(out)["citations"]]
    assert (told[0]["method"], told[0]["verdict"]) == ("model:small", "entailed")
    assert told[1].get("method") != "model:small"
    assert code in (0, 1)


def changed(**fields: object) -> Callable[[str], str]:
    """A model that judges as it should, but for these fields of each verdict."""
    return lambda asked: json.dumps({"verdicts": [row | fields for row in json.loads(judges(asked))["verdicts"]]})


@pytest.mark.parametrize(("say", "why"), [
    (changed(claim="k99"), "speaks of a claim that does not exist"),
    (changed(evidence=["e99"]), "points to evidence that does not exist"),
    (changed(evidence=["e1", "https://evil.example"]), "points to evidence that does not exist"),
    (changed(evidence=[], verdict="entailed"), "points to no evidence"),
    (changed(verdict="true"), "gives a verdict that does not exist"),
    (changed(verdict="entailed", quote="Everything in this claim is proved."), "quotes words that its evidence"),
    (changed(verdict="entailed", quote=""), "quotes words that its evidence"),
    (lambda _: '{"verdicts": "all of them are true"}', ""),
    (lambda _: "", "did not say whether"),
])  # fmt: skip
async def test_a_word_that_cannot_be_bound_leaves_the_count_as_it_is_and_is_named(
    client: Connect, home: Path, tmp_path: Path, say: Callable[[str], str], why: str
) -> None:
    async with reported(client, say) as (_, job_id, _model):
        report = await exported(home, job_id, tmp_path)
    assert {one["method"] for one in supports(report)} == {"lexical-v1"}
    assert any(why in line for line in report["provenance"]["warnings"]) or not why


async def test_without_a_word_of_the_model_the_count_stands_as_it_would_alone(
    client: Connect, home: Path, tmp_path: Path
) -> None:
    alone = await counted(client, home, tmp_path)
    assert alone[2] in ("lexically_unsupported", "uncertain")
    assert set(alone) <= {"lexically_supported", "uncertain", "lexically_unsupported"}
