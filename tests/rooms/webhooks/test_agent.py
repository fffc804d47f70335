"""An agent starts research and goes; whoever it named is told by the desk, with nobody there."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.journeys.desks import Place, until
from tests.rooms.webhooks.test_receiver import Program, free_port

CANARY = "pplx-canary-of-the-webhook"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def place(tmp_path: Path, port: int) -> Iterator[Place]:
    hook = json.dumps([sys.executable, "-c", "import sys; open('finished', 'w').write(sys.stdin.read())"])
    with Place(tmp_path, allow_private=f"127.0.0.1:{port}", on_finish=hook, PPLX_API_KEY=CANARY) as made:
        yield made


def told(place: Place) -> list[str]:
    """The states of all deliveries."""
    listed = json.loads(place.command("webhooks", "list", "--json").stdout)
    return [delivery["state"] for delivery in listed["deliveries"]]


@pytest.mark.parametrize("how", [None, signal.SIGTERM, signal.SIGKILL], ids=["stdin closed", "SIGTERM", "SIGKILL"])
def test_a_client_that_has_gone_is_replaced_by_its_receiver_its_inbox_and_its_command(
    place: Place, port: int, tmp_path: Path, how: signal.Signals | None
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    url = f"http://127.0.0.1:{port}/hook"
    secret = json.loads(place.command("webhooks", "rotate", url, "--json").stdout)["secrets"][0]
    receiver = Program(tmp_path, secrets=secret, port=port).ready()
    try:
        agent = place.agent(cwd=project)
        job_id = agent.start("read 5 0.2; report 300", webhook_url=url, label="pumps")
        agent.leave(how)
        until((place.home / "finished").exists, 30, "the command")
        until(lambda: told(place) == ["delivered"], 30, "the delivery")
        place.command("webhooks", "redeliver", job_id)
    finally:
        lines = receiver.done()
    assert lines == [f"research.completed {job_id}"]
    assert json.loads((place.home / "finished").read_text())["data"]["job_id"] == job_id
    said = place.command("inbox", "--clear", cwd=project).stdout
    call = f'get_result(job_id="{job_id}")'
    assert said == f"Research {job_id} (pumps) completed, outcome full. Read it with spadework's {call}.\n"
    assert place.command("inbox", cwd=project).stdout == place.command("inbox").stdout == ""
    for path in place.home.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes()


def test_a_desk_killed_over_and_over_tells_the_receiver_once(place: Place, port: int, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{port}/hook"
    secret = json.loads(place.command("webhooks", "rotate", url, "--json").stdout)["secrets"][0]
    agent = place.agent()
    jobs = [agent.start(f"read {n} 0.1; report 300", webhook_url=url) for n in range(1, 9)]
    for _ in range(3):
        place.kill()
        agent.standing(jobs[0])
    for job_id in jobs:
        agent.ended(job_id)
    place.kill()
    receiver = Program(tmp_path, secrets=secret, port=port).ready()
    try:
        assert len(told(place)) == 8
        # Nobody took the first tries: a person does not wait for the next.
        for job_id in jobs:
            place.command("webhooks", "redeliver", job_id)
        assert set(told(place)) == {"delivered"}
    finally:
        lines = receiver.done()
    assert sorted(lines) == sorted(f"research.completed {job_id}" for job_id in jobs)


def test_an_address_inside_is_refused_to_the_agent_in_words(place: Place) -> None:
    agent = place.agent()
    call = agent.call(
        "start_research", question="What is new? [script: report 300]", engine="scripted",
        webhook_url="https://169.254.169.254/latest",
    )  # fmt: skip
    answer = agent.reply(call)["result"]
    assert answer["isError"]
    assert answer["content"][0]["text"].startswith("bad_webhook: webhook_url cannot be told, so nothing was started")
    assert agent.ask("check_research")["jobs"] == []
