"""JSON Schema as a model should read it: without the noise that costs tokens and tells it nothing."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

Node: TypeAlias = dict[str, Any]

#: What a model cannot use before it has erred; the complaint about the value then says it in words.
_BOUNDS = frozenset({"minLength", "maxLength", "pattern", "exclusiveMinimum"})


def lean(schema: Node) -> Node:
    """A schema without titles, null alternatives, empty defaults and references, closed to unknown arguments."""
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
        elif key == "items":
            slim[key] = {name: inner for name, inner in _walk(value, definitions).items() if name not in _BOUNDS}
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
    if key == "default":
        return value not in (None, [], "")
    return key not in {"title", "$defs", "pattern", "exclusiveMinimum"} and not (
        key == "additionalProperties" and value is True
    )
