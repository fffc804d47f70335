"""The Tasks extension: a client that declares it gets a background task for a job, and the task's id is the job's id.

Source: the extension's specification, `io.modelcontextprotocol/tasks` (SEP-2663, for the 2026-07-28 protocol). The one
module here that knows the MCP SDK, since an extension is a class of it.

Why dicts and not the SDK's models: a model leaves out what is None, and `ttlMs: null` must be said.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, cast

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver.server import require_client_extension
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp_types import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    RequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import Field

from spadework_tools.ask import fills_forms, form, told
from spadework_tools.clean import clean, clean_json
from spadework_tools.desk import Desk
from spadework_tools.errors import JobExpired, Trouble, UnknownJob
from spadework_tools.models import Life, Status, Ticket
from spadework_tools.tool import Answer

T = TypeVar("T")
Ctx = ServerRequestContext[Any, Any]

EXTENSION: Final = "io.modelcontextprotocol/tasks"
#: The error codes of a job that stopped on a defect of ours: what JSON-RPC calls an internal error.
FAULTS: Final = frozenset({"internal"})
#: How soon a client may look at a task that has ended already.
ENDED_MS: Final = 1_000
_MODERN: Final = frozenset(MODERN_PROTOCOL_VERSIONS)


class TaskParams(RequestParams):
    """Names a task."""

    task_id: str = Field(alias="taskId", max_length=200)


class UpdateParams(TaskParams):
    """Answers what a task asks, by the questions' keys."""

    input_responses: dict[str, Any] = Field(alias="inputResponses", max_length=100)


class Tasks(Extension):
    """Serves jobs as tasks. `tools` start jobs (their answer carries the `job_id`), `required` only as tasks."""

    identifier = EXTENSION

    def __init__(
        self,
        desk_of: Callable[[Ctx], Desk],
        tools: Collection[str] = ("start_research",),
        required: Collection[str] = (),
    ) -> None:
        self._desk_of = desk_of
        self._tools = frozenset(tools)
        self._required = frozenset(required)

    def methods(self) -> Sequence[MethodBinding]:
        """The extension's three methods, which the handshake era does not have."""
        return (
            MethodBinding("tasks/get", TaskParams, self.get, _MODERN),
            MethodBinding("tasks/update", UpdateParams, self.update, _MODERN),
            MethodBinding("tasks/cancel", TaskParams, self.cancel, _MODERN),
        )

    async def intercept_tool_call(self, params: CallToolRequestParams, ctx: Ctx, call_next: CallNext) -> HandlerResult:
        """A task in place of a job's ticket, for a client whose request declares that it takes one."""
        if params.name in self._required:
            require_client_extension(ctx, EXTENSION)
        result = await call_next(ctx)
        if params.name not in self._tools or not declared(ctx):
            return result
        job_id = _started(result)
        if job_id is None:
            return result
        # The ticket was given for a job that is durable, so `tasks/get` finds it from now on.
        life = await self._found(ctx, lambda desk: desk.look(job_id))
        return {"resultType": "task", **task(life, asks=fills_forms(ctx.session.client_capabilities))}

    async def get(self, ctx: Ctx, params: TaskParams) -> HandlerResult:
        """`tasks/get`: the task with what its status brings along."""
        life = await self._asked(ctx, params, lambda desk: desk.look(params.task_id))
        return {"resultType": "complete", **detailed(life, asks=fills_forms(ctx.session.client_capabilities))}

    async def update(self, ctx: Ctx, params: UpdateParams) -> HandlerResult:
        """`tasks/update`: answers to what the task asks; what it does not ask is passed over."""
        await self._asked(ctx, params, lambda desk: _tell(desk, params))
        return {"resultType": "complete"}

    async def cancel(self, ctx: Ctx, params: TaskParams) -> HandlerResult:
        """`tasks/cancel`: asks the job to end; of an ended one nothing changes."""
        await self._asked(ctx, params, lambda desk: desk.cancel(params.task_id))
        return {"resultType": "complete"}

    async def _asked(self, ctx: Ctx, params: TaskParams, act: Callable[[Desk], Awaitable[T]]) -> T:
        """What the caller's desk answers to a request about a task.

        Raises MCPError: the extension is not declared, or the routing header names another task; and as `_found`.
        """
        require_client_extension(ctx, EXTENSION)
        headers = getattr(ctx.request, "headers", None)
        if headers is not None and decode_header_value(headers.get(MCP_NAME_HEADER) or "") != params.task_id:
            raise MCPError(HEADER_MISMATCH, f"the {MCP_NAME_HEADER} header does not match params.taskId")
        return await self._found(ctx, act)

    async def _found(self, ctx: Ctx, act: Callable[[Desk], Awaitable[T]]) -> T:
        """What the desk answers. Raises MCPError: -32602 for a job that is not there or not the caller's."""
        try:
            return await act(self._desk_of(ctx))
        except (UnknownJob, JobExpired) as trouble:
            raise MCPError(INVALID_PARAMS, clean(str(trouble))) from None
        except Trouble as trouble:
            raise MCPError(INTERNAL_ERROR, clean(str(trouble))) from None


def declared(ctx: Ctx) -> bool:
    """Whether this very request declares the extension, in an era that has it."""
    capabilities = ctx.session.client_capabilities
    extensions = capabilities.extensions if capabilities else None
    return ctx.protocol_version in _MODERN and EXTENSION in (extensions or {})


def task(life: Life, *, asks: bool) -> dict[str, Any]:
    """A job as the extension's Task. `asks`: the client can put questions to a person, so it is told of them."""
    kept = None if life.expires_at is None else max(1, round((life.expires_at - life.created_at) * 1_000))
    return {
        "taskId": life.standing.job_id,
        "status": _status(life, asks=asks),
        "statusMessage": clean(_said(life, asks=asks), 500),
        "createdAt": _iso(life.created_at),
        "lastUpdatedAt": _iso(max(life.created_at, life.changed_at)),
        "ttlMs": kept,
        "pollIntervalMs": ENDED_MS if life.standing.status.terminal else life.poll_s * 1_000,
    }


def detailed(life: Life, *, asks: bool) -> dict[str, Any]:
    """A job as the extension's DetailedTask: with its result, its error or what it asks."""
    full = task(life, asks=asks)
    if full["status"] == "input_required":
        full["inputRequests"] = {ask.key: form(ask.question, ask.choices) for ask in life.asks}
    elif full["status"] == "failed":
        full["error"] = {"code": INTERNAL_ERROR, "message": full["statusMessage"]}
    elif full["status"] == "completed":
        full["result"] = _result(life)
    return full


def _status(life: Life, *, asks: bool) -> str:
    """The task's status. A job that failed has completed as a call whose result says so; only a defect is a failure."""
    status, error = life.standing.status, life.standing.error
    if status is Status.FAILED:
        return "failed" if error is not None and error.code in FAULTS else "completed"
    if status is Status.NEEDS_INPUT:
        return "input_required" if asks and life.asks else "working"
    return status.value if status.terminal else "working"


def _said(life: Life, *, asks: bool = False) -> str:
    """Where the job is, in words: phase and counts while it works, how it came out at the end."""
    job = life.standing
    if job.status is Status.FAILED and job.error is not None:
        return f"{job.error.code}: {job.error.message}"
    if job.status is Status.COMPLETED:
        return _note(life)
    if job.status is Status.NEEDS_INPUT:
        return " ".join(ask.question for ask in life.asks) if asks else job.asks or "waiting for an answer"
    parts = [job.phase or job.status.value]
    parts += [f"{job.sources} sources"] if job.sources else []
    parts += [f"{job.progress:.0%}"] if job.progress is not None and not job.status.terminal else []
    parts += [f"about {job.eta_s} s left"] if job.eta_s else []
    return " · ".join(parts)


def _note(life: Life) -> str:
    """How a completed job came out, and where to read on."""
    job = life.standing
    named = f"“{clean(job.label, 80)}” is" if job.label else "The research is"
    found = {"full": "done", "partial": "done in part", "no_evidence": "done and found no evidence"}
    counted = f", from {job.sources} sources" if job.sources else ""
    return f"{named} {found[job.outcome or 'full']}{counted}. Read the report with get_result, job_id {job.job_id}."


def _result(life: Life) -> dict[str, Any]:
    """What the call would have returned, had it waited: a short ticket that points to the report, or the error."""
    job = life.standing
    if job.status is Status.FAILED:
        return {"content": [{"type": "text", "text": clean(_said(life))}], "isError": True}
    ticket = Ticket(
        job_id=job.job_id,
        status=job.status,
        engine=life.engine,
        poll_after_s=0,
        expires_at=life.expires_at,
        outcome=job.outcome,
        note=_note(life),
    )
    answer = Answer.of(ticket)
    content = [{"type": "text", "text": clean(text)} for text in answer.texts]
    return {"content": content, "structuredContent": clean_json(answer.structured), "isError": False}


def _started(result: HandlerResult) -> str | None:
    """The id of the job whose ticket a tool's result is; None for a refusal, or a question before there is a job."""
    if not isinstance(result, CallToolResult) or result.is_error:
        return None
    ticket = cast("dict[str, Any] | None", result.structured_content)
    return ticket.get("job_id") if ticket else None


async def _tell(desk: Desk, params: UpdateParams) -> None:
    """Answer what the task asks now. Raises MCPError for an answer to it that is no elicitation's result."""
    asked = {ask.key for ask in (await desk.look(params.task_id)).asks}
    answers: dict[str, str] = {}
    for key in asked & set(params.input_responses):
        said = told(params.input_responses[key])
        if said is None:
            raise MCPError(INVALID_PARAMS, f"inputResponses[{clean(key, 80)!r}] is no elicitation result")
        answers[key] = said
    if answers:
        await desk.answer(params.task_id, answers)


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
