"""JSON Schema as a model should read it: without the noise that costs tokens and tells it nothing."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

Node: TypeAlias = dict[str, Any]

#: What says nothing to a model before it has erred: each bound and default that matters stands in a description too,
#: since some clients strip it here, and the complaint about a value says it in words.
_NOISE = frozenset(
    {
        "title", "$defs", "default", "pattern", "minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength",
        "maxItems",
    }
)  # fmt: skip


def lean(schema: Node) -> Node:
    """A schema without titles, null alternatives, bounds, defaults and references, closed to unknown arguments."""
    definitions = cast("dict[str, Node]", schema.get("$defs", {}))
    slim = cast("Node", _walk({key: value for key, value in schema.items() if key != "description"}, definitions))
    return {**slim, "additionalProperties": False}


def _walk(node: Any, definitions: dict[str, Node]) -> Any:
    if isinstance(node, list):
        return [_walk(item, definitions) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    whole = _inlined(cast("Node", node), definitions)
    slim: Node = {}
    for key, value in whole.items():
        if key == "properties":
            # A property may itself be called "title" or "default": only its value is a schema.
            slim[key] = {name: _walk(inner, definitions) for name, inner in value.items()}
        elif _telling(key, value):
            slim[key] = _walk(value, definitions)
    return slim


def _inlined(node: Node, definitions: dict[str, Node]) -> Node:
    """The node with its reference followed, and with the one choice that is not null in place of the choices."""
    if "$ref" in node:
        target = definitions[str(node["$ref"]).rsplit("/", 1)[-1]]
        return {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    choices = [choice for choice in cast("list[Node]", node.get("anyOf", [])) if choice != {"type": "null"}]
    if len(choices) != 1:
        return node
    return _inlined({**choices[0], **{key: value for key, value in node.items() if key != "anyOf"}}, definitions)


def _telling(key: str, value: Any) -> bool:
    return key not in _NOISE and not (key == "additionalProperties" and value is True)
