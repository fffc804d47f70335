"""reStructuredText: the text as it stands, with its sections, paragraphs, items and literal blocks as blocks."""

from __future__ import annotations

import re

from spadework.engines.local.document import Block, Document, Link
from spadework.engines.local.extract.decode import decode
from spadework.engines.local.extract.kinds import file_title
from spadework.engines.local.extract.scan import Scan

_LINE = re.compile(r"([!-/:-@\[-`{-~])\1{2,}[ \t]*$")
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|(?:\d{1,4}|#|[a-zA-Z])[.)]|\((?:\d{1,4}|#|[a-zA-Z])\))[ \t]+(?=\S)")
_TARGET = re.compile(r"[ \t]*\.\.[ \t]+(?:_|\|)")
_DIRECTIVE = re.compile(r"[ \t]*\.\.[ \t]+([A-Za-z][\w:.+-]{0,60})::[ \t]*")
_COMMENT = re.compile(r"[ \t]*\.\.(?:[ \t]+(?!\[)|$)")
_OPTION = re.compile(r"[ \t]+:[\w -]{1,40}:")
_LITERAL = "code code-block sourcecode parsed-literal doctest testcode testoutput highlight math raw"
_CODE = frozenset(_LITERAL.split())
_LINK = re.compile(r"`([^`<>\n]{1,300})[ \n]<([^<>\s]{1,2000})>`__?")
_ROLE = re.compile(r":(?:doc|ref|download):`(?:([^`<>]{1,300})[ \n]<([^<>`\n]{1,300})>|([^`<>\n]{1,300}))`")


def extract(path: str, data: bytes) -> Document:
    """A reStructuredText file as a document; a section's level is the order its underline first appears in."""
    text, warnings = decode(data)
    blocks = _levels(Scan(text).run(_RULES), text)
    heading = next((text[block.start : block.end] for block in blocks if block.level), "")
    return Document(
        path=path,
        title=heading or file_title(path),
        text=text,
        blocks=tuple(blocks),
        links=tuple(_links(text, blocks)),
        extractor="rst@1",
        warnings=warnings,
    )


def _levels(blocks: list[Block], text: str) -> list[Block]:
    """The blocks with each heading's level, by the adornment on the line below it and whether there is one above."""
    styles: list[tuple[str, bool]] = []
    levelled: list[Block] = []
    for block in blocks:
        if block.kind == "heading":
            below = text.index("\n", block.end) + 1
            above = text.rfind("\n", 0, block.start)
            style = (text[below], above > 0 and text[above - 1] == text[below])
            if style not in styles:
                styles.append(style)
            block = Block(block.start, block.end, min(styles.index(style) + 1, 6), "heading")  # noqa: PLW2901
        levelled.append(block)
    return levelled


def _links(text: str, blocks: list[Block]) -> list[Link]:
    found: list[Link] = []
    for block in blocks:
        if block.kind == "code":
            continue
        for pattern in (_LINK, _ROLE):
            for match in pattern.finditer(text, block.start, block.end):
                group = match.lastindex or 1 if match[1] is None else 1
                found.append(Link(match.start(group), match.end(group), match[match.lastindex or 1]))
    return sorted(found, key=lambda link: link.start)


def _section(scan: Scan, line: int) -> int:
    title = line + 1 if _LINE.match(scan.lines[line]) else line
    below = title + 1
    if scan.blank(title) or scan.blank(below) or not _LINE.match(scan.lines[below]):
        return line
    adornment, name = scan.lines[below].rstrip(), scan.lines[title].rstrip()
    # A little short of the title's length still counts: docutils warns and takes it, and wide characters differ.
    if len(adornment) < min(len(name), 4) or (title > line and scan.lines[line].rstrip() != adornment):
        return line
    if _LINE.match(scan.lines[title]) or name.startswith(".. "):
        return line
    scan.add(title, title + 1, "heading", 1)
    return below + 1


def _explicit(scan: Scan, line: int) -> int:
    """Directives keep their text; code in them is a code block; targets and comments are no blocks."""
    text = scan.lines[line]
    if _TARGET.match(text):
        return line + 1
    match = _DIRECTIVE.match(text)
    if match is None:
        return _comment(scan, line)
    if text[match.end() :].strip() and match[1] not in _CODE:
        scan.add(line, line + 1, skip=match.end())
    body = line + 1
    while body < len(scan.lines) and _OPTION.match(scan.lines[body]):
        body += 1
    if match[1] not in _CODE:
        return body
    last = scan.deeper(body, scan.indent(line))
    if last > body:
        scan.add(body, last, "code")
    return last


def _comment(scan: Scan, line: int) -> int:
    if not _COMMENT.match(scan.lines[line]):
        return line
    last = line + 1
    while not scan.blank(last) and scan.indent(last) > scan.indent(line):
        last += 1
    return last


def _adornment(scan: Scan, line: int) -> int:
    """A line of punctuation alone is a transition or a table's border."""
    return line + 1 if _LINE.match(scan.lines[line]) else line


def _prose(scan: Scan, line: int) -> int:
    item = _ITEM.match(scan.lines[line])
    columns = scan.indent(line)
    last = line + 1
    while not _ends(scan, last):
        last += 1
    kind = "table" if scan.lines[line].lstrip().startswith(("+-", "|", "==")) else "item" if item else "text"
    scan.add(line, last, kind, skip=item.end() if item else 0)
    if not scan.lines[last - 1].rstrip().endswith("::"):
        return last
    after = scan.deeper(last, columns)
    if after > last:
        scan.add(last, after, "code")
    return after


def _ends(scan: Scan, line: int) -> bool:
    if scan.blank(line):
        return True
    text = scan.lines[line]
    if _ITEM.match(text) or _DIRECTIVE.match(text) or _TARGET.match(text):
        return True
    return not scan.blank(line + 1) and bool(_LINE.match(scan.lines[line + 1])) and scan.indent(line) == 0


_RULES = (_section, _explicit, _adornment, _prose)
