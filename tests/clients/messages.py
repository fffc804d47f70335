"""The Anthropic Messages API, as Claude Code 2.1.330 speaks it (2026-11)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.clients.mind import SERVER, Call, Move, Result, Search, Turn
from tests.clients.model import Model

_OURS = f"{SERVER}__"


class Messages(Model):
    """Tools that are deferred are searched for with Claude Code's own tool, which also waits for their server."""

    path = "/v1/messages"

    def turn(self, body: dict[str, Any]) -> Turn:
        """What a request tells the model. Claude Code adds to its system prompt in the midst of the talk."""
        tools = {tool["name"].removeprefix(_OURS): tool["description"]
                 for tool in body["tools"] if tool["name"].startswith(_OURS)}  # fmt: skip
        talk = [(message["role"], block) for message in body["messages"] for block in _blocks(message["content"])]
        frame = [block["text"] for block in _blocks(body["system"])]
        frame += [block["text"] for role, block in talk if role == "system" and block["type"] == "text"]
        said = tuple(block["text"] for role, block in talk if role == "user" and block["type"] == "text")
        called = {block["id"]: block["name"].removeprefix(_OURS)
                  for _, block in talk if block["type"] == "tool_use" and block["name"].startswith(_OURS)}  # fmt: skip
        results = tuple(
            Result(called[block["tool_use_id"]], _text(block["content"]), block.get("is_error", False))
            for _, block in talk
            if block["type"] == "tool_result" and block["tool_use_id"] in called
        )
        return Turn(tools, "\n".join(frame), said, results)

    def events(self, body: dict[str, Any], number: int, move: Move) -> Iterator[dict[str, Any]]:
        """A move as a stream of one content block."""
        usage = {"input_tokens": 100, "output_tokens": 10}
        message = {
            "id": f"msg_{number:024}", "type": "message", "role": "assistant", "model": body["model"], "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": usage,
        }  # fmt: skip
        block, delta = _said(move, number)
        yield {"type": "message_start", "message": message}
        yield {"type": "content_block_start", "index": 0, "content_block": block}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "content_block_stop", "index": 0}
        why = "end_turn" if isinstance(move, str) else "tool_use"
        yield {"type": "message_delta", "delta": {"stop_reason": why, "stop_sequence": None}, "usage": usage}
        yield {"type": "message_stop"}


def _said(move: Move, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A content block as it begins, and all that comes of it."""
    if isinstance(move, str):
        return {"type": "text", "text": ""}, {"type": "text_delta", "text": move}
    if isinstance(move, Search):
        name, arguments = "ToolSearch", {"query": f"select:{_OURS}{move.tool}"}
    else:
        assert isinstance(move, Call)
        name, arguments = f"{_OURS}{move.tool}", dict(move.arguments)
    block = {"type": "tool_use", "id": f"toolu_{number:024}", "name": name, "input": {}}
    return block, {"type": "input_json_delta", "partial_json": json.dumps(arguments)}


def _blocks(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _text(content: Any) -> str:
    return "\n".join(block["text"] for block in _blocks(content))
