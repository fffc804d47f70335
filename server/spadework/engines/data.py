"""Structured results: read out of a text, held against the caller's schema, and told as Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, cast

from spadework.engines.payload import decode, plain, readable
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
    from referencing.exceptions import Unresolvable

    reference = ""
    try:
        Draft202012Validator.check_schema(schema)
        # Whole documents only: a reference to another place would have to be fetched, and nothing is.
        resolver = _resolver(schema)
        for reference in _references(schema):
            resolver.lookup(reference)
    except SchemaError as error:
        place = "/".join(str(part) for part in error.absolute_path) or "its top"
        raise BadRequest(
            f"output_schema is no JSON Schema at {place[:120]}: {error.message[:160]}, so nothing was started. "
            "Correct it."
        ) from None
    except Unresolvable:
        raise BadRequest(
            f"output_schema refers to {reference[:120]!r}, which it does not hold, so nothing was started. "
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


def _resolver(schema: dict[str, Any]) -> Any:
    """What finds the places that a schema refers to, in itself alone."""
    # As in `sound`.
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    return cast("Any", Registry)().with_resource("", DRAFT202012.create_resource(schema)).resolver()


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


def depth(schema: dict[str, Any]) -> float:
    """How many objects and arrays a sound schema nests in each other; infinite for one that leads back to itself."""
    return _depth(schema, _resolver(schema), {})


def _depth(schema: Any, resolver: Any, known: dict[str, float]) -> float:
    """`known`: how deep each reference leads; one that is still being followed has no end."""
    if not isinstance(schema, dict):
        return 0
    node = cast("dict[str, Any]", schema)
    children: list[Any] = []
    properties: object = node.get("properties")
    if isinstance(properties, dict):
        children += cast("dict[str, Any]", properties).values()
    children += [node[name] for name in ("items", "additionalProperties") if name in node]
    children += [part for name in ("anyOf", "oneOf", "allOf") for part in cast("list[Any]", node.get(name) or [])]
    inner = max((_depth(child, resolver, known) for child in children), default=0)
    if (reference := node.get("$ref")) is not None:
        if reference not in known:
            known[reference] = math.inf
            known[reference] = _depth(resolver.lookup(reference).contents, resolver, known)
        inner = max(inner, known[reference])
    named: object = node.get("type")
    kinds = cast("list[object]", named) if isinstance(named, list) else [named]
    nests = "properties" in node or "object" in kinds or "array" in kinds
    return inner + nests


def tell(data: Any, marks: Callable[[str], str], heading: str = "") -> str:
    """Data as Markdown: a line for each top field, with what `marks` says about its name."""
    head = f"## {heading}\n\n" if heading else ""
    if isinstance(data, dict):
        fields = cast("dict[str, Any]", data)
        return head + "\n".join(f"- **{plain(name)}**: {_shown(value)}{marks(name)}" for name, value in fields.items())
    return head + _shown(data) + marks("output")


def _shown(value: Any) -> str:
    if value is None:
        return "*(not verified)*"
    text = readable(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text if len(text) <= TOLD else text[:TOLD] + "…"
    # Indented, a heading or an open fence in a value stays within its own line of the list.
    return text.replace("\n", "\n    ")
