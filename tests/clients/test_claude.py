"""Claude Code from npm, with a loopback model in place of Anthropic's: `claude -p` and the interactive client.

The model is scripted, but all it knows of a job is what Claude Code shows it of our answers.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.clients.claude import CLAUDE, Claude
from tests.clients.errands import DOCUMENTS, LONG, PROMPT, SLOW, Errand, before, searched
from tests.clients.messages import Messages
from tests.clients.mind import READ, UNDER_WAY, Call, Turn, named, news, waiter
from tests.clients.package import Unreachable
from tests.clients.person import Person

TRANSPORTS = pytest.mark.parametrize("transport", ["stdio", "http"])


@pytest.fixture(scope="module")
def program() -> Path:
    """Claude Code; where npm cannot bring it, or it does not run, there is nothing to test."""
    try:
        return CLAUDE.installed()
    except Unreachable as reason:
        pytest.skip(f"Claude Code cannot be installed here: {reason}")


@TRANSPORTS
@pytest.mark.parametrize("errand", [DOCUMENTS, SLOW], ids=["documents", "slow"])
def test_claude_has_the_tools_from_the_first_turn_and_goes_the_whole_way(
    program: Path, transport: str, errand: Errand, tmp_path: Path
) -> None:
    with Person(tmp_path) as person, person.served(transport) as url:
        claude = Claude(program, person)
        claude.plug(url)
        model = Messages(errand.reader(person.work))
        with claude.thinking(model):
            said = claude.print()
        errand.done(person, model, said)
        assert searched(model.moves) == []


@TRANSPORTS
def test_in_an_interactive_claude_the_job_is_a_background_task_whose_result_comes_by_itself(
    program: Path, transport: str, tmp_path: Path
) -> None:
    with Person(tmp_path) as person, person.served(transport) as url:
        claude = Claude(program, person)
        claude.plug(url)
        model = Messages(waiter(SLOW.question, **SLOW.options))
        with claude.thinking(model), claude.opened("--", PROMPT) as terminal:
            terminal.until(lambda: READ in model.moves, 60, "the report's reading")
        (job,) = person.jobs()
        assert (job["status"], job["outcome"]) == ("completed", "full")
        told, notice = heard(model)
        # The job ran in the background of the client: it was started, the turn ended, and nobody looked after it.
        (start,) = told.results
        assert "moved to the background" in start.text
        assert "notification with the result" in start.text
        assert named(start.text) == job["job_id"]
        assert all(turn.results in ((), (start,)) for turn in before(model.turns, told))
        # The client's own words began the next turn; the person had typed nothing more.
        assert [text for text in told.said if text == PROMPT] == [PROMPT]
        assert "<status>completed</status>" in notice
        assert named(notice) == job["job_id"]
        assert '"outcome":"full"' in notice
        assert model.moves[-2] == Call("get_result", {"job_id": job["job_id"], "view": "citations"})
        assert "quote verbatim" in model.turns[-1].results[-1].text


@TRANSPORTS
def test_a_claude_whose_window_was_closed_is_told_when_it_comes_back(
    program: Path, transport: str, tmp_path: Path
) -> None:
    with Person(tmp_path) as person, person.served(transport) as url:
        claude = Claude(program, person)
        claude.plug(url)
        model = Messages(waiter(LONG.question, **LONG.options))
        with claude.thinking(model):
            with claude.opened("--", PROMPT) as terminal:
                terminal.until(lambda: claude.keeps(UNDER_WAY), 60, "the end of the first turn")
            (job,) = person.jobs()
            assert job["status"] in ("queued", "running")
            with claude.opened("--continue") as terminal:
                terminal.until(lambda: READ in model.moves, 60, "the report's reading")
        (same,) = person.jobs()
        assert (same["job_id"], same["status"]) == (job["job_id"], "completed")
        told, notice = heard(model)
        assert named(notice) == job["job_id"]
        assert [result.tool for result in told.results] == ["start_research"]


def heard(model: Messages) -> tuple[Turn, str]:
    """The turn in which the client said by itself that the task had ended, and what it said."""
    return next((turn, notice) for turn in model.turns if (notice := news(turn)))
