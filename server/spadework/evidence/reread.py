"""Verdicts once more: from the kept snapshots alone, or with the cited addresses asked anew."""

from __future__ import annotations

from collections.abc import Mapping

from spadework.evidence.links import WAYBACK, Door, look
from spadework.evidence.verdicts import Page, judge
from spadework_tools.models import Report, Verdict


def replay(report: Report, texts: Mapping[str, str], links: Mapping[str, Verdict] | None = None) -> Report:
    """The report judged again with nothing but its kept snapshots, given by their sha256.

    `links` are fresh url verdicts by source id; without them the url axis stays as it is.
    """
    pages = {
        source.id: Page(texts[source.sha256], source.sha256)
        for source in report.sources
        if source.sha256 and source.sha256 in texts
    }
    return judge(report, pages, links)


async def relook(report: Report, http: Door, archive: str = WAYBACK) -> dict[str, Verdict]:
    """What each cited address gives now, one after the other, by source id."""
    cited = {citation.source_id for citation in report.citations}
    found: dict[str, Verdict] = {}
    for source in report.sources:
        if source.url and source.id in cited:
            found[source.id] = (await look(http, source.url, archive=archive)).verdict
    return found
