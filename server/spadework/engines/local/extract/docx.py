"""DOCX: the paragraphs of word/document.xml in order, with headings by style, read as a stream.

Why a stream of events: no tree is built, so memory stays flat, and a document type declaration, which every entity
trick needs, ends the reading before anything is expanded.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from typing import Any, Protocol
from xml.parsers import expat

from spadework.engines.local.document import Document, Unreadable
from spadework.engines.local.extract.decode import nfc
from spadework.engines.local.extract.draft import Draft
from spadework.engines.local.extract.kinds import file_title

_PART_MAX = 64 * 1024 * 1024
_PIECE = 256 * 1024
_HEADING = re.compile(r"heading ?([1-9])$", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_ODD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def extract(path: str, data: bytes) -> Document:
    """A Word file as a document. Raises Unreadable: `encrypted`, `corrupt`, `too_large` or `empty`."""
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        # Word wraps a password-protected .docx in an OLE container; the old .doc begins with the same bytes.
        raise Unreadable("encrypted", "The file is protected by a password or in Word's old format; save it as .docx.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            styles, core = _Styles(), _Core()
            for name, reader in (("word/styles.xml", styles), ("docProps/core.xml", core)):
                if name in archive.NameToInfo:
                    _read(archive, name, reader)
            body = _Body(_inherited(styles))
            _read(archive, "word/document.xml", body)
    except (
        zipfile.BadZipFile,
        zlib.error,
        expat.ExpatError,
        KeyError,
        EOFError,
        OSError,
        NotImplementedError,
        ValueError,
    ):
        raise Unreadable("corrupt", "The file is damaged, or no Word document at all.") from None
    except RuntimeError:
        # zipfile's word for an entry that needs a password
        raise Unreadable("encrypted", "The file asks for a password; save it without one to have it read.") from None
    title = core.found.get("title") or body.draft.first_heading or file_title(path)
    date = _DATE.match(core.found.get("created", ""))
    return body.draft.finish(
        path, title, "docx@1", published=date[0] if date else None, lang=core.found.get("language")
    )


class Reader(Protocol):
    """Takes a part's events as they come; tags keep their prefix, as `w:p`."""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        ...

    def end(self, tag: str) -> None:
        """An element ends."""
        ...

    def words(self, text: str) -> None:
        """Text between tags."""
        ...


def _read(archive: zipfile.ZipFile, name: str, reader: Reader) -> None:
    """Stream one part to a reader, never more than the cap, whatever the archive's directory says of its size."""
    parser: Any = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.words
    total = 0
    with archive.open(name) as file:
        while data := file.read(_PIECE):
            total += len(data)
            if total > _PART_MAX:
                raise Unreadable("too_large", f"The file unpacks to more than {_PART_MAX:,} bytes.")
            parser.Parse(data, False)  # noqa: FBT003
    parser.Parse(b"", True)  # noqa: FBT003


def _refuse(*_: Any) -> None:
    raise Unreadable("corrupt", "The file declares a document type, which no Word document does.")


class _Body:
    """The paragraphs of the main part; deleted text, alternative renderings and field codes are left out."""

    def __init__(self, levels: dict[str, int]) -> None:
        self.draft = Draft()
        self._levels = levels
        self._open: list[_Paragraph] = []
        self._cells = 0
        self._muted = 0
        self._text = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "mc:Fallback":
            self._muted += 1
        elif self._muted:
            return
        elif tag == "w:p":
            self._open.append(_Paragraph())
        elif tag == "w:tc":
            self._cells += 1
        elif tag == "w:t":
            self._text = True
        elif self._open:
            self._open[-1].mark(tag, attributes, self._levels)

    def end(self, tag: str) -> None:
        if tag == "mc:Fallback":
            self._muted -= 1
        elif self._muted:
            return
        elif tag == "w:t":
            self._text = False
        elif tag == "w:tc":
            self._cells -= 1
        elif tag == "w:p":
            self._close(self._open.pop())

    def words(self, text: str) -> None:
        if self._text and self._open and not self._muted:
            self._open[-1].parts.append(text)

    def _close(self, paragraph: _Paragraph) -> None:
        lines = _ODD.sub("", "".join(paragraph.parts)).split("\n")
        text = nfc("\n".join(" ".join(line.split()) for line in lines)).strip()
        if paragraph.level and not self._cells:
            self.draft.add(" ".join(text.split()), "heading", paragraph.level)
        else:
            self.draft.add(text, "cell" if self._cells else "item" if paragraph.listed else "text")


class _Paragraph:
    """One paragraph being read. A nested one (in a text box) is a block of its own, before the one around it."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.level = 0
        self.listed = False

    def mark(self, tag: str, attributes: dict[str, str], levels: dict[str, int]) -> None:
        if tag in {"w:tab", "w:ptab"}:
            self.parts.append(" ")
        elif tag in {"w:br", "w:cr"}:
            self.parts.append("\n")
        elif tag == "w:noBreakHyphen":
            self.parts.append("-")
        elif tag == "w:pStyle":
            self.level = self.level or levels.get(attributes.get("w:val", ""), 0)
        elif tag == "w:outlineLvl":
            self.level = _outline(attributes) or self.level
        elif tag == "w:numPr":
            self.listed = True


class _Core:
    """Title, creation date and language of docProps/core.xml."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._name = ""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._name = tag.rpartition(":")[2]

    def end(self, tag: str) -> None:
        self._name = ""

    def words(self, text: str) -> None:
        if self._name in {"title", "created", "language"}:
            text = nfc(" ".join(text.split()))[:300]
            if text:
                self.found.setdefault(self._name, text)


def _outline(attributes: dict[str, str]) -> int:
    """Levels 0 to 8 are headings, 9 is body text (ECMA-376, 17.3.1.20)."""
    value = attributes.get("w:val", "")
    return min(int(value) + 1, 6) if value.isdecimal() and int(value) < 9 else 0


class _Styles:
    """The heading level of each paragraph style that is one, by its name or its outline level."""

    def __init__(self) -> None:
        self.levels: dict[str, int] = {}
        self.below: dict[str, str] = {}
        self._style = ""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        value = attributes.get("w:val", "")
        if tag == "w:style":
            self._style = attributes.get("w:styleId", "")
        elif tag == "w:name":
            match = _HEADING.match(value)
            level = min(int(match[1]), 6) if match else 1 if value.lower() == "title" else 0
            if level:
                self.levels[self._style] = level
        elif tag == "w:outlineLvl" and (level := _outline(attributes)):
            self.levels.setdefault(self._style, level)
        elif tag == "w:basedOn":
            self.below[self._style] = value

    def end(self, tag: str) -> None:
        pass

    def words(self, text: str) -> None:
        pass


def _inherited(styles: _Styles) -> dict[str, int]:
    """The heading levels of all styles; one that says nothing has its base's."""
    levels = dict(styles.levels)
    for style in styles.below:
        base, steps = style, 0
        while base not in levels and base in styles.below and steps < 20:
            base, steps = styles.below[base], steps + 1
        if base in levels:
            levels.setdefault(style, levels[base])
    return levels
