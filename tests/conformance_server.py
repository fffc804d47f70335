"""The product's server with what the official conformance suite asks for on top: named tools, resources and prompts.

Everything but the fixtures is what `spadework serve --http` runs: its server object, its app, its guard and its
listener. Started as `python -m tests.conformance_server`; says its URL on stderr.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import anyio
import mcp_types as types
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from pydantic import Field
from tests.conformance_tasks import REQUIRED, TASK_TOOLS, tasks

from spadework.app import Server, opened, server
from spadework.listener import Listener, bound
from spadework.settings import Settings
from spadework.web import Address, Desks, place, site

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SILENCE = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="

TEXT, IMAGE = types.TextContent, types.ImageContent


def text(words: str) -> types.CallToolResult:
    return types.CallToolResult(content=[TEXT(type="text", text=words)])


def embedded(uri: str, mime: str, words: str) -> types.EmbeddedResource:
    contents = types.TextResourceContents(uri=uri, mime_type=mime, text=words)
    return types.EmbeddedResource(type="resource", resource=contents)


def asking(message: str, **properties: Any) -> types.ElicitRequest:
    """A question to the person: one form field or more, all required."""
    form = {"type": "object", "properties": properties, "required": list(properties)}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=form))


def sampling(words: str) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=TEXT(type="text", text=words))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=50))


def needing(state: str | None = None, **requests: Any) -> types.InputRequiredResult:
    return types.InputRequiredResult(input_requests=requests or None, request_state=state)


def given(ctx: Context, key: str, name: str) -> Any:
    """A field of the form that answers a request; None where it was not answered."""
    answer = (ctx.input_responses or {}).get(key)
    content = getattr(answer, "content", None)
    return content.get(name) if isinstance(content, dict) else None


STRING = {"type": "string"}


def contents(served: Server) -> None:
    """Tools for every kind of content."""

    @served.tool()
    async def test_simple_text() -> types.CallToolResult:
        return text("This is a simple text response for testing.")

    @served.tool()
    async def test_image_content() -> types.CallToolResult:
        return types.CallToolResult(content=[IMAGE(type="image", data=PIXEL, mime_type="image/png")])

    @served.tool()
    async def test_audio_content() -> types.CallToolResult:
        return types.CallToolResult(content=[types.AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")])

    @served.tool()
    async def test_embedded_resource() -> types.CallToolResult:
        held = embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
        return types.CallToolResult(content=[held])

    @served.tool()
    async def test_multiple_content_types() -> types.CallToolResult:
        return types.CallToolResult(
            content=[
                TEXT(type="text", text="Multiple content types test:"),
                IMAGE(type="image", data=PIXEL, mime_type="image/png"),
                embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
            ]
        )

    @served.tool()
    async def test_error_handling() -> types.CallToolResult:
        return text("This tool intentionally returns an error for testing").model_copy(update={"is_error": True})

    @served.tool()
    async def test_custom_header(
        region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
        tier: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Tier"})] = "plain",
    ) -> types.CallToolResult:
        return text(f"{region} {tier}")

    tool = Tool.from_function(test_simple_text, name="json_schema_2020_12_tool")
    served._tool_manager._tools[tool.name] = tool.model_copy(update={"parameters": DIALECT})


#: The keywords that a server must hand on as they stand (SEP-1613, SEP-2106).
DIALECT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {"street": STRING, "city": STRING}}},
    "properties": {
        "name": STRING,
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": STRING,
        "email": STRING,
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def streams(served: Server) -> None:
    """Tools that say something while they work, and that change what is listed."""

    @served.tool()
    async def test_tool_with_logging(ctx: Context) -> types.CallToolResult:
        for step in ("started", "processing data", "completed"):
            await ctx.info(f"Tool execution {step}")
        return text("Tool with logging executed successfully")

    @served.tool()
    async def test_tool_with_progress(ctx: Context) -> types.CallToolResult:
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        return text("done")

    @served.tool()
    async def test_streaming_elicitation(ctx: Context) -> types.CallToolResult:
        await ctx.report_progress(50, 100)
        return text("Streaming complete")

    @served.tool()
    async def test_logging_tool(ctx: Context) -> types.CallToolResult:
        await ctx.info("Diagnostic trace logging activated")
        return text("Logging evaluated")

    @served.tool()
    async def test_trigger_tool_change(ctx: Context) -> types.CallToolResult:
        await ctx.notify_tools_changed()
        return text("Mutation triggered")

    @served.tool()
    async def test_trigger_prompt_change(ctx: Context) -> types.CallToolResult:
        await ctx.notify_prompts_changed()
        return text("Mutation triggered")

    @served.tool()
    async def test_missing_capability(ctx: Context) -> types.CallToolResult:
        if not (ctx.client_capabilities and ctx.client_capabilities.sampling):
            needed = {"requiredCapabilities": {"sampling": {}}}
            raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "This tool needs sampling", needed)
        return text("Success")


def back(served: Server) -> None:
    """Tools of the legacy era that ask the client on the way."""

    async def elicited(ctx: Context, message: str, form: dict[str, Any]) -> types.CallToolResult:
        request = ctx.request_context
        answer = await request.session.elicit_form(message, form, related_request_id=request.request_id)
        return text(f"User response: action={answer.action}, content={json.dumps(answer.content or {})}")

    @served.tool()
    async def test_sampling(prompt: str, ctx: Context) -> types.CallToolResult:
        request = ctx.request_context
        asked = types.SamplingMessage(role="user", content=TEXT(type="text", text=prompt))
        answer = await request.session.create_message([asked], max_tokens=100, related_request_id=request.request_id)
        return text(f"LLM response: {getattr(answer.content, 'text', '')}")

    @served.tool()
    async def test_elicitation(message: str, ctx: Context) -> types.CallToolResult:
        form = {"type": "object", "properties": {"response": STRING}, "required": ["response"]}
        return await elicited(ctx, message, form)

    @served.tool()
    async def test_elicitation_sep1034_defaults(ctx: Context) -> types.CallToolResult:
        fields = {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
            "verified": {"type": "boolean", "default": True},
        }
        return await elicited(ctx, "Please review the fields", {"type": "object", "properties": fields})

    @served.tool()
    async def test_elicitation_sep1330_enums(ctx: Context) -> types.CallToolResult:
        titled = [{"const": f"value{n}", "title": f"{name} Option"} for n, name in enumerate(("First", "Second"), 1)]
        plain = ["option1", "option2", "option3"]
        fields = {
            "untitledSingle": {"type": "string", "enum": plain},
            "titledSingle": {"type": "string", "oneOf": titled},
            "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
            "untitledMulti": {
                "type": "array",
                "minItems": 1,
                "maxItems": 3,
                "items": {"type": "string", "enum": plain},
            },
            "titledMulti": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"anyOf": titled}},
        }
        return await elicited(ctx, "Please choose", {"type": "object", "properties": fields})


Rounds = types.CallToolResult | types.InputRequiredResult


def rounds(served: Server) -> None:
    """Tools of the stateless era that need input: the client asks again with the answers."""

    @served.tool()
    async def test_input_required_result_elicitation(ctx: Context) -> Rounds:
        name = given(ctx, "user_name", "name")
        return text(f"Hello, {name}!") if name else needing(user_name=asking("What is your name?", name=STRING))

    @served.tool()
    async def test_input_required_result_sampling(ctx: Context) -> Rounds:
        answer = (ctx.input_responses or {}).get("sample_request")
        if answer is None:
            return needing(sample_request=sampling("What is the capital of France?"))
        return text(f"Sampling result: {getattr(getattr(answer, 'content', None), 'text', '')}")

    @served.tool()
    async def test_input_required_result_list_roots(ctx: Context) -> Rounds:
        answer = (ctx.input_responses or {}).get("roots_request")
        if answer is None:
            return needing(roots_request=types.ListRootsRequest())
        return text(f"Found {len(getattr(answer, 'roots', []))} root(s)")

    @served.tool()
    async def test_input_required_result_request_state(ctx: Context) -> Rounds:
        if ctx.request_state == "request-state" and given(ctx, "confirm", "ok") is True:
            return text("state-ok: requestState validated")
        return needing("request-state", confirm=asking("Please confirm", ok={"type": "boolean"}))

    @served.tool()
    async def test_input_required_result_tampered_state(ctx: Context) -> Rounds:
        if ctx.request_state == "tamper-test" and (ctx.input_responses or {}).get("confirm"):
            return text("integrity-ok: state verified")
        return needing("tamper-test", confirm=asking("Please confirm", ok={"type": "boolean"}))

    @served.tool()
    async def test_input_required_result_multiple_inputs(ctx: Context) -> Rounds:
        answers = ctx.input_responses or {}
        if ctx.request_state == "multiple-inputs" and {"user_name", "greeting", "client_roots"} <= set(answers):
            return text(f"Name: {given(ctx, 'user_name', 'name')}; all {len(answers)} answers came")
        return needing(
            "multiple-inputs",
            user_name=asking("What is your name?", name=STRING),
            greeting=sampling("Generate a greeting"),
            client_roots=types.ListRootsRequest(),
        )

    @served.tool()
    async def test_input_required_result_multi_round(ctx: Context) -> Rounds:
        state = json.loads(ctx.request_state or "{}")
        if state.get("round") == 1 and (name := given(ctx, "step1", "name")):
            after = json.dumps({"round": 2, "name": name})
            return needing(after, step2=asking("Step 2: What is your favorite color?", color=STRING))
        if state.get("round") == 2 and (color := given(ctx, "step2", "color")):
            return text(f"Multi-round complete for {state['name']} who likes {color}")
        return needing(json.dumps({"round": 1}), step1=asking("Step 1: What is your name?", name=STRING))

    @served.tool()
    async def test_input_required_result_capabilities(ctx: Context) -> Rounds:
        if ctx.input_responses:
            return text(f"capabilities-ok: received {','.join(ctx.input_responses)}")
        can = ctx.client_capabilities
        requests: dict[str, Any] = {}
        if can and can.elicitation:
            requests["elicit_input"] = asking("Elicitation input", value=STRING)
        if can and can.sampling:
            requests["sample_input"] = sampling("Sample request")
        return needing("capabilities-test", **requests) if requests else text("No supported capabilities declared")

    @served.prompt()
    async def test_input_required_result_prompt(ctx: Context) -> Any:
        context = given(ctx, "user_context", "context")
        if not context:
            return needing(user_context=asking("What context should the prompt use?", context=STRING))
        return [UserMessage(f"Prompt with context: {context}")]


def readings(served: Server) -> None:
    """Resources, prompts and completions."""

    @served.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        return "This is the content of the static text resource."

    @served.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        import base64

        return base64.b64decode(PIXEL)

    @served.resource("test://template/{id}/data", mime_type="application/json")
    def template(id: str) -> str:  # noqa: A002 - the suite names it
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    @served.resource("test://watched-resource", mime_type="text/plain")
    def watched() -> str:
        return "Watched resource content"

    @served.prompt()
    def test_simple_prompt() -> str:
        return "This is a simple prompt for testing."

    @served.prompt()
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @served.prompt()
    def test_prompt_with_embedded_resource(resourceUri: str) -> Any:  # noqa: N803 - the suite names it
        held = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
        return [UserMessage(held), UserMessage("Please process the embedded resource above.")]

    @served.prompt()
    def test_prompt_with_image() -> Any:
        return [UserMessage(IMAGE(type="image", data=PIXEL, mime_type="image/png")), UserMessage("Please analyze it.")]

    handlers = served._lowlevel_server

    async def nothing(_ctx: Any, _params: Any) -> types.EmptyResult:
        return types.EmptyResult()

    handlers.add_request_handler("logging/setLevel", types.SetLevelRequestParams, nothing)
    handlers.add_request_handler("resources/subscribe", types.SubscribeRequestParams, nothing)
    handlers.add_request_handler("resources/unsubscribe", types.UnsubscribeRequestParams, nothing)
    if handlers.get_request_handler("completion/complete") is None:

        @served.completion()
        async def complete(_ref: Any, argument: Any, _context: Any) -> types.Completion:
            return types.Completion(values=[argument.value], total=1, has_more=False)


def describe(served: Server) -> None:
    """Every tool and prompt must say what it is."""
    for fixture in (*served._tool_manager.list_tools(), *served._prompt_manager.list_prompts()):
        fixture.description = fixture.description or "A fixture of the conformance suite."


async def main() -> None:
    # Scenarios repeat each other's calls, and leave jobs of a minute behind.
    settings = Settings.load(dedupe_hours=0, concurrency=16)
    line = bound("127.0.0.1", 0)
    address = Address.of(line, settings)
    closing = anyio.Event()
    async with opened(settings) as house, anyio.create_task_group() as working:
        working.start_soon(house.runner.run)
        desks = Desks(house, closing, guarded=False)
        served = server(desks.of, desks.glance, task_tools=TASK_TOOLS, required_tasks=REQUIRED)
        for fixtures in (contents, streams, back, rounds, readings):
            fixtures(served)
        tasks(served, desks.of)
        describe(served)
        known = place(address, settings, None)
        async with site(served, known, settings, address.resources) as guard, anyio.create_task_group() as group:
            await group.start(Listener(guard, line, closing, guard.close).run_until_closed)
            sys.stderr.write(f"serving MCP at {address.local}/mcp\n")
            sys.stderr.flush()
        working.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main)
