"""A job on the web that is killed again and again: what was fetched stays fetched, and the report is the same."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.standins.server import serving
from tests.standins.web import Web

ROOT = Path(__file__).parents[2]
AT_ONCE = 4


def started(folder: Path, base: str, pages: int | str) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.rooms.local.webrun", str(folder), base, str(pages)]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True)


def listed(query: str, page: int) -> list[str]:
    """Twenty pages from the number on that a question names; none on a later page of the answer."""
    first = int((re.search(r"Qel(\d+)", query) or [0, "0"])[1])
    return [f"/wiki/Qel{n:03d}" for n in range(first, first + 20)] if page == 0 else []


@pytest.mark.parametrize(("pages", "kills"), [(40, 2), pytest.param(120, 8, marks=pytest.mark.storm)])
def test_a_killed_job_fetches_again_only_what_was_under_way(tmp_path: Path, pages: int, kills: int) -> None:
    web = Web(slow_s=0.05)
    web.found = listed
    with serving(web) as base:
        calm = started(tmp_path / "calm", base, pages)
        assert calm.wait(120) == 0
        assert web.fetches == pages
        web.seen.clear()
        while web.fetched.acquire(blocking=False):
            pass
        until = time.monotonic() + 240
        for _ in range(kills):
            process = started(tmp_path / "storm", base, pages)
            for _ in range(pages // (kills + 1)):
                assert web.fetched.acquire(timeout=60), "no page was asked for"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
            assert not (tmp_path / "storm" / "citations.json").exists(), "it was done before it was killed"
        assert started(tmp_path / "storm", base, pages).wait(max(1.0, until - time.monotonic())) == 0
    assert sum(web.seen[path] > 0 for path in web.seen if path.startswith("/wiki/")) == pages
    assert web.fetches - pages <= kills * AT_ONCE
    same = (tmp_path / "calm" / "citations.json").read_bytes()
    assert len(same) > 1_000
    assert (tmp_path / "storm" / "citations.json").read_bytes() == same


def test_a_killed_job_on_records_goes_on_with_the_row_it_was_at(tmp_path: Path) -> None:
    web, kills = Web(slow_s=0.05), 3
    web.found = listed
    with serving(web) as base:
        assert started(tmp_path / "calm", base, "rows").wait(120) == 0
        pages, searches = web.fetches, web.seen["/search"]
        assert pages == 40, "five pages for each of eight records"
        web.seen.clear()
        while web.fetched.acquire(blocking=False):
            pass
        for _ in range(kills):
            process = started(tmp_path / "storm", base, "rows")
            for _ in range(pages // (kills + 1)):
                assert web.fetched.acquire(timeout=60), "no page was asked for"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
            assert not (tmp_path / "storm" / "citations.json").exists(), "it was done before it was killed"
        done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "storm" / "job").glob("row-?")}
        assert len(done) >= 4
        assert started(tmp_path / "storm", base, "rows").wait(120) == 0
        assert {name: (tmp_path / "storm" / "job" / name).stat().st_mtime_ns for name in done} == done
    assert web.fetches - pages <= kills * AT_ONCE
    assert web.seen["/search"] <= searches + 2 * kills
    same = (tmp_path / "calm" / "citations.json").read_bytes()
    assert len(same) > 1_000
    assert (tmp_path / "storm" / "citations.json").read_bytes() == same
