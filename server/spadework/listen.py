"""`subscriptions/listen`: one stream of what a client wants to be told, until it goes or the desk closes.

Tasks and resources are followed in the registry itself, so a change that another process made is told like any other.
Each message says what is so now, and none is sent twice: a slow reader misses states in between, never the last one.
Source: the 2026-07-28 specification (SEP-2575), and the Tasks extension for `taskIds`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Annotated, Any, Final

import anyio
import anyio.abc
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver.server import require_client_extension
from mcp.server.subscriptions import SubscriptionBus
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY, ServerEvent, event_matches, event_to_notification
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    Notification,
    ResourceUpdatedNotification,
    ResourceUpdatedNotificationParams,
    SubscriptionFilter,
    SubscriptionsAcknowledgedNotification,
    SubscriptionsAcknowledgedNotificationParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
)
from pydantic import Field, TypeAdapter, ValidationError

from spadework_tools.ask import fills_forms
from spadework_tools.clean import clean
from spadework_tools.desk import Desk
from spadework_tools.errors import Trouble
from spadework_tools.models import Life
from spadework_tools.resources import Address
from spadework_tools.tasks import EXTENSION, detailed

Ctx = ServerRequestContext[Any, Any]

#: Streams that one server has open at once, and jobs that one stream follows.
STREAMS: Final = 1_024
FOLLOWED: Final = 200
#: Events of the SDK's own that wait for a slow reader; beyond, its stream ends and it asks again.
_WAITING: Final = 256
_IDS: Final = TypeAdapter(list[Annotated[str, Field(max_length=200)]])


class _TaskNotification(Notification[dict[str, Any], str]):
    method: str = "notifications/tasks"
    params: dict[str, Any]


class Listening:
    """Serves the streams of one MCP server. `tasks`: whether the Tasks extension is on."""

    def __init__(self, bus: SubscriptionBus, desk_of: Callable[[Ctx], Desk], *, tasks: bool) -> None:
        self._bus, self._desk_of, self._tasks = bus, desk_of, tasks
        self._open = 0

    async def __call__(self, ctx: Ctx, params: SubscriptionsListenRequestParams) -> SubscriptionsListenResult:
        """Serve one stream. Raises MCPError for one that cannot begin."""
        if ctx.request_id is None:
            raise MCPError(INVALID_REQUEST, "subscriptions/listen needs a request id")
        if self._open >= STREAMS:
            raise MCPError(INTERNAL_ERROR, "there are too many subscription streams; close some and listen again")
        self._open += 1
        try:
            desk, wanted = await self._agreed(ctx, params.notifications)
            return await _Stream(ctx, desk, wanted).serve(self._bus)
        except Trouble as trouble:
            raise MCPError(INTERNAL_ERROR, clean(str(trouble))) from None
        finally:
            self._open -= 1

    async def _agreed(self, ctx: Ctx, asked: SubscriptionFilter) -> tuple[Desk, SubscriptionFilter]:
        """The caller's desk, and what it will be told: of tasks only its own. Raises MCPError, Trouble."""
        ids = _task_ids(asked) if self._tasks else None
        if ids is not None:
            require_client_extension(ctx, EXTENSION)
        desk = self._desk_of(ctx)
        agreed: dict[str, Any] = {
            name: True
            for name in ("tools_list_changed", "prompts_list_changed", "resources_list_changed")
            if getattr(asked, name)
        }
        if asked.resource_subscriptions:
            agreed["resource_subscriptions"] = list(dict.fromkeys(asked.resource_subscriptions))[:FOLLOWED]
        if ids is not None:
            agreed["taskIds"] = [task_id for task_id in ids if await _known(desk, task_id)]
        return desk, SubscriptionFilter.model_validate(agreed)


class _Stream:
    """One client's stream."""

    def __init__(self, ctx: Ctx, desk: Desk, wanted: SubscriptionFilter) -> None:
        self._ctx, self._desk, self._wanted = ctx, desk, wanted
        self._meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
        self._tasks: dict[str, dict[str, Any]] = {task_id: {} for task_id in _task_ids(wanted) or ()}
        self._uris = frozenset(wanted.resource_subscriptions or ())
        self._places: dict[str, list[tuple[str, Address]]] = {}
        for uri in wanted.resource_subscriptions or ():
            if (place := Address.of(uri)) is not None:
                self._places.setdefault(place.job_id, []).append((uri, place))

    async def serve(self, bus: SubscriptionBus) -> SubscriptionsListenResult:
        """Acknowledge, and tell until the desk closes; a client that goes cancels this."""
        events, waiting = anyio.create_memory_object_stream[ServerEvent](_WAITING)

        def deliver(event: ServerEvent) -> None:
            if event_matches(self._wanted, self._uris, event):
                try:
                    events.send_nowait(event)
                except (anyio.WouldBlock, anyio.ClosedResourceError):
                    events.close()

        unsubscribe = bus.subscribe(deliver)
        try:
            async with events, waiting, anyio.create_task_group() as group:
                told = SubscriptionsAcknowledgedNotificationParams(notifications=self._wanted, _meta=self._meta)
                await self._send(SubscriptionsAcknowledgedNotification(params=told))
                group.start_soon(self._follow, group)
                async for event in waiting:
                    await self._send(event_to_notification(event, self._meta))
                group.cancel_scope.cancel()
        finally:
            unsubscribe()
        return SubscriptionsListenResult(_meta=self._meta)

    async def _follow(self, group: anyio.abc.TaskGroup) -> None:
        """Tell of every change to the jobs of this stream; its end, when the desk closes, ends the stream."""
        seen: set[str] = set()
        lives: AsyncGenerator[Life] = self._desk.follow([*self._tasks, *self._places])
        async with aclosing(lives):
            async for life in lives:
                await self._tell(life, first=life.standing.job_id not in seen)
                seen.add(life.standing.job_id)
        group.cancel_scope.cancel()

    async def _tell(self, life: Life, *, first: bool) -> None:
        """A task's first state is told at once, so that none is lost before the stream began; a resource's is not."""
        job_id = life.standing.job_id
        if job_id in self._tasks:
            state = detailed(life, asks=fills_forms(self._ctx.session.client_capabilities))
            if state != self._tasks[job_id]:
                self._tasks[job_id] = state
                await self._send(_TaskNotification(params={**state, "_meta": self._meta}))
        for uri, place in self._places.get(job_id, ()):
            if not first and (place.part == "job" or life.standing.status.terminal):
                changed = ResourceUpdatedNotificationParams(uri=uri, _meta=self._meta)
                await self._send(ResourceUpdatedNotification(params=changed))

    async def _send(self, notification: Any) -> None:
        await self._ctx.session.send_notification(notification, related_request_id=self._ctx.request_id)


def _task_ids(asked: SubscriptionFilter) -> list[str] | None:
    """The tasks that a filter names; None where it says nothing of tasks. Raises MCPError for what are no ids."""
    extra: Mapping[str, Any] = asked.model_extra or {}
    if extra.get("taskIds") is None:
        return None
    try:
        ids = _IDS.validate_python(extra["taskIds"])
    except ValidationError:
        raise MCPError(INVALID_PARAMS, "notifications.taskIds must be a list of task ids") from None
    return list(dict.fromkeys(ids))[:FOLLOWED]


async def _known(desk: Desk, task_id: str) -> bool:
    try:
        await desk.look(task_id)
    except Trouble:
        return False
    return True
