"""A report as a file of its own: Markdown to read, JSON to work with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from spadework.reports.brief import spent
from spadework.reports.cited import listed
from spadework.reports.html import html
from spadework_tools.clean import clean, clean_json
from spadework_tools.models import Report, Source


def markdown(job_id: str, question: str, report: Report) -> str:
    """The report as one Markdown document: the question, the text, its sources, and every citation with its place."""
    made = report.provenance
    head = f"# {clean(' '.join(question.split()), 300)}\n\n" if question else ""
    facts = [f"Job {job_id}", f"outcome {report.outcome}", f"engine {made.engine}", f"cost {spent(report.cost)}"]
    parts = [f"{head}{' · '.join(facts)}", clean(report.text).strip()]
    if made.warnings:
        parts.append(
            "## Warnings\n\n" + "\n".join(f"- {clean(' '.join(warning.split()))}" for warning in made.warnings)
        )
    if report.data is not None:
        parts.append(f"## Data\n\n{_fenced(json.dumps(clean_json(report.data), ensure_ascii=False, indent=2))}")
    parts.append("## Sources\n\n" + ("\n".join(map(_source, report.sources)) or "None."))
    parts.append("## Citations\n\n" + clean(_listing(report)).strip())
    return "\n\n".join(parts) + "\n"


def document(job_id: str, question: str, report: Report) -> str:
    """The whole report as JSON: every field, in the model's order, so that equal reports give equal bytes."""
    body: dict[str, Any] = {"job_id": job_id, "question": question, **report.model_dump(mode="json")}
    return json.dumps(clean_json(body), ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _listing(report: Report) -> str:
    """The citations as list items, their further lines indented under them."""
    blocks = listed(report).strip().split("\n\n")
    return "\n".join(f"- {block}" if block.startswith("[") else block for block in blocks)


def _source(source: Source) -> str:
    facts = [clean(" ".join((source.title or "Untitled").split()), 300), source.url or source.path or "no address"]
    facts += [f"published {source.published}"] if source.published else []
    facts += [f"sha256 {source.sha256}"] if source.sha256 else []
    return f"- {source.id}: " + clean(", ".join(facts))


def _fenced(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}json\n{text}\n{fence}"


#: What a file may be exported as, by its name's ending.
FORMATS: Final[Mapping[str, Callable[[str, str, Report], str]]] = MappingProxyType(
    {".md": markdown, ".html": html, ".json": document}
)
