"""Calls and kills in any order: every later call is answered, no job is lost or run twice, and nothing stays behind."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import time
from pathlib import Path

import pytest
from tests.journeys.desks import ERAS, Agent, Place, until

#: Kills of the desk, of a bridge, and none; a bridge's client starts another, as clients do.
_FATES = ("desk", "bridge", "none")


def answered(agent: Agent, tool: str, **arguments: object) -> dict[str, object]:
    """What a tool answers; a call that a kill cut off is made again, as its error says."""
    for _ in range(5):
        answer = agent.reply(agent.call(tool, **arguments), within=60)
        if "result" in answer:
            assert not answer["result"].get("isError"), answer
            return answer["result"]["structuredContent"]
        assert answer["error"]["data"]["retryable"] is True, answer
    raise AssertionError(f"{tool} was not answered five times over")


def storm(place: Place, rounds: int, seed: int) -> None:
    """So many rounds of a random call and a random kill, by two clients of two eras."""
    dice = random.Random(seed)
    agents = [place.agent(era) for era in ERAS]
    jobs: dict[str, str] = {}
    for number in range(rounds):
        which = dice.randrange(2)
        agent, fate = agents[which], dice.choice(_FATES)
        key = f"round-{number}"
        wanted = dice.choice(("start", "check", "wait", "list"))
        if wanted == "start" or not jobs:
            script = f"What is new? [script: read {dice.randrange(1, 6)} 0.1; report 300]"
            call = ("start_research", {"question": script, "engine": "scripted", "idempotency_key": key})
        else:
            one = dice.choice(list(jobs))
            call = (
                "check_research",
                {} if wanted == "list" else {"job_ids": [one], "wait_s": 1.0 * (wanted == "wait")},
            )
        if dice.random() < 0.5:
            # The kill falls into the call itself.
            sent = agent.call(call[0], **call[1])
            strike(place, agents, which, fate, dice)
            if fate != "bridge":
                agent.reply(sent, within=60)
        else:
            strike(place, agents, which, fate, dice)
        found = answered(agents[which], call[0], **call[1])
        if call[0] == "start_research":
            jobs[str(found["job_id"])] = key
    for job_id in jobs:
        ended = agents[0].ended(job_id)
        assert (ended["status"], ended.get("outcome")) == ("completed", "full"), ended.get("error") or ended
    assert len(set(jobs.values())) == len(jobs)
    judge(place, jobs)
    leave_nothing(place, agents)


def strike(place: Place, agents: list[Agent], which: int, fate: str, dice: random.Random) -> None:
    """Kill what the dice say, mostly in the middle of something."""
    time.sleep(dice.random() * 0.03)
    if fate == "desk":
        place.kill()
    elif fate == "bridge":
        era = agents[which].era
        agents[which].leave(signal.SIGKILL)
        agents[which] = place.agent(era)


def judge(place: Place, jobs: dict[str, str]) -> None:
    """The registry itself: one row for each key, each ended once, and no job that nobody was told of."""
    with sqlite3.connect(place.home / "registry" / "cache.db") as registry:
        rows = registry.execute("SELECT born, id, idem FROM rq_jobs").fetchall()
        ends = registry.execute("SELECT job, data FROM rq_events").fetchall()
    registry.close()
    assert {(job_id, key) for _, job_id, key in rows} == set(jobs.items())
    for born, job_id, _ in rows:
        kinds = [json.loads(data)["kind"] for job, data in ends if job == born]
        assert kinds.count("completed") == 1, (job_id, kinds)
        assert not {"failed", "cancelled"} & set(kinds), (job_id, kinds)


def leave_nothing(place: Place, agents: list[Agent]) -> None:
    """Without clients and jobs there is the idle desk and nothing else; it ends when told to, and a next one opens."""
    desk = place.desk
    for agent in agents:
        agent.leave()
    until(lambda: {process.pid for process in place.processes()} <= {desk}, 5, "the end of all but the desk")
    assert place.command("desk", "stop").returncode == 0
    assert not place.processes()
    assert place.agent().ask("check_research")["jobs"]


def test_random_calls_and_kills_lose_nothing(tmp_path: Path) -> None:
    with Place(tmp_path) as place:
        storm(place, 12, seed=20261121)


@pytest.mark.storm
@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_rounds_of_random_calls_and_kills_lose_nothing(tmp_path: Path, seed: int) -> None:
    with Place(tmp_path) as place:
        storm(place, 100, seed)
