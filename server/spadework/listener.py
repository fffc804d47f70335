"""A TCP port that HTTP is spoken on: where it may be, how slow a client may be, and how it ends.

uvicorn's own `run` would take the signals that are the desk's, wake ten times a second, wait for ever on a client that
never ends its headers, and leave Nagle's algorithm on (44 ms an answer) where the socket's protocol is not named.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, cast

import anyio
import h11
import uvicorn
from anyio.abc import TaskStatus
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from spadework_tools.errors import BadRequest

#: How long a client may take over the head of a request and over its body, and be idle between two, seconds.
HEAD_S: Final = 10.0
BODY_S: Final = 30.0
IDLE_S: Final = 15
#: Connections at once; beyond them a request is answered with 503. Below the usual limit of 1,024 open files.
CONNECTIONS: Final = 600
#: The largest head of a request, bytes.
LARGEST_HEAD: Final = 64 << 10
#: How long calls under way may take when the desk is to end, seconds.
GRACE_S: Final = 5
#: A peer that is gone without a word is noticed after so many seconds of silence, and as many of unanswered probes.
SILENCE_S: Final = 30


def parsed(place: str) -> tuple[str, int]:
    """The host and port of `HOST:PORT`, `[HOST]:PORT` or `PORT` alone (loopback). Raises BadRequest."""
    host, _, port = place.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise BadRequest(f"--http {place!r} names no address. Give HOST:PORT, for example 127.0.0.1:8765.")
    return host, int(port)


def bound(host: str, port: int) -> socket.socket:
    """A socket that is bound but does not listen yet. Raises BadRequest when that address cannot be had."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Named, or asyncio leaves Nagle's algorithm on for the connections that come of it.
        line = socket.socket(family, kind, socket.IPPROTO_TCP)
    except OSError as error:
        raise BadRequest(f"{host} cannot be listened on ({error.strerror}). Give an address of this machine.") from None
    try:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _watch(line)
        line.bind(address)
    except OSError as error:
        line.close()
        raise BadRequest(f"{host}:{port} cannot be listened on ({error.strerror}). Give a free port.") from None
    return line


def _watch(line: socket.socket) -> None:
    """Have the kernel look after silent peers; what comes of a listening socket inherits it."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", SILENCE_S), ("TCP_KEEPINTVL", SILENCE_S // 3), ("TCP_KEEPCNT", 3)):
        if (option := getattr(socket, name, None)) is not None:
            line.setsockopt(socket.IPPROTO_TCP, option, value)
    if (option := getattr(socket, "TCP_USER_TIMEOUT", None)) is not None:
        line.setsockopt(socket.IPPROTO_TCP, option, 2 * SILENCE_S * 1_000)


def exposed(line: socket.socket) -> bool:
    """Whether others than this machine can reach a bound socket."""
    return not ipaddress.ip_address(line.getsockname()[0]).is_loopback


class Corked:
    """A transport that hands on what was written in one turn of the loop as one piece.

    uvicorn writes an answer's head and body apart, and the second system call costs as much as the whole guard.
    """

    def __init__(self, transport: Any, loop: Any) -> None:
        self._transport, self._loop = transport, loop
        self._held: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send soon."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        """Send what is held, and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = b"".join(self._held), []
            self._transport.write(held)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Timed(H11Protocol):
    """A connection whose client must send each request in time, however it drips; a whole one costs nothing."""

    _late: Any = None

    def connection_made(self, transport: Any) -> None:
        """Begin; the first head is due."""
        super().connection_made(cast("Any", Corked(transport, self.loop)))
        self._expect(HEAD_S)

    def data_received(self, data: bytes) -> None:
        """Take bytes; what they leave unfinished is due."""
        before = self.conn.their_state
        super().data_received(data)
        after = self.conn.their_state
        if after is h11.IDLE and self._late is None:
            self._expect(HEAD_S)
        elif after is h11.SEND_BODY and before is not h11.SEND_BODY:
            self._expect(BODY_S)
        elif after not in (h11.IDLE, h11.SEND_BODY):
            self._forget()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._forget()
        super().connection_lost(exc)

    def _expect(self, within_s: float) -> None:
        self._forget()
        self._late = self.loop.call_later(within_s, self.transport.abort)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Listener(uvicorn.Server):
    """Serves an app on a bound socket until it is time to close; `on_close` is called then, before any waiting.

    Streams should end in `on_close`; calls under way have `GRACE_S`.
    """

    def __init__(self, app: ASGIApp, line: socket.socket, closing: anyio.Event, on_close: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            http=Timed,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=LARGEST_HEAD,
        )
        super().__init__(config)
        self._line, self._closing, self._on_close = line, closing, on_close
        self._status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED

    async def run_until_closed(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve; started as soon as clients can connect."""
        self._status = task_status
        await self.serve(sockets=[self._line])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        self._status.started()

    async def main_loop(self) -> None:
        """Wait; once a second the `Date` header moves on."""
        while not self._closing.is_set():
            await self.on_tick(0)
            with anyio.move_on_after(1.0):
                await self._closing.wait()
        self._on_close()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to the desk."""
        yield
