"""The one door out: every byte that spadework sends over HTTP goes through `Egress`.

Why one door: a guard that some module can walk around guards nothing. A name is resolved once, every address it has
is judged, and the connection goes to the judged address, never to the name again; each redirect is judged anew. Only
what the user configured (a vendor's base URL, an intranet host) passes unjudged, and a redirect never inherits that.
Every answer is bounded in time and in decoded bytes. Proxy and netrc settings of the environment are not read.
"""

from __future__ import annotations

import json as jsonlib
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import anyio
import anyio.to_thread
from ssrfguard import Resolver, SSRFGuardError, Target, resolve

from spadework.policy import CONFIGURED, GUARDED, inspect
from spadework_tools.errors import BadReply, EgressRefused, Unreachable

if TYPE_CHECKING:
    import httpcore2

AGENT = "spadework/0.1 (research desk)"
#: What may follow a redirect to another origin; a key in a header of any name never does.
CARRIED = frozenset({"accept", "accept-language", "user-agent"})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: header names in lower case, the body decoded. `truncated`: a partial read stopped early."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One request and its limits.

    `timeout_s` bounds all of it, redirects included; `max_bytes` the decoded body. `hops` redirects are followed.
    `trust` is a base URL that the user configured: a request to that very origin passes unjudged. `fresh` uses a
    connection of its own, so that no idle one can lose the request; money needs that. `partial` gives what came
    until a limit was met instead of an error, for streams that never end.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    content: bytes | None = None
    timeout_s: float = 30.0
    max_bytes: int = 8 * MIB
    hops: int = 0
    trust: str | None = None
    fresh: bool = False
    partial: bool = False


class Egress:
    """The guarded HTTP client; one for the whole process, closed with `aclose`.

    Args:
        allow_private: hosts (`wiki.lan`, `127.0.0.1:8080`) that the user lets through unjudged.
        tls: another TLS context than the system's, for a private certificate authority.
        lookup: another resolver than the system's; all that it answers is judged.
    """

    def __init__(
        self,
        *,
        allow_private: Collection[str] = (),
        tls: ssl.SSLContext | None = None,
        lookup: Resolver = socket.getaddrinfo,
    ) -> None:
        self._private = frozenset(host.lower() for host in allow_private)
        self._tls = tls
        self._guard = _Guard(lookup)
        self._pools: dict[tuple[bool, bool], httpcore2.AsyncConnectionPool] = {}
        self._ready = False

    async def request(self, call: Call) -> Reply:
        """Send one request and read its answer, whatever its status.

        Raises:
            EgressRefused: the guard lets nobody reach that address; no byte was sent.
            Unreachable: no connection, or no whole answer in time; `sent` says whether a byte may have left.
            BadReply: the answer is larger than allowed, or not decodable.
        """
        sent = _Sent()
        try:
            with anyio.fail_after(call.timeout_s):
                return await self._follow(call, sent)
        except TimeoutError:
            raise _lost(call.url, f"gave no whole answer within {call.timeout_s:g} s", sent) from None
        except SSRFGuardError as refusal:
            raise _refused(call.url, refusal) from None
        except _failures() as error:
            raise _lost(call.url, f"dropped the connection ({type(error).__name__})", sent) from None

    def judge(self, url: str) -> None:
        """Refuse an address that can be seen to be wrong before anything is sent: what a name leads to shows later.

        Only a host that the user lets through may have plain http or an unusual port. Raises EgressRefused.
        """
        try:
            inspect(url, passes=self._passes(Call("POST", url)))
        except SSRFGuardError as refusal:
            raise _refused(url, refusal, "https") from None

    async def aclose(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.aclose()
        self._pools.clear()

    async def _follow(self, call: Call, sent: _Sent) -> Reply:
        """The request and, as far as `hops` allows, its redirects; each target is judged as if it were the first."""
        for _ in range(call.hops + 1):
            reply = await self._once(call, sent)
            place = reply.headers.get("location")
            if reply.status not in REDIRECTS or place is None or call.hops == 0:
                return reply
            call = _moved(call, reply.status, urljoin(call.url, place))
        raise BadReply(
            f"{_host(call.url)} redirects more than {call.hops} times, so nothing was read. Give its target."
        )

    async def _once(self, call: Call, sent: _Sent) -> Reply:
        plain = self._passes(call)
        target = (CONFIGURED if plain else GUARDED).check_url(call.url)
        pool = await self._pool(plain=plain, secure=target.scheme == "https", fresh=call.fresh)
        try:
            async with pool.stream(
                call.method,
                _wire_url(call.url, target),
                headers=_headers(call),
                content=call.content,
                extensions={"timeout": _timeouts(call.timeout_s), "trace": sent.watch},
            ) as response:
                headers = _fold(response.headers)
                # Left half read (too large, garbled), a generator is closed here and not whenever it is collected.
                async with aclosing(response.aiter_stream()) as chunks:
                    body, truncated = await _read(chunks, headers, call)
                return Reply(response.status, headers, body, call.url, truncated)
        finally:
            if call.fresh:
                await pool.aclose()

    def _passes(self, call: Call) -> bool:
        """Whether the user configured this very origin, or lets its host through."""
        if call.trust is not None and _origin(call.trust) == _origin(call.url):
            return True
        host = (_split(call.url).hostname or "").lower()
        return host in self._private or f"{host}:{_port(call.url)}" in self._private

    async def _pool(self, *, plain: bool, secure: bool, fresh: bool) -> httpcore2.AsyncConnectionPool:
        # Judged and unjudged requests share no connection: one opened for a configured origin serves nothing else.
        pool = None if fresh else self._pools.get((plain, secure))
        if pool is None:
            if not self._ready:
                await anyio.to_thread.run_sync(_core)
                self._ready = True
            if secure and self._tls is None:
                # Reading the certificate store takes tens of milliseconds, too long for the event loop.
                self._tls = await anyio.to_thread.run_sync(_trust_store)
            pool = _core().AsyncConnectionPool(
                ssl_context=self._tls,
                max_connections=100,
                max_keepalive_connections=20,
                keepalive_expiry=15.0,
                network_backend=_core().AnyIOBackend() if plain else self._guard,
            )
            if not fresh:
                pool = self._pools.setdefault((plain, secure), pool)
        return pool


class _Guard:
    """Connects to an address that was judged, never to a name; the pool's network backend."""

    def __init__(self, lookup: Resolver) -> None:
        self._lookup = lookup
        self._inner: Any = None
        # A resolver that hangs may hold these threads, and no others.
        self._slots = anyio.CapacityLimiter(16)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await anyio.to_thread.run_sync(self._judge, host, port, limiter=self._slots, abandon_on_cancel=True)
        core = _core()
        self._inner = self._inner or core.AnyIOBackend()
        failure: Exception = core.ConnectError(f"{host} has no address")
        for address in addresses[: GUARDED.max_connection_attempts]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (core.ConnectError, core.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(self, path: str, timeout: float | None = None, socket_options: Any = None) -> Any:
        raise _core().ConnectError("unix sockets are no way out")

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    def _judge(self, host: str, port: int) -> list[str]:
        bracketed = f"[{host}]" if ":" in host else host
        target = GUARDED.check_url(f"http://{bracketed}:{port}/")
        try:
            return [str(address.ip) for address in resolve(target, policy=GUARDED, resolver=self._lookup)]
        except (OSError, UnicodeError) as error:
            raise _core().ConnectError(f"{host} does not resolve") from error


class _Sent:
    """Watches whether a byte of the request may have left."""

    def __init__(self) -> None:
        self.left = False

    async def watch(self, event: str, _info: Mapping[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            self.left = True


def encode(value: Any) -> bytes:
    """A JSON body; a lone surrogate is escaped rather than fatal."""
    return jsonlib.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode("ascii")


async def _read(stream: AsyncIterator[bytes], headers: Mapping[str, str], call: Call) -> tuple[bytes, bool]:
    """The decoded body, and whether it was cut at a limit that `partial` allows."""
    coding = headers.get("content-encoding", "identity").strip().lower() or "identity"
    if coding not in ("identity", "gzip"):
        raise BadReply(
            f"{_host(call.url)} answered in the coding {coding[:40]!r}, which was not offered. Try it later."
        )
    body = _Body(call.max_bytes, gzip=coding == "gzip")
    # A partial read keeps a little of the whole time for handing over what came.
    with anyio.move_on_after(call.timeout_s * 0.8 if call.partial else None) as scope:
        async for chunk in stream:
            body.add(chunk, call.url)
            if body.full:
                break
    cut = body.full or scope.cancelled_caught
    if cut and not call.partial:
        raise BadReply(
            f"{_host(call.url)} answered with more than {call.max_bytes:,} bytes, so the answer was dropped. "
            "Ask for less, or for another page."
        )
    return body.whole(call.url, cut=cut), cut


class _Body:
    """Collects a body, decoding as it comes and never holding more than the limit."""

    def __init__(self, limit: int, *, gzip: bool) -> None:
        self._parts = bytearray()
        self._limit = limit
        self._gzip = zlib.decompressobj(31) if gzip else None
        self.full = False

    def add(self, chunk: bytes, url: str) -> None:
        room = self._limit - len(self._parts)
        try:
            data = self._gzip.decompress(chunk, room + 1) if self._gzip else chunk
        except zlib.error:
            raise BadReply(f"{_host(url)} sent a body that does not decode as gzip. Try it again later.") from None
        self.full = len(data) > room
        self._parts += data[:room]

    def whole(self, url: str, *, cut: bool) -> bytes:
        if self._gzip and not self._gzip.eof and self._parts and not cut:
            raise BadReply(f"{_host(url)} sent a gzip body that breaks off. Try it again later.")
        return bytes(self._parts)


def _moved(call: Call, status: int, url: str) -> Call:
    """The request that a redirect asks for; what was trusted is trusted no more."""
    stays = _origin(url) == _origin(call.url)
    headers = {k: v for k, v in call.headers.items() if stays or k.lower() in CARRIED}
    again = status in (307, 308) and stays
    return Call(
        method=call.method if again or call.method == "HEAD" else "GET",
        url=url,
        headers=headers,
        content=call.content if again else None,
        timeout_s=call.timeout_s,
        max_bytes=call.max_bytes,
        hops=call.hops,
        partial=call.partial,
    )


def _headers(call: Call) -> list[tuple[bytes, bytes]]:
    given = {"user-agent": AGENT, "accept": "*/*", **{k.lower(): v for k, v in call.headers.items()}}
    given["accept-encoding"] = "identity" if call.partial else "gzip"
    if call.fresh:
        given["connection"] = "close"
    return [(name.encode("ascii"), value.encode("latin-1", "replace")) for name, value in given.items()]


def _fold(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    folded: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        folded[name] = f"{folded[name]}, {value}" if name in folded else value
    return folded


def _wire_url(url: str, target: Target) -> httpcore2.URL:
    """The URL as sent, built from the parts that were judged, so no second parser can read it another way."""
    parts = urlsplit(url)
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]") if parts.query else ""
    return _core().URL(
        scheme=target.scheme.encode(),
        host=target.host.encode("ascii"),
        port=target.port,
        target=(path + query).encode(),
    )


def _timeouts(total_s: float) -> dict[str, float]:
    return {"connect": min(10.0, total_s), "read": total_s, "write": total_s, "pool": total_s}


def _core() -> Any:
    """The HTTP library. A desk that is just starting asks nobody anything, and would wait for it."""
    import httpcore2

    return httpcore2


def _failures() -> tuple[type[Exception], ...]:
    """The errors of a connection that did not come about or was lost."""
    return _core().TimeoutException, _core().NetworkError, _core().ProtocolError


def _trust_store() -> ssl.SSLContext:
    import httpx2

    return httpx2.create_ssl_context(trust_env=False)


def _split(url: str) -> SplitResult:
    """The parts of a URL; a hopeless one has none, and the policy refuses it with its reason."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _port(url: str) -> int | None:
    parts = _split(url)
    try:
        return parts.port or {"http": 80, "https": 443}.get(parts.scheme.lower())
    except ValueError:
        return None


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = _split(url)
    return parts.scheme.lower(), (parts.hostname or "").lower(), _port(url)


def _host(url: str) -> str:
    """The host for a message: never the path or query, which may carry a key."""
    return (_split(url).hostname or "the host")[:100]


def _lost(url: str, what: str, sent: _Sent) -> Unreachable:
    tail = "It may have been received." if sent.left else "Nothing was sent; try again later."
    return Unreachable(f"{_host(url)} {what}. {tail}", sent=sent.left)


def _refused(url: str, refusal: SSRFGuardError, scheme: str = "http(s)") -> EgressRefused:
    reason = getattr(refusal, "reason", "") or "its redirects lead nowhere allowed"
    return EgressRefused(
        f"{_host(url)!r} may not be reached: {str(reason)[:200]}. "
        f"Give a public {scheme} address, or allow the host with SPADEWORK_ALLOW_PRIVATE."
    )
