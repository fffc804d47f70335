"""A client that declares the Tasks extension, as raw JSON-RPC: the SDK's client has no tasks of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.journeys.desks import BRIDGE, MODERN, Agent, Place
from tests.journeys.server import COMMAND

EXTENSION = "io.modelcontextprotocol/tasks"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
#: What a client says it can: tasks and questions to a person, tasks alone, questions alone.
BOTH = {"elicitation": {}, "extensions": {EXTENSION: {}}}
TASKS = {"extensions": {EXTENSION: {}}}
ASKS = {"elicitation": {"form": {}}}
#: The ways to the same server: all in one process, and the desk behind its bridge.
DOORS = {"alone": COMMAND, "desk": BRIDGE}
ENDED = ("completed", "failed", "cancelled")


class Tasker(Agent):
    """A client of the stateless era that declares what it is given with each request."""

    def __init__(self, capabilities: Mapping[str, Any], *given: Any) -> None:
        self.capabilities = dict(capabilities)
        super().__init__(MODERN, *given)

    def send(self, method: str, params: Mapping[str, Any] | None = None) -> int:
        """Send a request; its id."""
        self._number += 1
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
            "io.modelcontextprotocol/clientInfo": {"name": "tasker", "version": "1"},
        }
        given = {**(params or {}), "_meta": meta}
        self.write({"jsonrpc": "2.0", "id": self._number, "method": method, "params": given})
        return self._number

    def result(self, method: str, **params: Any) -> dict[str, Any]:
        """What a request answers, without the server's name on it."""
        answer = self.request(method, params)
        assert "result" in answer, answer
        return {key: value for key, value in answer["result"].items() if key != "_meta"}

    def error(self, method: str, **params: Any) -> dict[str, Any]:
        """The error that a request answers."""
        answer = self.request(method, params)
        assert "error" in answer, answer
        return answer["error"]

    def begin(self, script: str, **arguments: Any) -> dict[str, Any]:
        """Start scripted research, each time another question; whatever the call answers."""
        self._number += 1
        question = f"What is new, number {self._number}? [script: {script}]"
        arguments = {"question": question, "engine": "scripted", **arguments}
        return self.result("tools/call", name="start_research", arguments=arguments)

    def task(self, script: str, **arguments: Any) -> str:
        """Start scripted research as a task; its id."""
        task = self.begin(script, **arguments)
        assert task["resultType"] == "task", task
        return task["taskId"]

    def get(self, task_id: str) -> dict[str, Any]:
        """A task as it stands."""
        return self.result("tasks/get", taskId=task_id)

    def until(self, task_id: str, *statuses: str, within: float = 30) -> dict[str, Any]:
        """A task once it has one of these statuses."""
        end = time.monotonic() + within
        while (task := self.get(task_id))["status"] not in statuses:
            assert time.monotonic() < end, task
            time.sleep(0.02)
        return task

    def told(self, task_id: str, **answers: Any) -> dict[str, Any]:
        """Answer what a task asks, by key; a text is what the person typed."""
        responses = {
            key: {"action": "accept", "content": {"answer": said}} if isinstance(said, str) else said
            for key, said in answers.items()
        }
        responses = {key.replace("_", "."): response for key, response in responses.items()}
        return self.result("tasks/update", taskId=task_id, inputResponses=responses)

    def notified(self, within: float = 20) -> dict[str, Any]:
        """The next notification."""
        end = time.monotonic() + within
        while True:
            message = self.line(max(0.0, end - time.monotonic()))
            if "method" in message:
                return message


def tasker(
    place: Place, capabilities: Mapping[str, Any] = BOTH, command: Sequence[str] = COMMAND, cwd: Path | None = None,
    **settings: object,
) -> Tasker:  # fmt: skip
    """A new client of a place."""
    log = place.folder / f"agent-{len(place.agents)}.log"
    agent = Tasker(capabilities, place.env(**settings), cwd or place.folder, command, log)
    place.agents.append(agent)
    return agent
