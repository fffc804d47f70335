"""Nothing that was acknowledged is lost, doubled or finished twice, whenever a process is killed.

The control runs the same storm with the fence check switched off: the judge must find it out, or it proves nothing.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.chaos import history


def storm(home: Path, *words: str, deadline_s: float) -> dict[str, Any]:
    """What history says of a storm over a fresh registry."""
    command = [sys.executable, "-m", "tests.chaos.storm", str(home), *words]
    env = {"PYTHONPATH": ":".join(path for path in sys.path if path), "PATH": "/usr/bin:/bin"}
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=deadline_s)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_sound(found: dict[str, Any], jobs: int) -> None:
    wrong = {name: value for name, value in found.items() if isinstance(value, list) and value}
    assert wrong == {}
    assert found["sound"]
    assert found["counts"]["jobs"] == found["counts"]["acknowledged"] == jobs
    assert found["counts"]["completed"] == jobs


def test_a_short_storm_leaves_a_sound_history(home: Path) -> None:
    assert_sound(storm(home, "--kills", "30", "--jobs", "400", "--stall", "0.01", deadline_s=90), 400)


def test_without_fences_the_same_judge_finds_jobs_finished_twice(home: Path) -> None:
    found = storm(home, "--kills", "4", "--jobs", "60", "--stall", "0.3", "--lease", "0.3", "--unfenced", deadline_s=90)
    assert not found["sound"]
    assert found["finished_twice"]


@pytest.mark.storm
def test_a_long_storm_leaves_a_sound_history(home: Path) -> None:
    assert_sound(storm(home, "--kills", "250", "--jobs", "5000", deadline_s=900), 5_000)


DAMAGES = {
    "lost": "DELETE FROM rq_jobs WHERE idem = 'k3'",
    "phantom": "UPDATE rq_jobs SET idem = 'nobody asked' WHERE idem = 'k3'",
    "duplicate": "UPDATE rq_jobs SET idem = 'k4', owner = 'bob' WHERE idem = 'k3'",
    "finish_lost": "UPDATE rq_jobs SET status = 'running' WHERE idem = 'k3'",
    "unfinished": "UPDATE rq_jobs SET status = 'queued' WHERE idem = 'k3'",
    "result_wrong": "DELETE FROM Cache WHERE key LIKE 'result/%' AND rowid % 2",
    "gaps": "DELETE FROM rq_events WHERE seq = 2",
    "damage": "UPDATE rq_meta SET n = 7 WHERE k = 'queued'",
}


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry after a storm without any kill worth the name."""
    home = tmp_path_factory.mktemp("calm") / "home"
    assert_sound(storm(home, "--kills", "1", "--jobs", "30", "--stall", "0", deadline_s=60), 30)
    return home


@pytest.mark.parametrize("kind", DAMAGES)
def test_the_judge_sees_each_kind_of_damage(calm: Path, tmp_path: Path, kind: str) -> None:

    copy = tmp_path / "cache.db"
    source, target = sqlite3.connect(calm / "registry" / "cache.db"), sqlite3.connect(copy)
    source.backup(target)
    source.close()
    target.execute(DAMAGES[kind])
    target.commit()
    target.close()
    found = history.check(copy, sorted(calm.glob("log-*")))
    assert getattr(found, kind)
    assert not found.sound
