"""Questions before a job exists: the call is answered with what to ask, and comes again with the answer.

Source: multi round-trip requests of the 2026-07-28 specification. A client that cannot ask gets the error instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp.server.mcpserver import Context
from mcp_types import ElicitRequest, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from spadework_tools.ask import fills_forms, form, told
from spadework_tools.errors import Unclear


def can_ask(context: Context[Any, Any]) -> bool:
    """Whether this call's client can put a question to a person, and has not just done so in vain."""
    modern = context.protocol_version in MODERN_PROTOCOL_VERSIONS
    return modern and not context.input_responses and fills_forms(context.client_capabilities)


def question(unclear: Unclear) -> InputRequiredResult:
    """What to ask, under the name of the argument that lacks it."""
    request = ElicitRequest.model_validate(form(unclear.question), by_alias=True)
    return InputRequiredResult(input_requests={unclear.argument: request})


def named(context: Context[Any, Any], argument: str, arguments: Mapping[str, Any]) -> str | None:
    """What the person said for an argument that the call itself leaves open."""
    response = (context.input_responses or {}).get(argument)
    if response is None or arguments.get(argument):
        return None
    return told(response.model_dump(mode="json", by_alias=True)) or None
