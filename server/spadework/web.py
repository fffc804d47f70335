"""The desk over HTTP: one app on one port, beside the door for this machine's own clients, over the same jobs.

Streamable HTTP at `/mcp` in both eras, the older HTTP+SSE at `/sse` for clients that ask for it by name,
`/healthz`, and where tokens come from an issuer, the metadata that says so. A connection's end ends its waiting, never
a job.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.abc
from mcp.server.mcpserver import Context
from mcp.server.sse import SseServerTransport
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from spadework import hatch
from spadework.app import House, Server, opened, server
from spadework.auth import Verifier, verifier
from spadework.caller import LOCAL, Caller, Callers
from spadework.desk import Desk
from spadework.egress import Egress
from spadework.environ import workfolder
from spadework.guard import Guard, Place, Visitor
from spadework.host import Discreet, Host
from spadework.listener import Listener, bound, exposed, parsed
from spadework.quota import Crowd, Rate, Rationed
from spadework.screen import Screen
from spadework.settings import BadSetting, Settings
from spadework.takeover import Tenure, take
from spadework.webhooks.hints import Hints
from spadework_tools.errors import BadRequest, NotAdmitted

log = logging.getLogger(__name__)

#: Requests that one owner may have open at once, streams included.
AT_ONCE = 100
#: All requests, for each tool call that an owner may make a minute: clients also list, read, poll and open streams.
REQUESTS_PER_CALL = 10
#: Sessions of the legacy era at once, and how long one may be idle, seconds.
SESSIONS, SESSION_S = 2_000, 900.0
#: Owners whose desks are kept at hand.
DESKS = 500

_WELL_KNOWN = "/.well-known/oauth-protected-resource"
_HEALTH = "/healthz"
_MCP, _SSE, _MESSAGES = "/mcp", "/sse", "/messages"


class Desks:
    """Each caller's own desk, by the owner that the guard has vouched for.

    Args:
        house: what all of them work on.
        closing: set when the desk is to end; whoever waits then is answered at once.
        guarded: whether a call needs a credential.
    """

    def __init__(self, house: House, closing: anyio.Event, *, guarded: bool) -> None:
        self._house, self._closing, self._guarded = house, closing, guarded
        self._settings = house.kit.settings
        self._rate = Rate(self._settings.calls_per_minute)
        self._desks: OrderedDict[str, Desk] = OrderedDict()

    def of(self, context: Context[Any, Any]) -> Desk:
        """The desk of the caller of a tool. Raises RateLimited, or NotAdmitted where nobody vouches for the caller."""
        return self.of_request(context.request_context.request)

    def glance(self, context: Context[Any, Any]) -> Desk:
        """The same desk for what is no tool call: a client's program polls its tasks as often as it was told to."""
        return self._kept(self._owner(context.request_context.request))

    def of_request(self, request: Request | None) -> Desk:
        """The desk of whoever made an HTTP request, who pays with one call. Raises as `of`."""
        owner = self._owner(request)
        self._rate.demand(owner)
        return self._kept(owner)

    def _kept(self, owner: str) -> Desk:
        desk = self._desks.pop(owner, None) or self._opened(owner)
        self._desks[owner] = desk
        if len(self._desks) > DESKS:
            self._desks.popitem(last=False)
        return desk

    def _owner(self, request: Request | None) -> str:
        user = request.scope.get("user") if request is not None else None
        if isinstance(user, Visitor):
            return user.owner
        if self._guarded or request is None:
            raise NotAdmitted
        return LOCAL

    def _opened(self, owner: str) -> Desk:
        # Who comes with a credential of their own sees this machine's files only where roots are set.
        base = Path(workfolder())
        base = base if owner == LOCAL else Path(base.anchor)
        desk = self._house.desk(Caller(self._settings, owner, base), self._closing)
        given = {one.name: getattr(desk, one.name) for one in fields(desk)}
        return Rationed(**given, most=self._settings.jobs_per_owner)


class LegacySse:
    """HTTP+SSE of 2024-11-05: a stream that the server speaks on, and a place to post to."""

    def __init__(self, served: Server) -> None:
        self._served = served
        self._transport = SseServerTransport(_MESSAGES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client on its stream until it goes."""
        async with self._transport.connect_sse(scope, receive, send) as (read, write):
            await self._served.converse(read, write)

    @property
    def messages(self) -> _Posts:
        """Where its clients post."""
        return _Posts(self._transport)


@dataclass(frozen=True)
class _Posts:
    transport: SseServerTransport

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.transport.handle_post_message(scope, receive, send)


@dataclass(frozen=True)
class Address:
    """Where the desk is served: the URL that clients of this machine use, and the one that the world does."""

    local: str
    public: str
    exposed: bool

    @classmethod
    def of(cls, line: socket.socket, settings: Settings) -> Address:
        """Of a bound socket."""
        host, port = line.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        own = f"http://{name}:{port}"
        return cls(own, (settings.public_url or own).lower(), exposed(line))

    @property
    def resources(self) -> dict[str, str]:
        """The URL of each door, by its path."""
        return {path: f"{self.public}{path}" for path in (_MCP, _SSE)}


def place(address: Address, settings: Settings, judge: Verifier | None) -> Place:
    """What the guard has to know. Raises BadRequest where the world could come in without a credential."""
    if address.exposed and judge is None:
        raise BadRequest(
            f"{address.local} can be reached from other machines and asks for no credential, so nothing was served. "
            "Set SPADEWORK_TOKENS or SPADEWORK_OAUTH_ISSUER, or serve on 127.0.0.1."
        )
    public, own = urlsplit(address.public), urlsplit(address.local)
    names = {_bracketed(name) for name in (public.hostname, own.hostname) if name}
    metadata: dict[str, str] = {}
    if settings.oauth_issuer is not None:
        metadata = {path: f"{address.public}{_WELL_KNOWN}{path}" for path in (_MCP, _SSE)}
        metadata |= {_MESSAGES: metadata[_SSE], "": metadata[_MCP]}
    return Place(
        hosts=frozenset(names | {name.lower() for name in settings.allowed_hosts}),
        origins=frozenset({address.public}),
        local=not address.exposed,
        verifier=judge,
        scope=settings.oauth_scope,
        metadata=metadata,
        doors=frozenset(
            {
                _HEALTH,
                *hatch.paths(settings),
                *(f"{_WELL_KNOWN}{path}" for path in (*address.resources, "") if metadata),
            }
        ),
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@asynccontextmanager
async def site(
    served: Server, known: Place, settings: Settings, resources: Mapping[str, str], more: Sequence[BaseRoute] = ()
) -> AsyncGenerator[Guard]:
    """The whole app, its guard around it, for as long as the context lasts; a closed one cannot be opened again.

    Given the MCP server, what the guard knows, each door's URL, and routes to serve beside those of MCP.
    """
    # The guard judges hosts and origins for every route, so the SDK need not for one.
    off = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    inner = served.streamable_http_app(
        streamable_http_path=_MCP, transport_security=off, max_sessions=SESSIONS, session_idle_timeout=SESSION_S
    )
    sse = LegacySse(served)
    routes: list[BaseRoute] = [
        *inner.routes,
        Route(_SSE, sse, methods=["GET"]),
        Route(_MESSAGES, sse.messages, methods=["POST"]),
        Route(_HEALTH, _health),
        *more,
    ]
    if settings.oauth_issuer is not None:
        routes += _metadata(settings, resources)
    rate = Rate(settings.calls_per_minute * REQUESTS_PER_CALL)
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    # Nearly every request is for this one door; the way through the routes would cost it a twentieth.
    straight = _Straight({_MCP: served.session_manager.asgi_app}, app)
    async with served.session_manager.run():
        yield Guard(straight, known, rate, Crowd(AT_ONCE), LOCAL)


@dataclass(frozen=True)
class _Straight:
    """An app that knows some paths by heart and leaves the others to another."""

    known: Mapping[str, ASGIApp]
    other: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.known.get(scope["path"], self.other)(scope, receive, send)


async def _health(_: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


def _metadata(settings: Settings, resources: Mapping[str, str]) -> list[BaseRoute]:
    """RFC 9728: each door's metadata at its own well-known place, and that of `/mcp` at the bare one."""

    def describing(resource: str) -> Any:
        shown = {
            "resource": resource,
            "resource_name": "spadework",
            "authorization_servers": [settings.oauth_issuer],
            "scopes_supported": [settings.oauth_scope],
            "bearer_methods_supported": ["header"],
        }

        async def show(_: Request) -> JSONResponse:
            return JSONResponse(shown, headers={"cache-control": "public, max-age=3600"})

        return show

    places = {**{f"{_WELL_KNOWN}{path}": url for path, url in resources.items()}, _WELL_KNOWN: resources[_MCP]}
    return [Route(path, describing(url)) for path, url in places.items()]


def run(where: str) -> None:
    """Be this home's desk in the foreground, served at `where` too, until a signal or `spadework desk stop` ends it.

    Raises BadRequest for an address that cannot be served, or not without a credential; Occupied when another such
    desk keeps the home; Trouble as `opened` does.
    """
    settings = Settings.load()
    line = bound(*parsed(where))
    address = Address.of(line, settings)
    if settings.oauth_issuer and address.exposed and not (settings.public_url or settings.oauth_audience):
        raise BadSetting(
            "oauth_issuer needs public_url, the URL for which tokens are made out. Set SPADEWORK_PUBLIC_URL, for "
            "example https://desk.example.org."
        )
    http = Egress(allow_private=settings.allow_private)
    known = place(address, settings, verifier(settings, http, list(address.resources.values())))
    os.umask(0o077)
    tenure = take(settings.home)
    callers = Callers()
    _log_to_stderr(callers)
    anyio.run(_serve, settings, line, address, known, tenure, callers)
    logging.shutdown()
    # All is closed; taking half a million objects apart would take longer than all that went before.
    os._exit(0)


async def _serve(
    settings: Settings, line: socket.socket, address: Address, known: Place, tenure: Tenure, callers: Callers
) -> None:
    async with (
        await anyio.abc.SocketListener.from_socket(tenure.line) as door,
        opened(settings, callers=callers, hooks=hatch.hooks(settings)) as house,
    ):
        callers.lend(Caller(settings))
        host = Host(str(settings.home), tenure.address, house, settings, stays=True)
        desks = Desks(house, host.leaving, guarded=known.verifier is not None)
        served = server(desks.of, desks.glance, tasks=settings.tasks == "auto")
        vendors = hatch.routes(settings, Hints(house.kit, house.runner.wake))
        async with (
            site(served, known, settings, address.resources, vendors) as guard,
            anyio.create_task_group() as group,
        ):
            await group.start(Listener(guard, line, host.leaving, guard.close).run_until_closed)
            Screen().note(f"spadework: serving MCP at {address.local}{_MCP} (SSE at {_SSE}). Ctrl-C ends it.")
            if address.exposed and not address.public.startswith("https:"):
                Screen().note("spadework: tokens travel in the clear; put TLS in front and set SPADEWORK_PUBLIC_URL.")
            await host.serve(door)


def _log_to_stderr(callers: Callers) -> None:
    """Keep the log where a supervisor or a container looks for it, without any secret."""
    handler = logging.StreamHandler()
    handler.setFormatter(Discreet(callers))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
