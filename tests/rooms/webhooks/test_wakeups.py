"""The other ways to be told: the inbox of the folder a job was started from, and the command of the settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.contracts.jobs import within
from tests.rooms.webhooks.office import QUESTION, Office, office
from tests.rooms.webhooks.test_guard import asking, desk

from spadework import inbox
from spadework.delivery import Address
from spadework.environ import carried
from spadework.settings import BadSetting, Settings
from spadework.webhooks.hook import run_hook
from spadework_tools.models import Status

pytestmark = pytest.mark.anyio

COMMAND = Address("command")
CANARY = "sk-canary-of-the-hook"
#: Writes down how it was called, into the file that its first argument names.
WITNESS = """
import json, os, sys
with open(sys.argv[1], "w") as out:
    json.dump({"argv": sys.argv[2:], "in": sys.stdin.read(), "env": dict(os.environ), "cwd": os.getcwd()}, out)
"""


def spadework(*words: str, home: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.defpath, "HOME": str(home), "SPADEWORK_HOME": str(home)}
    command = [sys.executable, "-m", "spadework", *words]
    return subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, timeout=20, check=False)


def ended(number: int, folder: Path, home: Path, **data: Any) -> None:
    row = {"job_id": f"r_{number}", "status": "completed", "outcome": "full", "label": None, **data}
    inbox.append(str(home), str(folder), {"id": f"msg_{number}", "type": "research.completed", "data": row})


@within(20)
async def test_a_job_that_ended_lies_in_the_inbox_of_the_folder_it_was_started_from(home: Path, tmp_path: Path) -> None:
    here_folder, there = tmp_path / "project", tmp_path / "other"
    here_folder.mkdir()
    there.mkdir()
    async with office(home) as here:
        ticket = await desk(here).start(asking(None))
        job = await here.store.get(ticket.job_id)
        assert await here.courier().round() is None
        await here.end(await here.job(Address("inbox", str(here_folder)), question="Another?", label="pumps"))
        await here.end(await here.job(Address("inbox", str(there)), question="A third?"), Status.FAILED)
        await here.end(job)
        await here.courier().round()
        assert [len(inbox.read(str(home), str(where))[0]) for where in (here_folder, there, home)] == [1, 1, 1]
        (row,), _ = inbox.read(str(home), str(here_folder))
        assert row["data"]["label"] == "pumps"
        assert row["type"] == "research.completed"
        assert QUESTION not in json.dumps(row)


@within(20)
async def test_an_owner_from_elsewhere_has_no_inbox_here(home: Path) -> None:
    async with office(home) as here:
        await desk(here, owner="ann").start(asking(None))
        assert await here.courier().round() is None
        (job,) = (await here.store.list("ann")).jobs
        await here.end(job)
        await here.courier().round()
        assert not (home / "inbox").exists()


def test_the_command_prints_what_is_new_for_its_folder_and_forgets_it_when_told_to(home: Path, tmp_path: Path) -> None:
    project = tmp_path / "a project"
    project.mkdir()
    (tmp_path / "link").symlink_to(project)
    ended(1, project, home, label="heat pumps")
    ended(2, project, home, status="failed", outcome=None)
    ended(2, project, home, status="failed", outcome=None)
    said = (
        'Research r_1 (heat pumps) completed, outcome full. Read it with spadework\'s get_result(job_id="r_1").\n'
        'Research r_2 failed. Read it with spadework\'s check_research(job_ids=["r_2"]).\n'
    )
    assert spadework("inbox", home=home, cwd=project).stdout == said
    rows = json.loads(spadework("inbox", "--json", "--folder", str(project), home=home, cwd=home).stdout)
    assert [row["id"] for row in rows] == ["msg_1", "msg_2"]
    assert spadework("inbox", "--clear", home=home, cwd=tmp_path / "link").stdout == said
    last = spadework("inbox", "--clear", home=home, cwd=project)
    assert (last.stdout, last.stderr, last.returncode) == ("", "", 0)
    assert spadework("inbox", "--json", home=home, cwd=project).stdout == "[]\n"


@pytest.mark.parametrize("client", ["claude", "codex"])
@pytest.mark.parametrize("event", ["SessionStart", "UserPromptSubmit"])
def test_the_hooks_of_the_readme_tell_each_end_once(home: Path, tmp_path: Path, client: str, event: str) -> None:
    project, elsewhere = tmp_path / "my project", tmp_path / "my project" / "src"
    elsewhere.mkdir(parents=True)
    settings = json.loads(Path(__file__).with_name(f"{client}.json").read_text())
    ((hook,),) = [group["hooks"] for group in settings["hooks"][event]]
    ended(1, project, home)
    environ = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}", "SPADEWORK_HOME": str(home)}
    # Claude Code's shell may stand in a subfolder; Codex runs its hooks in the session's folder.
    place = elsewhere if client == "claude" else project
    environ |= {"CLAUDE_PROJECT_DIR": str(project)} if client == "claude" else {}
    said: list[str] = []
    for _ in range(2):
        done = subprocess.run(
            ["/bin/sh", "-c", hook["command"]], env=environ, cwd=place, input=json.dumps({"cwd": str(place)}),
            capture_output=True, text=True, timeout=hook["timeout"], check=True,
        )  # fmt: skip
        said.append(done.stdout)
    assert said[0].startswith("Research r_1 completed")
    assert said[1] == ""


def test_the_command_needs_neither_a_home_nor_a_desk(tmp_path: Path) -> None:
    done = spadework("inbox", "--clear", home=tmp_path / "none", cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert not (tmp_path / "none").exists()


def test_the_command_imports_the_standard_library_alone() -> None:
    # A hook runs it before every message of the user, and the command line's libraries take half a second.
    code = "import sys; before = set(sys.modules); import spadework.inbox; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    foreign = {name.partition(".")[0] for name in done.stdout.split()} - sys.stdlib_module_names
    assert foreign == {"spadework"}


def test_a_damaged_inbox_is_named_with_what_to_do(home: Path, tmp_path: Path) -> None:
    ended(1, tmp_path, home)
    Path(inbox.place(str(home), str(tmp_path))).write_text("{")
    done = spadework("inbox", home=home, cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_lines_of_many_writers_are_whole_while_a_reader_clears(home: Path, tmp_path: Path) -> None:
    got: list[str] = []
    with ThreadPoolExecutor(9) as pool:
        writers = [pool.submit(lambda n=n: [ended(n * 50 + i, tmp_path, home) for i in range(50)]) for n in range(8)]
        while not all(writer.done() for writer in writers):
            rows, size = inbox.read(str(home), str(tmp_path))
            inbox.clear(str(home), str(tmp_path), size)
            got += [row["id"] for row in rows]
        for writer in writers:
            writer.result()
    got += [row["id"] for row in inbox.read(str(home), str(tmp_path))[0]]
    assert sorted(got) == sorted(f"msg_{n}" for n in range(400))
    path = Path(inbox.place(str(home), str(tmp_path)))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_an_inbox_that_nobody_reads_keeps_its_newest_lines_and_stays_small(home: Path, tmp_path: Path) -> None:
    for n in range(900):
        ended(n, tmp_path, home, label="x" * 400)
    path = Path(inbox.place(str(home), str(tmp_path)))
    rows, size = inbox.read(str(home), str(tmp_path))
    assert size == path.stat().st_size <= inbox.LARGEST
    assert [row["id"] for row in rows] == [f"msg_{n}" for n in range(900 - len(rows), 900)]
    assert len(rows) > 200
    said = spadework("inbox", home=home, cwd=tmp_path).stdout.splitlines()
    assert len(said) == 21
    assert said[0] == f"Before these {len(rows) - 20} more ended; see them with: spadework jobs."
    assert said[-1].startswith("Research r_899 ")


@pytest.fixture
def witness(tmp_path: Path) -> Callable[[], dict[str, Any]]:
    (tmp_path / "witness.py").write_text(WITNESS)
    return lambda: json.loads((tmp_path / "seen.json").read_text())


def hook(tmp_path: Path, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, str(tmp_path / "witness.py"), str(tmp_path / "seen.json"), *arguments)


@within(30)
async def test_the_command_gets_the_facts_on_stdin_and_its_arguments_untouched_by_a_shell(
    home: Path, tmp_path: Path, witness: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("SPADEWORK_LLM_API_KEY", CANARY)
    arguments = ("$HOME", "; touch pwned", "`id`", "two words", "*")
    async with office(home, on_finish=hook(tmp_path, *arguments)) as here:
        assert carried()["OPENAI_API_KEY"] == CANARY
        job = await here.ended(COMMAND)
        assert await here.courier().round() is None
        seen = witness()
        assert tuple(seen["argv"]) == arguments
        assert json.loads(seen["in"])["data"]["job_id"] == job.id == seen["env"]["SPADEWORK_JOB_ID"]
        assert seen["env"]["SPADEWORK_HOME"] == seen["cwd"] == str(home)
        assert CANARY not in json.dumps(seen)
        assert QUESTION not in json.dumps(seen)
        assert not list(home.rglob("pwned"))
        # Once is enough, whatever came of it.
        (tmp_path / "seen.json").unlink()
        assert await here.courier().round() is None
        assert not (tmp_path / "seen.json").exists()


@within(30)
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("/no/such/command",), "cannot be run (FileNotFoundError"),
        ((sys.executable, "-c", "raise SystemExit(3)"), "ended with code 3"),
        ((sys.executable, "-c", "import time; time.sleep(60)"), "did not end within 0.5 s"),
    ],
)
async def test_a_command_that_goes_wrong_is_logged_and_changes_nothing(
    home: Path, caplog: pytest.LogCaptureFixture, command: tuple[str, ...], said: str
) -> None:
    async with office(home, on_finish=command) as here:
        job = await here.ended(COMMAND)
        tried = await run_hook(here.kit.settings, job, limit_s=0.5)
        assert not tried.ok
        assert said in tried.note
        assert job.id in caplog.text
        assert await here.store.get(job.id) == job


@within(30)
async def test_a_command_that_is_given_up_goes_with_all_that_it_started(home: Path, tmp_path: Path) -> None:
    # What it started holds the pipe's other end open for as long as it lives.
    os.mkfifo(tmp_path / "pipe")
    command = ("sh", "-c", f"sleep 600 > {tmp_path / 'pipe'} & wait")
    async with office(home, on_finish=command) as here:
        job = await here.ended(COMMAND)
        async with anyio.create_task_group() as group:
            group.start_soon(run_hook, here.kit.settings, job, 0.5)
            assert await anyio.Path(tmp_path / "pipe").read_bytes() == b""


def test_an_inbox_on_a_full_disk_keeps_whole_lines(home: Path, tmp_path: Path) -> None:
    # A limit to a file's size meets a write halfway, as a full disk does.
    script = (
        "import resource, sys\n"
        "from spadework import inbox\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))\n"
        "try:\n"
        "    for n in range(100): inbox.append(*sys.argv[1:], {'id': f'm{n}', 'text': 'x' * 70})\n"
        "except OSError: sys.exit(3)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(home), str(tmp_path)], timeout=20, check=False)
    assert done.returncode == 3
    inbox.append(str(home), str(tmp_path), {"id": "last"})
    assert [row["id"] for row in inbox.read(str(home), str(tmp_path))[0]] == [*(f"m{n}" for n in range(10)), "last"]


@within(30)
async def test_a_command_that_reads_nothing_does_not_fail_the_courier(home: Path) -> None:
    async with office(home, on_finish=(sys.executable, "-c", "import os; os.close(0)")) as here:
        await here.ended(COMMAND)
        assert await here.courier().round() is None


@within(30)
async def test_the_command_is_the_settings_and_nothing_in_the_registry_is_ever_run(home: Path, tmp_path: Path) -> None:
    planted = Address("command", json.dumps([sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'w')"]))
    async with office(home) as here:
        await here.ended(planted)
        await here.courier().round()
    assert not (tmp_path / "ran").exists()


def test_the_command_is_a_list_in_the_file_and_a_json_list_in_the_environment(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text('on_finish = ["notify-send", "done"]\nwebhook_url = "https://example.org/"\n')
    settings = Settings.load({"SPADEWORK_HOME": str(home)})
    assert settings.on_finish == ("notify-send", "done")
    assert settings.webhook_url == "https://example.org/"
    environ = {"SPADEWORK_HOME": str(home), "SPADEWORK_ON_FINISH": '["say", "two words"]'}
    assert Settings.load(environ).on_finish == ("say", "two words")
    for wrong in ("say done", '"say"', "[1]", '{"a": 1}'):
        with pytest.raises(BadSetting, match=r"(?i)on_finish"):
            Settings.load({**environ, "SPADEWORK_ON_FINISH": wrong})


@within(20)
async def test_a_full_disk_at_the_inbox_is_tried_again(home: Path, tmp_path: Path) -> None:
    async with office(home) as here:
        await _blocked(here, home, tmp_path)


async def _blocked(here: Office, home: Path, folder: Path) -> None:
    (home / "inbox").write_text("a file where the folder should be")
    await here.ended(Address("inbox", str(folder)))
    assert await here.courier().round() == pytest.approx(5)
    (home / "inbox").unlink()
    here.clock.pass_s(5)
    with anyio.fail_after(5):
        assert await here.courier().round() is None
    assert len(inbox.read(str(home), str(folder))[0]) == 1
