"""What all stand-ins share: keys, a clock, scripts, a ledger, a log of requests, and the gate where faults act."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from tests.standins.faults import REFUSALS, Fault, Faults, Kind, encode, spoil
from tests.standins.ledger import Ledger
from tests.standins.script import Run, Script
from tests.standins.server import App, Message, Receive, Scope, Send, serve, serving
from tests.standins.webhooks import Courier

KEY = "sk_live_4242424242424242"


class Refused(Exception):
    """The vendor's answer is an error: its code, its body, its headers."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {body}")
        self.status, self.body, self.headers = status, body, headers or {}


@dataclass(slots=True)
class Seen:
    """One request as it came in, and the status it got (None: not answered yet, cut, or left silent).

    It is in the log before anything is done about it, so that whoever has an answer finds it there.
    """

    where: str
    method: str
    path: str
    at: float
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    query: str = ""
    status: int | None = None


class Standin:
    """One vendor on loopback.

    `script` is the course of the next runs; `scripts` overrides it for runs whose submit carries the given words.
    """

    vendor = "nobody"

    def __init__(self, *, keys: Iterable[str] = (KEY,), clock: Callable[[], float] = time.time) -> None:
        self.keys = set(keys)
        self.clock = clock
        self.script = Script()
        self.scripts: dict[str, Script] = {}
        self.faults = Faults()
        self.ledger = Ledger()
        self.log: list[Seen] = []
        self.runs: dict[str, Run] = {}
        self.courier = Courier(clock)

    def routes(self) -> list[Route]:
        """The vendor's paths."""
        raise NotImplementedError

    def where(self, method: str, path: str) -> str:
        """What a request is about, in one word: the name by which faults and the log call it."""
        raise NotImplementedError

    def refusal(self, fault: Fault) -> Refused:
        """The vendor's own words for a switched refusal."""
        raise NotImplementedError

    def app(self) -> App:
        """The vendor's API as an ASGI app, behind the gate."""
        inner = Starlette(routes=self.routes(), exception_handlers={Refused: _refuse, 404: self._lost, 405: self._lost})
        return Gate(self, inner)

    def serve(self) -> AbstractAsyncContextManager[str]:
        """Serve while the block runs; gives the base URL."""
        return self._serve()

    def serving(self) -> AbstractContextManager[str]:
        """The same, for synchronous tests."""
        return self._serving()

    @asynccontextmanager
    async def _serve(self) -> AsyncIterator[str]:
        async with serve(self.app()) as url:
            try:
                yield url
            finally:
                self.courier.stop()

    @contextmanager
    def _serving(self) -> Iterator[str]:
        with serving(self.app()) as url:
            try:
                yield url
            finally:
                self.courier.stop()

    def script_for(self, body: Any) -> Script:
        """The course of a new run."""
        text = json.dumps(body, ensure_ascii=False)
        return next((script for words, script in self.scripts.items() if words in text), self.script)

    def said(self, path: str, body: bytes) -> str:
        """All the words a request carries or refers to."""
        known = [json.dumps(run.body, ensure_ascii=False) for run in self._named(path)]
        return "\n".join([path, body.decode("utf-8", "replace"), *known])

    def _named(self, path: str) -> list[Run]:
        return [self.runs[part] for part in path.split("/") if part in self.runs]

    def count(self, where: str) -> int:
        """How many requests of this kind came in."""
        return sum(1 for seen in self.log if seen.where == where)

    async def _lost(self, request: Request, error: Exception) -> Response:
        return _refuse(request, self.unknown(request.url.path))

    def unknown(self, path: str) -> Refused:
        """The vendor's 404 for a path it does not have."""
        return Refused(404, {"error": {"message": f"no route {path}", "code": 404}})


class Gate:
    """Where faults act: in front of the vendor's app, on the raw messages."""

    def __init__(self, standin: Standin, app: App) -> None:
        self.standin, self.app = standin, app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        where = self.standin.where(scope["method"], scope["path"])
        faults = self.standin.faults
        fault = faults.take(where, lambda: self.standin.said(scope["path"], body)) if faults.armed else None
        seen = _seen(where, scope, body, self.standin.clock())
        self.standin.log.append(seen)

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            await send(message)

        await self._act(fault, scope, _Replay(body, receive), noted)

    async def _act(self, fault: Fault | None, scope: Scope, receive: Receive, send: Send) -> None:
        if fault is None:
            await self.app(scope, receive, send)
        elif fault.kind in REFUSALS:
            refused = self.standin.refusal(fault)
            await _send(send, refused.status, encode(refused.body), refused.headers)
        elif fault.kind is Kind.LOST_BEFORE:
            await scope["extensions"]["drop"]()
        elif fault.kind is Kind.STALL:
            await _disconnected(receive)
        else:
            await self._after(fault, scope, receive, send)

    async def _after(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        """The request is carried out; what goes back is lost or spoiled."""
        reply = _Reply()
        await self.app(scope, receive, reply)
        if fault.kind is Kind.LOST_AFTER:
            await scope["extensions"]["drop"]()
        elif fault.kind is Kind.STALL_AFTER:
            await _disconnected(receive)
        elif fault.kind is Kind.ERROR_AFTER:
            await _send(send, fault.status, b"upstream connect error or disconnect/reset before headers", {})
        elif fault.kind is Kind.TRUNCATED:
            # Left unfinished, the server flushes what there is and closes.
            await _send(send, reply.status, reply.body, {}, cut=True)
        else:
            html = {"content-type": "text/html"} if fault.kind is Kind.HTML else {}
            await _send(send, reply.status, spoil(fault, reply.body), html)


class _Replay:
    """A request's body once more, then whatever the connection says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Reply:
    """Keeps an answer instead of sending it."""

    def __init__(self) -> None:
        self.status, self.body = 200, b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.body += message.get("body", b"")


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, status: int, body: bytes, headers: dict[str, str], *, cut: bool = False) -> None:
    """One whole answer, or one that promises its full length and carries only half of it."""
    carried = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in carried.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    half = body[: len(body) // 2] if cut else body
    await send({"type": "http.response.body", "body": half, "more_body": cut})


def _seen(where: str, scope: Scope, body: bytes, at: float) -> Seen:
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return Seen(where, scope["method"], scope["path"], at, headers, body, scope["query_string"].decode())


def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return reply(error.body, error.status, error.headers)


def reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(encode(value), status, headers, "application/json")


def stream(events: Iterable[dict[str, Any]], *, bare: bool = False) -> StreamingResponse:
    """A server-sent event stream, one event each; `bare` leaves all but the data lines out."""

    def lines() -> Iterator[bytes]:
        for event in events:
            name = b"" if bare else f"event: {event['type']}\n".encode()
            mark = f"id: {event['event_id']}\n".encode() if event.get("event_id") and not bare else b""
            yield name + mark + b"data: " + encode(event) + b"\n\n"

    async def flow() -> AsyncIterator[bytes]:
        for line in lines():
            yield line

    return StreamingResponse(flow(), media_type="text/event-stream")


def bearer(request: Request) -> str | None:
    """The token of a Bearer header, or None."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token if kind == "Bearer" and token else None


def stamp(at: float) -> str:
    """A time as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def mint(prefix: str = "") -> str:
    """A new id."""
    return f"{prefix}{uuid.uuid4().hex}"
