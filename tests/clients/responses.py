"""The OpenAI Responses API, as Codex 0.169.0 speaks it (2026-11)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.clients.mind import SERVER, Call, Move, Result, Search, Turn
from tests.clients.model import Model


class Responses(Model):
    """Tools stand in a namespace of their server's, from the start or as what a search of the model's has found."""

    path = "/v1/responses"

    def turn(self, body: dict[str, Any]) -> Turn:
        """What a request tells the model. Each output says first how long the call took."""
        talk = body["input"]
        found = [tool for item in talk if item["type"] == "tool_search_output" for tool in item["tools"]]
        spaces = [tool for tool in (*body["tools"], *found) if tool.get("name") == SERVER]
        tools = {tool["name"]: tool["description"] for space in spaces for tool in space["tools"]}
        frame = "\n".join([body.get("instructions", ""), *(space["description"] for space in spaces)])
        messages = [item for item in talk if item["type"] == "message" and item["role"] == "user"]
        said = tuple(part["text"] for item in messages for part in item["content"] if part["type"] == "input_text")
        called = {item["call_id"]: item["name"] for item in talk if item["type"] == "function_call"}
        results = tuple(
            Result(called[item["call_id"]], _text(item["output"]).partition("Output:\n")[2])
            for item in talk
            if item["type"] == "function_call_output"
        )
        return Turn(tools, frame, said, results)

    def events(self, body: dict[str, Any], number: int, move: Move) -> Iterator[dict[str, Any]]:
        """A move as a stream of one output item."""
        item = {**_item(move, number), "status": "completed"}
        response = {"id": f"resp_{number}", "object": "response", "model": body["model"], "output": []}
        usage = {
            "input_tokens": 100, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 10, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 110,
        }  # fmt: skip
        yield {"type": "response.created", "response": {**response, "status": "in_progress"}}
        yield {"type": "response.output_item.added", "output_index": 0, "item": item}
        yield {"type": "response.output_item.done", "output_index": 0, "item": item}
        whole = {**response, "status": "completed", "output": [item], "usage": usage}
        yield {"type": "response.completed", "response": whole}


def _item(move: Move, number: int) -> dict[str, Any]:
    if isinstance(move, str):
        content = [{"type": "output_text", "text": move, "annotations": []}]
        return {"type": "message", "id": f"msg_{number}", "role": "assistant", "content": content}
    call = {"call_id": f"call_{number}"}
    if isinstance(move, Search):
        query = {"query": move.tool.replace("_", " "), "limit": 8}
        return {"type": "tool_search_call", "id": f"ts_{number}", "execution": "client", "arguments": query, **call}
    assert isinstance(move, Call)
    arguments = json.dumps(move.arguments)
    named = {"namespace": SERVER, "name": move.tool}
    return {"type": "function_call", "id": f"fc_{number}", "arguments": arguments, **named, **call}


def _text(output: Any) -> str:
    return output if isinstance(output, str) else "\n".join(part["text"] for part in output)
