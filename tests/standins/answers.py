"""What a stand-in "finds": pages, reports and data, made from the request alone: equal asks get equal answers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

DOMAINS = ("example.org", "example.com", "example.net", "journal.example", "statistics.example", "news.example")

#: Text that breaks naive offsets: two-, three- and four-byte letters, combining marks, right-to-left, a joined emoji.
MULTIBYTE = "Größe · 研究報告 · 🧪👩‍🔬 · é (combining) · تقرير · 𝔻𝕖𝕤𝕜"


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big")


def pages(
    subject: str, count: int, include: Sequence[str] = (), exclude: Sequence[str] = (), start: int = 1
) -> list[dict[str, Any]]:
    """Web pages on a subject: id, url, title, snippet, dates; only on allowed domains."""
    domains = list(include) or [name for name in DOMAINS if not _under(name, exclude)]
    seed = _digest(subject)
    found: list[dict[str, Any]] = []
    for place in range(start, start + count):
        domain = domains[(seed + place) % len(domains)].lstrip(".")
        value = (seed + place) % 997
        found.append(
            {
                "id": place,
                "url": f"https://{domain}/reports/{seed % 9973}-{place}",
                "title": f"Finding {place} on {subject[:60]}",
                "snippet": f"In measurement {place} the value was {value} units, up from the year before.",
                "date": f"2026-0{place % 9 + 1}-1{place % 10}",
                "last_updated": f"2026-10-0{place % 9 + 1}",
                "source": "web",
            }
        )
    return found


def _under(domain: str, parents: Sequence[str]) -> bool:
    return any(domain == parent or domain.endswith("." + parent) for parent in parents)


def report(subject: str, found: Sequence[dict[str, Any]]) -> str:
    """A Markdown report that quotes every page and points to it by number."""
    lines = [f"# {subject[:100]}", "", "## Findings", ""]
    lines += [f"- {page['snippet']} [{page['id']}]" for page in found]
    lines += ["", "## Outlook", "", f"The {len(found)} sources agree on the direction."]
    return "\n".join(lines)


def huge(size: int = 5 * 1024 * 1024) -> str:
    """A Markdown report of at least `size` bytes in UTF-8, with letters of every width."""
    section = "## Section {}\n\n" + (f"{MULTIBYTE} and the value was 42 units. " * 40) + "\n\n"
    each = len(section.encode())
    return "# A very long report\n\n" + "".join(section.format(place) for place in range(size // each + 1))


def fill(schema: Any, subject: str, root: dict[str, Any] | None = None) -> Any:
    """A value that a JSON Schema accepts, the same for the same subject."""
    if not isinstance(schema, dict):
        return subject[:40]
    root = root if root is not None else schema
    if "$ref" in schema:
        return fill(_resolve(schema["$ref"], root), subject, root)
    for word in ("anyOf", "oneOf", "allOf"):
        if schema.get(word):
            return fill(schema[word][0], subject, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][_digest(subject) % len(schema["enum"])]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else kind
    return _typed(kind, schema, subject, root)


def _typed(kind: str, schema: dict[str, Any], subject: str, root: dict[str, Any]) -> Any:
    if kind == "object":
        return {name: fill(part, f"{subject}/{name}", root) for name, part in (schema.get("properties") or {}).items()}
    if kind == "array":
        count = max(2, schema.get("minItems", 2))
        return [fill(schema.get("items", {}), f"{subject}/{place}", root) for place in range(count)]
    if kind in ("integer", "number"):
        low = schema.get("minimum", 1)
        value = low + _digest(subject) % int(schema.get("maximum", low + 900) - low + 1)
        return int(value) if kind == "integer" else float(value)
    if kind in ("boolean", "null"):
        return bool(_digest(subject) % 2) if kind == "boolean" else None
    return _text(schema, subject)


def _text(schema: dict[str, Any], subject: str) -> str:
    formats = {"uri": "https://example.org/fact", "date": "2026-06-01", "date-time": "2026-06-01T00:00:00Z"}
    value = formats.get(schema.get("format", ""), f"finding {_digest(subject) % 9973} for {subject[-30:]}")
    return value[: schema.get("maxLength", len(value))].ljust(schema.get("minLength", 0), "x")


def _resolve(reference: str, root: dict[str, Any]) -> Any:
    node: Any = root
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def nesting(schema: Any) -> int:
    """How many objects or arrays a JSON Schema nests within each other."""
    if not isinstance(schema, dict):
        return 0
    inner = [nesting(part) for part in (schema.get("properties") or {}).values()]
    if "items" in schema:
        inner.append(nesting(schema["items"]))
    own = 1 if inner or schema.get("type") in ("object", "array") else 0
    return own + max(inner, default=0)
