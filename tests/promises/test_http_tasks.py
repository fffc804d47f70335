"""Tasks, resources and completions over HTTP: each owner's own, polled without being rationed, by the right header."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from tests.journeys.tasking import BOTH
from tests.journeys.wire import MODERN
from tests.promises.served import Answer, Served

KEYS = {name: secrets.token_hex(24) for name in ("ann", "bob")}
META = {**MODERN, "io.modelcontextprotocol/clientCapabilities": BOTH}
METHODS = {"tasks/get": {}, "tasks/update": {"inputResponses": {}}, "tasks/cancel": {}}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("served")
    tokens = ",".join(f"{name}={key}" for name, key in KEYS.items())
    with Served(place / "home", place, tokens=tokens, calls_per_minute=30, inline_s=0) as process:
        yield process


def send(served: Served, who: str, method: str, params: dict[str, Any], **headers: str | None) -> Answer:
    more = {"authorization": f"Bearer {KEYS[who]}", **headers}
    if "taskId" in params and "mcp_name" not in headers:
        more["mcp_name"] = params["taskId"]
    return served.post(method, params, meta=META, **more)


def begun(served: Served, who: str, script: str) -> str:
    arguments = {"question": f"Of {who} {secrets.token_hex(4)} [script: {script}]", "engine": "scripted"}
    result = send(served, who, "tools/call", {"name": "start_research", "arguments": arguments}).json["result"]
    assert result["resultType"] == "task"
    return result["taskId"]


def test_a_task_is_its_owners_alone_in_every_method_and_on_every_other_path(served: Served) -> None:
    task_id, never = begun(served, "ann", "hang"), "r_" + "0" * 36
    for method, more in METHODS.items():
        foreign, none = (send(served, "bob", method, {"taskId": one, **more}).json["error"] for one in (task_id, never))
        assert (foreign["code"], foreign["message"].replace(task_id, never)) == (-32602, none["message"]), method
    for part in ("", "/report.md", "/report.html"):
        uri = f"research://jobs/{task_id}{part}"
        assert send(served, "bob", "resources/read", {"uri": uri}).json["error"]["code"] == -32602
    ref = {"ref": {"type": "ref/resource", "uri": "research://jobs/{job_id}"}}
    asked = {**ref, "argument": {"name": "job_id", "value": "r_"}}
    assert send(served, "bob", "completion/complete", asked).json["result"]["completion"]["values"] == []
    assert send(served, "ann", "completion/complete", asked).json["result"]["completion"]["values"] == [task_id]
    assert send(served, "ann", "tasks/get", {"taskId": task_id}).json["result"]["status"] == "working"
    assert send(served, "ann", "tasks/cancel", {"taskId": task_id}).status == 200


def test_the_routing_header_must_name_the_task(served: Served) -> None:
    task_id = begun(served, "ann", "hang")
    for method, more in METHODS.items():
        for header in ("r_" + "0" * 36, None, ""):
            answer = send(served, "ann", method, {"taskId": task_id, **more}, mcp_name=header)
            assert (answer.status, answer.code) == (400, -32020), (method, header)
    assert send(served, "ann", "tasks/get", {"taskId": task_id}).json["result"]["status"] == "working"


def test_a_client_that_polls_as_it_was_told_is_not_rationed_like_an_agents_calls(served: Served) -> None:
    task_id = begun(served, "bob", "hang")
    for _ in range(60):
        assert send(served, "bob", "tasks/get", {"taskId": task_id}).status == 200
