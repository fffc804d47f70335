"""The first two lines of every connection to a desk: the caller's hello and the desk's welcome, each one JSON object.

A hello carries keys, so it lives in memory alone and shows none of them, whoever prints it. Fields may be added under
the same protocol number; an unknown one is passed over, so that neighbouring versions understand each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

#: The number of this form; raised only when an older side could not read it.
PROTOCOL = 1
#: This distribution's version and its registry's schema, written out: looking them up costs the bridge its start.
VERSION = "0.1.0"
SCHEMA = 3

#: What a caller may want: an MCP session, the desk's own port, its state, its end, or its place for another version.
ASKS = frozenset({"mcp", "desk", "status", "stop", "handover"})


class Garbled(Exception):
    """A first line that is no hello or welcome of ours."""


class Hello(NamedTuple):
    """Who calls, from which folder, with which keys and settings, and what for."""

    ask: str
    cwd: str
    environ: Mapping[str, str]
    pid: int = 0
    protocol: int = PROTOCOL
    version: str = VERSION
    schema: int = SCHEMA
    token: str = ""

    def __repr__(self) -> str:
        return f"Hello(ask={self.ask!r}, version={self.version!r}, pid={self.pid})"

    __str__ = __repr__

    def line(self) -> bytes:
        """As sent."""
        return _line({"spadework": "hello", **self._asdict(), "environ": dict(self.environ)})

    @classmethod
    def of(cls, line: bytes) -> Hello:
        """From what was sent. Raises Garbled."""
        row = _row(line, "hello", cls._fields)
        if row.get("ask") not in ASKS or not isinstance(row.get("cwd"), str):
            raise Garbled("a hello that asks for nothing we know")
        environ = row.get("environ")
        if not isinstance(environ, dict):
            raise Garbled("a hello without an environment")
        row["environ"] = {str(name): str(text) for name, text in cast("dict[Any, Any]", environ).items()}
        return cls(**row)


class Welcome(NamedTuple):
    """The desk's answer: who serves, or why it does not.

    `retry`: it is on its way out, so knock again. `stays`: it makes no room for another version's desk.
    """

    version: str = VERSION
    schema: int = SCHEMA
    pid: int = 0
    protocol: int = PROTOCOL
    refusal: str = ""
    retry: bool = False
    stays: bool = False
    notes: tuple[str, ...] = ()
    state: Mapping[str, Any] = {}

    def line(self) -> bytes:
        """As sent."""
        return _line({"spadework": "welcome", **self._asdict()})

    @classmethod
    def of(cls, line: bytes) -> Welcome:
        """From what was sent. Raises Garbled."""
        row = _row(line, "welcome", cls._fields)
        row["notes"] = tuple(str(note) for note in row.get("notes", ()))
        return cls(**row)


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


def _row(line: bytes, kind: str, fields: tuple[str, ...]) -> dict[str, Any]:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise Garbled(f"a line that is no {kind}") from None
    found = cast("dict[str, Any]", row) if isinstance(row, dict) else {}
    if found.get("spadework") != kind or not isinstance(found.get("protocol"), int):
        raise Garbled(f"a line that is no {kind}")
    return {name: found[name] for name in fields if name in found}
