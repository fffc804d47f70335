"""The switches: what goes wrong on the wire, where, and how often.

A switch set on a stand-in acts on the next requests it fits. With `match` it fits only requests that carry those
words, or that ask after a run whose submit carried them: a switch for one request among many.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What goes wrong."""

    # Refused before anything is done.
    RATE_LIMIT = "rate_limit"
    SERVER_ERROR = "server_error"
    BAD_KEY = "bad_key"
    NO_CREDIT = "no_credit"
    RETIRED_ENDPOINT = "retired_endpoint"
    RETIRED_MODEL = "retired_model"
    # Cut before anything is done, or never answered.
    LOST_BEFORE = "lost_before"
    STALL = "stall"
    # Done, but the reply is lost or spoiled.
    LOST_AFTER = "lost_after"
    STALL_AFTER = "stall_after"
    ERROR_AFTER = "error_after"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    HTML = "html"
    EMPTY = "empty"
    WRONG_TYPES = "wrong_types"
    UNKNOWN_FIELD = "unknown_field"
    UNKNOWN_STATUS = "unknown_status"
    SURROGATE = "surrogate"


REFUSALS = frozenset(
    {
        Kind.RATE_LIMIT,
        Kind.SERVER_ERROR,
        Kind.BAD_KEY,
        Kind.NO_CREDIT,
        Kind.RETIRED_ENDPOINT,
        Kind.RETIRED_MODEL,
    }
)

PAGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>"
NOVEL = {"since": "tomorrow", "values": [1, None, "x"]}
STRANGE = "pondering"


@dataclass(frozen=True, slots=True)
class Fault:
    """One switch: `kind` happens at `where` ("any": everywhere) for `times` requests (None: until it is cleared).

    `status` is the code of a server error, `retry_after` the header's value as sent, `after` how many fitting
    requests go well first, `keys` which top-level fields get a wrong type (none named: all).
    """

    kind: Kind
    where: str = "any"
    times: int | None = 1
    match: str = ""
    status: int = 503
    retry_after: str | None = None
    after: int = 0
    keys: tuple[str, ...] = ()


class Faults:
    """The switches of one stand-in, first set first taken."""

    def __init__(self) -> None:
        self._armed: list[list[Any]] = []
        self.taken: list[Fault] = []

    def add(self, kind: Kind, where: str = "any", **options: Any) -> Fault:
        """Set one switch; see Fault for the options."""
        fault = Fault(kind, where, **options)
        self._armed.append([fault, fault.after, fault.times])
        return fault

    def clear(self) -> None:
        """Take every switch back."""
        self._armed.clear()

    @property
    def armed(self) -> bool:
        """Whether any switch is set."""
        return bool(self._armed)

    def take(self, where: str, said: Callable[[], str]) -> Fault | None:
        """The switch that acts on this request, if any; `said` gives the words that belong to it."""
        for entry in self._armed:
            fault, left, times = entry
            if fault.where not in ("any", where) or times == 0 or (fault.match and fault.match not in said()):
                continue
            if left > 0:
                entry[1] -= 1
                continue
            if times is not None:
                entry[2] -= 1
            self.taken.append(fault)
            return fault
        return None


def spoil(fault: Fault, body: bytes) -> bytes:
    """A good body, made bad the way the switch says."""
    if fault.kind is Kind.HTML:
        return PAGE
    if fault.kind is Kind.EMPTY:
        return b""
    if fault.kind is Kind.MALFORMED:
        return body.replace(b":", b"=", 3)
    value = json.loads(body)
    if fault.kind is Kind.WRONG_TYPES:
        return encode(_skew(value, fault.keys))
    if fault.kind is Kind.UNKNOWN_FIELD:
        return encode(_grown(value))
    if fault.kind is Kind.UNKNOWN_STATUS:
        return encode(_renamed(value))
    if fault.kind is Kind.SURROGATE:
        return encode(_torn(value))
    raise ValueError(f"{fault.kind} spoils no body")


def encode(value: Any) -> bytes:
    """JSON as the vendors send it: UTF-8, and an escape for what UTF-8 cannot say (a lone surrogate)."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def _skew(value: Any, keys: Sequence[str]) -> Any:
    """Every value (or the named ones, at any depth) with another type than it should have."""
    if not isinstance(value, dict):
        return {"unexpected": value}
    if not keys:
        return {key: _other(held) for key, held in value.items()}
    return {
        key: _other(held) if key in keys else _skew(held, keys) if isinstance(held, dict) else held
        for key, held in value.items()
    }


def _other(value: Any) -> Any:
    if isinstance(value, str):
        return 17
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list):
        return {str(place): held for place, held in enumerate(value)}
    return "none" if value is None else str(value)


def _grown(value: Any) -> Any:
    """Every object with a field nobody has heard of."""
    if isinstance(value, dict):
        return {**{key: _grown(held) for key, held in value.items()}, "novel_field": NOVEL}
    if isinstance(value, list):
        return [_grown(held) for held in value]
    return value


def _renamed(value: Any) -> Any:
    """The first status found, replaced by a word nobody has heard of."""
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("status"), str):
        return {**value, "status": STRANGE}
    return {key: _renamed(held) for key, held in value.items()}


def _torn(value: Any) -> Any:
    """Every long text with half an emoji in its middle."""
    if isinstance(value, dict):
        return {key: _torn(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_torn(held) for held in value]
    if isinstance(value, str) and " " in value:
        return f"{value[: len(value) // 2]}\ud83d{value[len(value) // 2 :]}"
    return value
