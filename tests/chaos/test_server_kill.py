"""Nothing that a client was told is lost, doubled or finished twice, whenever its server is killed or stalls.

Real server processes, spoken to over stdio. The control runs with the fence check switched off, and the same judge must
find it out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.chaos.clients import Plan, Storm
from tests.journeys.server import COMMAND

UNFENCED = (sys.executable, str(Path(__file__).with_name("unfenced.py")), "serve", "--no-desk")


def assert_sound(plan: Plan, *, calm_s: float) -> None:
    storm = Storm(plan)
    found = storm.run(calm_s=calm_s)
    wrong = {name: value for name, value in vars(found).items() if isinstance(value, list) and value}
    assert wrong == {}
    assert found.sound
    assert found.counts["jobs"] == found.counts["completed"] == plan.jobs
    assert sum(client.answered for client in storm.clients) >= plan.jobs
    assert sum(client.killed for client in storm.clients) == plan.kills


def test_a_short_storm_over_real_servers_leaves_a_sound_history(home: Path, tmp_path: Path) -> None:
    assert_sound(Plan(home, tmp_path, jobs=200, kills=8, servers=2), calm_s=60)


def stalled(home: Path, place: Path, command: tuple[str, ...] = COMMAND) -> Plan:
    """A server is stopped in mid-job for twice its lease, and goes on while another one does its work."""
    script = "read 12 0.1; report 400"
    return Plan(
        home, place, jobs=40, kills=1, stalls=1, servers=2, hands=12, lease_s=1, after_s=2.5, script=script,
        command=command,
    )  # fmt: skip


def test_a_server_that_stalls_past_its_lease_writes_nothing_more(home: Path, tmp_path: Path) -> None:
    found = Storm(stalled(home, tmp_path)).run(calm_s=60)
    assert found.sound, found


def test_without_fences_the_same_judge_finds_jobs_finished_twice(home: Path, tmp_path: Path) -> None:
    found = Storm(stalled(home, tmp_path, UNFENCED)).run(calm_s=60)
    assert not found.sound
    assert found.gaps


@pytest.mark.storm
def test_a_long_storm_over_real_servers_leaves_a_sound_history(home: Path, tmp_path: Path) -> None:
    assert_sound(Plan(home, tmp_path, jobs=5_000, kills=250), calm_s=180)


@pytest.mark.storm
def test_a_long_storm_with_stalls_leaves_a_sound_history(home: Path, tmp_path: Path) -> None:
    plan = Plan(home, tmp_path, jobs=600, kills=30, stalls=15, lease_s=1.5, script="read 6 0.1; report 400", seed=7)
    assert_sound(plan, calm_s=180)
