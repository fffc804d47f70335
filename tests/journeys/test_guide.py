"""The guide, taken at its word: every block of it is run, against the vendors' stand-ins, by one desk."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.journeys import checkout
from tests.journeys.desks import Agent, Place, until
from tests.standins.cloro import Cloro
from tests.standins.parallel import Parallel
from tests.standins.perplexity import Perplexity
from tests.standins.script import Script
from tests.standins.standin import KEY, Standin

from spadework.roster import ROSTER, row

TEXT = (checkout.ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HOOK = "https://example.com/hooks/spadework"


@dataclass
class Recipe:
    """One section of the guide: its blocks as (language, name, text), its job, and what they answered."""

    title: str
    blocks: list[tuple[str, str, str]]
    job_id: str = ""
    answers: list[Any] = field(default_factory=list[Any])

    @property
    def starts(self) -> int:
        """The place behind the last block that starts a job."""
        places = [place for place, block in enumerate(self.blocks) if block[1] == "start_research"]
        return places[-1] + 1 if places else 0


def recipes() -> dict[str, Recipe]:
    """The sections of the guide that have blocks."""
    found: dict[str, Recipe] = {}
    for section in re.split(r"^## ", TEXT, flags=re.MULTILINE):
        blocks = [(kind, name or "", text) for kind, name, text in BLOCK.findall(section)]
        if blocks:
            title = section.splitlines()[0]
            found[title] = Recipe(title, blocks)
    return found


class Reader:
    """Someone who does all that the guide says, on one home."""

    def __init__(self, place: Place, settings: dict[str, object], port: int) -> None:
        self.place, self.settings, self.port = place, settings, port
        self.agent: Agent = place.agent(**settings)
        self.recipes = recipes()
        self.secret = ""
        self.running: list[subprocess.Popen[str]] = []

    def all(self) -> None:
        """Start everything, wait for it, and read it."""
        for recipe in self.recipes.values():
            for block in recipe.blocks[: recipe.starts]:
                recipe.answers.append(self.run(recipe, *block))
        polls = self.python("poll.py")
        for recipe in self.recipes.values():
            if recipe.job_id and recipe.title != "Cancel":
                assert self.agent.ended(recipe.job_id, 120)["status"] == "completed", recipe.title
        for recipe in self.recipes.values():
            for block in recipe.blocks[recipe.starts :]:
                recipe.answers.append(self.run(recipe, *block))
        out, error = polls.communicate(timeout=100)
        assert polls.returncode == 0, error
        self.recipes["Poll from a program"].answers.append(out)

    def run(self, recipe: Recipe, kind: str, name: str, text: str) -> Any:
        """Run one block; what it answered."""
        text = text.replace("JOB_ID", recipe.job_id).replace(HOOK, f"http://127.0.0.1:{self.port}/hooks")
        if kind == "bash":
            return self.shell(text)
        if kind == "json":
            return self.tool(recipe, name, json.loads(text))
        (self.place.folder / name).write_text(text, encoding="utf-8")
        return self.program(name)

    def tool(self, recipe: Recipe, name: str, arguments: dict[str, Any]) -> Any:
        reply = self.agent.reply(self.agent.call(name, **arguments), within=90)["result"]
        assert not reply.get("isError"), (recipe.title, reply)
        if name == "start_research":
            recipe.job_id = reply["structuredContent"]["job_id"]
        return reply.get("structuredContent") or reply["content"][0]["text"]

    def shell(self, text: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], cwd=self.place.folder, env=self.env(), capture_output=True,
            text=True, timeout=90, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (text, done.stderr)
        return done.stdout

    def program(self, name: str) -> Any:
        if name == "accept.py":
            process = self.python(name)
            out, error = process.communicate(timeout=60)
            assert process.returncode == 0, error
            return out
        if name == "receive.py":
            endpoint = json.loads(self.recipes["Be told when it is done"].answers[0])
            self.secret = endpoint["secrets"][0]
            return self.python(name)
        return None

    def python(self, name: str) -> subprocess.Popen[str]:
        """A program of the guide, started."""
        path = self.place.folder / name
        if not path.exists():
            text = next(text for recipe in self.recipes.values() for kind, one, text in recipe.blocks if one == name)
            path.write_text(text, encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, str(path)], cwd=self.place.folder, env=self.env(), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.running.append(process)
        return process

    def env(self) -> dict[str, str]:
        env = self.place.env(**self.settings)
        path = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
        return env | {"PATH": path, "WEBHOOK_SECRET": self.secret, "PORT": str(self.port)}

    def close(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=10)


@dataclass
class Read:
    """The guide's recipes once all were followed, and the vendors that sold the research."""

    recipes: dict[str, Recipe]
    vendors: dict[str, Standin]
    told: list[str]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    with ExitStack() as stack:
        vendors: dict[str, Standin] = {"perplexity": Perplexity(), "parallel": Parallel(), "cloro": Cloro()}
        settings: dict[str, object] = {}
        for name, standin in vendors.items():
            standin.script = Script(polls=1)
            settings[f"{name.upper()}_API_KEY"] = KEY
            settings[f"{name}_base_url"] = stack.enter_context(standin.serving())
        vendors["parallel"].scripts = {
            "Northwind": Script(polls=1, unverified=frozenset({"employee_count"})),
            "telephony": Script(fate="never"),
        }
        with socket.socket() as spare:
            spare.bind(("127.0.0.1", 0))
            port = spare.getsockname()[1]
        place = stack.enter_context(
            Place(tmp_path_factory.mktemp("guide"), allow_private=f"127.0.0.1:{port}", inline_s=2)
        )
        reader = Reader(place, settings, port)
        stack.callback(reader.close)
        reader.all()
        yield Read(reader.recipes, vendors, _told(reader))


def _told(reader: Reader) -> list[str]:
    """The lines that the guide's webhook receiver printed, once there is one."""
    receiver = reader.recipes["Be told when it is done"].answers[-1]
    lines: list[str] = []
    thread = threading.Thread(target=lambda: lines.append(receiver.stdout.readline().strip()), daemon=True)
    thread.start()
    # What was sent before the receiver listened is tried again by itself; a person would not wait for that.
    job_id = reader.recipes["Be told when it is done"].job_id

    def again() -> list[str]:
        if not lines:
            reader.place.command("webhooks", "redeliver", job_id, **reader.settings)
        return lines

    until(again, 60, "a webhook")
    return lines


def sold(read: Read, vendor: str, words: str) -> list[dict[str, Any]]:
    """The orders that carry these words."""
    return [purchase.body for purchase in read.vendors[vendor].ledger.matching(words)]


def test_a_deep_report_is_bought_once_and_read_with_its_citations(read: Read) -> None:
    ticket, _, brief, cited = read.recipes["A deep report, fetched later"].answers
    assert ticket["engine"] == "perplexity"
    (body,) = sold(read, "perplexity", "Comprehensive 2026 state")
    assert (body["background"], body["effort"]) == (True, "medium")
    assert "sources" in brief
    assert "[c1] “In measurement" in cited


def test_a_domain_filter_reaches_the_vendor_and_its_sources_obey_it(read: Read) -> None:
    _, text = read.recipes["Only these sites, only this year"].answers
    (body,) = sold(read, "perplexity", "platforms, latency, pricing.")
    (tool,) = body["tools"]
    assert tool["filters"]["search_domain_filter"][:2] == ["livekit.io", "vapi.ai"]
    assert tool["filters"]["search_after_date_filter"] == "01/01/2026"
    assert "[c1]" in text


def test_data_comes_in_the_form_of_the_schema(read: Read) -> None:
    _, text = read.recipes["A report as data"].answers
    data = json.loads(text)
    assert isinstance(data["market_size_usd"], float)
    assert len(data["competitors"]) == 2


def test_companies_are_enriched_in_order_and_what_is_not_backed_is_dropped(read: Read) -> None:
    ticket, text, _, accepted = read.recipes["Enrich a list of companies"].answers
    assert ticket["cost_estimate_usd"] == pytest.approx(0.05)
    rows = json.loads(text)
    assert [row["company_name"] for row in rows] == ["Acme HVAC", "Northwind Cooling"]
    assert rows[1]["employee_count"] is None
    assert isinstance(rows[0]["employee_count"], int)
    assert "dropped employee_count of row 1: No reliable source states employee_count" in accepted
    kept = json.loads(accepted[accepted.index("[\n") :])
    assert kept[0]["company_name"] == "Acme HVAC"
    # The stand-in says that it is not sure of industries.
    assert rows[0]["industry"]
    assert kept[0]["industry"] is None
    assert len(sold(read, "parallel", "For each company")) == 2


def test_rows_over_files_come_in_order_with_their_quotes_where_there_is_no_model(read: Read) -> None:
    _, ticket, text, data = read.recipes["Rows over your own files"].answers
    assert ticket["engine"] == "local"
    assert json.loads(data) == [{"name": name, "cars": None, "launched": None} for name in ("MV Halden", "MV Skarv")]
    halden, skarv = text.split("\n## ")[1:]
    assert re.search(r"^> The MV Halden carries 148 cars\..* \[c1\]$", halden, re.MULTILINE)
    assert re.search(r"^> The MV Skarv carries 62 cars\..* \[c2\]$", skarv, re.MULTILINE)


def test_the_polling_program_prints_the_report(read: Read) -> None:
    out = read.recipes["Poll from a program"].answers[-1]
    assert "What limits the latency" in out
    assert "[c1]" in out


def test_the_webhook_receiver_verifies_the_message_and_names_the_job(read: Read) -> None:
    recipe = read.recipes["Be told when it is done"]
    assert read.told == [f"{recipe.job_id} completed"]


def test_a_retry_is_the_same_job_and_bought_once(read: Read) -> None:
    first, again = read.recipes["Retry without paying twice"].answers
    assert (again["job_id"], again["created"], again["cost_estimate_usd"]) == (first["job_id"], False, 0.0)
    assert len(sold(read, "parallel", "market for voice agents in 2025")) == 1


def test_a_cancel_says_what_goes_on(read: Read) -> None:
    _, ended = read.recipes["Cancel"].answers
    assert (ended["status"], ended["changed"]) == ("cancelled", True)
    assert "no way to stop a run" in ended["note"] or "Nothing goes on" in ended["note"]


def test_an_answer_engines_snapshot_names_its_sources(read: Read) -> None:
    ticket, text = read.recipes["What an answer engine says right now"].answers
    assert ticket["engine"] == "cloro:chatgpt"
    assert text.strip()
    assert len(sold(read, "cloro", "best voice agent")) == 1


def test_the_costs_name_each_vendor(read: Read) -> None:
    (table,) = read.recipes["Keep to a budget"].answers
    for vendor in read.vendors:
        assert f"\n{vendor}\t$" in table


def test_every_block_of_the_guide_was_run(read: Read) -> None:
    for recipe in read.recipes.values():
        assert len(recipe.answers) >= len(recipe.blocks), recipe.title


def test_the_table_of_engines_says_what_the_engines_say_of_themselves() -> None:
    shown = re.search(r"<!-- engines:.*?-->\n(.*?)<!-- /engines -->", TEXT, re.DOTALL)
    assert shown is not None
    _, _, *rows = shown[1].strip().splitlines()
    assert rows == [row(facts) for facts in ROSTER]
    assert all(f"| `{facts.name}` |" in written for facts, written in zip(ROSTER, rows, strict=True))
