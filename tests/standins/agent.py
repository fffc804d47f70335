"""The body of a Perplexity Agent API request: every documented field, and nothing else."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field
from tests.standins.strict import DATE, Body, bare_domain

EFFORTS = ("fast", "low", "medium", "high", "xhigh", "wide-research")
#: The preset names of before the efforts; still understood.
PRESETS = {
    "fast-search": "fast",
    "pro-search": "low",
    "deep-research": "high",
    "advanced-deep-research": "xhigh",
    "sonar-deep-research": "medium",
}
DATES = (
    "search_after_date_filter",
    "search_before_date_filter",
    "last_updated_after_filter",
    "last_updated_before_filter",
)


class Reasoning(Body):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None


class Format(Body):
    name: str
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(Body):
    type: Literal["json_schema"]
    json_schema: Format | None = None


class Filters(Body):
    search_domain_filter: list[str] | None = None
    search_recency_filter: Literal["hour", "day", "week", "month", "year"] | None = None
    search_after_date_filter: str | None = None
    search_before_date_filter: str | None = None
    last_updated_after_filter: str | None = None
    last_updated_before_filter: str | None = None


class Place(Body):
    city: str | None = None
    country: str | None = None
    region: str | None = None
    latitude: float | None = None
    longitude: float | None = None


class WebSearch(Body):
    type: Literal["web_search"]
    filters: Filters | None = None
    max_results: int | None = Field(default=None, ge=1, le=50)
    max_tokens: int | None = None
    max_tokens_per_page: int | None = None
    search_context_size: Literal["low", "medium", "high"] | None = None
    search_type: Literal["web", "fast"] | None = None
    user_location: Place | None = None


class FetchUrl(Body):
    type: Literal["fetch_url"]
    max_urls: int | None = None


class OtherTool(Body):
    """Tools whose insides no test of ours sends."""

    model_config = ConfigDict(extra="allow", strict=True)
    type: Literal[
        "people_search", "finance_search", "image_search", "sandbox", "function", "namespace", "mcp", "connector"
    ]


class AgentRequest(Body):
    input: str | list[dict[str, Any]]
    background: bool | None = None
    effort: str | None = None
    instructions: str | None = None
    language_preference: str | None = None
    max_output_tokens: int | None = None
    max_steps: int | None = Field(default=None, ge=1, le=100)
    max_tool_calls: int | None = None
    metadata: dict[str, str] | None = None
    model: str | None = None
    models: list[str] | None = None
    parallel_tool_calls: bool | None = None
    preset: str | None = None
    previous_response_id: str | None = None
    profile: Any = None
    prompt_cache_key: str | None = None
    reasoning: Reasoning | None = None
    response_format: ResponseFormat | None = None
    service_tier: Literal["auto", "default", "flex", "priority", "fast"] | None = None
    skills: list[dict[str, Any]] | None = None
    step_budget_reminder: bool | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    temperature: float | None = None
    tool_choice: Any = None
    tools: list[WebSearch | FetchUrl | OtherTool] | None = None
    top_p: float | None = None
    truncation: str | None = None


def objection(body: dict[str, Any]) -> tuple[str, str, str] | None:
    """What Perplexity has against a well-formed body: (type, parameter, words), or None."""
    return _missing(body) or _tier(body) or _model(body) or _labels(body) or _searches(body)


def _missing(body: dict[str, Any]) -> tuple[str, str, str] | None:
    if not body["input"]:
        return "invalid_request", "input", "input is required"
    if not any(body.get(name) for name in ("model", "models", "preset", "effort", "profile")):
        return "invalid_request", "model", "one of model, models, preset, effort or profile is required"
    return None


def _tier(body: dict[str, Any]) -> tuple[str, str, str] | None:
    effort, preset = body.get("effort"), body.get("preset")
    if effort is not None and effort not in EFFORTS:
        return "invalid_parameter", "effort", f"unknown effort {effort!r}"
    if effort is None and preset is not None and preset not in (*EFFORTS, *PRESETS):
        return "invalid_parameter", "preset", f"unknown preset {preset!r}"
    return None


def _model(body: dict[str, Any]) -> tuple[str, str, str] | None:
    chain = body.get("models") or [body["model"]] if body.get("models") or body.get("model") else []
    if len(chain) > 5:
        return "invalid_parameter", "models", "at most 5 models are allowed"
    for name in chain:
        if "/" not in name:
            return "invalid_model", "model", f"model {name!r} is not in provider/model format"
        if name.startswith("anthropic/") and body.get("max_output_tokens") is None:
            return "invalid_parameter", "max_output_tokens", "max_output_tokens is required for anthropic models"
    return None


def _labels(body: dict[str, Any]) -> tuple[str, str, str] | None:
    labels: dict[str, str] = body.get("metadata") or {}
    if len(labels) > 16 or any(len(name) > 64 or len(value) > 512 for name, value in labels.items()):
        return "invalid_parameter", "metadata", "metadata takes 16 pairs of 64 and 512 characters"
    return None


def _searches(body: dict[str, Any]) -> tuple[str, str, str] | None:
    for tool in body.get("tools") or []:
        filters: dict[str, Any] = tool.get("filters") or {}
        domains = filters.get("search_domain_filter") or []
        if len(domains) > 20:
            return "invalid_parameter", "search_domain_filter", "at most 20 domains are allowed"
        if bad := next((name for name in domains if not bare_domain(name)), None):
            return "invalid_parameter", "search_domain_filter", f"{bad!r} is not a domain"
        for name in DATES:
            if filters.get(name) is not None and not DATE.match(filters[name]):
                return "invalid_parameter", name, f"{filters[name]!r} is not a date"
    return None
