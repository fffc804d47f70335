"""What is wrong with an argument, in words an agent can act on; never the value, which is the caller's data."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from pydantic_core import ErrorDetails

#: Pydantic's error types in our words; `{}` takes the bound of the same name in the error's context.
_WORDS = {
    "missing": "is missing, and there is no default",
    "string_too_short": "is too short; it needs at least {min_length} characters",
    "string_too_long": "is too long; the limit is {max_length} characters",
    "too_long": "has too many entries; the limit is {max_length}",
    "literal_error": "must be one of {expected}",
    "greater_than_equal": "is out of range; the least is {ge}",
    "greater_than": "is out of range; it must be more than {gt}",
    "less_than_equal": "is out of range; the most is {le}",
    "value_error": "{error}",
    "string_pattern_mismatch": "does not have the form asked for: a bare domain such as example.org, or 2026-11-21",
    "string_type": "must be text",
    "dict_type": "must be an object",
    "tuple_type": "must be a list",
    "bool_type": "must be true or false",
    "json_invalid": "must be a list of ids",
}


def complaint(error: ErrorDetails) -> str:
    """One validation error as a clause that names the place and what it can take."""
    place = ".".join(str(part) for part in error["loc"])
    plain = f"cannot be used: {error['msg'][0].lower()}{error['msg'][1:]}"
    why = _WORDS.get(error["type"], plain).format(**error.get("ctx", {}))
    return f"{place} {why}".strip()


def unknown(tool: str, name: str, known: Sequence[str]) -> str:
    """An argument the tool does not take, with the nearest one that it does."""
    shown = name if len(name) <= 60 else name[:60] + "…"
    near = difflib.get_close_matches(_snake(name), known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}?" if near else f"It takes {', '.join(known)}."
    return f"{tool} has no argument {shown!r}, so nothing was done. {hint}"


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
