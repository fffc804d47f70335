"""PDF: the text of each page by pdfium, its lines joined into paragraphs, with the place where every page starts.

Why the lock: pdfium keeps global state and is not thread-safe (pypdfium2's README, "Incompatibility with
Threading"), so one document is read at a time in a process.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pypdfium2 as _pypdfium2  # pyright: ignore

from spadework.engines.local.document import Document, Unreadable
from spadework.engines.local.extract.columns import columns
from spadework.engines.local.extract.decode import nfc
from spadework.engines.local.extract.draft import Draft
from spadework.engines.local.extract.kinds import file_title

_pdfium: Any = _pypdfium2
_LOCK = threading.Lock()

_PASSWORD = 4  # FPDF_ERR_PASSWORD, public/fpdfview.h
_TEXT_MAX = 40_000_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")
# pdfium puts U+0002 or U+FFFE where a word was hyphenated at the end of a line.
_HYPHEN = re.compile("[\x02\ufffe][ \t]*\r?\n?")
_BULLET = re.compile(r"(?:[•‣▪●○◦–—*-]|\(?\d{1,3}[.)]|\[\d{1,3}\])\s+\S")
_DATE = re.compile(r"D:(\d{4})(\d{2})(\d{2})")
_NO_TITLE = re.compile(
    r"untitled|microsoft word|powerpoint|\.(docx?|pdf|tex|dvi|indd|pptx?|xlsx?|odt)\s*$", re.IGNORECASE
)


def extract(path: str, data: bytes) -> Document:
    """A PDF as a document, with its pages. Raises Unreadable: `encrypted`, `corrupt` or `no_text_layer`."""
    with _LOCK:
        pages, title, created = _read(data)
    draft = Draft()
    starts: list[int] = []
    blank: list[int] = []
    for number, page in enumerate(pages, 1):
        starts.append(draft.next)
        before = len(draft.blocks)
        _add(page, draft)
        if len(draft.blocks) == before:
            blank.append(number)
    if not draft.blocks:
        raise Unreadable(
            "no_text_layer", f"The PDF's {len(pages)} pages hold pictures of text only; run it through OCR first."
        )
    warnings = (f"Pages without a text layer were not read: {_ranges(blank)}.",) if blank else ()
    date = _DATE.match(created)
    return draft.finish(
        path,
        title if title and not _NO_TITLE.search(title) else file_title(path),
        "pdf@2",
        pages=tuple(min(start, draft.length) for start in starts),
        published="-".join(date.groups()) if date else None,
        warnings=warnings,
    )


def _read(data: bytes) -> tuple[list[str], str, str]:
    """The raw text of every page, the title and the creation date; every handle is closed again."""
    try:
        with closing(_pdfium.PdfDocument(data)) as pdf:
            title = " ".join(str(pdf.get_metadata_value("Title")).split())
            created = str(pdf.get_metadata_value("CreationDate"))
            return list(_pages(pdf)), nfc(_CONTROL.sub("", title))[:300], created
    except _pdfium.PdfiumError as error:
        if getattr(error, "err_code", None) == _PASSWORD:
            raise Unreadable("encrypted", "The PDF asks for a password; save it without one to have it read.") from None
        raise Unreadable("corrupt", "The PDF is damaged, or no PDF at all.") from None


def _pages(pdf: Any) -> Iterator[str]:
    total = 0
    for number in range(len(pdf)):
        with closing(pdf[number]) as page, closing(page.get_textpage()) as text:
            raw = columns(text, page.get_bbox()) or str(text.get_text_bounded(errors="replace"))
        total += len(raw)
        if total > _TEXT_MAX:
            raise Unreadable("too_large", f"The PDF holds more than {_TEXT_MAX:,} characters of text.")
        yield raw


def _add(raw: str, draft: Draft) -> None:
    """A page's paragraphs as blocks."""
    lines = _HYPHEN.sub("", raw).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    lines = [" ".join(_CONTROL.sub("", line).split()) for line in lines]
    lengths = sorted(len(line) for line in lines if line)
    width = lengths[len(lengths) * 9 // 10] if lengths else 0
    paragraph: list[str] = []
    for line in lines:
        if paragraph and (not line or _begins(paragraph[-1], line, width)):
            draft.add(nfc(" ".join(paragraph)))
            paragraph = []
        if line:
            paragraph.append(line)
    draft.add(nfc(" ".join(paragraph)))


def _begins(last: str, line: str, width: int) -> bool:
    """Whether a line begins a paragraph: after a short line that ends a sentence or looks like a heading."""
    if _BULLET.match(line):
        return True
    if len(last) >= width * 0.8:
        return False
    if last.endswith((".", "!", "?", ":", "。", "！", "？")):
        return True
    return len(last) < width * 0.6 and not line[0].islower() and not last.endswith((",", ";", "-"))


def _ranges(numbers: list[int]) -> str:
    """`1-3, 7` for 1, 2, 3 and 7; at most ten of them."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in spans[:10]]
    return ", ".join(shown) + (" …" if len(spans) > 10 else "")
