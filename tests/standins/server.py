"""Runs an ASGI app on a real loopback socket, in a thread with its own loop, so that any client can call it.

A thread, because the vendors' synchronous SDKs block theirs, and because a test may run on trio. An app finds a
function under `scope["extensions"]["drop"]` that cuts its connection without a byte of reply.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import anyio.to_thread
import uvicorn

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

STOP_S = 10.0


class _Swift(uvicorn.Server):
    """Sees within a hundredth of a second, not a tenth, that it is to end, and takes no leave of anyone."""

    async def main_loop(self) -> None:
        await self.on_tick(0)
        while not self.should_exit:  # noqa: ASYNC110 - the flag is set from another thread
            await anyio.sleep(0.01)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # type: ignore[union-attr]


def _listen() -> socket.socket:
    """A listening socket. It names its protocol: asyncio turns Nagle's delay (40 ms a reply) off only where it does."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    return listener


class Host:
    """One app on one port. What the app raised is kept, so that a defect of a stand-in fails its test."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._socket = _listen()
        config = uvicorn.Config(
            self,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level=60,
            access_log=False,
            timeout_keep_alive=75,
        )
        self._server = _Swift(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.errors: list[Exception] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def drop() -> None:
            self._cut(tuple(scope["client"]))
            # The loop has to hear of the cut first, else the server answers 500 into the dead connection.
            while (await receive())["type"] != "http.disconnect":
                pass

        scope.setdefault("extensions", {})["drop"] = drop
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            self.errors.append(error)
            raise

    def _cut(self, client: tuple[Any, ...]) -> None:
        for connection in list(self._server.server_state.connections):
            if getattr(connection, "client", None) == client:
                connection.transport.abort()

    def start(self) -> None:
        """Serve; the socket listens already, so nobody needs to wait."""
        self._thread.start()

    def stop(self) -> None:
        """Cut what is still connected and end; blocks for about a tenth of a second."""
        self._server.force_exit = True
        self._server.should_exit = True
        self._thread.join(STOP_S)
        self._socket.close()
        if self._thread.is_alive():
            raise RuntimeError(f"the server at {self.url} did not stop within {STOP_S:.0f} s")
        if self.errors:
            raise ExceptionGroup(f"the app at {self.url} raised", self.errors)


@contextmanager
def serving(app: App) -> Iterator[str]:
    """Serve while the block runs; gives the base URL. For synchronous tests."""
    host = Host(app)
    host.start()
    try:
        yield host.url
    finally:
        host.stop()


@asynccontextmanager
async def serve(app: App) -> AsyncIterator[str]:
    """Serve while the block runs; gives the base URL. For asynchronous tests, on any event loop."""
    host = Host(app)
    host.start()
    try:
        yield host.url
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(host.stop)
