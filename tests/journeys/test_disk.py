"""A disk that is full, a home that may not be written, and files that are not ours: said in words, nothing lost."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.journeys.server import COMMAND, environment
from tests.journeys.wire import Wire

Start = Callable[..., Wire]


@pytest.fixture
def small(home: Path) -> Iterator[Path]:
    """The home as a disk of its own, of 6 MB."""
    home.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(home)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield home
    subprocess.run(["umount", "-l", str(home)], check=True)


def started(server: Wire, number: int, script: str = "report") -> dict[str, Any]:
    return server.ask("start_research", question=f"number {number} [script: {script}]", engine="scripted")


def report(server: Wire, job_id: str) -> str:
    """The full text of a report, which must be there."""
    result = server.call("get_result", {"job_id": job_id, "view": "full"})
    assert not result.get("isError"), result
    return result["content"][0]["text"]


def test_a_full_disk_is_an_error_and_no_damage_and_work_goes_on_when_there_is_room(wire: Start, small: Path) -> None:
    server = wire()
    first = started(server, 0)
    before = report(server, first["job_id"])
    filler = small / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    refused = ""
    accepted: list[str] = []
    for number in range(1, 200):
        result = server.call("start_research", {"question": f"number {number} [script: hang]", "engine": "scripted"})
        if result.get("isError"):
            refused = result["content"][0]["text"]
            break
        accepted.append(result["structuredContent"]["job_id"])
    assert refused.startswith("storage_full: "), f"{len(accepted)} jobs were accepted on a full disk; {refused!r}"
    assert "Free some space" in refused
    assert report(server, first["job_id"]) == before
    assert server.ask("check_research")["jobs"]
    assert server.alive() < 1
    filler.unlink()
    again = started(server, 500)
    assert again["created"] is True
    assert report(server, again["job_id"])
    for job_id in accepted:
        server.ask("check_research", job_ids=[job_id])
    server.stop(None)
    later = wire()
    assert report(later, first["job_id"]) == before
    assert report(later, again["job_id"])


def test_a_job_that_finishes_on_a_full_disk_keeps_its_report_until_there_is_room(wire: Start, small: Path) -> None:
    server = wire(inline_s=0)
    job_id = started(server, 1, "read 1 3; report 200000")["job_id"]
    filler = small / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    until = time.monotonic() + 6
    while time.monotonic() < until:
        job = server.ask("check_research", job_ids=[job_id], wait_s=2)["jobs"][0]
        assert job["status"] in ("queued", "running"), job
    filler.unlink()
    until = time.monotonic() + 30
    while job["status"] in ("queued", "running") and time.monotonic() < until:
        job = server.ask("check_research", job_ids=[job_id], wait_s=10)["jobs"][0]
    assert job["status"] == "completed", job
    assert report(server, job_id)


def test_a_server_that_starts_on_a_full_disk_can_still_show_what_is_there(wire: Start, small: Path) -> None:
    server = wire()
    job_id = started(server, 0)["job_id"]
    before = report(server, job_id)
    server.stop(None)
    with (small / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(512))
    later = wire()
    assert report(later, job_id) == before
    result = later.call("start_research", {"question": "another [script: report]", "engine": "scripted"})
    if result.get("isError"):
        assert result["content"][0]["text"].startswith("storage_full: ")


def test_a_home_that_may_only_be_read_shows_its_jobs_and_explains_why_it_takes_no_new_one(
    wire: Start, home: Path
) -> None:
    server = wire()
    job_id = started(server, 0)["job_id"]
    before = report(server, job_id)
    server.stop(None)
    places = [home, *(place for place in home.rglob("*"))]
    modes = [(place, place.stat().st_mode) for place in places]
    for place in places:
        place.chmod(0o500 if place.is_dir() else 0o400)
    try:
        later = wire(powerless=True)
        assert report(later, job_id) == before
        assert later.ask("check_research")["jobs"][0]["job_id"] == job_id
        result = later.call("start_research", {"question": "another [script: report]", "engine": "scripted"})
        assert result["isError"]
        said = result["content"][0]["text"]
        assert said.startswith("read_only: ")
        assert "SPADEWORK_HOME" in said
        assert later.alive() < 1
        assert later.stop(None) < 1
        assert "Traceback" not in later.said
    finally:
        for place, mode in modes:
            if place.exists():
                place.chmod(mode)


def test_a_home_that_can_not_be_made_stops_the_start_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("I am no folder.")
    run = subprocess.run(
        COMMAND, env=environment(tmp_path / "file" / "home"), cwd=tmp_path, capture_output=True, text=True, timeout=30,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith("spadework: ")
    assert len(run.stderr.splitlines()) == 1, run.stderr


@pytest.mark.parametrize("damage", ["emptied", "truncated", "foreign", "scribbled"])
def test_a_damaged_registry_is_refused_and_left_as_it_is(wire: Start, home: Path, tmp_path: Path, damage: str) -> None:
    server = wire()
    started(server, 0)
    server.stop(None)
    (database,) = home.rglob("cache.db")
    for log in database.parent.glob("cache.db-*"):
        log.unlink()
    whole = database.read_bytes()
    left = {
        "emptied": b"", "truncated": whole[: len(whole) // 2], "foreign": b"<html>not a database</html>" * 1_000,
        "scribbled": os.urandom(4096) + whole[4096:],
    }[damage]  # fmt: skip
    database.write_bytes(left)
    for command in (COMMAND, (*COMMAND[:3], "jobs")):
        run = subprocess.run(
            command, env=environment(home), cwd=tmp_path, capture_output=True, text=True, timeout=30,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert run.returncode == 1, (run.stdout, run.stderr)
        assert run.stdout == ""
        assert run.stderr.startswith("spadework: registry_corrupt: "), run.stderr
        assert "Traceback" not in run.stderr
        assert database.read_bytes() == left


def test_the_home_and_all_in_it_are_the_users_alone(wire: Start, home: Path) -> None:
    before = os.umask(0)
    try:
        server = wire()
    finally:
        os.umask(before)
    started(server, 0)
    for place in [home, *home.rglob("*")]:
        assert place.stat().st_mode & 0o077 == 0, f"{place} is open to others"
