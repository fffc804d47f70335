"""Structured results: read out of a text, held against the caller's schema, and told as Markdown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, cast

from spadework.engines.payload import decode
from spadework_tools.errors import BadReply, BadRequest

#: No more than this much of a value is told in the text; the whole stands in `data`.
TOLD = 2_000


def parse(text: str) -> Any:
    """The JSON in a model's text, fenced or bare, or None where there is none."""
    body = text.strip()
    if body.startswith("```"):
        body = body.split("\n", 1)[-1].rsplit("```", 1)[0]
    try:
        return decode(body.encode("utf-8", "replace"), "the vendor").value
    except BadReply:
        return None


def sound(schema: dict[str, Any]) -> None:
    """Raises BadRequest for a schema that is none, or points to what it does not hold, before it costs anything."""
    # Few jobs bring a schema, and a desk that is just starting would wait for the library.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    try:
        Draft202012Validator.check_schema(schema)
        # Whole documents only: a reference to another place would have to be fetched, and nothing is.
        resolver: Any = cast("Any", Registry)().with_resource("", DRAFT202012.create_resource(schema)).resolver()
        for reference in _references(schema):
            resolver.lookup(reference)
    except SchemaError as error:
        place = "/".join(str(part) for part in error.absolute_path) or "its top"
        raise BadRequest(
            f"output_schema is no JSON Schema at {place[:120]}: {error.message[:160]}, so nothing was started. "
            "Correct it."
        ) from None
    except Unresolvable as error:
        raise BadRequest(
            f"output_schema refers to {error.ref[:120]!r}, which it does not hold, so nothing was started. "
            "Put the definition into its $defs."
        ) from None
    except RecursionError:
        raise BadRequest("output_schema is nested too deeply to be used, so nothing was started. Flatten it.") from None


def _references(node: Any) -> Iterator[str]:
    """Every reference in a schema."""
    if isinstance(node, list):
        for item in cast("list[Any]", node):
            yield from _references(item)
    elif isinstance(node, dict):
        for key, value in cast("dict[str, Any]", node).items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)


def conforms(data: Any, schema: dict[str, Any]) -> bool:
    """Whether data fits a schema; a schema that points outside itself fits nothing, for nothing is fetched."""
    from jsonschema import Draft202012Validator  # as late as in `sound`
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    # An empty registry: the library must never resolve a reference over the network.
    empty: Any = cast("Any", Registry)()
    validator: Any = Draft202012Validator(schema, registry=empty)
    try:
        return bool(validator.is_valid(data))
    except (Unresolvable, RecursionError):
        return False


def depth(schema: Any) -> int:
    """How many objects and arrays a schema nests in each other."""
    if not isinstance(schema, dict):
        return 0
    node = cast("dict[str, Any]", schema)
    children: list[Any] = []
    properties: object = node.get("properties")
    if isinstance(properties, dict):
        children += cast("dict[str, Any]", properties).values()
    children += [node[name] for name in ("items", "additionalProperties") if name in node]
    children += [part for name in ("anyOf", "oneOf", "allOf") for part in cast("list[Any]", node.get(name) or [])]
    inner = max((depth(child) for child in children), default=0)
    return inner + (1 if node.get("type") in ("object", "array") or "properties" in node else 0)


def tell(data: Any, marks: Callable[[str], str], heading: str = "") -> str:
    """Data as Markdown: a line for each top field, with what `marks` says about its name."""
    head = f"## {heading}\n\n" if heading else ""
    if isinstance(data, dict):
        fields = cast("dict[str, Any]", data)
        return head + "\n".join(f"- **{name}**: {_shown(value)}{marks(name)}" for name, value in fields.items())
    return head + _shown(data) + marks("output")


def _shown(value: Any) -> str:
    if value is None:
        return "*(not verified)*"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= TOLD else text[:TOLD] + "…"
