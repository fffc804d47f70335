"""Questions back to the caller: before there is a job, while one runs, and for clients that can ask nobody."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.journeys import papers
from tests.journeys.desks import ERAS, LEGACY, Agent, Place
from tests.journeys.server import COMMAND
from tests.journeys.tasking import ASKS, BOTH, DOORS, TASKS, tasker


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with Place(tmp_path) as place:
        yield place


def asking(agent: Agent, job_id: str) -> dict[str, Any]:
    """The job's standing once it asks."""
    end = time.monotonic() + 20
    while (job := agent.standing(job_id))["status"] != "needs_input":
        assert time.monotonic() < end, job
        time.sleep(0.02)
    return job


def refused(agent: Agent, **arguments: Any) -> str:
    """The sentence that a start is refused with."""
    answer = agent.reply(agent.call("start_research", **arguments))["result"]
    assert answer["isError"], answer
    return answer["content"][0]["text"]


def told(agent: Agent, job_id: str) -> list[str]:
    """What the scripted report says it was told."""
    answer = agent.reply(agent.call("get_result", job_id=job_id, view="full"))["result"]
    return re.findall(r"I was told: (.*)", answer["content"][0]["text"])


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("door", DOORS)
def test_any_agent_reads_what_a_job_asks_and_answers_with_the_tool_it_knows(place: Place, era: str, door: str) -> None:
    agent = place.agent(era, command=DOORS[door])
    job_id = agent.start("read 1 0; ask Which year?; report")
    job = asking(agent, job_id)
    assert job["asks"].startswith("Which year? ")
    assert f"follow_up_to {job_id}" in job["asks"]
    ticket = agent.ask("start_research", question="The year 1999", follow_up_to=job_id)
    assert (ticket["job_id"], ticket["created"]) == (job_id, False)
    assert "asks" not in agent.ended(job_id)
    assert told(agent, job_id) == ["The year 1999"]
    assert len(agent.ask("check_research")["jobs"]) == 1


def test_an_answer_that_is_sent_again_starts_nothing_and_another_question_is_a_follow_up(place: Place) -> None:
    agent = place.agent(command=COMMAND)
    job_id = agent.start("ask Which year?; report")
    asking(agent, job_id)
    answer = {"question": "The year 1999", "follow_up_to": job_id}
    assert agent.ask("start_research", **answer)["job_id"] == job_id
    agent.ended(job_id)
    again = agent.ask("start_research", **{**answer, "question": "The  year 1999 "})
    assert (again["job_id"], again["created"], again["status"]) == (job_id, False, "completed")
    other = agent.ask("start_research", question="And then? [script: report]", follow_up_to=job_id, engine="scripted")
    assert other["created"] is True


def test_an_answer_takes_nothing_that_would_be_without_effect(place: Place) -> None:
    agent = place.agent(command=COMMAND)
    job_id = agent.start("ask Which year?; report")
    asking(agent, job_id)
    said = refused(agent, question="The year 1999", follow_up_to=job_id, effort="high", max_cost_usd=2)
    assert said.startswith("bad_request: ")
    assert "effort, max_cost_usd" in said
    assert asking(agent, job_id)["asks"]
    # What only repeats a default changes nothing, so it is no mistake.
    agent.ask("start_research", question="The year 1999", follow_up_to=job_id, effort="medium", label="mine")
    assert agent.ended(job_id)["status"] == "completed"


def test_waiting_for_a_job_that_asks_returns_at_once(place: Place) -> None:
    agent = place.agent(command=COMMAND)
    job_id = agent.start("read 1 1; ask Which year?; report")
    begun = time.monotonic()
    found = agent.ask("check_research", job_ids=[job_id], wait_s=40)
    while found["jobs"][0]["status"] != "needs_input":
        found = agent.ask("check_research", job_ids=[job_id], wait_s=40)
    assert agent.ask("check_research", job_ids=[job_id], wait_s=40)["jobs"][0]["status"] == "needs_input"
    assert time.monotonic() - begun < 15
    assert found["poll_after_s"] >= 60


def test_a_job_that_asks_can_be_cancelled(place: Place) -> None:
    agent = place.agent(command=COMMAND)
    job_id = agent.start("ask Which year?; report")
    asking(agent, job_id)
    assert agent.ask("cancel_research", job_id=job_id)["changed"] is True
    end = time.monotonic() + 20
    while (job := agent.standing(job_id, 5))["status"] != "cancelled":
        assert "asks" not in job
        assert time.monotonic() < end


def test_a_question_and_its_answer_survive_that_the_server_is_killed(place: Place) -> None:
    first = place.agent(command=COMMAND)
    job_id = first.start("read 2 0; ask Which year?; hang")
    asking(first, job_id)
    first.process.kill()
    first.process.wait(20)
    second = place.agent(LEGACY, command=COMMAND)
    asking(second, job_id)
    second.ask("start_research", question="The year 1999", follow_up_to=job_id)
    second.process.kill()
    second.process.wait(20)
    third = place.agent(command=COMMAND)
    end = time.monotonic() + 20
    while third.standing(job_id)["status"] == "needs_input":
        assert time.monotonic() < end
    assert third.standing(job_id)["status"] == "running"


def test_two_clients_that_answer_at_once_are_heard_once(place: Place) -> None:
    one, other = place.agent(command=DOORS["desk"]), place.agent(command=DOORS["desk"])
    job_id = one.start("ask Which year?; report")
    asking(other, job_id)
    numbers = [
        (agent, agent.call("start_research", question=f"The year {year}", follow_up_to=job_id))
        for agent, year in ((one, 1999), (other, 2001))
    ]
    for agent, number in numbers:
        assert "result" in agent.reply(number)
    assert one.ended(job_id)["status"] == "completed"
    assert told(one, job_id) in (["The year 1999"], ["The year 2001"])


def homely(place: Place, capabilities: Any, **settings: object) -> Any:
    """A client that works in its user's home folder, which is too wide to be read without being asked for."""
    return tasker(place, capabilities, HOME=str(place.folder), **settings)


LOCAL = {"question": papers.QUESTION, "engine": "local"}


@pytest.mark.parametrize("capabilities", [BOTH, ASKS], ids=["task", "ticket"])
def test_research_in_no_folder_asks_the_person_which_one_before_there_is_a_job(
    place: Place, capabilities: dict[str, Any]
) -> None:
    folder = papers.library(place.folder / "library")
    client = homely(place, capabilities)
    call = {"name": "start_research", "arguments": LOCAL}
    asked = client.result("tools/call", **call)
    assert asked["resultType"] == "input_required"
    assert "taskId" not in asked
    assert "folder" in asked["inputRequests"]["folders"]["params"]["message"]
    assert client.ask("check_research")["jobs"] == []
    answer = {"folders": {"action": "accept", "content": {"answer": str(folder)}}}
    begun = client.result("tools/call", **call, inputResponses=answer)
    assert "requestState" not in begun
    job_id = begun["taskId"] if capabilities is BOTH else begun["structuredContent"]["job_id"]
    assert client.ended(job_id)["status"] == "completed"
    report = client.reply(client.call("get_result", job_id=job_id, view="full"))["result"]["content"][0]["text"]
    assert "640 metres" in report


def test_a_person_who_declines_or_names_what_cannot_be_read_is_not_asked_again(place: Place) -> None:
    client = homely(place, BOTH)
    call = {"name": "start_research", "arguments": LOCAL}
    for response, why in (
        ({"action": "decline"}, "Pass folders"),
        ({"action": "accept", "content": {"answer": str(place.folder / "nowhere")}}, "there is no folder"),
        ({"action": "accept", "content": {"answer": "/"}}, "outside"),
        ({"action": "accept", "content": {"answer": "a\0b"}}, "NUL"),
    ):
        answer = client.result("tools/call", **call, inputResponses={"folders": response})
        assert answer["resultType"] == "complete"
        assert answer["isError"] is True
        assert why in answer["content"][0]["text"], answer


def test_where_a_setting_says_what_may_be_read_no_answer_widens_it(place: Place) -> None:
    folder = papers.library(place.folder / "library")
    client = homely(place, BOTH, roots=[place.folder / "missing"])
    response = {"folders": {"action": "accept", "content": {"answer": str(folder)}}}
    answer = client.result("tools/call", name="start_research", arguments=LOCAL, inputResponses=response)
    assert answer["isError"] is True
    assert "outside" in answer["content"][0]["text"]


@pytest.mark.parametrize("capabilities", [{}, TASKS, {"elicitation": {"url": {}}}])
def test_a_client_that_cannot_ask_gets_the_sentence_that_says_what_to_set(
    place: Place, capabilities: dict[str, Any]
) -> None:
    client = homely(place, capabilities)
    answer = client.result("tools/call", name="start_research", arguments=LOCAL)
    assert answer["isError"] is True
    assert "SPADEWORK_ROOTS" in answer["content"][0]["text"]


def test_a_person_is_shown_what_a_job_asks_and_answers_it_with_a_command(place: Place) -> None:
    shown = place.command("research", "What? [script: ask Which year?; report]", "--engine", "scripted")
    assert shown.returncode == 1
    assert "Which year?" in shown.stderr
    (found,) = re.findall(r"spadework answer (r_\w+)", shown.stderr)
    again = place.command("watch", found)
    assert "Which year?" in again.stderr
    answered = place.command("answer", found, "The year 1999")
    assert answered.returncode == 0, answered.stderr
    assert "I was told: The year 1999" in answered.stdout
    late = place.command("answer", found, "The year 2001")
    assert late.returncode != 0
    assert "asks nothing" in late.stderr
