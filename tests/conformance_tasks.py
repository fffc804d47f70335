"""The test tools of the conformance suite's `tasks-*` scenarios: each is a job of the scripted engine on the real desk.

So what the scenarios judge is the product's own Tasks extension, registry, runner and questions. `greet` alone starts
no job, and `test_tool_with_task` first asks for a name, before there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mcp_types as types
from mcp.server.mcpserver import Context

from spadework.app import Server
from spadework.desk import Desk
from spadework_tools.models import Request
from spadework_tools.tool import Answer

#: The tools that become tasks, and the one that is nothing else.
TASK_TOOLS = (
    "start_research", "slow_compute", "failing_job", "protocol_error_job", "confirm_delete", "multi_input",
    "test_tool_with_task",
)  # fmt: skip
REQUIRED = ("failing_job",)


def tasks(served: Server, desk_of: Callable[[Context[Any, Any]], Desk]) -> None:
    """Register them all."""

    async def job(ctx: Context[Any, Any], script: str, label: str) -> types.CallToolResult:
        request = Request(question=f"{label} [script: {script}]", engine="scripted", label=label)
        answer = Answer.of(await desk_of(ctx).start(request))
        content = [types.TextContent(type="text", text=text) for text in answer.texts]
        return types.CallToolResult(content=content, structured_content=answer.structured)

    @served.tool(structured_output=False)
    async def greet(name: str) -> str:
        return f"Hello, {name}!"

    @served.tool()
    async def slow_compute(ctx: Context, seconds: float, label: str = "slow") -> types.CallToolResult:
        return await job(ctx, f"read 1 {seconds}; report", label)

    @served.tool()
    async def failing_job(ctx: Context) -> types.CallToolResult:
        return await job(ctx, "read 1 0.2; fail odd It broke, as it should. Leave it.", "failing")

    @served.tool()
    async def protocol_error_job(ctx: Context) -> types.CallToolResult:
        return await job(ctx, "crash", "crashing")

    @served.tool()
    async def confirm_delete(ctx: Context, filename: str) -> types.CallToolResult:
        return await job(ctx, f"ask Really delete {filename}?; report", filename)

    @served.tool()
    async def multi_input(ctx: Context) -> types.CallToolResult:
        return await job(ctx, "ask What is your name? | Are you sure?; report", "several questions")

    @served.tool()
    async def test_tool_with_task(ctx: Context) -> types.CallToolResult | types.InputRequiredResult:
        answer = (ctx.input_responses or {}).get("user_name")
        content = getattr(answer, "content", None) or {}
        if "name" not in content:
            form = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
            asked = types.ElicitRequestFormParams(message="What is your name?", requested_schema=form)
            return types.InputRequiredResult(input_requests={"user_name": types.ElicitRequest(params=asked)})
        return await job(ctx, "read 1 0.1; report", f"Hello {content['name']}")
