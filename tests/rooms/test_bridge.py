"""The bridge: what it imports, what it keeps of a client's calls, and what it does when one side does not read."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest
from tests.journeys.desks import BRIDGE, MODERN, Agent, Place, until

from spadework import hello as forms
from spadework.bridge import pumped
from spadework.calls import MARK, Calls, refused, taken
from spadework.door import Lock, Shut, call, find, listen, publish, retire
from spadework.environ import carried, find_home, inherited
from spadework.hello import Garbled, Hello, Welcome
from spadework.registry.schema import SCHEMA
from spadework.settings import Settings

SECRET = "pplx-canary-5d1c"


def line(number: object, method: str, **params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n"


def result(number: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "result": {}}).encode() + b"\n"


def imported(*command: str, env: dict[str, str], cwd: Path) -> set[str]:
    """The modules that a Python process imports from start to end, by the interpreter's own account."""
    line = [sys.executable, "-X", "importtime", *command]
    done = subprocess.run(line, env=env, cwd=cwd, input=b"", capture_output=True, timeout=60, check=False)
    rows = done.stderr.decode().splitlines()
    return {row.rpartition("|")[2].strip() for row in rows if row.startswith("import time:")} - {"imported package"}


def test_the_bridge_imports_the_standard_library_alone(tmp_path: Path) -> None:
    with Place(tmp_path) as place:
        agent = place.agent(command=[sys.executable, "-X", "importtime", *BRIDGE[1:]])
        agent.request("tools/list")
        # What is imported by the time lines have been copied both ways, which is all it ever does.
        rows = [row for row in agent.said.splitlines() if row.startswith("import time:")]
        found = {row.rpartition("|")[2].strip() for row in rows} - {"imported package"}
        found -= imported("-c", "pass", env=place.env(), cwd=tmp_path)
        assert {"spadework.bridge", "spadework.calls", "json"} <= found
        strangers = {name for name in found if name.partition(".")[0] not in {*sys.stdlib_module_names, "spadework"}}
        assert strangers == set()
        assert not found & {"dataclasses", "pathlib", "asyncio", "ssl", "hashlib", "subprocess", "threading"}


def test_a_bridge_takes_a_tenth_of_what_the_sdk_takes(tmp_path: Path) -> None:
    with Place(tmp_path) as place:
        agent = place.agent()
        agent.request("tools/list")
        assert psutil.Process(agent.process.pid).memory_info().rss < 15_000_000


def test_version_and_schema_are_those_of_the_distribution_and_its_registry() -> None:
    assert version("spadework") == forms.VERSION
    assert forms.SCHEMA == SCHEMA


def test_a_hello_shows_no_key_to_whoever_prints_it_and_arrives_whole() -> None:
    hello = Hello("mcp", "/w", {"PERPLEXITY_API_KEY": SECRET}, 7, token=SECRET)
    assert SECRET not in f"{hello} {hello!r} {[hello]}"
    assert Hello.of(hello.line()) == hello
    more = json.loads(hello.line()) | {"added_later": 1}
    assert Hello.of(json.dumps(more).encode()) == hello


@pytest.mark.parametrize(
    "said", [b"", b"GET / HTTP/1.1", b"[]", b"{}", Welcome().line(), Hello("dance", "/", {}).line(), line(1, "ping")]
)
def test_what_is_no_hello_is_refused(said: bytes) -> None:
    with pytest.raises(Garbled):
        Hello.of(said)


@pytest.mark.parametrize(
    "environ", [{}, {"SPADEWORK_HOME": "/somewhere/else"}, {"SPADEWORK_HOME": "~/mine"}, {"SPADEWORK_HOME": "relative"}]
)
def test_the_bridge_finds_the_home_that_the_settings_name(environ: dict[str, str]) -> None:
    assert Path(find_home(environ)) == Settings.load(environ).home


def test_the_hello_carries_keys_and_settings_and_the_desk_inherits_neither_key_nor_stranger() -> None:
    environ = {
        "PATH": "/bin", "PPLX_API_KEY": SECRET, "SPADEWORK_LLM_API_KEY": SECRET, "SPADEWORK_CONCURRENCY": "2",
        "AWS_SECRET_ACCESS_KEY": SECRET, "HTTPS_PROXY": "http://proxy", "EXA_API_KEY": "",
    }  # fmt: skip
    assert carried(environ) == {
        "PPLX_API_KEY": SECRET, "SPADEWORK_LLM_API_KEY": SECRET, "SPADEWORK_CONCURRENCY": "2"
    }  # fmt: skip
    assert inherited("/h", environ) == {
        "PATH": "/bin", "HTTPS_PROXY": "http://proxy", "SPADEWORK_CONCURRENCY": "2", "SPADEWORK_HOME": "/h"
    }  # fmt: skip


def test_a_read_is_asked_again_and_a_call_that_was_taken_is_answered() -> None:
    calls = Calls()
    calls.sent(line(1, "tools/list"))
    calls.sent(line("1", "tools/call", name="start_research"))
    calls.sent(line(2, "tools/call", name="check_research"))
    assert not calls.heard(taken(2).encode())
    handshake, again, answers = calls.lost()
    assert handshake == []
    assert again == [line(1, "tools/list"), line(2, "tools/call", name="check_research")]
    (answer,) = map(json.loads, answers)
    assert (answer["id"], answer["error"]["data"]["retryable"]) == ("1", True)
    assert calls.quiet


def test_a_request_that_ends_each_desk_is_given_up() -> None:
    calls = Calls()
    for _ in range(2):
        calls.sent(line(1, "tools/list"))
        assert calls.lost()[1:] == ([line(1, "tools/list")], [])
    calls.sent(line(1, "tools/list"))
    _, again, answers = calls.lost()
    assert (again, len(answers)) == ([], 1)


def test_a_handshake_is_repeated_and_its_second_answer_kept_from_the_client() -> None:
    calls = Calls()
    opened = b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'
    calls.sent(line(0, "initialize"))
    assert calls.lost() == ([], [line(0, "initialize")], []), "an unanswered one is simply asked again"
    calls.sent(line(0, "initialize"))
    assert calls.heard(result(0))
    calls.sent(opened)
    assert calls.lost() == ([line(0, "initialize"), opened], [], [])
    assert calls.greeting
    assert not calls.heard(result(0))
    assert not calls.greeting
    # The same id may be used again once it is free.
    calls.sent(line(0, "tools/list"))
    assert calls.heard(result(0))


def test_an_answer_to_a_question_of_a_dead_desk_reaches_no_other() -> None:
    calls = Calls()
    assert calls.heard(line(5, "roots/list"))
    calls.lost()
    assert not calls.wanted(result(5))
    assert calls.heard(line(6, "roots/list"))
    assert calls.wanted(result(6))


def test_a_cancelled_request_is_waited_for_no_more() -> None:
    calls = Calls()
    calls.sent(line(1, "tools/call", name="check_research"))
    assert not calls.quiet
    calls.sent(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}\n')
    assert calls.quiet


@pytest.mark.parametrize("said", [b"\n", b"{", b"[]\n", b'"x"\n', b"\xff\n", b'{"id":1}\n', b'{"method":7,"id":1}\n'])
def test_lines_that_are_no_messages_are_passed_on_and_remembered_by_nobody(said: bytes) -> None:
    calls = Calls()
    calls.sent(said)
    assert calls.quiet
    assert calls.heard(said)
    assert refused(said, "no desk") in (b"", refused(b'{"method":7,"id":1}', "no desk"))


def test_the_mark_of_a_tool_call_stands_in_every_form_of_it() -> None:
    for separators in ((",", ":"), (", ", ": ")):
        assert MARK in json.dumps({"id": 1, "method": "tools/call"}, separators=separators).encode()


def test_a_socket_in_place_of_a_pipe_copies_both_ways_to_the_end() -> None:
    there, back = os.pipe(), os.pipe()
    inward, outward = pumped(there[0], inward=True), pumped(back[1], inward=False)
    data = os.urandom(1 << 20)
    writer = threading.Thread(target=lambda: (os.write(there[1], b"") or _pour(there[1], data), os.close(there[1])))
    writer.start()
    with socket.socket(fileno=inward) as source, source.makefile("rb") as lines:
        assert lines.read() == data
    writer.join(10)
    with socket.socket(fileno=outward) as sink:
        sink.sendall(b"answer\n")
    assert os.read(back[0], 100) == b"answer\n"


def _pour(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


class StandIn:
    """A desk's door with nobody's tools behind it: it welcomes one bridge and then reads when it is told to."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        self.home = str(home)
        self.lock = Lock(f"{home}/desk.lock")
        assert self.lock.take()
        self.door, self.address = listen(self.home)
        publish(self.home, self.address)
        self.callers: list[socket.socket] = []

    def welcomed(self, more: bytes = b"") -> socket.socket:
        """The next caller, after hello and welcome, with whatever else the desk has to say at once."""
        self.door.settimeout(20)
        caller = self.door.accept()[0]
        caller.settimeout(20)
        self.callers.append(caller)
        with caller.makefile("rb") as said:
            Hello.of(said.readline())
        caller.sendall(Welcome().line() + more)
        return caller

    def close(self) -> None:
        retire(self.home, self.address)
        for caller in self.callers:
            caller.close()
        self.door.close()
        self.lock.close()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[StandIn]:
    made = StandIn(tmp_path / "home")
    yield made
    made.close()


def test_a_desk_that_does_not_read_makes_the_client_wait_and_loses_nothing(tmp_path: Path, door: StandIn) -> None:
    with Place(tmp_path) as place:
        agent = place.agent()
        caller = door.welcomed()
        sent = 0
        text = b"x" * 100_000
        assert agent.process.stdin
        os.set_blocking(agent.process.stdin.fileno(), False)
        stream = b"".join(line(number, "tools/call", text=text.decode()) for number in range(300))
        # Thirty megabytes into a bridge whose other side stands still: it takes two at most and then lets us wait.
        view = memoryview(stream)
        while sent < len(stream):
            taken_now = agent.process.stdin.write(view[sent:])
            if not taken_now and not _moves(agent):
                break
            sent += taken_now or 0
        assert sent < 4_000_000
        assert psutil.Process(agent.process.pid).memory_info().rss < 40_000_000
        os.set_blocking(agent.process.stdin.fileno(), True)
        rest = threading.Thread(target=_pour, args=(agent.process.stdin.fileno(), stream[sent:]))
        rest.start()
        got = bytearray()
        while len(got) < len(stream):
            got += caller.recv(1 << 20)
        rest.join(20)
        assert got == stream
        caller.close()


def _moves(agent: Agent) -> bool:
    """Whether the bridge takes anything within half a second."""
    assert agent.process.stdin
    return bool(select.select([], [agent.process.stdin], [], 0.5)[1])


def test_a_line_of_many_megabytes_arrives_whole(tmp_path: Path, door: StandIn) -> None:
    with Place(tmp_path) as place:
        agent = place.agent()
        caller = door.welcomed()
        long = line(1, "tools/call", text="z" * 8_000_000)
        assert agent.process.stdin
        writer = threading.Thread(target=_pour, args=(agent.process.stdin.fileno(), long))
        writer.start()
        with caller, caller.makefile("rb") as said:
            assert said.readline() == long
        writer.join(20)


def test_a_client_that_does_not_read_makes_the_desk_wait(tmp_path: Path, door: StandIn) -> None:
    with Place(tmp_path) as place:
        agent = place.agent()
        caller = door.welcomed()
        caller.settimeout(0)
        answers = b"".join(json.dumps({"id": n, "result": "y" * 100_000}).encode() + b"\n" for n in range(200))
        view, sent = memoryview(answers), 0
        while sent < len(answers):
            try:
                sent += caller.send(view[sent:])
            except BlockingIOError:
                if not select.select([], [caller], [], 0.5)[1]:
                    break
        assert sent < 4_000_000
        caller.settimeout(20)
        rest = threading.Thread(target=caller.sendall, args=(view[sent:],))
        rest.start()
        assert [agent.line(20)["id"] for _ in range(200)] == list(range(200))
        rest.join(20)
        caller.close()


def test_what_listens_at_a_published_address_without_welcoming_is_left_to_people(tmp_path: Path, door: StandIn) -> None:
    with Place(tmp_path) as place:
        agent = place.agent()
        door.door.settimeout(20)
        caller = door.door.accept()[0]
        caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        agent.process.wait(20)
        assert agent.process.returncode == 1
        assert "does not speak as a desk does" in agent.said
        caller.close()


def test_a_desk_that_wants_to_go_in_the_same_breath_as_it_welcomes_is_left_for_the_next(
    tmp_path: Path, door: StandIn
) -> None:
    draining = line(None, "spadework/draining")
    with Place(tmp_path) as place:
        agent = place.agent()
        with door.welcomed(draining) as first:
            assert first.recv(1) == b""
        number = agent.send("tools/list")
        with door.welcomed() as second, second.makefile("rb") as said:
            assert json.loads(said.readline())["id"] == number


def test_an_address_that_leads_nowhere_is_no_desk(tmp_path: Path) -> None:
    home = str(tmp_path)
    with pytest.raises(Shut):
        call(home)
    rows: list[object] = [[], {}, {"unix": 7}, 7, None]
    rows += [{"unix": "/nowhere.sock", "port": 0, "token": "", "pid": 1}]
    rows += [{"unix": "", "port": port, "token": "x", "pid": 1} for port in (0, -1, 9, 99_999, "x", None)]
    for text in ("", "\0", "{", *map(json.dumps, rows)):
        (tmp_path / "desk.json").write_text(text, encoding="utf-8")
        with pytest.raises(Shut):
            call(home)


def test_a_lock_is_one_holders_and_free_with_its_end(tmp_path: Path) -> None:
    first, second = Lock(str(tmp_path / "l")), Lock(str(tmp_path / "l"))
    assert first.take()
    assert not second.take()
    first.close()
    assert second.take()
    second.close()


def test_a_stale_socket_and_address_of_a_killed_desk_need_no_hand(tmp_path: Path) -> None:
    with Place(tmp_path) as place:
        place.agent(MODERN).request("tools/list")
        pid = place.kill()
        until(lambda: not psutil.pid_exists(pid), 10, "the desk's end")
        assert find(str(place.home)) is not None
        assert (place.home / "desk.sock").exists()
        assert len(place.agent().request("tools/list")["result"]["tools"]) == 4
