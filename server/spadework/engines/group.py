"""A Parallel task group: the container that each job makes for itself, free of charge, before it buys anything in it.

Its list is what makes buying safe: a run that was accepted stands there with the number of its row, whatever became
of the answer, so a lost one is found again and nothing is bought twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

from spadework.engines.line import Line
from spadework.engines.payload import Payload, decode, plain
from spadework_tools.errors import BadReply

GROUPS = "/v1/tasks/groups"
#: Seconds that one reading of the list may take; the vendor may leave the stream open behind its last event.
READ_S = 12.0
#: More pages than any list of a thousand rows has.
PAGES = 200


def path(group: str, tail: str = "") -> str:
    """Where a group, or a part of it, is found."""
    return f"{GROUPS}/{quote(group, safe='')}{tail}"


async def rows(line: Line, group: str, *, output: bool = False) -> dict[int, Payload] | int:
    """The newest event of each row in a group's list (`run`, and `output` where asked for), or the error's status.

    A list that is longer than one answer may be is read on from its last event. A run that is listed twice for the
    same row counts once, the first. Raises Unreachable or BadReply.
    """
    found: dict[int, Payload] = {}
    cursor = ""
    for _ in range(PAGES):
        query = f"?include_output={str(output).lower()}" + (
            f"&last_event_id={quote(cursor, safe='')}" if cursor else ""
        )
        reply = await line.get(path(group, "/runs") + query, timeout_s=READ_S, partial=True)
        if reply.status >= 300:
            return reply.status
        last = ""
        for event in events(reply.body, line.vendor):
            last = event.at("event_id").text() or last
            row = _row(event)
            if row is not None and row not in found:
                found[row] = event
        if not reply.truncated or last in ("", cursor):
            return found
        cursor = last
    return found


def events(stream: bytes, who: str) -> Iterator[Payload]:
    """The JSON of each whole event in a stream of server-sent events; a broken one is passed over."""
    for block in stream.replace(b"\r\n", b"\n").split(b"\n\n")[:-1]:
        lines = [line[5:].lstrip() for line in block.split(b"\n") if line.startswith(b"data:")]
        if not lines:
            continue
        try:
            yield decode(b"\n".join(lines), who)
        except BadReply:
            continue


async def trace(line: Line, run: str) -> tuple[str, int]:
    """What a run is doing, in the vendor's words, and how many pages it has read; no news is ("", 0).

    The stream replays the whole run and stays open, so it is read for a moment only. Raises Unreachable or BadReply.
    """
    reply = await line.get(f"/v1/tasks/runs/{quote(run, safe='')}/events", timeout_s=4.0, partial=True)
    said, read = "", 0
    if reply.status < 300:
        for event in events(reply.body, line.vendor):
            kind = event.at("type").text()
            if kind.startswith("task_run.progress_msg"):
                said = plain(event.at("message").text(), 160) or said
            elif kind == "task_run.progress_stats":
                read = int(event.at("source_stats", "num_sources_read").number() or read)
    return said, read


def _row(event: Payload) -> int | None:
    """The row that a run was bought for, from the label it was given."""
    label: object = event.at("run", "metadata", "row").value
    try:
        return int(json.loads(str(label)))
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None
