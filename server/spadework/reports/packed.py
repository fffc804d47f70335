"""A report as it is stored: everything but its text as JSON, a line end, and the text as it is.

Why not all as JSON: to unescape a text, the parser holds it twice in bytes and once in characters, of which those of a
text with a single emoji take four bytes each. A report of 5 MB took 37 MB to read that way, and takes 27 so. JSON on
one line holds no line end, so what was stored as JSON alone is told by that.
"""

from __future__ import annotations

from spadework_tools.models import Report


def pack(report: Report) -> bytes:
    """The bytes of a report."""
    rest = report.model_copy(update={"text": ""})
    # Straight to bytes: as a string a large report of many scripts would take four bytes a letter once more.
    head: bytes = rest.__pydantic_serializer__.to_json(rest, exclude_defaults=True)
    return b"\n".join((head, report.text.encode()))


def unpack(data: bytes) -> Report:
    """The report that was packed."""
    end = data.find(b"\n")
    if end < 0:
        return Report.model_validate_json(data)
    with memoryview(data) as view:
        text = str(view[end + 1 :], "utf-8")
        return Report.model_validate_json(bytes(view[:end])).model_copy(update={"text": text})
