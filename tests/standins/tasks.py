"""The bodies of Parallel's Task API: every documented field, and nothing else.

Whether the vendor refuses unknown fields is not known; the stand-in does, since a client should send none.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pydantic import Field
from tests.standins.answers import nesting
from tests.standins.strict import Body, bare_domain

Labels = dict[str, str | float | bool]

#: Dollars a run, by processor; the fast variants cost the same.
PRICES = {
    "lite": 0.005,
    "base": 0.01,
    "core": 0.025,
    "core2x": 0.05,
    "pro": 0.1,
    "ultra": 0.3,
    "ultra2x": 0.6,
    "ultra4x": 1.2,
    "ultra8x": 2.4,
}
LARGEST = 25_000
DEEPEST = 3
DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")


class Schema(Body):
    type: Literal["json", "text", "auto"]
    json_schema: dict[str, Any] | None = None
    description: str | None = None


class Spec(Body):
    output_schema: str | Schema
    input_schema: str | Schema | None = None


class Policy(Body):
    include_domains: list[str] | None = None
    exclude_domains: list[str] | None = None
    after_date: str | None = None


class Sources(Body):
    free: list[str] | None = None
    pay_per_use: list[str] | None = None


class Advanced(Body):
    location: str | None = None
    data_sources: Sources | None = None


class Server(Body):
    type: Literal["url"] = "url"
    name: str
    url: str
    headers: dict[str, str] | None = None
    allowed_tools: list[str] | None = None


class Hook(Body):
    url: str
    event_types: list[Literal["task_run.status"]] | None = None


class RunRequest(Body):
    input: str | dict[str, Any]
    processor: str
    task_spec: Spec | None = None
    metadata: Labels | None = None
    source_policy: Policy | None = None
    advanced_settings: Advanced | None = None
    previous_interaction_id: str | None = None
    mcp_servers: list[Server] | None = Field(default=None, max_length=10)
    enable_events: bool | None = None
    memory_scope_key: str | None = None
    webhook: Hook | None = None


class GroupRequest(Body):
    metadata: Labels | None = None


class AddRequest(Body):
    inputs: list[RunRequest] = Field(min_length=1, max_length=1000)
    default_task_spec: Spec | None = None


def price(processor: str) -> float | None:
    """What a run on a processor costs; None for one that does not exist."""
    return PRICES.get(processor.removesuffix("-fast"))


def objection(body: dict[str, Any]) -> str | None:
    """What Parallel has against a well-formed run request, in words, or None."""
    return _labels(body.get("metadata") or {}) or _policy(body.get("source_policy") or {}) or _spec(body)


def _labels(labels: dict[str, Any]) -> str | None:
    if any(len(name) > 16 or len(str(value)) > 512 for name, value in labels.items()):
        return "metadata keys and values have at most 16 and 512 characters"
    return None


def _policy(policy: dict[str, Any]) -> str | None:
    named = [*(policy.get("include_domains") or []), *(policy.get("exclude_domains") or [])]
    if len(named) > 200:
        return "include_domains and exclude_domains cannot have more than 200 entries together"
    if bad := next((name for name in named if not bare_domain(name.partition("/")[0])), None):
        return f"{bad!r} is not a domain"
    if policy.get("after_date") is not None and not DAY.match(policy["after_date"]):
        return "after_date is not a date (YYYY-MM-DD)"
    return None


def _spec(body: dict[str, Any]) -> str | None:
    spec = body.get("task_spec") or {}
    if len(json.dumps(spec, ensure_ascii=False)) + len(json.dumps(body["input"], ensure_ascii=False)) > LARGEST:
        return f"task_spec and input have more than {LARGEST} characters"
    form = spec.get("output_schema")
    if isinstance(form, dict) and form["type"] == "json":
        schema = form.get("json_schema")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            return "json_schema must be a schema of type object"
        if nesting(schema) > DEEPEST:
            return f"json_schema nests deeper than {DEEPEST} levels"
    return None


def output(body: dict[str, Any]) -> tuple[str, Any]:
    """What form of output a run request asks for: ("text"|"json"|"auto", the JSON Schema or None)."""
    form = (body.get("task_spec") or {}).get("output_schema", {"type": "auto"})
    if isinstance(form, str):
        return "text", None
    return form["type"], form.get("json_schema")
