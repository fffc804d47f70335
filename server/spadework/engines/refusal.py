"""A vendor's refusal as a typed error: its code, its own words, and what to do next.

The status alone says too little: 403 is a retired endpoint at one vendor and an empty balance at another, so the
vendor's word for the kind is looked at first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from spadework.engines.payload import Payload, plain
from spadework_tools.errors import EngineFailed

#: Codes after which another engine may take over: nothing was accepted, so nothing was spent.
ELSEWHERE = frozenset(
    {"endpoint_retired", "model_retired", "bad_key", "no_credit", "rate_limited", "vendor_down", "missing_key"}
)

_ADVICE = {
    "endpoint_retired": "Choose another engine or tier; a newer spadework may speak the vendor's new API.",
    "model_retired": "Choose another tier of this engine, or another engine.",
    "bad_key": "Check the key's variable and set a valid key.",
    "no_credit": "Top up the vendor's account, or choose another engine.",
    "rate_limited": "Wait, or choose another engine.",
    "vendor_down": "Try again later, or choose another engine.",
    "schema_refused": "Simplify output_schema and start again.",
    "vendor_refused": "Change what it names and start again.",
}
_WORDLESS = "It gave no reason; simplify the request and start again, or choose another engine."
_RETIRED = ("chat_completions_not_available", "endpoint_retired", "no longer served", "has been retired", "sunset")
_NO_MODEL = (
    "invalid_model",
    "model_not_found",
    "invalid processor",
    "unknown processor",
    "model is no longer",
    "provider_unavailable",
)
_NO_CREDIT = ("insufficient_credit", "insufficient_quota", "insufficient credit", "insufficient balance", "no credits")
_SCHEMA = ("response_format", "json_schema", "output_schema", "schema")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a vendor says is wrong: its words for the kind, for the matter, and for the field."""

    kind: str = ""
    message: str = ""
    field: str = ""


def complaint(body: Payload) -> Complaint:
    """The vendor's words, from any of the error shapes that vendors use."""
    error = body.at("error") if body.at("error").fields() else body
    kind = error.at("type").text() or error.at("code").text() or error.at("error").text()
    message = error.at("message").text() or body.at("error").text()
    # What exactly is wrong stands beside the message at some vendors, in forms of their own.
    detail = error.at("detail").value or error.at("details").value or body.at("errors").value
    if detail:
        more = detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False)
        message = f"{message}: {more}" if message else more
    return Complaint(plain(f"{kind} {error.at('code').text()}".strip(), 80), plain(message), plain(_field(error), 60))


def refused(vendor: str, status: int, said: Complaint, *, submitting: bool = True) -> EngineFailed:
    """The typed error for a refusal; `submitting` tells a missing path from a missing run."""
    code = _code(status, said, submitting=submitting)
    words = f": {said.message.rstrip('.')}" if said.message else ""
    happened = {
        "endpoint_retired": f"{vendor} has retired this API",
        "model_retired": f"{vendor} no longer offers this tier",
        "bad_key": f"{vendor} refused the key",
        "no_credit": f"{vendor} has no credit left on this account",
        "rate_limited": f"{vendor} takes no more requests for now",
        "vendor_down": f"{vendor} is away",
        "schema_refused": f"{vendor} refused the output schema",
    }.get(code, f"{vendor} refused the request")
    advice = _ADVICE[code] if words or code != "vendor_refused" else _WORDLESS
    if 300 <= status < 400:
        happened = f"{vendor} sends us to another address, where its key may not go"
        advice = f"Check SPADEWORK_{vendor.upper()}_BASE_URL where it is set, or choose another engine."
    return EngineFailed(
        f"{happened} (HTTP {status}{words}). {advice}",
        code=code,
        retryable=code in ("rate_limited", "vendor_down"),
    )


def _code(status: int, said: Complaint, *, submitting: bool) -> str:
    words = f"{said.kind} {said.message}".lower()
    named = (("endpoint_retired", _RETIRED), ("model_retired", _NO_MODEL), ("no_credit", _NO_CREDIT))
    for code, signs in named:
        if any(sign in words for sign in signs):
            return code
    if status in (400, 422) and any(sign in f"{words} {said.field}".lower() for sign in _SCHEMA):
        return "schema_refused"
    gone = 410 if submitting else -1
    by_status = {401: "bad_key", 402: "no_credit", 429: "rate_limited", gone: "endpoint_retired"}
    if status in by_status:
        return by_status[status]
    if submitting and (status in (404, 405) or 300 <= status < 400):
        return "endpoint_retired"
    return "vendor_down" if status >= 500 else "vendor_refused"


def _field(error: Payload) -> str:
    details = error.at("details").at("field").text()
    return error.at("param").text() or error.at("field").text() or details
