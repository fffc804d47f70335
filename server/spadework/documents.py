"""A job's parts as files of their own, for resources."""

from __future__ import annotations

import json

from spadework.job import Job
from spadework_tools.clean import clean, clean_json
from spadework_tools.models import Document, Life, Part, Report

_TYPES = {"md": "text/markdown", "html": "text/html", "json": "application/json"}


def card(life: Life) -> Document:
    """The job itself: where it stands, its question and times, and the addresses of its parts."""
    base = f"research://jobs/{life.standing.job_id}"
    fields = life.model_dump(mode="json", exclude_none=True)
    readable = life.standing.outcome is not None
    names = ("report.md", "report.html", "report.json", "citations.json") if readable else ()
    parts = [f"{base}/{name}" for name in names]
    return _json({**fields.pop("standing"), **fields, "parts": parts})


def paper(job: Job, report: Report, part: Part) -> Document:
    """A finished job's report in the form that the part names."""
    question = job.request.question
    name, _, ending = part.partition(".")
    if name == "report":
        # With the Markdown library; a desk that is just starting shows no report, and would wait for it.
        from spadework.reports import export

        text = export.FORMATS[f".{ending}"](job.id, question, report)
        return Document(mime_type=_TYPES[ending], text=text)
    sources = {source.id: source.model_dump(mode="json", exclude_none=True) for source in report.sources}
    rows = [
        {**citation.model_dump(mode="json", exclude_none=True), "source": sources.get(citation.source_id)}
        for citation in report.citations
    ]
    return _json({"job_id": job.id, "question": question, "citations": rows})


def hashes(report: Report) -> tuple[str, ...]:
    """The hashes of the sources whose text is kept, each once, in the report's order."""
    return tuple(dict.fromkeys(source.sha256 for source in report.sources if source.sha256))


def kept(text: bytes) -> Document:
    """The kept text of a source."""
    return Document(mime_type="text/plain", text=clean(text.decode("utf-8", "surrogatepass")))


def _json(value: object) -> Document:
    text = json.dumps(clean_json(value), ensure_ascii=False, indent=2, allow_nan=False)
    return Document(mime_type="application/json", text=text + "\n")
