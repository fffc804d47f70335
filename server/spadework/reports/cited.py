"""Citations as a reader sees them: the quote, its source and place, and what each check found."""

from __future__ import annotations

from collections import Counter

from spadework.evidence.untrusted import addresses, inert
from spadework_tools.models import Citation, Report, Source, Verdict

AXES = ("url", "quote", "support")


def listed(report: Report) -> str:
    """Every citation in order, a block each; a report without any says so."""
    if not report.citations:
        return "This report has no citations.\n"
    sources = {source.id: source for source in report.sources}
    known = addresses(report)
    return "\n".join(_block(citation, sources.get(citation.source_id), known) for citation in report.citations)


def _block(citation: Citation, source: Source | None, known: frozenset[str]) -> str:
    quote = inert(" ".join(citation.quote.split()), known)
    lines = [f"[{citation.id}] “{quote}”" if quote else f"[{citation.id}] (no quote given)"]
    where = placed(source, citation, citation.start, citation.end) if source else f"source {citation.source_id}"
    lines.append(f"  {inert(where, known)}")
    if citation.fragment_url:
        lines.append(f"  {citation.fragment_url}")
    lines.append(f"  checks: {' · '.join(checked(citation))}")
    return "\n".join(lines) + "\n"


def placed(source: Source, citation: Citation | None, start: int | None, end: int | None) -> str:
    """Where a quote stands: the source's title and address, then page, line, section and code points."""
    parts = [f"{source.title or 'Untitled'} ({source.id})", source.url or source.path or "no address"]
    if citation is not None:
        parts += [f"page {citation.page}"] if citation.page is not None else []
        parts += [f"line {citation.line}"] if citation.line is not None else []
        parts += [f"section “{citation.section}”"] if citation.section else []
    if start is not None and end is not None:
        parts.append(f"characters {start}–{end}")
    return ", ".join(" ".join(part.split()) for part in parts)


def checked(citation: Citation) -> list[str]:
    """What each check found, in the words of its axis, with the method where one is named."""
    return [f"{axis} {_said(getattr(citation.verdicts, axis))}" for axis in AXES]


def _said(verdict: Verdict) -> str:
    return f"{verdict.verdict} ({verdict.method})" if verdict.method else verdict.verdict


def tallies(report: Report) -> list[str]:
    """How often each verdict was given, an axis a line, most frequent first."""
    lines: list[str] = []
    for axis in AXES:
        counts = Counter(str(getattr(citation.verdicts, axis).verdict) for citation in report.citations)
        lines.append(f"{axis}: " + ", ".join(f"{verdict} {count}" for verdict, count in counts.most_common()))
    return lines
