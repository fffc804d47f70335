"""The library: what MCP clients find beside the tools. Jobs as tasks and resources, prompts, and completions.

What is served is `spadework_tools`'s; this puts it on the SDK's server, beside whatever else is registered there. Why
the SDK's decorators are not enough: its completions do not know the caller, its listen streams drop task ids, and an
unknown prompt is none of the protocol's errors to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    Annotations,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    GetPromptResult,
    InputRequiredResult,
    ListResourcesResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    PromptReference,
    Resource,
    ResourceTemplate,
    SubscriptionsListenRequestParams,
    TextContent,
)
from pydantic import AnyUrl

from spadework.listen import Listening
from spadework_tools.clean import clean
from spadework_tools.desk import Desk
from spadework_tools.errors import BadRequest, JobExpired, NoReport, NotReady, Trouble, UnknownJob, UnknownSource
from spadework_tools.prompts import PROMPTS, prompt
from spadework_tools.resources import TEMPLATES, Address, Entry, hashes, job_ids, read, shelf
from spadework_tools.tasks import Tasks

Ctx = ServerRequestContext[Any, Any]
DeskOf = Callable[[Context[Any, Any]], Desk]

#: Words that are the same for everyone stay fresh for an hour; what belongs to a caller, for seconds.
_WORDS, _OWN = CacheHint(3_600_000, "public"), CacheHint(5_000, "private")
#: No such thing here (any more, or yet) for this caller.
_ABSENT = (UnknownJob, JobExpired, NotReady, NoReport, UnknownSource)


class Library(MCPServer[None]):
    """An MCP server with our resources, prompts and completions, and with jobs as tasks where `tasks` says so.

    `look_of` finds the caller's desk for what is no tool call.
    """

    def __init__(
        self,
        name: str,
        *,
        look_of: DeskOf,
        tasks: bool = True,
        task_tools: Sequence[str] = ("start_research",),
        required_tasks: Sequence[str] = (),
        **given: Any,
    ) -> None:
        self._look_of = look_of
        extensions = [Tasks(self._desk, task_tools, required_tasks)] if tasks else []
        super().__init__(name, extensions=[*extensions, *given.pop("extensions", ())], cache_hints=_HINTS, **given)
        served = self._lowlevel_server
        listening = Listening(self._subscriptions, self._desk, tasks=tasks)
        served.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, listening)
        served.add_request_handler("completion/complete", CompleteRequestParams, self._complete)
        served.add_request_handler("resources/list", PaginatedRequestParams, self._list)

    def _desk(self, ctx: Ctx) -> Desk:
        return self._look_of(Context(request_context=ctx, mcp_server=self))

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        """Our templates, and those registered besides."""
        ours = [
            ResourceTemplate(
                uri_template=one.uri, name=one.name, title=one.title, description=one.description,
                mime_type=one.mime_type,
            )
            for one in TEMPLATES
        ]  # fmt: skip
        return [*ours, *await super().list_resource_templates()]

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Any, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """A part of one of the caller's jobs. Raises ResourceNotFoundError, the same for a foreign job as for none."""
        address = Address.of(str(uri))
        if address is None or context is None:
            return await super().read_resource(uri, context)
        try:
            document = await read(address, self._look_of(context))
        except _ABSENT as trouble:
            raise ResourceNotFoundError(clean(str(trouble))) from None
        except Trouble as trouble:
            raise ResourceError(clean(str(trouble))) from None
        return [ReadResourceContents(content=document.text, mime_type=document.mime_type)]

    async def _list(self, ctx: Ctx, params: PaginatedRequestParams) -> ListResourcesResult:
        """`resources/list`: the caller's jobs, a page at a time, after what is registered besides.

        Raises MCPError (-32602) for a cursor that is not ours.
        """
        fixed = [] if params.cursor else await self.list_resources()
        try:
            entries, cursor = await shelf(self._desk(ctx), params.cursor)
        except BadRequest as trouble:
            raise MCPError(INVALID_PARAMS, clean(trouble.message)) from None
        except Trouble as trouble:
            raise MCPError(INTERNAL_ERROR, clean(str(trouble))) from None
        return ListResourcesResult(resources=[*fixed, *map(_resource, entries)], next_cursor=cursor)

    async def list_prompts(self) -> list[Prompt]:
        """Our prompts, and those registered besides."""
        ours = [
            Prompt(
                name=one.name,
                title=one.title,
                description=one.description,
                arguments=[
                    PromptArgument(name=blank.name, description=blank.description, required=blank.required)
                    for blank in one.blanks
                ],
            )
            for one in PROMPTS
        ]
        return [*ours, *await super().list_prompts()]

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Any, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        """A prompt's message. Raises MCPError (-32602) for a prompt that is not there or lacks an argument."""
        found = prompt(name)
        if found is None:
            if self._prompt_manager.get_prompt(name) is not None:
                return await super().get_prompt(name, arguments, context)
            raise MCPError(INVALID_PARAMS, f"Unknown prompt: {clean(name, 80)}")
        try:
            text = found.render({str(key): str(value) for key, value in (arguments or {}).items()})
        except BadRequest as trouble:
            raise MCPError(INVALID_PARAMS, clean(trouble.message)) from None
        message = PromptMessage(role="user", content=TextContent(type="text", text=text))
        return GetPromptResult(description=found.description, messages=[message])

    async def _complete(self, ctx: Ctx, params: CompleteRequestParams) -> CompleteResult:
        """`completion/complete`: of job ids only the caller's; nothing where there is nothing to offer."""
        given = (params.context.arguments if params.context else None) or {}
        try:
            values, more = await self._offered(ctx, params, given.get("job_id", ""))
        except Trouble:
            values, more = [], False
        return CompleteResult(completion=Completion(values=values, has_more=more))

    async def _offered(self, ctx: Ctx, params: CompleteRequestParams, job_id: str) -> tuple[list[str], bool]:
        name, begun = params.argument.name, params.argument.value
        if isinstance(params.ref, PromptReference):
            found = prompt(params.ref.name)
            blank = next((blank for blank in found.blanks if blank.name == name), None) if found else None
            if blank is None or blank.name != "job_id":
                return [offer for offer in (blank.offers if blank else ()) if offer.startswith(begun)], False
        elif params.ref.uri not in _URIS:
            return [], False
        if name == "job_id":
            return await job_ids(self._desk(ctx), begun)
        return await hashes(self._desk(ctx), job_id, begun) if name == "sha256" else ([], False)


def _resource(entry: Entry) -> Resource:
    return Resource(
        uri=entry.uri,
        name=entry.name,
        title=clean(entry.title),
        description=entry.description,
        mime_type=entry.mime_type,
        annotations=Annotations(last_modified=datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="seconds")),
    )


_URIS: Final = frozenset(one.uri for one in TEMPLATES)
_HINTS: Final[Any] = {
    "server/discover": _WORDS,
    "tools/list": _WORDS,
    "prompts/list": _WORDS,
    "resources/templates/list": _WORDS,
    "resources/list": _OWN,
    "resources/read": _OWN,
}
