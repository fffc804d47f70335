"""Markdown: the text as it stands, with its headings, paragraphs, items, tables and fenced code marked as blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable

from spadework.engines.local.document import Block, Document, Link
from spadework.engines.local.extract.decode import decode
from spadework.engines.local.extract.kinds import file_title
from spadework.engines.local.extract.scan import Scan

_FENCE = re.compile(r"[ \t]*(?:[-*+>] +)?(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_UNDER = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_RULE = re.compile(r" {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?")
_QUOTE = re.compile(r" {0,3}>[ \t]?")
_TARGET = re.compile(r" {0,3}\[[^\]]{1,200}\]:[ \t]*\S")
_TAG = re.compile(r"<[^<>]*>")
_LINK = re.compile(r"\[([^\[\]\n]{1,300})\]\([ \t]*<?([^()\s<>]{1,2000})")
_WIKI = re.compile(r"\[\[([^\[\]|\n]{1,200})(?:\|([^\[\]\n]{1,200}))?\]\]")
_BARE = re.compile(r"<(https?://[^\s<>]{1,2000})>")
# Each kind of link, with the groups of what is shown and of where it leads.
_LINKS = ((_LINK, 1, 2), (_WIKI, 2, 1), (_BARE, 1, 1))
_MATTER = re.compile(r"""^(title|date|published|lang|language)[ \t]*[:=][ \t]*["']?([^"'\n]{1,300})""", re.MULTILINE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def extract(path: str, data: bytes) -> Document:
    """A Markdown file as a document; front matter stays in the text but is no block. Raises Unreadable."""
    text, warnings = decode(data)
    blocks, matter = parse(text)
    heading = next((text[block.start : block.end] for block in blocks if block.level), "")
    date = _DATE.match(matter.get("date") or matter.get("published") or "")
    return Document(
        path=path,
        title=matter.get("title") or " ".join(heading.split()) or file_title(path),
        text=text,
        blocks=tuple(blocks),
        links=tuple(links(text, blocks)),
        published=date[0] if date else None,
        lang=matter.get("lang") or matter.get("language"),
        extractor="markdown@1",
        warnings=warnings,
    )


def parse(text: str) -> tuple[list[Block], dict[str, str]]:
    """The blocks of a Markdown text, and what its front matter says (title, date, lang)."""
    scan = Scan(text)
    first = _matter_end(scan)
    matter: dict[str, str] = {}
    for match in _MATTER.finditer("\n".join(scan.lines[:first])):
        matter.setdefault(match[1], match[2].strip())
    return scan.run(_RULES, first), matter


def links(text: str, blocks: Iterable[Block]) -> list[Link]:
    """Inline links, wiki links and bare URLs outside code, in the order they stand."""
    found: list[Link] = []
    for block in blocks:
        if block.kind == "code":
            continue
        for pattern, shown, href in _LINKS:
            for match in pattern.finditer(text, block.start, block.end):
                group = shown if match[shown] else href
                found.append(Link(match.start(group), match.end(group), match[href]))
    return sorted((link for link in found if not link.href.startswith("#")), key=lambda link: link.start)


def _matter_end(scan: Scan) -> int:
    """The line after the front matter; 0 where there is none."""
    mark = scan.lines[0].rstrip()
    if mark not in {"---", "+++"}:
        return 0
    for line in range(1, min(len(scan.lines), 200)):
        if scan.lines[line].rstrip() == mark:
            return line + 1
    return 0


def _fence(scan: Scan, line: int) -> int:
    match = _FENCE.match(scan.lines[line])
    if match is None:
        return line
    mark = match[1]
    last = line + 1
    while last < len(scan.lines):
        inner = scan.lines[last].strip()
        if inner.startswith(mark) and not inner.strip(mark[0]):
            break
        last += 1
    if last > line + 1:
        scan.add(line + 1, last, "code")
    return last + 1


def _heading(scan: Scan, line: int) -> int:
    match = _ATX.match(scan.lines[line])
    if match is None:
        return line
    body = scan.lines[line].rstrip()
    closed = body.rstrip("#")
    if closed != body and closed.endswith((" ", "\t")):
        body = closed
    start = scan.start(line)
    scan.add_span(start + match.end(), start + len(body), "heading", len(match[1]))
    return line + 1


def _passed(scan: Scan, line: int) -> int:
    """Lines that say nothing by themselves: rules, comments, link targets, lines of nothing but tags."""
    text = scan.lines[line]
    if text.lstrip().startswith("<!--"):
        while line < len(scan.lines) and "-->" not in scan.lines[line]:
            line += 1
        return line + 1
    if _RULE.match(text) or _TARGET.match(text):
        return line + 1
    return line + 1 if "<" in text and not _TAG.sub("", text).strip() else line


def _table(scan: Scan, line: int) -> int:
    if "|" not in scan.lines[line] or line + 1 >= len(scan.lines):
        return line
    under = scan.lines[line + 1]
    if "-" not in under or "|" not in under or under.strip("|:- \t"):
        return line
    row = line
    while row < len(scan.lines) and "|" in scan.lines[row]:
        if row != line + 1:
            text = scan.lines[row]
            inner = text.strip().strip("|")
            start = scan.start(row) + text.find(inner)
            scan.add_span(start, start + len(inner), "table")
        row += 1
    return row


def _item(scan: Scan, line: int) -> int:
    match = _ITEM.match(scan.lines[line])
    if match is None:
        return line
    last = line + 1
    while not _ends_paragraph(scan, last):
        last += 1
    scan.add(line, last, "item", skip=match.end())
    return last


def _quote(scan: Scan, line: int) -> int:
    match = _QUOTE.match(scan.lines[line])
    if match is None:
        return line
    if not scan.lines[line][match.end() :].strip():
        return line + 1
    last = line + 1
    while (
        not scan.blank(last) and (inner := _QUOTE.match(scan.lines[last])) and scan.lines[last][inner.end() :].strip()
    ):
        last += 1
    scan.add(line, last, "quote", skip=match.end())
    return last


def _indented(scan: Scan, line: int) -> int:
    if scan.indent(line) < 4 or (scan.blocks and scan.blocks[-1].kind == "item"):
        return line
    last = scan.deeper(line, 3)
    scan.add(line, last, "code")
    return last


def _paragraph(scan: Scan, line: int) -> int:
    if not scan.blank(line + 1) and (match := _UNDER.match(scan.lines[line + 1])):
        scan.add(line, line + 1, "heading", 1 if match[1][0] == "=" else 2)
        return line + 2
    last = line + 1
    while not _ends_paragraph(scan, last):
        last += 1
    scan.add(line, last)
    return last


def _ends_paragraph(scan: Scan, line: int) -> bool:
    if scan.blank(line):
        return True
    text = scan.lines[line]
    return any(pattern.match(text) for pattern in (_FENCE, _ATX, _ITEM, _QUOTE, _RULE)) or text.startswith("<!--")


_RULES = (_fence, _heading, _passed, _table, _item, _quote, _indented, _paragraph)
