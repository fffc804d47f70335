"""The Tasks extension: the job that a tool starts is a task to who declares it, exactly as the specification says."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest
from tests.journeys.desks import LEGACY, MODERN, Place
from tests.journeys.server import COMMAND
from tests.journeys.tasking import ASKS, BOTH, DOORS, EXTENSION, SUBSCRIPTION, TASKS, Tasker, tasker
from tests.promises.tokens import tokens

from spadework.app import opened
from spadework.caller import Caller
from spadework.settings import Settings
from spadework_tools.models import Request

MISSING = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
METHODS = {"tasks/get": {}, "tasks/update": {"inputResponses": {}}, "tasks/cancel": {}}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with Place(tmp_path) as place:
        yield place


@pytest.fixture(params=DOORS)
def client(request: pytest.FixtureRequest, place: Place) -> Tasker:
    """A client that declares tasks and questions, on a server of one process and through the desk."""
    return tasker(place, command=DOORS[request.param])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tasker]:
    """A client that declares tasks and questions, for all tests that disturb nobody else."""
    with Place(tmp_path_factory.mktemp("shared"), concurrency=64) as place:
        yield tasker(place)


@pytest.fixture
def alone(place: Place) -> Tasker:
    return tasker(place)


def moment(text: str) -> float:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text), text
    return datetime.fromisoformat(text).timestamp()


def test_a_client_that_declares_tasks_gets_one_whose_id_is_the_jobs(client: Tasker) -> None:
    made = client.begin("read 2 0.2; report", label="Tides")
    assert made["resultType"] == "task"
    assert set(made) == {
        "resultType", "taskId", "status", "statusMessage", "createdAt", "lastUpdatedAt", "ttlMs", "pollIntervalMs",
    }  # fmt: skip
    assert made["status"] == "working"
    assert made["ttlMs"] is None
    assert client.get(made["taskId"])["taskId"] == made["taskId"]
    assert client.standing(made["taskId"])["label"] == "Tides"
    assert client.until(made["taskId"], "completed")["status"] == "completed"
    brief = client.result("tools/call", name="get_result", arguments={"job_id": made["taskId"]})
    assert made["taskId"] in brief["content"][0]["text"]


def test_the_server_says_that_it_has_tasks_to_the_stateless_era_alone(place: Place) -> None:
    modern = tasker(place, {})
    found = modern.result("server/discover")["capabilities"]
    assert found["extensions"] == {EXTENSION: {}}
    assert "tasks" not in found
    legacy = place.agent(LEGACY, command=COMMAND)
    assert legacy.lines[0]["result"]["protocolVersion"] == LEGACY
    assert "extensions" not in legacy.lines[0]["result"]["capabilities"]
    for method, more in METHODS.items():
        assert legacy.request(method, {"taskId": "r_x", **more})["error"]["code"] == -32601


@pytest.mark.parametrize("capabilities", [{}, ASKS, {"extensions": {"org.example/other": {}}}])
def test_a_client_that_does_not_declare_tasks_gets_the_jobs_id_and_no_task_methods(
    place: Place, capabilities: dict[str, Any]
) -> None:
    client = tasker(place, capabilities)
    ticket = client.begin("hang")
    assert ticket["resultType"] == "complete"
    assert "taskId" not in ticket
    job_id = ticket["structuredContent"]["job_id"]
    for method, more in METHODS.items():
        error = client.error(method, taskId=job_id, **more)
        assert (error["code"], error["data"]) == (-32021, MISSING), method
    error = client.error("subscriptions/listen", notifications={"taskIds": [job_id]})
    assert (error["code"], error["data"]) == (-32021, MISSING)
    assert client.standing(job_id)["status"] in ("queued", "running")


def test_each_request_declares_for_itself_alone(alone: Tasker) -> None:
    task_id = alone.task("hang")
    alone.capabilities = {}
    assert alone.error("tasks/get", taskId=task_id)["code"] == -32021
    assert alone.begin("report")["resultType"] == "complete"
    alone.capabilities = BOTH
    assert alone.get(task_id)["status"] == "working"


def test_a_refused_start_is_an_error_at_once_and_makes_no_task(alone: Tasker) -> None:
    refused = alone.begin("dance")
    assert refused["resultType"] == "complete"
    assert refused["isError"] is True
    assert alone.ask("check_research")["jobs"] == []


def test_the_same_request_again_is_the_same_task(shared: Tasker) -> None:
    first = shared.task("", question="The same? [script: hang]")
    assert shared.task("", question="The  same? [script: hang]") == first


def test_a_task_of_someone_else_and_one_that_never_was_give_the_same_answer(place: Place) -> None:
    foreign = anyio.run(_foreign, place.home)
    client = tasker(place)
    never = foreign[:-4] + ("0000" if foreign[-4:] != "0000" else "1111")
    for method, more in METHODS.items():
        codes: list[str] = []
        for task_id in (foreign, never, "no id of ours", ""):
            error = client.error(method, taskId=task_id, **more)
            assert error["code"] == -32602, (method, task_id)
            codes.append(error["message"].replace(task_id, "ID") if task_id else "")
        assert codes[0] == codes[1], method
    assert client.error("tasks/get")["code"] == -32602
    anyio.run(_unharmed, place.home, foreign)


async def _foreign(home: Path) -> str:
    async with opened(Settings(home=home)) as house:
        desk = house.desk(Caller(house.kit.settings, owner="another"))
        return (await desk.start(Request(question="Mine [script: park 900]", engine="scripted"))).job_id


async def _unharmed(home: Path, job_id: str) -> None:
    async with opened(Settings(home=home)) as house:
        assert not (await house.kit.store.get(job_id)).cancel_requested


def test_a_finished_task_brings_a_short_ticket_that_points_to_the_report(shared: Tasker) -> None:
    tools = {tool["name"]: tool for tool in shared.result("tools/list")["tools"]}
    task = shared.until(shared.task("report 20000", label="Tides"), "completed")
    result = task["result"]
    assert result["isError"] is False
    (block,) = result["content"]
    assert json.loads(block["text"]) == result["structuredContent"]
    jsonschema.Draft202012Validator(tools["start_research"]["outputSchema"]).validate(result["structuredContent"])
    assert tokens(block["text"]) <= 160, tokens(block["text"])
    assert "get_result" in result["structuredContent"]["note"]
    assert "Tides" in result["structuredContent"]["note"]
    assert result["structuredContent"]["job_id"] == task["taskId"]
    assert "get_result" in task["statusMessage"]


def test_a_failed_job_is_a_completed_call_whose_result_says_why(shared: Tasker) -> None:
    task = shared.until(shared.task("fail vendor_down The vendor is away. Try later."), "completed", "failed")
    assert task["status"] == "completed"
    assert task["result"]["isError"] is True
    assert task["result"]["content"] == [{"type": "text", "text": "vendor_down: The vendor is away. Try later."}]
    assert "error" not in task


def test_only_a_defect_of_the_servers_own_fails_the_task(shared: Tasker) -> None:
    task = shared.until(shared.task("crash"), "completed", "failed")
    assert task["status"] == "failed"
    assert task["error"]["code"] == -32603
    assert task["error"]["message"] == task["statusMessage"]
    assert "the script said so" not in json.dumps(task)
    assert "result" not in task


def test_a_task_says_where_it_is_and_when_it_last_changed(shared: Tasker) -> None:
    begun = time.time()
    task_id = shared.task("read 3 1.1; hang")
    seen: list[dict[str, Any]] = []
    end = time.monotonic() + 20
    while not seen or "reading 3/3" not in seen[-1]["statusMessage"]:
        assert time.monotonic() < end, seen[-1]
        seen.append(shared.get(task_id))
        time.sleep(0.05)
    assert any("1 sources" in task["statusMessage"] or "2 sources" in task["statusMessage"] for task in seen), seen
    assert len({task["createdAt"] for task in seen}) == 1
    assert begun - 1 <= moment(seen[0]["createdAt"]) <= time.time()
    changes = [moment(task["lastUpdatedAt"]) for task in seen]
    assert changes == sorted(changes)
    assert changes[-1] > changes[0]
    still = shared.get(task_id)
    time.sleep(1.2)
    later = shared.get(task_id)
    assert later["lastUpdatedAt"] == still["lastUpdatedAt"], "a poll is no change"
    shared.result("tasks/cancel", taskId=task_id)
    assert moment(shared.until(task_id, "cancelled")["lastUpdatedAt"]) > moment(later["lastUpdatedAt"])


def test_a_task_is_kept_without_a_limit_until_its_end_and_for_the_retention_from_then_on(place: Place) -> None:
    client = tasker(place, retention_days=9)
    task_id = client.task("read 1 1; report")
    assert client.get(task_id)["ttlMs"] is None
    task = client.until(task_id, "completed")
    passed = moment(task["lastUpdatedAt"]) - moment(task["createdAt"])
    assert isinstance(task["ttlMs"], int)
    assert task["ttlMs"] == pytest.approx((9 * 86_400 + passed) * 1_000, abs=50)


@pytest.mark.parametrize(("seconds", "interval"), [(10, 5_000), (200, 10_000), (1_800, 15_000)])
def test_the_longer_a_task_will_take_the_less_often_it_is_to_be_looked_at(
    shared: Tasker, seconds: int, interval: int
) -> None:
    made = shared.begin(f"park {seconds}; report")
    assert made["pollIntervalMs"] == pytest.approx(interval, abs=1_000)
    assert isinstance(made["pollIntervalMs"], int)


def test_cancelling_is_acknowledged_with_nothing_else_and_may_be_repeated(client: Tasker) -> None:
    task_id = client.task("hang")
    for _ in range(2):
        assert client.result("tasks/cancel", taskId=task_id) == {"resultType": "complete"}
    assert set(client.until(task_id, "cancelled")) >= {"taskId", "status", "ttlMs"}
    assert "result" not in client.get(task_id)
    done = client.task("report")
    client.until(done, "completed")
    assert client.result("tasks/cancel", taskId=done) == {"resultType": "complete"}
    assert client.get(done)["status"] == "completed"


def test_a_cancelled_notification_ends_no_task(shared: Tasker) -> None:
    number = shared.send("tools/call", {"name": "start_research", "arguments": {
        "question": "Stay [script: hang]", "engine": "scripted"}})  # fmt: skip
    task_id = shared.reply(number)["result"]["taskId"]
    shared.write({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}})
    shared.result("tools/list")
    assert shared.get(task_id)["status"] == "working"


def test_answers_arrive_one_by_one_and_only_those_that_are_asked_for_count(client: Tasker) -> None:
    task_id = client.task("ask Which year? | Which country?; read 1 0; ask Which language?; report")
    asked = client.until(task_id, "input_required")
    assert set(asked["inputRequests"]) == {"q0.0", "q0.1"}
    form = asked["inputRequests"]["q0.0"]
    assert form["method"] == "elicitation/create"
    assert form["params"]["mode"] == "form"
    assert form["params"]["message"] == "Which year?"
    assert form["params"]["requestedSchema"]["required"] == ["answer"]
    assert "Which year?" in asked["statusMessage"]
    assert client.told(task_id, q0_0="1999", q9_9="never asked") == {"resultType": "complete"}
    open_still = client.get(task_id)
    assert open_still["status"] == "input_required"
    assert set(open_still["inputRequests"]) == {"q0.1"}
    client.told(task_id, q0_0="2001")
    client.told(task_id, q0_1={"action": "decline"})
    again = client.until(task_id, "input_required", "completed")
    while set(again["inputRequests"]) != {"q2.0"}:
        again = client.until(task_id, "input_required")
    client.told(task_id, q2_0="Portuguese", q0_1="too late")
    client.until(task_id, "completed")
    client.told(task_id, q2_0="later still")
    said = client.result("resources/read", uri=f"research://jobs/{task_id}/report.md")["contents"][0]["text"]
    assert re.findall(r"I was told: (.*)", said) == ["1999", "nothing", "Portuguese"]


@pytest.mark.parametrize("rot", ["yes", None, 7, [], {}, {"action": "maybe"}, {"content": {"answer": "x"}}])
def test_an_answer_that_is_no_elicitation_result_is_refused_and_the_question_stays(shared: Tasker, rot: object) -> None:
    task_id = shared.task("ask Which year?; report")
    shared.until(task_id, "input_required")
    assert shared.error("tasks/update", taskId=task_id, inputResponses={"q0.0": rot})["code"] == -32602
    assert shared.get(task_id)["status"] == "input_required"
    assert shared.error("tasks/update", taskId=task_id, inputResponses=[rot])["code"] == -32602
    assert shared.error("tasks/update", taskId=task_id)["code"] == -32602


def test_a_client_that_cannot_ask_anybody_is_told_how_to_answer(place: Place) -> None:
    client = tasker(place, TASKS)
    task_id = client.task("ask Which year?; report")
    end = time.monotonic() + 20
    while "Which year?" not in (task := client.get(task_id))["statusMessage"]:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert task["status"] == "working"
    assert "inputRequests" not in task
    assert "follow_up_to" in task["statusMessage"]
    assert client.begin("", question="The year 1999.", engine="auto", follow_up_to=task_id)["taskId"] == task_id
    client.until(task_id, "completed")


def test_tasks_can_be_switched_off(place: Place) -> None:
    client = tasker(place, tasks="never")
    assert EXTENSION not in client.result("server/discover")["capabilities"].get("extensions", {})
    ticket = client.begin("hang")
    assert ticket["resultType"] == "complete"
    assert client.error("tasks/get", taskId=ticket["structuredContent"]["job_id"])["code"] == -32601


def test_a_setting_of_tasks_that_is_misspelt_stops_the_start_with_its_name(place: Place) -> None:
    client = tasker(place, tasks="sometimes")
    client.process.wait(30)
    assert client.process.returncode != 0
    assert "tasks" in client.said


def test_a_stream_tells_each_change_of_the_callers_own_tasks_once(client: Tasker) -> None:
    one, other = client.task("read 3 0.3; report"), client.task("hang")
    client.task("read 9 0.1; hang")
    listen = client.send("subscriptions/listen", {"notifications": {"taskIds": [one, "r_none", other, one]}})
    told = client.notified()
    assert told["method"] == "notifications/subscriptions/acknowledged"
    assert told["params"]["notifications"] == {"taskIds": [one, other]}
    states: dict[str, list[dict[str, Any]]] = {one: [], other: []}
    while not states[one] or states[one][-1]["status"] != "completed":
        message = client.notified()
        assert message["method"] == "notifications/tasks"
        assert message["params"]["_meta"] == {SUBSCRIPTION: listen}
        states[message["params"]["taskId"]].append(message["params"])
    assert states[one][0]["status"] == "working"
    for seen in states.values():
        assert all(seen[at] != seen[at + 1] for at in range(len(seen) - 1))
    last = {key: value for key, value in states[one][-1].items() if key != "_meta"}
    assert {"resultType": "complete", **last} == client.get(one)
    assert last["result"]["structuredContent"]["job_id"] == one
    client.result("tasks/cancel", taskId=other)
    client.until(other, "cancelled")

    def ended() -> bool:
        """Whether the end of the other one was told; it may have come while an answer was waited for."""
        told = [line["params"] for line in client.lines if line.get("method") == "notifications/tasks"]
        return any(task["taskId"] == other and task["status"] == "cancelled" for task in told)

    while not ended():
        assert client.notified()["params"]["taskId"] == other
    # What is said of a task ends with its end: a third job's end is the next thing heard of, and nobody asked for it.
    client.until(client.task("report"), "completed")
    heard = len([line for line in client.lines if line.get("method") == "notifications/tasks"])
    assert heard == len({json.dumps(line) for line in client.lines if line.get("method") == "notifications/tasks"})
    assert not [
        line for line in client.lines if line.get("method") in ("notifications/progress", "notifications/message")
    ]


def test_a_stream_tells_of_a_task_that_ended_before_it_began(alone: Tasker) -> None:
    done = alone.task("report")
    alone.until(done, "completed")
    alone.send("subscriptions/listen", {"notifications": {"taskIds": [done]}})
    alone.notified()
    assert alone.notified()["params"]["status"] == "completed"


def test_a_stream_that_is_cancelled_falls_silent_and_the_task_goes_on(alone: Tasker) -> None:
    task_id = alone.task("read 40 0.05; hang")
    number = alone.send("subscriptions/listen", {"notifications": {"taskIds": [task_id]}})
    alone.notified()
    alone.notified()
    alone.write({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}})
    alone.result("tools/list")
    heard = len(alone.lines)
    time.sleep(2.2)
    assert alone.get(task_id)["status"] == "working"
    assert not [line for line in alone.lines[heard:] if "method" in line]


@pytest.mark.parametrize("ids", ["r_x", [1], {"a": 1}, [None]])
def test_task_ids_that_are_none_are_refused(shared: Tasker, ids: object) -> None:
    assert shared.error("subscriptions/listen", notifications={"taskIds": ids})["code"] == -32602


def test_a_task_goes_on_and_is_found_after_its_server_was_killed(place: Place) -> None:
    first = tasker(place)
    task_id = first.task("read 4 0.5; report")
    first.until(task_id, "working")
    first.process.kill()
    first.process.wait(20)
    second = tasker(place)
    assert second.until(task_id, "completed", within=60)["result"]["isError"] is False


def test_a_task_outlives_its_client_behind_the_desk(place: Place) -> None:
    first = tasker(place, command=DOORS["desk"])
    task_id = first.task("read 4 0.3; report")
    first.leave()
    second = tasker(place, command=DOORS["desk"])
    assert second.get(task_id)["taskId"] == task_id
    assert second.until(task_id, "completed")["result"]["structuredContent"]["job_id"] == task_id
    assert second.era == MODERN
