"""The desk outlives its clients: jobs go on with nobody there, and a killed desk is replaced without a word."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.journeys.desks import BRIDGE, ERAS, LEGACY, MODERN, Agent, Place, until

WAYS = pytest.mark.parametrize("how", [None, signal.SIGTERM, signal.SIGKILL], ids=["eof", "sigterm", "sigkill"])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with Place(tmp_path) as made:
        yield made


def finished_alone(place: Place, how: signal.Signals | None, seconds: float) -> None:
    """A job whose client goes away, and what a later client finds."""
    agent = place.agent()
    begun = time.time()
    job_id = agent.start(f"read {seconds / 0.5:.0f} 0.5; report 500")
    agent.leave(how)
    until(lambda: "caller 1 went" in place.log, 5, "the client's leave")
    came = place.log.count(" came: ")
    until(lambda: time.time() > begun + seconds + 3, seconds + 30, "the job's time")
    assert place.log.count(" came: ") == came, "a client was there meanwhile"
    later = place.agent(LEGACY)
    job = later.standing(job_id)
    assert (job["status"], job["outcome"]) == ("completed", "full")
    assert seconds - 1 <= job["elapsed_s"] <= seconds + 3
    report = later.reply(later.call("get_result", job_id=job_id))["result"]
    assert "[c1]" in report["content"][0]["text"]


@WAYS
def test_a_job_is_finished_with_nobody_there(place: Place, how: signal.Signals | None) -> None:
    finished_alone(place, how, 4)


@pytest.mark.storm
@WAYS
def test_a_job_of_a_minute_is_finished_with_nobody_there(place: Place, how: signal.Signals | None) -> None:
    finished_alone(place, how, 60)


@pytest.mark.parametrize("era", ERAS)
def test_the_call_after_a_kill_is_answered_over_the_same_pipe(place: Place, era: str) -> None:
    agent = place.agent(era)
    job_id = agent.start("read 8 0.5; report 500")
    before = place.kill()
    assert agent.standing(job_id)["status"] in ("queued", "running")
    assert place.desk != before
    job = agent.ended(job_id)
    assert job["status"] == "completed"
    # One answer for each request: the handshake that the bridge repeated stayed between it and the desk.
    answered = [line["id"] for line in agent.lines if "id" in line]
    assert sorted(answered) == sorted(set(answered))
    assert all("method" not in line for line in agent.lines), agent.lines


@pytest.mark.parametrize("era", ERAS)
def test_a_call_in_flight_is_answered_with_an_error_that_invites_a_second_try(place: Place, era: str) -> None:
    agent = place.agent(era)
    parked = agent.start("park 600")
    until(lambda: agent.standing(parked)["phase"] == "waiting", 10, "the parked job")
    number = agent.call("check_research", job_ids=[parked], wait_s=40)
    # Lines are taken in their order: once this is answered, the call before it is under way.
    agent.request("tools/list")
    place.kill()
    error = agent.reply(number)["error"]
    assert error["data"] == {"retryable": True, "reason": "desk_restarted"}
    assert "make the same call again" in error["message"]
    assert agent.standing(parked)["phase"] == "waiting"


def test_lists_and_subscriptions_in_flight_survive_a_kill_unnoticed(place: Place) -> None:
    agent = place.agent(MODERN)
    agent.request("tools/list")
    listen = agent.send("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
    assert agent.line(10)["method"] == "notifications/subscriptions/acknowledged"
    place.kill()
    assert len(agent.request("tools/list")["result"]["tools"]) == 4
    place.kill()
    assert len(agent.request("tools/list")["result"]["tools"]) == 4
    acks = [line for line in agent.lines if line.get("method") == "notifications/subscriptions/acknowledged"]
    assert len(acks) == 1
    assert not [line for line in agent.lines if line.get("id") == listen]


def test_a_stopped_desk_finishes_its_long_polls_and_hands_its_jobs_on(place: Place) -> None:
    agent = place.agent()
    job_id = agent.start("park 600")
    until(lambda: agent.standing(job_id)["phase"] == "waiting", 10, "the parked job")
    number = agent.call("check_research", job_ids=[job_id], wait_s=40)
    agent.request("tools/list")
    before = place.kill(signal.SIGTERM)
    begun = time.monotonic()
    assert agent.reply(number)["result"]["structuredContent"]["jobs"][0]["status"] == "running"
    assert time.monotonic() - begun < 5
    assert agent.standing(job_id)["status"] == "running"
    assert place.desk != before


def test_twenty_clients_on_a_cold_home_share_one_desk(place: Place) -> None:
    with ThreadPoolExecutor(20) as pool:
        agents = [place.agent(MODERN) for _ in range(20)]
        answers = list(pool.map(lambda agent: agent.request("tools/list", within=60), agents))
    assert all(len(answer["result"]["tools"]) == 4 for answer in answers)
    desks = [process for process in place.processes() if "spadework.porter" in process.cmdline()]
    assert [process.pid for process in desks] == [place.desk]
    assert place.log.count("is open: process") == 1
    assert all(agent.said == "" for agent in agents)


def test_a_desk_without_callers_and_jobs_ends_by_itself(tmp_path: Path) -> None:
    with Place(tmp_path, idle_s=1) as place:
        agent = place.agent()
        job_id = agent.start("read 6 0.5; report 300")
        agent.leave()
        until(lambda: "the desk ends" in place.log, 20, "the idle end")
        until(lambda: place.desk is None and not place.processes(), 5, "the end of the desk's process")
        assert not (place.home / "desk.sock").exists()
        later: Agent = place.agent()
        assert later.standing(job_id)["status"] == "completed"


def test_a_desk_whose_home_was_deleted_ends_and_spares_the_next_one(place: Place) -> None:
    place.agent().leave()
    first = place.agent()
    first.request("tools/list")
    pid = place.desk
    first.leave()
    shutil.rmtree(place.home)
    # Made anew at once: the old desk must neither stay nor take the new one's address away.
    assert len(place.agent().request("tools/list")["result"]["tools"]) == 4
    until(lambda: pid not in {process.pid for process in place.processes()}, 20, "the old desk's end")
    assert place.desk not in (None, pid)
    assert len(place.agent().request("tools/list")["result"]["tools"]) == 4
    assert place.log.count("is open: process") == 1
    second = place.desk
    shutil.rmtree(place.home)
    until(lambda: second not in {process.pid for process in place.processes()}, 20, "the second desk's end")


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("how", [None, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_bridge_ends_with_its_client_in_a_fifth_of_a_second(
    place: Place, era: str, how: signal.Signals | None
) -> None:
    took: list[float] = []
    for _ in range(3):
        agent = place.agent(era)
        agent.request("tools/list")
        took.append(agent.leave(how))
        assert agent.process.returncode == 0
    # The best of three: a busy machine may be late, a bridge that waits for anything is late each time.
    assert min(took) < 0.2, took


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_a_bridge_without_one_of_its_pipes_ends_at_once(place: Place, closed: str) -> None:
    agent = place.agent(command=("sh", "-c", f'"$@" {closed}', "sh", *BRIDGE))
    assert agent.process.wait(10) == 0


def test_a_bridge_whose_parent_is_killed_goes_too(place: Place, tmp_path: Path) -> None:
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'spadework', 'serve'], stdin=0, stdout=1)\n"
        "print(child.pid, file=sys.stderr, flush=True)\n"
        "child.wait()\n"
    )
    agent = place.agent(command=[sys.executable, "-c", script])
    agent.request("tools/list")
    bridge = int(agent.said.split()[0])
    # The pipes stay open in here: only the parent's death can tell the bridge.
    os.kill(agent.process.pid, signal.SIGKILL)
    begun = time.monotonic()
    until(lambda: bridge not in {process.pid for process in place.processes()}, 5, "the bridge's end")
    assert time.monotonic() - begun < 1
    assert place.desk is not None
