"""One file's bytes into a Document, by the kind its name says. `extract` is the only door.

Each format has its own module, imported when the first file of its kind comes: lxml, readability and pdfium together
cost about 0.3 s and 30 MB, which a folder of Markdown need not pay.
"""

from __future__ import annotations

from importlib import import_module

from spadework.engines.local.document import Document, Unreadable
from spadework.engines.local.extract.kinds import Kind, kind_of

_DOORS: dict[Kind, tuple[str, str]] = {
    "markdown": ("markdown", "extract"),
    "rst": ("rst", "extract"),
    "text": ("text", "extract"),
    "code": ("text", "code"),
    "table": ("text", "table"),
    "html": ("html", "extract"),
    "pdf": ("pdf", "extract"),
    "docx": ("docx", "extract"),
    "notebook": ("notebook", "extract"),
}


def extract(path: str, data: bytes, kind: Kind | None = None) -> Document:
    """The document in a file's bytes; `path` is how it is shown, and says the kind unless `kind` does.

    Raises Unreadable with its reason: `empty`, `binary`, `corrupt`, `encrypted`, `no_text_layer`, `too_large` or
    `unknown_type`.
    """
    kind = kind or _sniffed(data) or kind_of(path)
    if kind is None:
        raise Unreadable("unknown_type", "No extractor reads files of this type.")
    if not data:
        raise Unreadable("empty", "The file is empty.")
    module, name = _DOORS[kind]
    door = getattr(import_module(f"{__name__}.{module}"), name)
    document: Document = door(path, data)
    if not document.blocks:
        raise Unreadable("empty", "The file holds no text.")
    return document


def _sniffed(data: bytes) -> Kind | None:
    """A PDF is a PDF whatever its name says."""
    return "pdf" if data.startswith(b"%PDF-") else None
