"""What a model knows when its turn comes, what it may do, and agents whose every move follows from what they were told.

The vendors' APIs are different wires for the same turns; their stand-ins translate.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

SERVER = "mcp__spadework"
#: What an agent that waits says at the end of its first turn, and of its last.
UNDER_WAY, READ = "It is under way, and other work goes on.", "The report is read."
#: What a client says by itself when a background task has ended (Claude Code 2.1.330).
NEWS = "<task-notification>"


@dataclass(frozen=True)
class Result:
    """What one of our tools answered, as the client shows it to the model."""

    tool: str
    text: str
    failed: bool = False

    @property
    def json(self) -> Any:
        """The answer of a tool whose structured content the client shows."""
        return json.loads(self.text)


@dataclass(frozen=True)
class Turn:
    """All that a model is given: our tools and their descriptions, the words around them, and the talk so far."""

    tools: Mapping[str, str]
    frame: str
    said: tuple[str, ...]
    results: tuple[Result, ...]


@dataclass(frozen=True)
class Call:
    """A call of one of our tools."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Search:
    """A search among the tools that the client has not shown yet."""

    tool: str


#: What a model does next: call a tool, look for one, or say something and end its turn.
Move = Call | Search | str
Mind = Callable[[Turn], Move]


def reader(question: str, **options: Any) -> Mind:
    """An agent that starts research, looks after it, and says what the report's citations are."""

    def move(turn: Turn) -> Move:
        if not turn.results:
            return Call("start_research", {"question": question, **options})
        last = turn.results[-1]
        assert not last.failed, last
        if last.tool == "start_research":
            return Call("check_research", {"job_ids": [last.json["job_id"]], "wait_s": 10})
        if last.tool == "check_research":
            (job,) = last.json["jobs"]
            if job["status"] in ("queued", "running"):
                return Call("check_research", {"job_ids": [job["job_id"]], "wait_s": 10})
            return Call("get_result", {"job_id": job["job_id"], "view": "citations"})
        return last.text

    return move


def waiter(question: str, **options: Any) -> Mind:
    """An agent that starts research and ends its turn; it reads the report when its client says that it is there."""

    def move(turn: Turn) -> Move:
        if not turn.results:
            return Call("start_research", {"question": question, **options})
        last = turn.results[-1]
        assert not last.failed, last
        if last.tool == "get_result":
            return READ
        if (told := news(turn)) is None:
            return UNDER_WAY
        return Call("get_result", {"job_id": named(told), "view": "citations"})

    return move


def news(turn: Turn) -> str | None:
    """What the client said by itself of a background task's end."""
    return next((text for text in turn.said if NEWS in text), None)


def named(text: str) -> str:
    """The one job that a text names."""
    (found,) = set(re.findall(r"\br_[a-z0-9]{20,}\b", text))
    return found
