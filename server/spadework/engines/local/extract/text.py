"""Plain text, source code and tables: the text as it stands, cut into blocks at its blank lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from spadework.engines.local.document import Block, Document
from spadework.engines.local.extract.decode import decode
from spadework.engines.local.extract.kinds import file_title
from spadework.engines.local.extract.scan import Scan

# From the end of a line over blank ones to the next text. It begins with the line end, so that a long run of spaces
# is looked at once.
_GAP = re.compile(r"\n\s*\n\s*")
# What a line at the left edge starts with when it goes on with the definition above it.
_CLOSERS = ("}", ")", "]", "end", "else", "elif", "except", "finally", "catch", "#endif", "#else", "EOF")


def extract(path: str, data: bytes) -> Document:
    """A plain text as a document: one block a paragraph. Raises Unreadable: `empty` or `binary`."""
    text, warnings = decode(data)
    return _document(path, text, "text@1", _paragraphs(text, "text"), warnings)


def table(path: str, data: bytes) -> Document:
    """A CSV file or a log as a document: one block a run of lines; in it every line stands for itself."""
    text, warnings = decode(data)
    return _document(path, text, "table@1", _paragraphs(text, "table"), warnings)


def code(path: str, data: bytes) -> Document:
    """A source file as a document: one block a top-level definition, with the comments right above it."""
    text, warnings = decode(data)
    return _document(path, text, "code@1", Scan(text).run((_definition,)), warnings)


def _document(path: str, text: str, extractor: str, blocks: Iterable[Block], warnings: tuple[str, ...]) -> Document:
    return Document(path, file_title(path), text, tuple(blocks), extractor=extractor, warnings=warnings)


def _paragraphs(text: str, kind: str) -> Iterator[Block]:
    """The spans between blank lines. No list of lines is made: a log may have millions."""
    start = len(text) - len(text.lstrip())
    for gap in _GAP.finditer(text, start):
        yield Block(start, _trimmed(text, gap.start()), 0, kind)
        start = gap.end()
    if start < len(text):
        yield Block(start, _trimmed(text, len(text)), 0, kind)


def _trimmed(text: str, end: int) -> int:
    while text[end - 1].isspace():
        end -= 1
    return end


def _run(scan: Scan, line: int) -> int:
    while not scan.blank(line):
        line += 1
    return line


def _definition(scan: Scan, line: int) -> int:
    """From one line at the left edge to before the next one that follows a blank line and closes nothing."""
    last = _run(scan, line)
    while last < len(scan.lines):
        after = last
        while after < len(scan.lines) and scan.blank(after):
            after += 1
        if after == len(scan.lines) or not _goes_on(scan.lines[after]):
            break
        last = _run(scan, after)
    scan.add(line, last, "code")
    return last


def _goes_on(text: str) -> bool:
    return text[:1].isspace() or text.startswith(_CLOSERS)
