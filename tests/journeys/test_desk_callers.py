"""One desk, many callers: each with its own folder, settings and keys, and a person among them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.journeys.desks import BRIDGE, DESK, ERAS, LEGACY, MODERN, Place, until

import spadework
import spadework_tools
from spadework.hello import SCHEMA, VERSION

CANARY = "pplx-canary-7f3a9d2e51"
LLM_CANARY = "sk-canary-1b9e77c4a0"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with Place(tmp_path) as made:
        yield made


def folder(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "notes.md").write_text(f"# Notes\n\n{text}\n", encoding="utf-8")
    return path


def test_relative_folders_and_roots_are_each_callers_own(place: Place, tmp_path: Path) -> None:
    one, other = (
        folder(tmp_path / "one", "The harbour lamp has the colour blue."),
        folder(tmp_path / "other", "The harbour lamp has the colour green."),
    )
    for cwd, word in ((one, "blue"), (other, "green")):
        agent = place.agent(cwd=cwd)
        given = {"question": "What colour has the harbour lamp?", "folders": ["."], "engine": "local"}
        job_id = agent.ask("start_research", **given)["job_id"]
        assert agent.ended(job_id)["status"] == "completed"
        brief = agent.reply(agent.call("get_result", job_id=job_id))["result"]["content"][0]["text"]
        assert f"The harbour lamp has the colour {word}." in brief
    refused = agent.reply(agent.call("start_research", question="What?", folders=[str(one)], engine="local"))
    assert refused["result"]["content"][0]["text"].startswith("bad_folder: ")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"concurency": 3}, "Did you mean SPADEWORK_CONCURRENCY?"),
        ({"roots": "~nobody-of-this-name/papers"}, "the setting roots"),
        ({"tokens": "a-token-without-a-name"}, "SPADEWORK_TOKENS"),
    ],
)
def test_a_callers_bad_setting_stops_that_caller_alone(place: Place, setting: dict[str, object], said: str) -> None:
    good = place.agent()
    good.request("tools/list")
    bad = place.agent(**setting)
    bad.process.wait(20)
    assert bad.process.returncode == 1
    assert said in bad.said
    assert "caller 1 came" in place.log
    assert len(good.request("tools/list")["result"]["tools"]) == 4


def test_a_caller_is_told_which_of_its_settings_the_desk_has_otherwise(place: Place) -> None:
    place.agent(concurrency=2).request("tools/list")
    other = place.agent(concurrency=3)
    other.request("tools/list")
    assert other.said.count("\n") == 1
    assert "another SPADEWORK_CONCURRENCY" in other.said


def test_a_desk_that_cannot_open_tells_every_caller_why(place: Place) -> None:
    place.home.mkdir()
    (place.home / "config.toml").write_text("x = [", encoding="utf-8")
    agents = [place.agent() for _ in range(3)]
    for agent in agents:
        agent.process.wait(20)
        assert agent.process.returncode == 1
        assert "config.toml cannot be read as TOML" in agent.said
    until(lambda: not place.processes(), 10, "the desk's end")


def test_a_person_and_an_agent_see_each_others_jobs(place: Place) -> None:
    agent = place.agent()
    job_id = agent.start("read 2 0.2; report 400", label="from the agent")
    listed = json.loads(place.command("jobs", "--json").stdout)
    assert [job["job_id"] for job in listed["jobs"]] == [job_id]
    watched = place.command("watch", job_id, "--json")
    assert json.loads(watched.stdout)["job"]["status"] == "completed", watched.stderr
    asked = place.command("research", "Why? [script: read 1 0.1; report 300]", "--engine", "scripted", "--json")
    theirs = json.loads(asked.stdout)["job"]["job_id"]
    assert [job["job_id"] for job in agent.ask("check_research")["jobs"]] == [theirs, job_id]
    exported = place.command("export", theirs, "-o", "report.json")
    assert exported.returncode == 0, exported.stderr
    assert place.command("cancel", "r_none").returncode == 1
    assert place.command("research", "Why?", "--engine", "nobody").returncode == 2
    assert place.log.count("is open: process") == 1


def test_a_command_goes_on_when_the_desk_is_killed_under_it(place: Place) -> None:
    agent = place.agent()
    job_id = agent.start("read 8 0.5; report 400")
    watcher = place.agent(command=[*BRIDGE[:-1], "watch", job_id, "--json"])
    until(lambda: ", desk" in place.log, 20, "the command")
    place.kill()
    watcher.process.wait(60)
    assert watcher.process.returncode == 0, watcher.said


def test_the_desk_commands_tell_and_end(place: Place) -> None:
    assert json.loads(place.command("desk", "status", "--json").stdout)["running"] is False
    agent = place.agent()
    job_id = agent.start("read 200 0.2; report 300")
    state = json.loads(place.command("desk", "status", "--json").stdout)
    assert (state["running"], state["pid"], state["jobs"]["running"]) == (True, place.desk, 1)
    assert [client["pid"] for client in state["clients"]] == [agent.process.pid]
    agent.leave()
    stopped = place.command("desk", "stop")
    assert stopped.returncode == 0, stopped.stderr
    assert place.desk is None
    assert "asked for a stop" in place.command("desk", "logs").stdout
    later = place.agent()
    assert later.standing(job_id)["status"] in ("queued", "running")
    assert place.log.count(f"is open: process {place.desk}") == 1


def test_the_door_and_what_stands_behind_it_are_the_owners_alone(place: Place) -> None:
    place.agent().request("tools/list")
    for name in ("desk.sock", "desk.json", "desk.lock", "desk.log", "desk.err", "desk.starting"):
        assert (place.home / name).stat().st_mode & 0o777 == 0o600, name
    assert place.home.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_turned_away_even_where_the_socket_would_let_them_in(tmp_path: Path) -> None:
    script = (
        "import socket, sys\n"
        "line = socket.socket(socket.AF_UNIX); line.connect(sys.argv[1]); line.settimeout(10)\n"
        'hello = b\'{"spadework":"hello","protocol":1,"ask":"status","cwd":"/","environ":{}}\'\n'
        "try:\n"
        "    line.sendall(hello + b'\\n'); print(line.recv(1000))\n"
        "except ConnectionError: print(b'')\n"
    )
    # Not below pytest's own folder, whose parents nobody else may enter.
    with tempfile.TemporaryDirectory() as open_to_all, Place(Path(open_to_all)) as place:
        place.agent().request("tools/list")
        Path(open_to_all).chmod(0o755)
        place.home.chmod(0o755)
        (place.home / "desk.sock").chmod(0o777)
        python = shutil.which("python3", path="/usr/bin:/bin:/usr/local/bin") or "python3"
        nobody = ["setpriv", "--reuid=65534", "--clear-groups", python]
        stranger = place.agent(cwd=Path("/"), command=[*nobody, "-c", script, str(place.home / "desk.sock")])
        stranger.process.wait(20)
        assert stranger.process.stdout
        assert stranger.process.stdout.read() == b"b''\n", stranger.said
        assert "another user's process was turned away" in place.log


def test_a_second_desk_never_runs_on_the_same_home(place: Place) -> None:
    place.agent().request("tools/list")
    first = place.desk
    second = place.agent(command=[*DESK, str(place.home), "-"])
    second.process.wait(20)
    assert place.desk == first
    assert place.log.count("is open: process") == 1


def test_a_home_too_deep_for_a_socket_is_served_through_a_short_path(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    with Place(deep) as place:
        # Codex passes on hardly any variables, and must find the desk that a client with all of them has started.
        first = place.agent(XDG_RUNTIME_DIR=str(tmp_path))
        job_id = first.start("park 600")
        assert place.agent().standing(job_id)["status"] in ("queued", "running")
        address = json.loads((place.home / "desk.json").read_text(encoding="utf-8"))
        assert len(address["unix"]) <= 100
        assert place.log.count("is open: process") == 1


def test_without_unix_sockets_both_sides_prove_themselves_on_loopback(place: Place) -> None:
    place.home.mkdir(mode=0o700)
    # An address that is a text is a unix socket's.
    bare = (
        "import sys\n"
        "def refuse(event, arguments):\n"
        "    if event == 'socket.bind' and isinstance(arguments[1], str): raise PermissionError(1, 'not permitted')\n"
        "sys.addaudithook(refuse)\n"
        "from spadework.porter import main\n"
        "main(sys.argv[1], None)\n"
    )
    place.agent(command=[DESK[0], "-c", bare, str(place.home)])
    until(lambda: (place.home / "desk.json").exists(), 20, "the door")
    agent = place.agent()
    assert agent.standing(agent.start("report 300"), 10)["status"] in ("queued", "running", "completed")
    address = json.loads((place.home / "desk.json").read_text(encoding="utf-8"))
    assert address["port"]
    assert address["token"] not in place.log
    address["token"] = "0" * 64
    (place.home / "desk.json").write_text(json.dumps(address), encoding="utf-8")
    # A listener that cannot prove itself gets no hello; the lock says that a desk is there, and no second one starts.
    status = place.command("desk", "status", "--json")
    assert json.loads(status.stdout)["running"] is False


def test_an_environment_that_forbids_processes_is_served_in_one(place: Place) -> None:
    sandbox = (
        "import sys\n"
        "def refuse(event, arguments):\n"
        "    if event == 'os.fork': raise PermissionError(1, 'Operation not permitted')\n"
        "sys.addaudithook(refuse)\n"
        "sys.argv = ['spadework', 'serve']\n"
        "from spadework.entry import main\n"
        "main()\n"
    )
    for era in ERAS:
        agent = place.agent(era, command=[DESK[0], "-c", sandbox])
        job_id = agent.start("read 1 0.1; report 300")
        assert agent.ended(job_id)["status"] == "completed"
        assert agent.said.count("\n") == 1
        assert "serving without a desk" in agent.said
        agent.leave()
        assert place.desk is None


def earlier(folder: Path, version: str, schema: int) -> str:
    """Another version of this distribution, installed beside it; what its processes need as PYTHONPATH."""
    copied = folder / version
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(spadework.__file__).parent, copied / "spadework", ignore=ignored)
    shutil.copytree(Path(spadework_tools.__file__).parent, copied / "spadework_tools", ignore=ignored)
    hello = copied / "spadework" / "hello.py"
    text = hello.read_text(encoding="utf-8")
    changes = {f'VERSION = "{VERSION}"': f'VERSION = "{version}"', f"SCHEMA = {SCHEMA}\n": f"SCHEMA = {schema}\n"}
    for now, then in changes.items():
        assert text.count(now) == 1, now
        text = text.replace(now, then)
    hello.write_text(text, encoding="utf-8")
    return str(copied)


def test_a_desk_of_another_version_hands_over_and_the_jobs_go_on(place: Place, tmp_path: Path) -> None:
    old = place.agent(PYTHONPATH=earlier(tmp_path, "0.0.9", SCHEMA))
    job_id = old.start("read 20 0.3; report 300")
    first = place.desk
    new = place.agent()
    assert new.standing(job_id)["status"] in ("queued", "running")
    second = place.desk
    assert second != first
    # The old client carries on with the new desk, and does not throw it out in its turn.
    assert old.standing(job_id)["status"] in ("queued", "running")
    assert place.agent().standing(job_id)["status"] in ("queued", "running")
    assert place.desk == second
    assert old.ended(job_id)["status"] == "completed"
    assert [line.split("desk ")[1].split(" of")[0] for line in place.log.splitlines() if "is open" in line] == [
        "0.0.9",
        VERSION,
    ]


def test_a_desk_whose_registry_is_beyond_us_is_used_and_not_replaced(place: Place, tmp_path: Path) -> None:
    newer = place.agent(PYTHONPATH=earlier(tmp_path, "9.9.9", SCHEMA + 1))
    job_id = newer.start("park 600")
    first = place.desk
    agent = place.agent(LEGACY)
    assert agent.standing(job_id)["status"] in ("queued", "running")
    assert place.desk == first
    assert "newer desk (9.9.9" in agent.said


def test_no_key_is_found_in_any_file_log_or_answer(place: Place) -> None:
    keys = {"PERPLEXITY_API_KEY": CANARY, "SPADEWORK_LLM_API_KEY": LLM_CANARY}
    agents = [place.agent(era, **keys) for era in (MODERN, LEGACY)]
    for agent in agents:
        agent.start("crash", label=agent.era)
        agent.ended(agent.start("read 2 0.1; report 300"))
        place.kill()
        agent.ask("check_research")
        place.kill(signal.SIGTERM)
        agent.ask("check_research")
    shown = [place.command(*line.split(), **keys).stdout for line in ("desk status --json", "desk logs", "jobs --json")]
    shown += [json.dumps(agent.lines) + agent.said for agent in agents]
    desk = next(process for process in place.processes() if process.pid == place.desk)
    shown += [json.dumps(desk.environ()), json.dumps(desk.cmdline())]
    files = [path for path in place.folder.rglob("*") if path.is_file()]
    assert len(files) > 8
    for canary in (CANARY, LLM_CANARY):
        assert not [path for path in files if canary.encode() in path.read_bytes()]
        assert not [text for text in shown if canary in text]


def test_an_empty_secret_leaves_the_log_as_it_is(place: Place) -> None:
    place.home.mkdir()
    (place.home / "config.toml").write_text('llm_api_key = ""\n', encoding="utf-8")
    place.agent().request("tools/list")
    assert "caller 1 came" in place.log


def test_a_client_whose_folder_was_deleted_is_served(place: Place, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    agent = place.agent(cwd=gone, command=("sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", *BRIDGE))
    assert agent.ended(agent.start("report 300"))["status"] == "completed"
    assert not gone.exists()


def test_more_clients_than_a_desk_has_files_for_wait_for_their_turn_and_disturb_nobody(place: Place) -> None:
    few = ("sh", "-c", 'ulimit -n 64 && exec "$@"', "sh", *BRIDGE)
    first = place.agent(command=few)
    job_id, desk = first.start("park 2; report 300"), place.desk
    agents = [place.agent(command=few) for _ in range(70)]
    asked = [(agent, agent.send("tools/list")) for agent in agents]
    assert first.ended(job_id)["status"] == "completed"
    for agent, number in asked:
        # Who is served goes, and makes room for the next.
        assert agent.reply(number, within=60)["result"]["tools"]
        agent.leave()
    assert place.desk == desk
    assert "Traceback" not in place.log


def test_a_desk_that_is_broken_is_given_up_within_seconds_and_says_where_to_look(place: Place, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "anyio.py").write_text("raise ImportError('a library that is broken')", encoding="utf-8")
    agent = place.agent(PYTHONPATH=tmp_path / "broken")
    agent.process.wait(20)
    assert agent.process.returncode == 1
    assert "desk.err" in agent.said
    assert "a library that is broken" in (place.home / "desk.err").read_text(encoding="utf-8")


def test_a_desk_is_told_to_end_while_clients_stay_who_start_the_next_one_at_once(place: Place) -> None:
    agents = [place.agent(era) for era in ERAS]
    job_id = agents[0].start("park 1; report 300")
    for _ in range(3):
        desk = place.desk
        stopped = place.command("desk", "stop")
        assert (stopped.returncode, stopped.stderr) == (0, "")
        assert f"(process {desk}) has ended" in stopped.stdout
        for agent in agents:
            assert agent.request("tools/list")["result"]["tools"]
        assert place.desk != desk
    assert agents[1].ended(job_id)["status"] == "completed"
