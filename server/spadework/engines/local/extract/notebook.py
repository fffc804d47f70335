"""Jupyter notebooks: the cells' sources in order, Markdown read as Markdown and code as code; outputs are left out."""

from __future__ import annotations

import json
from typing import Any, cast

from spadework.engines.local.document import Block, Document, Unreadable
from spadework.engines.local.extract import markdown
from spadework.engines.local.extract.decode import decode, nfc
from spadework.engines.local.extract.kinds import file_title


def extract(path: str, data: bytes) -> Document:
    """A notebook as a document. Raises Unreadable: `corrupt` when it is no notebook, `empty` or `binary`."""
    raw, warnings = decode(data)
    parts: list[str] = []
    blocks: list[Block] = []
    position = 0
    for kind, source in _cells(raw):
        parts.append(source)
        inner = markdown.parse(source)[0] if kind == "markdown" else [_code(source)]
        blocks.extend(Block(one.start + position, one.end + position, one.level, one.kind) for one in inner)
        position += len(source) + 2
    text = "\n\n".join(parts)
    if not blocks:
        raise Unreadable("empty", "The notebook has no text in its cells.")
    heading = next((text[block.start : block.end] for block in blocks if block.level), "")
    return Document(
        path=path,
        title=heading or file_title(path),
        text=text,
        blocks=tuple(blocks),
        links=tuple(markdown.links(text, blocks)),
        extractor="notebook@1",
        warnings=warnings,
    )


def _code(source: str) -> Block:
    start = len(source) - len(source.lstrip())
    return Block(start, len(source.rstrip()), 0, "code")


def _cells(raw: str) -> list[tuple[str, str]]:
    """(kind, source) of each cell that has any text."""
    try:
        notebook: Any = json.loads(raw)
        cells = cast("list[dict[str, Any]]", notebook["cells"])
        pairs = [(str(cell["cell_type"]), cell.get("source") or "") for cell in cells]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise Unreadable("corrupt", "The file is no Jupyter notebook: it has no list of cells.") from None
    joined = [
        (kind, "".join(map(str, cast("list[object]", source))) if isinstance(source, list) else str(source))
        for kind, source in pairs
    ]
    return [(kind, nfc(source.replace("\r\n", "\n"))) for kind, source in joined if source.strip()]
