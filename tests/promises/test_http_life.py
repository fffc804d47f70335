"""How the desk over HTTP begins and ends: one desk a home, calls under way are answered, and no job is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.journeys.server import environment
from tests.journeys.wire import Wire
from tests.promises.served import PRODUCT, Served

#: What a client's configuration starts: the bridge to the desk.
BRIDGE = (sys.executable, "-m", "spadework", "serve")


def ran(home: Path, place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "spadework", *arguments],
        env=environment(home), cwd=place, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def state(home: Path, place: Path) -> dict[str, object]:
    return json.loads(ran(home, place, "desk", "status", "--json").stdout)


def slow(name: str, pages: int = 40) -> dict[str, str]:
    return {"question": f"{name} [script: read {pages} 0.1; report]", "engine": "scripted"}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_stop_answers_the_calls_under_way_and_ends_the_streams(
    home: Path, tmp_path: Path, how: signal.Signals
) -> None:
    with Served(home, tmp_path, inline_s=0) as served, ThreadPoolExecutor(8) as pool:
        job_id = served.ask("start_research", **slow("Stopped"))["job_id"]
        hung = served.ask("start_research", question="Waited for [script: hang]", engine="scripted")["job_id"]
        other = {"job_id": hung, "since": served.ask("check_research", job_ids=[hung])["since"]}
        waits = [
            pool.submit(served.ask, "check_research", job_ids=[other["job_id"]], wait_s=45, since=other["since"])
            for _ in range(6)
        ]
        stream = served.open("GET", "/sse", {"accept": "text/event-stream"})
        while b"session_id" not in stream.recv(4096):
            pass
        took = served.stop(how)
        assert took < 6, took
        assert served.process.returncode == 0
        for wait in waits:
            assert wait.result(10)["poll_after_s"] is not None
        while stream.recv(4096):
            pass
        stream.close()
        assert "Traceback" not in served.said
    with Served(home, tmp_path) as after:
        assert after.ended(job_id)["status"] == "completed"


def test_an_idle_server_ends_within_a_second_or_two(home: Path, tmp_path: Path) -> None:
    with Served(home, tmp_path) as served:
        served.alive()
        assert served.stop() < 2
        assert served.process.returncode == 0


def test_a_killed_server_loses_no_job(home: Path, tmp_path: Path) -> None:
    with Served(home, tmp_path, inline_s=0) as first:
        job_id = first.ask("start_research", **slow("Killed"))["job_id"]
        first.stop(signal.SIGKILL)
    with Served(home, tmp_path) as second:
        assert second.ended(job_id)["status"] == "completed"


def test_it_is_the_desk_that_this_machines_own_clients_come_to(home: Path, tmp_path: Path) -> None:
    with Served(home, tmp_path, inline_s=0) as served:
        client = Wire(environment(home), tmp_path, BRIDGE)
        try:
            job_id = client.ask("start_research", **slow("By stdio", 5))["job_id"]
            assert state(home, tmp_path)["pid"] == served.process.pid
            assert served.ended(job_id)["status"] == "completed"
            other = served.ask("start_research", **slow("By HTTP", 5))["job_id"]
            assert {job["job_id"] for job in client.ask("check_research")["jobs"]} == {job_id, other}
        finally:
            client.close()


def test_it_takes_over_from_the_desk_in_the_background_with_its_clients_and_jobs(home: Path, tmp_path: Path) -> None:
    client = Wire(environment(home, inline_s=0), tmp_path, BRIDGE)
    try:
        job_id = client.ask("start_research", **slow("Handed over", 60))["job_id"]
        before = state(home, tmp_path)["pid"]
        with Served(home, tmp_path) as served:
            assert before != served.process.pid == state(home, tmp_path)["pid"]
            assert client.ask("check_research", job_ids=[job_id])["jobs"][0]["job_id"] == job_id
            assert served.ended(job_id)["status"] == "completed"
    finally:
        client.close()
        ran(home, tmp_path, "desk", "stop")


def test_a_second_one_is_told_that_the_home_is_taken_and_disturbs_nothing(home: Path, tmp_path: Path) -> None:
    with Served(home, tmp_path) as served:
        begun = time.monotonic()
        second = ran(home, tmp_path, *PRODUCT[2:], "127.0.0.1:0")
        assert second.returncode == 1
        assert "occupied: " in second.stderr
        assert str(served.process.pid) in second.stderr
        assert time.monotonic() - begun < 20
        served.alive()
        taken = ran(home, tmp_path, *PRODUCT[2:], f"127.0.0.1:{served.port}")
        assert taken.returncode == 2
        assert "cannot be listened on" in taken.stderr


def test_it_is_ended_by_the_command_that_ends_desks_and_by_no_idleness(home: Path, tmp_path: Path) -> None:
    with Served(home, tmp_path, idle_s=1) as served:
        with pytest.raises(subprocess.TimeoutExpired):
            served.process.wait(3)
        assert ran(home, tmp_path, "desk", "stop").returncode == 0
        assert served.process.wait(10) == 0


def test_a_token_of_the_file_comes_in_and_stays_out_of_the_log(home: Path, tmp_path: Path) -> None:
    home.mkdir(mode=0o700)
    token = "a" * 30
    (home / "config.toml").write_text(f'[tokens]\nada = "{token}"\n', encoding="utf-8")
    with Served(home, tmp_path) as served:
        served.token = token
        refused = served.refused("start_research", question="What is new?", engine="parallel")
        assert refused.startswith("missing_key"), refused
        served.stop()
        assert token not in served.said
