"""Parallel's payloads: an output in the asked form, and beside it what each of its fields rests on."""

from __future__ import annotations

import json
from typing import Any

from tests.standins import answers
from tests.standins.script import Run
from tests.standins.tasks import output

#: These give neither excerpts nor a confidence.
PLAIN = ("lite", "base")
LEVELS = ("high", "medium", "low")
AUTO = {
    "type": "object",
    "properties": {
        "summary": {"type": "string"},
        "market_size_usd": {"type": "number"},
        "leaders": {"type": "array", "items": {"type": "string"}},
    },
}


def payload(run: Run) -> dict[str, Any]:
    """The output of a run that has completed."""
    form, schema = output(run.body)
    subject = run.body["input"] if isinstance(run.body["input"], str) else json.dumps(run.body["input"])
    if form == "text":
        return _text(run, subject)
    schema = AUTO if form == "auto" else schema
    content = answers.fill(schema, subject)
    content |= {name: held for name, held in _given(run.body["input"]).items() if name in content}
    content |= dict.fromkeys(run.script.unverified & set(content))
    fields = [
        _basis(run, subject, path, found=content[path.split(".")[0]] is not None)
        for name, held in content.items()
        for path in (name, *(f"{name}.{place}" for place in range(len(held) if isinstance(held, list) else 0)))
    ]
    made = {"type": "json", "content": content, "basis": fields, "mcp_tool_calls": None}
    return {**made, "output_schema": AUTO} if form == "auto" else made


def _given(asked: Any) -> dict[str, Any]:
    """What the input already says is not researched again."""
    return asked if isinstance(asked, dict) else {}


def _text(run: Run, subject: str) -> dict[str, Any]:
    text = run.script.text
    if text is None:
        text = answers.report(subject, _pages(run, subject))
    basis = [_basis(run, subject, "output")]
    return {"type": "text", "content": text, "basis": basis, "mcp_tool_calls": None}


def _pages(run: Run, subject: str) -> list[dict[str, Any]]:
    policy = run.body.get("source_policy") or {}
    include = policy.get("include_domains") or []
    exclude = [] if include else policy.get("exclude_domains") or []
    return answers.pages(subject, 3, include, exclude)


def _basis(run: Run, subject: str, name: str, *, found: bool = True) -> dict[str, Any]:
    if not found:
        reason = f"No reliable source states {name}, so it is left null."
        return {"field": name, "reasoning": reason, "citations": [], "confidence": "low"}
    plain = run.body["processor"].removesuffix("-fast") in PLAIN
    cited = [
        {"url": page["url"], "title": page["title"], "excerpts": [] if plain else [page["snippet"]]}
        for page in _pages(run, subject if name == "output" else f"{subject}/{name}")
    ]
    level = "" if plain else LEVELS[len(name) % len(LEVELS)]
    reasoning = f"{len(cited)} sources were compared for {name}."
    return {"field": name, "reasoning": reasoning, "citations": cited, "confidence": level}
