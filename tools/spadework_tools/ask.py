"""Questions to the person at the client, as MCP puts and answers them: an `elicitation/create` form of one field.

The form's shape is that of the 2026-07-28 specification (client/elicitation); a declined question has an answer too,
the empty one, since whoever asked must go on somehow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from spadework_tools.clean import clean

#: The one field of every form.
FIELD = "answer"


def form(question: str, choices: Sequence[str] = ()) -> dict[str, Any]:
    """The request that puts a question to the person at the client."""
    answer: dict[str, Any] = {"type": "string", "title": "Answer"}
    if choices:
        answer["enum"] = [clean(choice) for choice in choices]
    schema = {"type": "object", "properties": {FIELD: answer}, "required": [FIELD]}
    params = {"mode": "form", "message": clean(question), "requestedSchema": schema}
    return {"method": "elicitation/create", "params": params}


def told(response: object) -> str | None:
    """What a response says: the answer, "" where the person declined or gave none, None where it is no response."""
    if not isinstance(response, Mapping):
        return None
    given = cast("Mapping[str, Any]", response)
    if given.get("action") not in ("accept", "decline", "cancel"):
        return None
    content = given.get("content")
    if given["action"] != "accept" or not isinstance(content, Mapping):
        return ""
    fields = cast("Mapping[str, Any]", content)
    # A client that fills in a form of its own is understood too.
    answer = fields.get(FIELD, next(iter(fields.values())) if len(fields) == 1 else dict(fields) or "")
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def fills_forms(capabilities: object) -> bool:
    """Whether a client with these capabilities shows forms; an empty elicitation capability means that it does."""
    elicitation = getattr(capabilities, "elicitation", None)
    if elicitation is None:
        return False
    return getattr(elicitation, "form", None) is not None or getattr(elicitation, "url", None) is None
