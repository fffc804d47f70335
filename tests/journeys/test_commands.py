"""The `spadework` command as a person and a script use it: answers on stdout, all else on stderr, exit codes kept."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.journeys import papers
from tests.journeys.server import COMMAND, environment, powerless

Run = Callable[..., subprocess.CompletedProcess[str]]
SPADEWORK = COMMAND[:3]


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Run:
    """Runs `spadework` with these words; `before` goes before it."""

    def spadework(*words: str, before: tuple[str, ...] = (), **settings: object) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*before, *SPADEWORK, *words], env=environment(home, **settings), cwd=tmp_path, capture_output=True,
            text=True, timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        assert "\x1b" not in done.stdout + done.stderr, "colour on a pipe"
        return done

    return spadework


def researched(run: Run, folder: Path) -> str:
    """A finished job's id, by way of `research --json`."""
    done = run("research", papers.QUESTION, "--in", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["job"]["job_id"]


def test_research_prints_a_cited_answer_and_how_to_find_it_again(run: Run, tmp_path: Path) -> None:
    folder = papers.library(tmp_path / "library")
    done = run("research", papers.QUESTION, "--in", str(folder))
    assert done.returncode == 0, done.stderr
    for name, answer in papers.ANSWERS.items():
        assert answer in papers.squeezed(done.stdout), name
        assert name in done.stdout
    assert "[c1]" in done.stdout
    (again,) = re.findall(r"spadework show (r_\w+)", done.stderr)
    shown = run("show", again)
    assert shown.returncode == 0
    assert "[c1]" in shown.stdout


def test_a_person_may_name_any_folder_of_their_own_with_or_without_roots(run: Run, tmp_path: Path) -> None:
    folder = papers.library(tmp_path / "library")
    assert run("research", papers.QUESTION, "--in", "library").returncode == 0
    assert run("research", papers.QUESTION, "--in", str(folder), roots=[tmp_path / "elsewhere"]).returncode == 0


def test_every_command_prints_json_when_asked(run: Run, tmp_path: Path) -> None:
    folder = papers.library(tmp_path / "library")
    job_id = researched(run, folder)
    listed = json.loads(run("jobs", "--json").stdout)
    assert [job["job_id"] for job in listed["jobs"]] == [job_id]
    assert json.loads(run("show", job_id, "--view", "brief", "--json").stdout)["view"] == "brief"
    assert json.loads(run("watch", job_id, "--json").stdout)["job"]["status"] == "completed"
    assert json.loads(run("cancel", job_id, "--json").stdout)["changed"] is False


def test_piped_lists_are_one_line_for_each_job(run: Run, tmp_path: Path) -> None:
    folder = papers.library(tmp_path / "library")
    job_id = researched(run, folder)
    (line,) = run("jobs").stdout.splitlines()
    assert line.split("\t")[0] == job_id


def test_a_report_is_exported_as_markdown_and_json_with_every_quote(run: Run, tmp_path: Path) -> None:
    job_id = researched(run, papers.library(tmp_path / "library"))
    assert run("export", job_id, "-o", "report.md").returncode == 0
    assert run("export", job_id, "-o", "report.json").returncode == 0
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    document = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    report = document.get("report", document)
    assert report["text"].strip() in text
    for source in report["sources"]:
        assert Path(source["path"]).name in text
    assert papers.QUESTION.split("?")[0] in text


#: What a person types, with the exit code and a word of what is said.
MISTAKES: tuple[tuple[tuple[str, ...], int, str], ...] = (
    (("show", "r_nobody"), 1, "unknown_job"),
    (("watch", "r_nobody"), 1, "unknown_job"),
    (("cancel", "r_nobody"), 1, "unknown_job"),
    (("export", "r_nobody", "-o", "x.md"), 1, "unknown_job"),
    (("export", "r_nobody", "-o", "x.doc"), 2, "x.doc"),
    (("research", ""), 2, "question"),
    (("research", "why? " * 6_000), 2, "20000"),
    (("research", "What is new?", "--in", "gone"), 2, "bad_folder"),
    (("research", "What is new?", "--engine", "oracle"), 2, "unknown_engine"),
    (("research", "What is new?", "--schema", "gone.json"), 2, "gone.json"),
    (("research", "What is new?", "--effort", "extreme"), 2, "effort"),
    (("research",), 2, "question"),
    (("show", "r_nobody", "--view", "all"), 2, "view"),
    (("jobs", "--cursor", "made-up"), 2, "cursor"),
    (("reseach", "x"), 2, "reseach"),
)  # fmt: skip


def test_a_mistake_on_the_command_line_has_its_sentence_and_its_exit_code(run: Run) -> None:
    for words, code, said in MISTAKES:
        done = run(*words)
        assert done.returncode == code, (words, done.stdout, done.stderr)
        assert done.stdout == "", words
        assert said in done.stderr, words


def test_a_failed_job_is_exit_code_one_with_the_reason(run: Run) -> None:
    done = run("research", "[script: fail vendor_down The vendor is away. Try later.]", "--engine", "scripted")
    assert done.returncode == 1
    assert "The vendor is away. Try later." in done.stderr
    assert done.stdout == ""


def test_a_misspelt_setting_stops_every_command_and_is_named(run: Run) -> None:
    for words in (("jobs",), ("serve", "--no-desk"), ("research", "What is new?")):
        done = run(*words, hoem="/tmp")
        assert done.returncode == 1, done
        assert "SPADEWORK_HOEM" in done.stderr
        assert "SPADEWORK_HOME" in done.stderr
        done = run(*words, retention_days=1)
        assert done.returncode == 1
        assert "retention_days" in done.stderr


def test_what_cannot_be_written_is_said(run: Run, home: Path, tmp_path: Path) -> None:
    job_id = researched(run, papers.library(tmp_path / "library"))
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    done = run("export", job_id, "-o", str(locked / "x.md"), before=powerless())
    assert done.returncode == 1
    assert "x.md" in done.stderr
    done = run("export", job_id, "-o", str(tmp_path / "gone" / "x.md"))
    assert done.returncode == 1
    assert "gone" in done.stderr


def test_an_interrupted_command_keeps_its_job_and_says_how_to_go_on(run: Run, home: Path, tmp_path: Path) -> None:
    # Tests that were started in the background ignore the signal, and so would what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [*SPADEWORK, "research", "Slow [script: read 60 0.1; report]", "--engine", "scripted"],
        env=environment(home), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr
    said = process.stderr.readline()
    while "reading" not in said:
        said = process.stderr.readline()
        assert said, "the command ended"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert out == ""
    (job_id,) = set(re.findall(r"spadework watch (r_\w+)", err))
    done = run("watch", job_id)
    assert done.returncode == 0
    assert "[c1]" in done.stdout


def test_a_terminal_shows_a_bar_and_keeps_the_answer_apart(home: Path, tmp_path: Path) -> None:
    lead, follow = pty.openpty()
    process = subprocess.Popen(
        [*SPADEWORK, "research", "Slow [script: read 40 0.1; report]", "--engine", "scripted"],
        env=environment(home) | {"TERM": "xterm", "COLUMNS": "100"}, cwd=tmp_path, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=follow, text=True,
    )  # fmt: skip
    os.close(follow)
    shown = b""
    while True:
        try:
            data = os.read(lead, 4096)
        except OSError:
            break
        if not data:
            break
        shown += data
    os.close(lead)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"\x1b[" in shown
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode("utf-8", "replace"))
    assert "reading" in seen
    assert re.search(r"\d+/40", seen), seen[-500:]
    assert "left" in seen
    assert "\x1b" not in out
    assert "[c1]" in out


def test_the_demo_plays_an_agents_turns_without_any_key(run: Run) -> None:
    done = run("demo")
    assert done.returncode == 0, done.stderr
    for word in ("start_research", "check_research", "get_result", "one calendar year", "[c1]"):
        assert word in done.stdout


def test_a_command_lists_the_jobs_of_a_running_server_and_cancels_them(run: Run, wire: Callable[..., object]) -> None:
    server = wire(inline_s=0)
    job_id = server.ask("start_research", question="[script: hang]", engine="scripted")["job_id"]  # type: ignore[attr-defined]
    assert job_id in run("jobs").stdout
    done = run("cancel", job_id, inline_s=10)
    assert done.returncode == 0
    found = server.ask("check_research", job_ids=[job_id], wait_s=10)  # type: ignore[attr-defined]
    assert found["jobs"][0]["status"] == "cancelled"


def test_help_names_every_command(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    for name in ("serve", "research", "jobs", "show", "watch", "cancel", "export", "demo"):
        assert name in done.stdout
