"""The brief: what an agent reads first. The answer's head, the outline, the counts and where to read on.

Its length is bounded in tokens, whatever the report: each part has a share, and what does not fit is counted.
"""

from __future__ import annotations

from spadework.reports import pages
from spadework.reports.cited import tallies
from spadework.reports.outline import Section, outline
from spadework_tools.clean import clean
from spadework_tools.models import Cost, Report

_HEAD, _OUTLINE, _WARNINGS = 1_000.0, 560.0, 160.0


def compose(report: Report, job_id: str, question: str = "") -> str:
    """The brief of a report, at most about 2,000 o200k tokens."""
    parts = [_title(report, question), _head(report), _outlined(outline(report.text)), _counts(report)]
    if report.provenance.warnings:
        parts.append(_warnings(report))
    parts.append(_onward(report, job_id))
    return "\n\n".join(parts) + "\n"


def weight(text: str) -> float:
    """About how many o200k tokens a text costs, on the safe side: words are cheap, marks and other scripts dear."""
    plain = sum(map(text.count, "etaoinshrdlucmfwypvbgk "))
    ascii_rest = sum(1 for char in text if char.isascii()) - plain
    return plain * 0.235 + ascii_rest * 0.6 + (len(text) - plain - ascii_rest) * 1.1


def fit(text: str, budget: float) -> int:
    """How many characters of a text fit a budget of tokens."""
    if weight(text[: int(budget * 5)]) <= budget and len(text) <= budget * 5:
        return len(text)
    low, high = 0, min(len(text), int(budget * 5))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if weight(text[:middle]) <= budget else (low, middle - 1)
    return low


def _line(text: str, budget: float) -> str:
    """A text on one line, cut to a budget of tokens."""
    text = " ".join(text.split())
    return clean(text, max(8, fit(text, budget)))


def _title(report: Report, question: str) -> str:
    made = report.provenance
    by = ", ".join(part for part in (made.engine, made.tier, made.model, made.mode) if part)
    asked = f"Question: {_line(question, 120)}\n" if question else ""
    return f"{asked}Outcome: {report.outcome} · engine: {_line(by, 40)}"


def _head(report: Report) -> str:
    text = report.text
    size = fit(text, _HEAD)
    if size >= len(text):
        return text.strip() or "(The report has no text.)"
    # The whole text, cut as a page would be: between blocks where it can.
    end = pages.cut(text, 0, size)
    return f"{text[:end].strip()}\n\n(The first {end:,} of {len(text):,} characters.)"


def entry(section: Section) -> str:
    """A section as a line of the outline: its id, title and size in characters."""
    title = " ".join(section.title.split()) or ("(opening)" if section.id == "s0" else "(whole report)")
    return f"{'  ' * (section.depth - 1)}- {section.id} {clean(title, 120)} ({section.size:,})"


def _outlined(sections: tuple[Section, ...]) -> str:
    """The outline as deep as its share allows; else its first lines, and how many more there are."""
    for depth in range(max(section.depth for section in sections), 0, -1):
        lines = [_short(entry(section)) for section in sections if section.depth <= depth]
        if sum(map(weight, lines)) <= _OUTLINE:
            break
    else:
        lines = _first([_short(entry(section)) for section in sections if section.depth == 1], _OUTLINE)
    hidden = len(sections) - len(lines)
    more = [f"- +{hidden} more (view=outline)"] if hidden else []
    return "\n".join(["Outline (section id, title, characters):", *lines, *more])


def _first(lines: list[str], budget: float) -> list[str]:
    """The first lines that fit a budget of tokens together."""
    for count, line in enumerate(lines):
        budget -= weight(line)
        if budget < 0:
            return lines[:count]
    return lines


def _short(line: str) -> str:
    return line if weight(line) <= 60 else clean(line, max(24, fit(line, 60)))


def _counts(report: Report) -> str:
    cited = {citation.source_id for citation in report.citations}
    lines = [f"Sources: {len(report.sources)} ({len(cited)} cited) · citations: {len(report.citations)}"]
    if report.citations:
        lines += [f"Checks, {line}" for line in tallies(report)]
    if report.data is not None:
        judged = {True: "fits the schema", False: "does not fit the schema", None: "not checked against a schema"}
        lines.append(f"Data: yes, {judged[report.schema_ok]} (view=data)")
    lines.append(f"Cost: {spent(report.cost)}")
    return "\n".join(lines)


def spent(cost: Cost) -> str:
    """What a job cost and how that is known, in words."""
    if cost.amount is None:
        return "unknown"
    return f"${cost.amount:.4g} ({cost.kind})" if cost.unit == "usd" else f"{cost.amount:.6g} {cost.unit} ({cost.kind})"


def _warnings(report: Report) -> str:
    lines = _first([f"- {_line(warning, 70)}" for warning in report.provenance.warnings], _WARNINGS)
    hidden = len(report.provenance.warnings) - len(lines)
    return "Warnings:\n" + "\n".join(lines + ([f"- +{hidden} more in the JSON export"] if hidden else []))


def _onward(report: Report, job_id: str) -> str:
    views = "section (by id), citations, evidence (by query), full" + (", data" if report.data is not None else "")
    base = f"research://jobs/{job_id}"
    return f"Read on with get_result, view: {views}.\nResources: {base}/report.md · {base}/citations.json"
