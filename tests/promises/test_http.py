"""The desk over HTTP: both eras, HTTP+SSE, the codes that the specification names, and nothing else disturbed."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest
from mcp.client import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from tests.journeys import papers, server
from tests.journeys.wire import MODERN
from tests.promises.served import Answer, Served
from tests.promises.test_tools import NAMES

PATHS = (
    "/mcp",
    "/sse",
    "/messages",
    "/healthz",
    "/.well-known/oauth-protected-resource/mcp",
    "/",
    "/jobs",
    "/x/../mcp",
)
METHODS = ("GET", "POST", "DELETE", "OPTIONS", "HEAD")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return papers.library(tmp_path_factory.mktemp("shelf") / "library")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, library: Path) -> Iterator[Served]:
    """One server for all that leaves it as it was."""
    place = tmp_path_factory.mktemp("http")
    with Served(place / "home", place, roots=[library], calls_per_minute=100_000, inline_s=0.2) as process:
        yield process
        assert "Traceback" not in process.said, process.said[-3000:]


def doors(served: Served) -> dict[str, Client]:
    """Each way of a client of the SDK to the server."""
    return {
        "2026-07-28": Client(streamable_http_client(f"{served.url}/mcp"), mode="auto"),
        "2025-11-25": Client(streamable_http_client(f"{served.url}/mcp"), mode="legacy"),
        "sse": Client(sse_client(f"{served.url}/sse"), mode="legacy"),
    }


@pytest.mark.anyio
@pytest.mark.parametrize("door", ["2026-07-28", "2025-11-25", "sse"])
async def test_an_agent_goes_the_whole_way_over_each_door(served: Served, library: Path, door: str) -> None:
    with anyio.fail_after(60), server.alone():
        async with doors(served)[door] as client:
            assert client.protocol_version == ("2025-11-25" if door == "sse" else door)
            assert [tool.name for tool in (await client.list_tools()).tools] == NAMES
            question = f"{papers.QUESTION} Asked over {door}."
            ticket = await server.call(
                client, "start_research", question=question, folders=[str(library)], engine="local"
            )
            assert (await server.ended(client, ticket["job_id"]))["status"] == "completed"
            text, _ = await server.whole(client, ticket["job_id"], view="citations")
            assert "640 metres long" in text
            late = await server.call(client, "cancel_research", job_id=ticket["job_id"])
            assert (late["status"], late["changed"]) == ("completed", False)


@pytest.mark.anyio
async def test_a_job_that_one_door_started_is_seen_through_the_others(served: Served) -> None:
    with anyio.fail_after(60), server.alone():
        tickets: set[str] = set()
        for name, client in doors(served).items():
            async with client:
                asked = f"Seen everywhere {name} [script: report]"
                tickets.add((await server.call(client, "start_research", question=asked, engine="scripted"))["job_id"])
                found = await server.call(client, "check_research", job_ids=sorted(tickets))
                assert {job["job_id"] for job in found["jobs"]} == tickets


def test_health_is_told_to_anybody_who_may_reach_the_port(served: Served) -> None:
    answer = served.raw("GET", "/healthz")
    assert (answer.status, answer.json) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", PATHS)
def test_every_path_refuses_a_foreign_host_and_a_foreign_page(served: Served, path: str) -> None:
    """DNS rebinding: a page makes its own name point here, so its requests carry that name (CVE-2025-66416)."""
    for method in METHODS:
        for host in ("evil.example", "127.0.0.1.evil.example", f"evil.example:{served.port}", "localhost:x", "[::1"):
            assert served.raw(method, path, headers={"Host": host}).status == 421, (method, host)
        for origin in (
            "null",
            "https://evil.example",
            "http://localhost.evil.example",
            "file://",
            "http://127.0.0.1@evil",
            "http://[::1",
        ):
            assert served.raw(method, path, headers={"Origin": origin}).status == 403, (method, origin)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:80"])
def test_the_names_of_this_machine_are_ours_whatever_the_port(served: Served, host: str) -> None:
    assert served.raw("GET", "/healthz", headers={"Host": host, "Origin": f"http://{host.lower()}"}).status == 200


def bad(served: Served) -> dict[str, tuple[Answer, int, int | None]]:
    """Requests that break the protocol: their answer, and the status and code that the specification names."""
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": MODERN}}

    def sent(body: bytes, **headers: str | None) -> Answer:
        return served.raw("POST", "/mcp", body, served.headers("tools/list", **headers))

    whole = json.dumps(listing).encode()
    bare = {key: value for key, value in MODERN.items() if not key.endswith("clientCapabilities")}
    late = {**MODERN, "io.modelcontextprotocol/protocolVersion": "2031-01-01"}
    unknown = {"name": "deep_research", "arguments": {}}
    return {
        "unknown method": (served.post("research/start"), 404, -32601),
        "unknown tool": (served.post("tools/call", unknown), 400, -32602),
        "header and body differ in method": (served.post("tools/list", mcp_method="tools/call"), 400, -32020),
        "header and body differ in name": (served.post("tools/call", unknown, mcp_name="get_result"), 400, -32020),
        "no method header": (served.post("tools/list", mcp_method=None), 400, -32020),
        "header and body differ in version": (
            served.post("tools/list", mcp_protocol_version="2025-11-25x"), 400, -32020,
        ),
        "unsupported version": (served.post("tools/list", meta=late, mcp_protocol_version="2031-01-01"), 400, -32022),
        "no envelope": (served.post("tools/list", meta={}), 400, -32602),
        "half an envelope": (served.post("tools/list", meta=bare), 400, -32602),
        "no JSON": (sent(b"{this is none"), 400, -32700),
        "deep JSON": (sent(b"[" * 200_000), 400, -32700),
        "a batch": (sent(b"[" + whole + b"]"), 400, -32600),
        "a response": (sent(b'{"jsonrpc":"2.0","id":1,"result":{}}'), 400, -32600),
        "another kind of body": (sent(whole, content_type="text/plain"), 400, None),
        "no kind of answer": (sent(whole, accept="text/html"), 406, None),
        "a GET of the stateless era": (served.raw("GET", "/mcp", headers=served.headers("tools/list")), 405, None),
        "a session nobody has": (
            sent(whole, mcp_protocol_version="2025-11-25", mcp_session_id="0" * 32), 404, -32600,
        ),
        "a post to no stream": (
            served.raw("POST", f"/messages?session_id={'0' * 32}", whole, served.headers("")), 404, None,
        ),
        "no route": (served.raw("GET", "/board/../../etc/passwd"), 404, None),
        "a body that says it is large": (sent(b"x", content_length=str(5 << 20), expect="100-continue"), 413, -32600),
        "a large body": (sent(b'{"a":"' + b"x" * (4 << 20) + b'"}'), 413, -32600),
    }  # fmt: skip


def test_what_breaks_the_protocol_gets_the_code_that_the_specification_names(served: Served) -> None:
    wrong: list[str] = []
    for name, (answer, status, code) in bad(served).items():
        found = answer.code if code is not None and answer.body.startswith(b"{") else None
        if (answer.status, found) != (status, code):
            wrong.append(f"{name}: {answer.status} {answer.body[:200]!r}, not {status} {code}")
    assert not wrong, "\n".join(wrong)
    assert served.alive() < 1


def test_a_large_body_without_a_length_is_refused_on_the_way(served: Served) -> None:
    with served.dial() as line:
        head = "".join(f"{name}: {value}\r\n" for name, value in served.headers("tools/list").items())
        line.sendall(f"POST /mcp HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n{head}\r\n".encode())
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(2_000):
                line.sendall(chunk)
    assert served.alive() < 1


def started(served: Served, name: str) -> str:
    asked = {"question": f"{name} [script: read 60 0.1; report]", "engine": "scripted"}
    return served.ask("start_research", **asked)["job_id"]


def test_a_client_that_hangs_up_in_a_long_poll_ends_its_waiting_and_not_the_job(served: Served) -> None:
    job_id = started(served, "Hung up")
    call = {"name": "check_research", "arguments": {"job_ids": [job_id], "wait_s": 45}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {**call, "_meta": MODERN}}
    for _ in range(20):
        headers = served.headers("tools/call", "check_research")
        served.open("POST", "/mcp", headers, json.dumps(message).encode()).close()
    assert served.ended(job_id)["status"] == "completed"


def test_a_start_whose_client_has_gone_is_a_job_all_the_same(served: Served) -> None:
    call = {"name": "start_research", "arguments": {"question": "Gone at once [script: report]", "engine": "scripted"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {**call, "_meta": MODERN}}
    line = served.open("POST", "/mcp", served.headers("tools/call", "start_research"), json.dumps(message).encode())
    assert line.recv(64).startswith(b"HTTP/1.1 200")
    line.close()
    again = served.ask("start_research", **call["arguments"])
    assert again["created"] is False
    assert served.ended(again["job_id"])["status"] == "completed"


def test_idle_and_half_open_connections_block_nobody(served: Served) -> None:
    with ExitStack() as lines:
        for number in range(200):
            line = lines.enter_context(served.dial())
            if number % 2:
                line.sendall(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Le")
        for _ in range(20):
            # A stream that its client opened and then never reads.
            lines.enter_context(served.open("GET", "/sse", {"accept": "text/event-stream"}))
        begun = time.monotonic()
        for _ in range(20):
            served.alive()
        assert time.monotonic() - begun < 4
    assert served.alive() < 1


def test_a_client_that_drips_its_headers_is_closed_within_15_seconds(served: Served) -> None:
    with served.dial() as line:
        line.settimeout(0.5)
        begun = time.monotonic()
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        while time.monotonic() - begun < 20:
            try:
                line.sendall(b"x-drip: 1\r\n")
                if line.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert 5 < time.monotonic() - begun <= 15


def test_a_kept_connection_serves_many_requests_without_nagle_between_them(served: Served) -> None:
    """Nagle's algorithm and delayed acknowledgement cost 40 ms an answer where a socket does not switch it off."""
    with served.dial() as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = time.monotonic()
        for _ in range(100):
            line.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            reply = b""
            while not reply.endswith(b'{"status":"ok"}'):
                reply += line.recv(4096)
        assert time.monotonic() - begun < 3.5


def test_lone_surrogates_over_http_are_answered_in_sound_text(served: Served) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "start_research", "arguments": {"question": "a\ud800b [script: report]", "engine": "scripted"},
        "_meta": MODERN}}).encode()  # fmt: skip
    answer = served.raw("POST", "/mcp", body, served.headers("tools/call", "start_research"))
    assert answer.status == 200
    answer.body.decode("utf-8")
    assert served.alive() < 1


def test_a_client_that_asks_for_events_it_missed_gets_the_stream_from_now_on(served: Served) -> None:
    given = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "late", "version": "1"}}
    opening = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": given}).encode()
    kinds = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    session = served.raw("POST", "/mcp", opening, kinds).headers["mcp-session-id"]
    asked = {"accept": "text/event-stream", "mcp-session-id": session, "last-event-id": "41"}
    with served.open("GET", "/mcp", asked) as line, line.makefile("rb") as said:
        assert said.readline().split()[1] == b"200"
