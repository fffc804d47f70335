"""What a client's line is answered with when it is no message of the protocol.

The SDK drops such a line without a word (mcp 2.3.0, `server/stdio.py`), and a client that has asked something waits
until its time-out. The codes are JSON-RPC's (https://www.jsonrpc.org/specification, section 5.1).
"""

from __future__ import annotations

import json
from typing import Any, cast

from mcp_types import INVALID_REQUEST, PARSE_ERROR
from pydantic_core import from_json

_PARSE = "Parse error: the line is no JSON. Send each message as one line of JSON, in UTF-8."
_REQUEST = (
    'Invalid request: a message is one object with jsonrpc "2.0" and a method, whose params are an object and whose id '
    "is a text or a whole number. Correct it and send it again."
)


def refusal(line: str) -> str | None:
    """The error that a line is owed, as a line; None for a message."""
    try:
        found: Any = from_json(line)
    except ValueError:
        return _error(None, PARSE_ERROR, _PARSE)
    if not isinstance(found, dict):
        return _error(None, INVALID_REQUEST, _REQUEST)
    message = cast("dict[str, Any]", found)
    if message.get("jsonrpc") == "2.0" and (_asks(message) if "method" in message else _answers(message)):
        return None
    number = message.get("id")
    return _error(number if _is_id(number) else None, INVALID_REQUEST, _REQUEST)


def _asks(message: dict[str, Any]) -> bool:
    params_fit = isinstance(message.get("params"), dict | None)
    return isinstance(message["method"], str) and params_fit and (message.get("id") is None or _is_id(message["id"]))


def _answers(message: dict[str, Any]) -> bool:
    return "id" in message and ("result" in message or "error" in message)


def _is_id(number: object) -> bool:
    return isinstance(number, str | int) and not isinstance(number, bool)


def _error(number: Any, code: int, why: str) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": why}}) + "\n"
