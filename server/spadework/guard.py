"""The guard at the HTTP door: every request of every route passes it, whatever the route is.

Why around the whole app and not on each route: the one route that was forgotten is how servers of this kind are
broken into. Refused are, in this order: a Host that is not ours (421), a page of another origin (403), a caller
without a valid token (401) or with one that does not allow this (403), too much at once (429), and a body that is
too large (413).
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spadework.auth import IssuerSilent, Principal, Verifier
from spadework.quota import Crowd, Rate

log = logging.getLogger(__name__)

#: The largest body of a request, bytes; how long it may take to come is the listener's affair.
LARGEST_BODY = 4 << 20
#: So much of a body that is too large is read and thrown away before its sender is cut off, bytes.
DRAINED = 32 << 20
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
#: JSON-RPC's own code for a request that is none, and the one left to servers (JSON-RPC 2.0, section 5.1).
_INVALID, _SERVER = -32600, -32000
#: The method, in its header, whose answer lasts until somebody ends it.
_LISTEN = b"subscriptions/listen"


class Visitor(AuthenticatedUser):
    """An authenticated caller as the SDK's transports know one; they let nobody else use its session."""

    def __init__(self, principal: Principal) -> None:
        claims = {"iss": principal.issuer} if principal.issuer else None
        super().__init__(
            AccessToken(
                token="", client_id=principal.client, scopes=list(principal.scopes), subject=principal.owner,
                claims=claims,
            )
        )  # fmt: skip
        self.owner = principal.owner


@dataclass(frozen=True)
class Place:
    """What the guard knows of the place: which names are ours, what stands open, who may come in.

    Args:
        hosts: names that a request may ask for, beside those of loopback.
        origins: origins whose pages may call, as `scheme://host[:port]`.
        local: whether pages served by this very machine may call.
        verifier: judges tokens; None: nobody needs one.
        scope: what a token must allow.
        metadata: by path, where that door's protected-resource metadata stands (RFC 9728).
        doors: paths that need no token.
    """

    hosts: Collection[str]
    origins: Collection[str]
    local: bool
    verifier: Verifier | None = None
    scope: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    doors: Collection[str] = ()

    def named(self, host: str) -> bool:
        """Whether a Host header names us; ports are not looked at, since they may be forwarded."""
        name = _name(host)
        return name in LOOPBACK or name in self.hosts

    def welcome(self, origin: str) -> bool:
        """Whether a page of that origin may call."""
        if origin.lower() in self.origins:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            # Brackets that hold no address, for one.
            return False
        return self.local and parts.scheme in ("http", "https") and _name(parts.netloc) in LOOPBACK


@lru_cache(maxsize=1_024)
def _visitor(principal: Principal) -> Visitor:
    return Visitor(principal)


class Refusal(Exception):
    """A request that goes no further: its status, what is said of it, and headers."""

    def __init__(self, status: int, why: str, headers: Mapping[str, str] | None = None, code: int = _INVALID) -> None:
        super().__init__(why)
        self.status, self.why, self.headers, self.code = status, why, headers or {}, code


class Guard:
    """The guard, an ASGI app around another.

    Args:
        app: the app behind it.
        place: what it knows of the place.
        rate: requests a minute for each owner.
        crowd: requests at once for each owner.
        owner: whose request one without a token is, where none is needed.
    """

    def __init__(self, app: ASGIApp, place: Place, rate: Rate, crowd: Crowd, owner: str) -> None:
        self._app, self._place, self._rate, self._crowd, self._owner = app, place, rate, crowd, owner
        self._streams: set[anyio.CancelScope] = set()
        self._closing = False

    def close(self) -> None:
        """End every open stream, which no client waits on, and open no more; calls under way go on."""
        self._closing = True
        for scope in list(self._streams):
            scope.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge a request and, if it may, hand it on."""
        if scope["type"] != "http":
            return
        try:
            headers = _headers(scope)
            self._judge(headers)
            if scope["path"] in self._place.doors:
                await self._app(scope, receive, send)
                return
            owner = await self._admitted(scope, headers)
            with self._crowd.admit(owner) as room:
                if not room:
                    raise _busy("this owner has too many requests open at once", 1)
                if wait_s := self._rate.spend(owner):
                    raise _busy("this owner sends too many requests", wait_s)
                await self._serve(scope, headers, await _held(headers, receive), send)
        except Refusal as refusal:
            await _refuse(refusal, send)

    def _judge(self, headers: Mapping[bytes, list[bytes]]) -> None:
        """Raises Refusal for a request to another host, or from a page that is not ours."""
        hosts, origins = headers.get(b"host", []), headers.get(b"origin", [])
        if len(hosts) != 1 or not self._place.named(hosts[0].decode("latin-1")):
            raise Refusal(421, "Invalid Host header: this server is not called that. See SPADEWORK_ALLOWED_HOSTS.")
        if origins and (len(origins) > 1 or not self._place.welcome(origins[0].decode("latin-1"))):
            raise Refusal(403, "Invalid Origin header: pages of that origin may not call this server.")

    async def _admitted(self, scope: Scope, headers: Mapping[bytes, list[bytes]]) -> str:
        """The owner of a request. Raises Refusal where its token is missing, invalid or not enough."""
        verifier = self._place.verifier
        if verifier is None:
            return self._owner
        given = headers.get(b"authorization", [])
        kind, _, token = given[0].decode("latin-1").partition(" ") if len(given) == 1 else ("", "", "")
        if kind.lower() != "bearer" or not token.strip():
            raise self._challenge(scope, 401, "", "Authentication required: send a bearer token.")
        try:
            principal = await verifier.verify(token.strip())
        except IssuerSilent as trouble:
            log.warning("%s", trouble)
            raise Refusal(503, str(trouble), {"retry-after": "30"}, _SERVER) from None
        if principal is None:
            raise self._challenge(scope, 401, "invalid_token", "The token is not valid for this server.")
        if self._place.scope not in principal.scopes:
            needed = f"The token does not allow the scope {self._place.scope}."
            raise self._challenge(scope, 403, "insufficient_scope", needed)
        scope["user"] = _visitor(principal)
        return principal.owner

    def _challenge(self, scope: Scope, status: int, error: str, why: str) -> Refusal:
        """A refusal that tells the client how to get a token (RFC 6750, section 3; RFC 9728, section 5.1)."""
        parts = [f'error="{error}"', f'error_description="{why}"'] if error else []
        parts.append(f'scope="{self._place.scope}"')
        metadata = self._place.metadata.get(scope["path"]) or self._place.metadata.get("")
        if metadata is not None:
            parts.append(f'resource_metadata="{metadata}"')
        return Refusal(status, why, {"www-authenticate": f"Bearer {', '.join(parts)}"})

    async def _serve(self, scope: Scope, headers: Mapping[bytes, list[bytes]], receive: Receive, send: Send) -> None:
        """Hand a request on; one that opens a stream ends with the desk, whole and without an error."""
        if scope["method"] == "POST" and headers.get(b"mcp-method") != [_LISTEN]:
            await self._app(scope, receive, send)
            return
        if self._closing:
            raise _busy("this desk is about to end", 1)
        # No events are kept that could be sent again: who asks for those it missed gets the stream from now on.
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"last-event-id"]
        stream = _Ending(send)
        with anyio.CancelScope() as held:
            self._streams.add(held)
            try:
                await self._app(scope, receive, stream)
            finally:
                self._streams.discard(held)
        if held.cancelled_caught:
            await stream.end()


class _Ending:
    """An answer being sent, that can be brought to its proper end."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = self._ended = False

    async def __call__(self, message: Message) -> None:
        self._begun = True
        self._ended = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)

    async def end(self) -> None:
        """Send what is still owed."""
        if not self._begun:
            await _refuse(_busy("this desk is about to end", 1), self._send)
        elif not self._ended:
            with suppress(OSError):
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _held(headers: Mapping[bytes, list[bytes]], receive: Receive) -> Receive:
    """A request's body, read whole within its limit, and what comes after it. Raises Refusal."""
    declared = headers.get(b"content-length", [b"0"])[0]
    if b"expect" in headers and declared.isdigit() and int(declared[:20]) > LARGEST_BODY:
        raise _too_large()
    messages = await _read(receive)

    async def replay() -> Message:
        return messages.popleft() if messages else await receive()

    return replay


async def _read(receive: Receive) -> deque[Message]:
    """A whole body as one message, and the client's going if it went meanwhile. Raises Refusal."""
    message = await receive()
    if not message.get("more_body", False):
        return deque([message])
    body = bytearray(message["body"])
    size = len(body)
    while message.get("more_body", False) and size <= DRAINED:
        message = await receive()
        size += len(message.get("body", b""))
        if size <= LARGEST_BODY:
            body += message.get("body", b"")
        else:
            # Read on for a while: a client that is still sending would get a reset instead of the answer.
            body.clear()
    if size > LARGEST_BODY:
        raise _too_large()
    if message["type"] != "http.request":
        return deque([message])
    return deque([{"type": "http.request", "body": bytes(body)}])


def _too_large() -> Refusal:
    return Refusal(413, f"Request body too large: the limit is {LARGEST_BODY} bytes.", {"connection": "close"})


def _headers(scope: Scope) -> dict[bytes, list[bytes]]:
    """The headers that are judged here, each with all its values."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        if name in _JUDGED:
            found.setdefault(name, []).append(value)
    return found


_JUDGED = frozenset({b"host", b"origin", b"authorization", b"content-length", b"expect", b"mcp-method"})


def _name(host: str) -> str:
    """The name in a `name[:port]`, in lower case; empty where the port is no number."""
    name, bracket, rest = host.partition("]") if host.startswith("[") else ("", "", host)
    bare, _, port = rest.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return ""
    return (name + bracket if bracket and not bare else bare).lower()


def _busy(why: str, wait_s: int) -> Refusal:
    return Refusal(429, f"rate_limited: {why}. Try again in {wait_s} s.", {"retry-after": str(wait_s)}, _SERVER)


async def _refuse(refusal: Refusal, send: Send) -> None:
    """Answer with a JSON-RPC error that belongs to no request, which is how the specification lets a refusal look."""
    error = {"code": refusal.code, "message": refusal.why}
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode("latin-1", "replace")) for name, value in refusal.headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
