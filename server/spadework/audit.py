"""`spadework verify`: a report's citations checked again, from its kept snapshots or at their addresses."""

from __future__ import annotations

import hashlib
from typing import Any

import anyio
import typer

from spadework.egress import Egress
from spadework.evidence.reread import relook, replay
from spadework.evidence.verdicts import Change, compare
from spadework.job import Job
from spadework.reports.cited import AXES
from spadework.screen import Screen
from spadework.settings import Settings
from spadework.visit import Jobs, visit
from spadework_tools.models import Report, Verdict


def audit(job_id: str, *, online: bool, as_json: bool, no_desk: bool) -> None:
    """Judge a report's citations again and print what came of it; raises typer.Exit(1) if a verdict got worse.

    Without `online` nothing is fetched: the kept snapshots are all that is looked at.
    """

    async def read(desk: Jobs) -> tuple[Job, Report, dict[str, str]]:
        job, report = await desk.report(job_id)
        found = {one.sha256: await desk.snapshot(job_id, one.sha256) for one in report.sources if one.sha256}
        return job, report, {sha256: text for sha256, text in found.items() if text is not None}

    job, report, texts = visit(read, no_desk=no_desk)
    screen = Screen()
    damaged = sorted(sha256 for sha256, text in texts.items() if _digest(text) != sha256)
    for sha256 in damaged:
        screen.note(f"spadework: the snapshot {sha256[:16]}… is not what was kept, so it was not used")
    sound = {sha256: text for sha256, text in texts.items() if sha256 not in damaged}
    links = anyio.run(_asked, report) if online else None
    after = replay(report, sound, links)
    changes = compare(report, after)
    if as_json:
        screen.data(_told(job, after, changes, len(sound)))
    else:
        _show(screen, after, changes, len(sound))
    if damaged or any(change.worse for change in changes):
        raise typer.Exit(1)


async def _asked(report: Report) -> dict[str, Verdict]:
    http = Egress(allow_private=Settings.load().allow_private)
    try:
        return await relook(report, http)
    finally:
        await http.aclose()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _told(job: Job, report: Report, changes: tuple[Change, ...], snapshots: int) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "snapshots": snapshots,
        "citations": [
            {"id": one.id, "source_id": one.source_id, **one.verdicts.model_dump(mode="json")}
            for one in report.citations
        ],
        "changes": [
            {"id": one.citation_id, "axis": one.axis, "before": one.before, "after": one.after, "worse": one.worse}
            for one in changes
        ],
    }


def _show(screen: Screen, report: Report, changes: tuple[Change, ...], snapshots: int) -> None:
    if not report.citations:
        screen.text("This report has no citations.")
        return
    sources = {source.id: source for source in report.sources}
    rows = [["citation", *AXES, "source"]]
    for citation in report.citations:
        source = sources.get(citation.source_id)
        words = [getattr(citation.verdicts, axis).verdict for axis in AXES]
        rows.append([citation.id, *words, (source.url or source.path or source.title) if source else ""])
    widths = [max(len(row[at]) for row in rows) for at in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        screen.text("  ".join([*cells, row[4]]))
    screen.note(f"{len(report.citations)} citations checked against {snapshots} kept snapshots")
    for change in changes:
        turn = "worse" if change.worse else "changed"
        screen.note(f"{turn}: {change.citation_id} {change.axis} was {change.before}, is {change.after}")
