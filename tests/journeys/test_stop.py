"""How the server ends, and how its jobs go on in the next one: each way a client has of ending it, in mid-job."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.journeys import papers
from tests.journeys.reading import Reading
from tests.journeys.server import COMMAND, environment
from tests.journeys.wire import MODERN, Silent, Wire

Start = Callable[..., Wire]

#: How clients end a server: politely, by the terminal, by force, by hanging up.
WAYS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL, None]
NAMES = ["SIGTERM", "SIGINT", "SIGHUP", "SIGKILL", "EOF"]
#: Pages of the scripted job, and the seconds each takes.
PAGES, PACE = 30, 0.2


def until_read(wire: Wire, job_id: str, pages: int) -> int:
    """Wait until the job has read so many pages; how many it has."""
    until = time.monotonic() + 30
    since: dict[str, str] = {}
    while time.monotonic() < until:
        found = wire.ask("check_research", job_ids=[job_id], wait_s=5, **since)
        since = {"since": found["since"]}
        if found["jobs"] and found["jobs"][0]["sources"] >= pages:
            return found["jobs"][0]["sources"]
    raise Silent(f"{job_id} did not reach page {pages}")


def until_ended(wire: Wire, job_id: str, within: float = 60) -> dict[str, object]:
    """Wait until the job has ended; its standing."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        found = wire.ask("check_research", job_ids=[job_id], wait_s=20)
        if found["jobs"][0]["status"] in ("completed", "failed", "cancelled"):
            return found["jobs"][0]
    raise Silent(f"{job_id} did not end within {within} s: {found}")


@pytest.mark.parametrize("how", WAYS, ids=NAMES)
def test_a_server_that_is_ended_in_mid_job_goes_at_once_and_the_next_one_goes_on_where_it_was(
    wire: Start, how: signal.Signals | None
) -> None:
    first = wire(inline_s=0)
    job_id = first.ask("start_research", question=f"[script: read {PAGES} {PACE}; report]", engine="scripted")["job_id"]
    done = until_read(first, job_id, PAGES // 2)
    took = first.stop(how)
    assert took < 1.0, f"the server needed {took:.2f} s to go"
    assert first.process.returncode == (-signal.SIGKILL if how is signal.SIGKILL else 0)
    assert "Traceback" not in first.said

    second = wire(inline_s=0)
    second.alive()
    begun = time.monotonic()
    standing = until_ended(second, job_id)
    spent = time.monotonic() - begun
    assert standing["status"] == "completed"
    # A page that is read again costs its seconds again: all that may be left is what was not read, and one in hand.
    left = (PAGES - done + 1) * PACE
    assert spent < left + 2.5 < PAGES * PACE, f"{spent:.1f} s for {PAGES - done} pages that were left"


@pytest.mark.parametrize("how", WAYS, ids=NAMES)
def test_an_idle_server_goes_at_once(wire: Start, how: signal.Signals | None) -> None:
    server = wire()
    server.alive()
    assert server.stop(how) < 1.0
    assert server.process.returncode == (-signal.SIGKILL if how is signal.SIGKILL else 0)
    assert "Traceback" not in server.said


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_local_job_that_goes_on_in_the_next_server_opens_no_file_that_was_read_before(
    wire: Start, tmp_path: Path, how: signal.Signals
) -> None:
    folder = tmp_path / "shelf"
    folder.mkdir()
    names = [f"note-{number:03d}.md" for number in range(400)]
    for number, name in enumerate(names):
        body = f"Buoy {number} of Skerry is painted in colour {number * 7} and lies {number} cables off.\n\n" * 40
        (folder / name).write_text(f"# Buoy {number}\n\n{body}", encoding="utf-8")
    with Reading(folder) as reading:
        first = wire(inline_s=0, roots=[folder])
        question = "What colour is buoy 390 painted in?"
        job_id = first.ask("start_research", question=question, folders=[str(folder)], engine="local")["job_id"]
        reading.until(150, within=60)
        first.stop(how)
        before = reading.files()
        assert 150 <= len(before) < len(names), "the job was not in its middle"
        second = wire(inline_s=0, roots=[folder])
        standing = until_ended(second, job_id)
        assert standing["status"] == "completed"
        after = reading.files()[len(before) :]
    assert set(before) | set(after) == set(names)
    again = set(before) & set(after)
    # Only what was in hand at the very moment of the kill, and so not yet taken in, may be opened again.
    assert len(again) <= 8, sorted(again)
    assert len(after) == len(set(after)), "a file was read twice in one life"


def test_a_killed_server_leaves_its_jobs_to_one_that_is_already_running(wire: Start) -> None:
    first, second = wire(inline_s=0, concurrency=1), wire(inline_s=0, concurrency=1)
    second.alive()
    tickets = [
        first.ask("start_research", question=f"{n} [script: read 10 0.2; report]", engine="scripted")["job_id"]
        for n in range(4)
    ]
    until_read(first, tickets[0], 2)
    first.stop(signal.SIGKILL)
    begun = time.monotonic()
    for ticket in tickets:
        assert until_ended(second, ticket)["status"] == "completed"
    assert time.monotonic() - begun < 25, "the dead server's lease was waited for"


#: A client that starts the server, hears from it, and keeps the server's own stdin open: only the client's death can
#: tell the server that it is alone.
CLIENT = """
import json, os, subprocess, sys, time
ours, theirs = os.pipe()
os.set_inheritable(theirs, True)
server = subprocess.Popen(sys.argv[2:], stdin=ours, stdout=subprocess.PIPE, close_fds=False)
os.write(theirs, json.dumps(json.loads(sys.argv[1])).encode() + b"\\n")
server.stdout.readline()
print(server.pid, flush=True)
time.sleep(600)
"""


def test_a_server_whose_parent_dies_goes_by_itself(tmp_path: Path, home: Path) -> None:
    hello = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": MODERN}})
    parent = subprocess.Popen(
        [sys.executable, "-c", CLIENT, hello, *COMMAND],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=tmp_path, env=environment(home),
    )  # fmt: skip
    assert parent.stdout
    try:
        orphan = psutil.Process(int(parent.stdout.readline()))
    finally:
        parent.kill()
        parent.wait(10)
        parent.stdout.close()
    gone, alive = psutil.wait_procs([orphan], timeout=10)
    for process in alive:
        process.kill()
    assert gone, "the server outlived its parent"


def test_a_second_signal_during_the_first_changes_nothing(wire: Start) -> None:
    """Claude Code ends a server with SIGINT and SIGTERM 100 ms later (2.1.330, 2026-11)."""
    server = wire(inline_s=0)
    job_id = server.ask("start_research", question="[script: read 50 0.1; report]", engine="scripted")["job_id"]
    until_read(server, job_id, 2)
    server.process.send_signal(signal.SIGINT)
    assert server.stop(signal.SIGTERM) < 1.0
    assert server.process.returncode in (0, -signal.SIGTERM)
    later = wire(inline_s=0)
    assert until_ended(later, job_id)["status"] == "completed"


def test_stopping_in_the_middle_of_a_long_poll_is_as_quick(wire: Start) -> None:
    server = wire(inline_s=0)
    job_id = server.ask("start_research", question="[script: hang]", engine="scripted")["job_id"]
    server.send("tools/call", {"name": "check_research", "arguments": {"job_ids": [job_id], "wait_s": 45}})
    server.alive()
    assert server.stop(signal.SIGTERM) < 1.0
    assert server.process.returncode == 0


def test_the_library_survives_a_stop_between_two_questions(wire: Start, tmp_path: Path) -> None:
    folder = papers.library(tmp_path / "library")
    question = {"question": papers.QUESTION, "folders": [str(folder)], "engine": "local"}
    first = wire(roots=[folder], dedupe_hours=0)
    until_ended(first, first.ask("start_research", **question)["job_id"])
    first.stop(None)
    with Reading(folder) as reading:
        second = wire(roots=[folder], dedupe_hours=0)
        assert until_ended(second, second.ask("start_research", **question)["job_id"])["status"] == "completed"
        assert reading.files() == [], "unchanged files were read again"
