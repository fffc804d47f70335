"""JSON with comments and trailing commas, edited in place: every byte outside of the edit stays as it is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_BLANK = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_WORD = re.compile(r"[-+.0-9A-Za-z]+")
#: Deeper than any configuration, and less than Python's own limit.
DEEPEST = 200


@dataclass(frozen=True)
class Value:
    """A value and where it stands; of an object also its members, each with the place of its name."""

    start: int
    end: int
    plain: Any
    members: tuple[tuple[str, int, Value], ...] = ()

    def member(self, name: str) -> tuple[int, Value] | None:
        """The place of a name and its value; the last one where there are several, as JSON has it."""
        return next(((start, value) for key, start, value in reversed(self.members) if key == name), None)


def parse(text: str) -> Value:
    """The whole of a text. Raises ValueError where it is no JSON, comments and trailing commas aside."""
    value, end = _value(text, _skip(text, 0), 0)
    if _skip(text, end) != len(text):
        raise ValueError(f"something follows the end at character {end}")
    return value


def put(text: str, path: tuple[str, ...], new: Any) -> str:
    """The text with a member of nested objects set; objects that are missing on the way are made.

    Raises ValueError for a text that is no JSON, or something on the way that is no object.
    """
    whole = parse(text)
    unit = _unit(text, whole)
    holder, depth = whole, 1
    while depth < len(path) and (found := holder.member(path[depth - 1])) is not None:
        holder, depth = found[1], depth + 1
    if not isinstance(holder.plain, dict):
        raise ValueError(f"{'.'.join(path[: depth - 1]) or 'the whole'} is no object")
    for name in reversed(path[depth:]):
        new = {name: new}
    line = "\r\n" if "\r\n" in text else "\n"
    shown = json.dumps(new, indent=unit, ensure_ascii=False).replace("\n", line + unit * depth)
    found = holder.member(path[depth - 1])
    if found is not None:
        return text[: found[1].start] + shown + text[found[1].end :]
    return _added(text, holder, f"{json.dumps(path[depth - 1])}: {shown}", line, unit, depth)


def drop(text: str, path: tuple[str, ...]) -> str:
    """The text without a member of nested objects; as it is where there is none. Raises ValueError as `parse`."""
    holder = parse(text)
    for name in path[:-1]:
        found = holder.member(name)
        if found is None:
            return text
        holder = found[1]
    names = [key for key, _, _ in holder.members]
    if path[-1] not in names:
        return text
    at = len(names) - 1 - names[::-1].index(path[-1])
    _, start, value = holder.members[at]
    if at + 1 < len(names):
        return text[:start] + text[holder.members[at + 1][1] :]
    if at > 0:
        return text[: holder.members[at - 1][2].end] + text[value.end :]
    after = _skip(text, value.end)
    end = after + 1 if text[after : after + 1] == "," else value.end
    rest = text[holder.start + 1 : start] + text[end : holder.end - 1]
    return text[: holder.start + 1] + (rest if rest.strip() else "") + text[holder.end - 1 :]


def _added(text: str, holder: Value, member: str, line: str, unit: str, depth: int) -> str:
    """The text with a member at the end of an object, on a line of its own."""
    inside = text[holder.start + 1 : holder.end - 1]
    if holder.members:
        last = holder.members[-1][2].end - holder.start - 1
        comma = "" if text[_skip(text, holder.members[-1][2].end)] == "," else ","
        inside = inside[:last] + comma + inside[last:]
    closing = f"{line}{unit * (depth - 1)}}}"
    return f"{text[: holder.start + 1]}{inside.rstrip()}{line}{unit * depth}{member}{closing}{text[holder.end :]}"


def _unit(text: str, whole: Value) -> str:
    """How far the members of the whole are set in."""
    if whole.members:
        start = whole.members[0][1]
        line = text[text.rfind("\n", 0, start) + 1 :]
        if indent := line[: len(line) - len(line.lstrip(" \t"))]:
            return indent
    return "  "


def _skip(text: str, at: int) -> int:
    """Behind blanks and comments."""
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _value(text: str, at: int, depth: int) -> tuple[Value, int]:
    first = text[at : at + 1]
    if depth > DEEPEST:
        raise ValueError("it is nested too deeply")
    if first == "{":
        return _object(text, at, depth)
    if first == "[":
        return _array(text, at, depth)
    found = _STRING.match(text, at) if first == '"' else _WORD.match(text, at)
    if found is None:
        raise ValueError(f"a value is expected at character {at}")
    return Value(at, found.end(), json.loads(found[0])), found.end()


def _object(text: str, start: int, depth: int) -> tuple[Value, int]:
    members: list[tuple[str, int, Value]] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != "}":
        name = _STRING.match(text, at)
        colon = _skip(text, name.end()) if name else at
        if name is None or text[colon : colon + 1] != ":":
            raise ValueError(f"a name and a colon are expected at character {at}")
        value, end = _value(text, _skip(text, colon + 1), depth + 1)
        members.append((json.loads(name[0]), at, value))
        at = _next(text, end, "}")
    return Value(start, at + 1, {key: value.plain for key, _, value in members}, tuple(members)), at + 1


def _array(text: str, start: int, depth: int) -> tuple[Value, int]:
    values: list[Any] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != "]":
        value, end = _value(text, at, depth + 1)
        values.append(value.plain)
        at = _next(text, end, "]")
    return Value(start, at + 1, values), at + 1


def _next(text: str, end: int, closing: str) -> int:
    """Behind a comma, or at the closing bracket."""
    at = _skip(text, end)
    if text[at : at + 1] == ",":
        return _skip(text, at + 1)
    if text[at : at + 1] != closing:
        raise ValueError(f"a comma or {closing} is expected at character {at}")
    return at
