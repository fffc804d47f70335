"""What was spent and what could be: `spadework costs` against the vendors' own ledgers, `engines` against the table."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.journeys.desks import Place
from tests.journeys.server import COMMAND
from tests.standins.faults import Kind
from tests.standins.parallel import Parallel
from tests.standins.perplexity import Perplexity
from tests.standins.script import Script
from tests.standins.standin import KEY

from spadework.app import _engines
from spadework.roster import ROSTER
from spadework.settings import Settings


def figures(place: Place, *words: str, **settings: object) -> dict[str, object]:
    """What `costs --json` prints."""
    done = place.command("costs", "--json", *words, **settings)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_costs_agree_with_what_the_vendors_sold_and_say_what_nobody_confirmed(tmp_path: Path) -> None:
    perplexity, parallel = Perplexity(), Parallel()
    perplexity.script = parallel.script = Script(polls=1)
    with perplexity.serving() as one, parallel.serving() as two, Place(tmp_path) as place:
        keys = {"PERPLEXITY_API_KEY": KEY, "PARALLEL_API_KEY": KEY}
        agent = place.agent(command=COMMAND, perplexity_base_url=one, parallel_base_url=two, **keys)
        assert figures(place)["jobs"] == []
        assert place.command("costs").stdout == "Nothing was bought.\n"
        perplexity.faults.add(Kind.LOST_AFTER, "submit", match="lost")
        asked = {"fine": "perplexity:fast", "lost": "perplexity:fast", "third": "parallel:lite-fast"}
        jobs = {
            name: agent.ask("start_research", question=f"The {name} one?", engine=engine)["job_id"]
            for name, engine in asked.items()
        }
        for job_id in jobs.values():
            agent.ended(job_id)
        # Beside the server, whose file it is.
        found = figures(place)
        rows = {row["job_id"]: row for row in found["jobs"]}  # type: ignore[union-attr]
        assert rows[jobs["fine"]]["spent_usd"] == pytest.approx(sum(perplexity.ledger.billed.values()))
        assert (rows[jobs["lost"]]["state"], rows[jobs["lost"]]["spent_usd"]) == ("unknown", None)
        assert rows[jobs["lost"]]["reserved_usd"] == pytest.approx(0.01)
        assert rows[jobs["third"]]["spent_usd"] == pytest.approx(parallel.ledger.total_usd)
        engines = {row["engine"]: row for row in found["engines"]}  # type: ignore[union-attr]
        assert engines["perplexity"]["jobs"] == 2
        assert engines["perplexity"]["unknown_usd"] == pytest.approx(0.01)
        assert engines["perplexity"]["spent_usd"] == pytest.approx(0.01 + rows[jobs["fine"]]["spent_usd"])
        assert [row["jobs"] for row in found["days"]] == [3]  # type: ignore[union-attr]
        assert found["total"]["spent_usd"] == pytest.approx(  # type: ignore[index]
            engines["perplexity"]["spent_usd"] + engines["parallel"]["spent_usd"]
        )
        assert figures(place, "--day", "2020-02-29")["jobs"] == []
        shown = place.command("costs", daily_cap_usd=2)
        for words in (jobs["lost"], "unconfirmed, at most", "parallel\t$0.005"):
            assert words in shown.stdout
        assert "The cap is $2.00" in shown.stderr


def test_a_day_that_is_none_and_a_damaged_ledger_are_said(tmp_path: Path) -> None:
    with Place(tmp_path) as place:
        wrong = place.command("costs", "--day", "soon")
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert "2026-03-01" in wrong.stderr
        place.home.mkdir()
        line = {"v": 1, "at": 0, "day": "2026-01-02", "kind": "reserve", "job": "r_a", "engine": "cloro", "micros": 7}
        (place.home / "ledger.jsonl").write_text(f"{json.dumps(line)}\nno line\n")
        shown = place.command("costs")
        assert "r_a\t2026-01-02\tcloro\t$0.000007\treserved" in shown.stdout
        assert "1 lines of the ledger are damaged" in shown.stderr


def engines(place: Place, *words: str, **settings: object) -> subprocess.CompletedProcess[str]:
    done = place.command("engines", *words, **settings)
    assert done.returncode == 0, done.stderr
    return done


def test_engines_tells_who_is_usable_here_for_how_much_and_as_of_when(tmp_path: Path) -> None:
    with Place(tmp_path) as place:
        rows = {row["engine"]: row for row in json.loads(engines(place, "--json", PARALLEL_API_KEY=KEY).stdout)}
        assert {name: row["usable"] for name, row in rows.items()} == {
            "local": True, "perplexity": False, "parallel": True, "cloro": False,
        }  # fmt: skip
        ultra = next(tier for tier in rows["parallel"]["tiers"] if tier["tier"] == "parallel:ultra8x")
        assert (ultra["usual_usd"], ultra["worst_usd"], ultra["long_s"]) == (2.4, 2.4, 7_200)
        assert rows["perplexity"]["limits"]["domains"] == 20
        assert rows["cloro"]["cannot"][:2] == ["include_domains", "published_after"]
        for name in ("perplexity", "parallel", "cloro"):
            assert rows[name]["verified_on"] >= "2026-11-21"
            assert rows[name]["prices_on"] >= "2026-11-21"
        text = engines(place, PARALLEL_API_KEY=KEY).stdout
        assert "no: set PERPLEXITY_API_KEY or PPLX_API_KEY" in text
        assert "parallel:ultra8x\t$2.40\t$2.40\t5 min to 120 min" in text
        assert KEY not in text


def test_the_list_of_engines_is_the_one_that_jobs_run_on(tmp_path: Path) -> None:
    wired = _engines(Settings(home=tmp_path))
    assert {facts.name for facts in ROSTER} == {name for name, engine in wired.items() if engine.facts.kind != "script"}
