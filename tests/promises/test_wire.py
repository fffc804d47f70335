"""What comes down the wire cannot end the server, and nothing but protocol goes up."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from tests.journeys.wire import MODERN, Silent, Wire

Start = Callable[..., Wire]

LONE = '"\\ud800"'


def tool_line(number: int, tool: str, arguments: str) -> bytes:
    """A tool call whose arguments are written out by hand."""
    meta = json.dumps(MODERN)
    return (
        f'{{"jsonrpc":"2.0","id":{number},"method":"tools/call",'
        f'"params":{{"name":"{tool}","arguments":{arguments},"_meta":{meta}}}}}\n'
    ).encode()


#: Lines that no sound client sends.
ROT = {
    "empty": b"\n",
    "blank": b"   \t \n",
    "no json": b"{this is no json}\n",
    "half a message": b'{"jsonrpc":"2.0","id":1,\n',
    "a number": b"42\n",
    "null": b"null\n",
    "a list": b"[]\n",
    "a batch": b'[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]\n',
    "no method": b'{"jsonrpc":"2.0","id":1}\n',
    "another protocol": b'{"jsonrpc":"1.0","id":1,"method":"tools/list"}\n',
    "invalid UTF-8": b'{"jsonrpc":"2.0","id":"\xff\xfe","method":"tools/list"}\n',
    "NUL": b"\0\0\0\n",
    "deep": b"[" * 100_000 + b"]" * 100_000 + b"\n",
    "a huge number": b'{"jsonrpc":"2.0","id":' + b"9" * 5_000 + b',"method":"tools/list"}\n',
    "NaN": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":NaN}\n',
    "the same key twice": b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping","method":"pong"}\n',
    "a lone surrogate as method": b'{"jsonrpc":"2.0","id":1,"method":' + LONE.encode() + b"}\n",
    "a lone surrogate as id": b'{"jsonrpc":"2.0","id":' + LONE.encode() + b',"method":"tools/list"}\n',
    "an answer nobody asked for": b'{"jsonrpc":"2.0","id":77,"result":{}}\n',
    "an unknown notification": b'{"jsonrpc":"2.0","method":"notifications/nonsense"}\n',
    "a return instead of a new line": b'{"jsonrpc":"2.0","id":1}\r\n',
}


def test_a_rotten_line_leaves_the_server_alive_and_quick(wire: Start) -> None:
    server = wire()
    server.alive()
    for name, line in ROT.items():
        server.write(line)
        assert server.alive() < 1, f"{name}: {server.said[-2000:]}"


#: Tool arguments with what JSON can say and UTF-8 cannot.
CRACKED = {
    "question": ("start_research", f'{{"question":"What is {LONE[1:-1]} new? [script: report]","engine":"scripted"}}'),
    "label": ("start_research", f'{{"question":"New? [script: report]","engine":"scripted","label":{LONE}}}'),
    "key": ("start_research", f'{{"question":"New [script: report]","engine":"scripted","idempotency_key":{LONE}}}'),
    "engine": ("start_research", f'{{"question":"What is new?","engine":{LONE}}}'),
    "folder": ("start_research", f'{{"question":"What is new?","engine":"local","folders":[{LONE}]}}'),
    "schema": (
        "start_research",
        f'{{"question":"What? [script: report]","engine":"scripted","output_schema":{{"title":{LONE}}}}}',
    ),
    "schema key": (
        "start_research",
        f'{{"question":"Who? [script: report]","engine":"scripted","output_schema":{{{LONE}:{LONE}}}}}',
    ),
    "domain": ("start_research", f'{{"question":"Where?","engine":"scripted","include_domains":["{LONE[1:-1]}.org"]}}'),
    "argument name": ("start_research", f'{{"question":"What is new?",{LONE}:1}}'),
    "failure": ("start_research", f'{{"question":"Why? [script: fail odd {LONE[1:-1]} broke]","engine":"scripted"}}'),
    "job id": ("get_result", f'{{"job_id":{LONE}}}'),
    "job ids": ("check_research", f'{{"job_ids":[{LONE}]}}'),
    "since": ("check_research", f'{{"since":{LONE}}}'),
    "cursor": ("check_research", f'{{"cursor":{LONE}}}'),
    "section": ("get_result", f'{{"job_id":"JOB","view":"section","section":{LONE}}}'),
    "query": ("get_result", f'{{"job_id":"JOB","view":"evidence","query":{LONE}}}'),
    "page": ("get_result", f'{{"job_id":"JOB","cursor":{LONE}}}'),
    "cancel": ("cancel_research", f'{{"job_id":{LONE}}}'),
    "tool": (LONE[1:-1], "{}"),
}


def test_lone_surrogates_in_any_argument_are_answered_and_come_back_as_sound_text(wire: Start) -> None:
    server = wire()
    job_id = server.ask("start_research", question="Sound [script: report 3000]", engine="scripted")["job_id"]
    wrong: list[str] = []
    for number, (name, (tool, arguments)) in enumerate(CRACKED.items(), 1_000):
        server.write(tool_line(number, tool, arguments.replace("JOB", job_id)))
        try:
            answer = server.reply(number, within=4)
        except Silent:
            wrong.append(f"{name}: no answer")
            continue
        shown = json.dumps(answer, ensure_ascii=False)
        shown.encode("utf-8")
        if "internal" in shown:
            wrong.append(f"{name}: {shown}")
    assert not wrong, "\n".join([*wrong, server.said[-1500:]])
    found = server.ask("check_research", wait_s=2)
    json.dumps(found, ensure_ascii=False).encode("utf-8")
    for job in found["jobs"]:
        result = server.call("get_result", {"job_id": job["job_id"], "view": "full"})
        json.dumps(result, ensure_ascii=False).encode("utf-8")
    assert server.alive() < 1


def test_a_question_of_20_megabytes_is_refused_in_words_and_leaves_no_mark(wire: Start) -> None:
    server = wire()
    server.alive()
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    begun = time.monotonic()
    result = server.call("start_research", {"question": "why? " * 4_000_000, "engine": "scripted"})
    assert result["isError"]
    assert "20000" in result["content"][0]["text"]
    assert len(json.dumps(result)) < 2_000
    assert time.monotonic() - begun < 20
    assert server.alive() < 1
    assert process.memory_info().rss - before < 400 * 1024 * 1024
    assert server.ask("check_research")["jobs"] == []


def test_a_20_megabyte_line_of_rot_is_survived(wire: Start) -> None:
    server = wire()
    server.alive()
    server.write(b'{"jsonrpc": "2.0", "id": 5, "method": "' + b"x" * 20_000_000 + b'"')
    server.write(b"\n")
    assert server.alive() < 5


def test_a_report_of_300_kilobytes_comes_in_pages_that_fit(wire: Start) -> None:
    server = wire(inline_s=0)
    job_id = server.ask("start_research", question="Much [script: report 300000]", engine="scripted")["job_id"]
    while server.ask("check_research", job_ids=[job_id], wait_s=20)["jobs"][0]["status"] != "completed":
        pass
    for view in ("brief", "outline", "citations", "data", "full"):
        result = server.call("get_result", {"job_id": job_id, "view": view, "max_chars": 20_000})
        assert len(result["content"][0]["text"]) <= 20_000, view
        assert len(json.dumps(result)) < 48_000, view


def test_nothing_but_protocol_goes_to_stdout_whatever_happens(wire: Start, tmp_path: Path) -> None:
    server = wire(inline_s=0)
    for script in ("crash", "report", "fail odd It broke. Leave it.", "none", "hang"):
        server.ask("start_research", question=f"{script} [script: {script}]", engine="scripted")
    server.write(b"rot\n")
    server.alive()
    server.ask("check_research", wait_s=1)
    begun = time.monotonic()
    server.process.stdin.close()  # type: ignore[union-attr]
    server.process.wait(10)
    assert time.monotonic() - begun < 1
    os.set_blocking(server.process.stdout.fileno(), True)  # type: ignore[union-attr]
    for line in server.process.stdout.read().splitlines():  # type: ignore[union-attr]
        assert json.loads(line)["jsonrpc"] == "2.0"


def test_an_unknown_method_and_an_unknown_tool_are_protocol_errors(wire: Start) -> None:
    server = wire()
    assert server.request("research/start")["error"]["code"] == -32601
    answer = server.request("tools/call", {"name": "deep_research", "arguments": {}})
    assert answer["error"]["code"] == -32602
    assert "deep_research" in answer["error"]["message"]
    answer = server.request("tools/call", {"name": "get_result", "arguments": "job"})
    assert "error" in answer or answer["result"]["isError"]
    assert server.alive() < 1


def test_a_client_that_does_not_read_blocks_nobody_else(wire: Start) -> None:
    deaf, other = wire(), wire()
    job_id = deaf.ask("start_research", question="Much [script: report 60000]", engine="scripted")["job_id"]
    for _ in range(40):
        deaf.send("tools/call", {"name": "get_result", "arguments": {"job_id": job_id, "view": "full"}})
    begun = time.monotonic()
    assert other.ask("start_research", question="Else [script: report]", engine="scripted")["created"] is True
    assert time.monotonic() - begun < 5
