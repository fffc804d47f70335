"""The port: addresses it takes, slow clients it drops, and its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import pytest

from spadework import listener
from spadework.listener import Listener, bound, exposed, parsed
from spadework_tools.errors import BadRequest

pytestmark = pytest.mark.anyio


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the body it was sent, or not at all when the client went away."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if scope["path"] == "/slow":
        await anyio.sleep(1)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[int, anyio.Event]]:
    line, closing = bound("127.0.0.1", 0), anyio.Event()
    port = line.getsockname()[1]
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            await group.start(Listener(echo, line, closing, lambda: None).run_until_closed)
            yield port, closing
            closing.set()


async def heard(stream: anyio.abc.SocketStream) -> bytes:
    """All that comes until the other side closes."""
    found = b""
    try:
        while True:
            found += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return found


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize(
    "begun", [b"", b"GET / HTTP/1.1\r\nHo", HEAD, HEAD + b"x" * 99], ids=["0", "head", "body", "99"]
)
async def test_a_request_that_does_not_come_to_its_end_is_dropped(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "HEAD_S", 0.3)
    monkeypatch.setattr(listener, "BODY_S", 0.3)
    async with serving() as (port, _), await anyio.connect_tcp("127.0.0.1", port) as stream:
        if begun:
            await stream.send(begun)
        with anyio.fail_after(5):
            assert await heard(stream) == b""


async def test_dripping_does_not_buy_time_and_a_slow_answer_costs_the_client_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "HEAD_S", 0.4)
    monkeypatch.setattr(listener, "BODY_S", 0.4)
    async with serving() as (port, _):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(HEAD)
            with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)), anyio.fail_after(5):
                for _ in range(90):
                    await stream.send(b"x")
                    await anyio.sleep(0.05)
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(HEAD.replace(b"/ ", b"/slow ") + b"y" * 100)
            found = b""
            while not found.endswith(b"y" * 100):
                found += await stream.receive()
            assert found.startswith(b"HTTP/1.1 200")


async def test_many_requests_on_one_connection_are_answered_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HEAD_S", 1.0)
    one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n%03d"
    async with serving() as (port, _), await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(b"".join(one % number for number in range(50)))
        found = b""
        while found.count(b"HTTP/1.1 200") < 50 or not found.endswith(b"049"):
            found += await stream.receive()
        bodies = [part[-3:] for part in found.split(b"HTTP/1.1 200")[1:]]
        assert bodies == [b"%03d" % number for number in range(50)]


async def test_a_call_under_way_is_answered_though_the_port_closes() -> None:
    async with serving() as (port, closing), await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await anyio.sleep(0.2)
        closing.set()
        assert (await heard(stream)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("8765", ("127.0.0.1", 8765)),
        (":8765", ("127.0.0.1", 8765)),
        ("localhost:1", ("localhost", 1)),
        ("[::1]:80", ("::1", 80)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
    ],
)
async def test_an_address_is_read_as_people_write_it(place: str, found: tuple[str, int]) -> None:
    assert parsed(place) == found


@pytest.mark.parametrize("place", ["", "host", "host:", "h:99999", "h:-1", "h:1e3", "h:١٢"])
async def test_what_is_no_address_is_refused_in_words(place: str) -> None:
    with pytest.raises(BadRequest, match="names no address"):
        parsed(place)


@pytest.mark.parametrize(("host", "open_to_all"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
async def test_it_is_known_whether_others_can_reach_a_port(host: str, open_to_all: bool) -> None:
    with bound(host, 0) as line:
        assert exposed(line) is open_to_all
