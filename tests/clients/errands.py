"""What people here want to know, and what must have come of it: one job, the whole way, by our answers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.clients.mind import Mind, Move, Search, Turn, reader
from tests.clients.model import Model
from tests.clients.person import Person
from tests.journeys import papers

from spadework.app import INSTRUCTIONS, TOOLS

PROMPT = "Find out about the harbour."
#: Our tools, in our words.
WORDS = {tool.name: tool.description for tool in TOOLS}


@dataclass(frozen=True)
class Errand:
    """A question, how it is asked, what its ticket may say of it at once, and words that its citations must hold."""

    question: str
    options: Mapping[str, Any]
    at_once: frozenset[str]
    quotes: tuple[str, ...]

    def reader(self, work: Path) -> Mind:
        """An agent on this errand, for someone who works in that folder."""
        folders = {"folders": [str(work)]} if self.options["engine"] == "local" else {}
        return reader(self.question, **self.options, **folders)

    def done(self, person: Person, model: Model, said: str) -> None:
        """The model was shown the desk's words, its job, and the report, which reached the person; one job was made."""
        (job,) = person.jobs()
        assert job["status"] == "completed", job
        last = model.turns[-1]
        assert last.tools == WORDS
        assert INSTRUCTIONS in last.frame
        ticket = last.results[0].json
        assert (ticket["job_id"], ticket["created"]) == (job["job_id"], True)
        assert ticket["status"] in self.at_once, ticket
        start, *checks, result = [answer.tool for answer in last.results]
        assert (start, set(checks), result) == ("start_research", {"check_research"}, "get_result")
        assert job["job_id"] in last.results[-1].text
        for quote in self.quotes:
            assert quote in papers.squeezed(said), said


#: Mostly done within the time for which a start waits.
DOCUMENTS = Errand(
    papers.QUESTION, {"engine": "local"}, frozenset({"queued", "running", "completed"}), tuple(papers.ANSWERS.values())
)  # fmt: skip
#: Not done by then: there is something to look after.
SLOW = Errand(
    "What is new at the harbour? [script: read 6 0.5; report 3000]", {"engine": "scripted"},
    frozenset({"queued", "running"}), ("[c1]", "quote verbatim"),
)  # fmt: skip
#: Not done when someone closes a window and opens it again.
LONG = replace(SLOW, question="What is new at the harbour? [script: read 14 0.5; report 3000]")


def searched(moves: list[Move]) -> list[str]:
    """The tools that a model had to look for."""
    return [move.tool for move in moves if isinstance(move, Search)]


def before(turns: list[Turn], turn: Turn) -> list[Turn]:
    """The turns before one of them."""
    return turns[: turns.index(turn)]
