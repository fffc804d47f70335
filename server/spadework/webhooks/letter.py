"""The letter: what is told of a job that has ended. Thin: whoever wants the report asks for it, with his own rights."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from spadework.egress import encode
from spadework.job import Job
from spadework_tools.clean import clean


def letter(job: Job) -> dict[str, Any]:
    """The payload by Standard Webhooks 1.0.0, the same at every try: type, time of the event, and the job's facts.

    Neither the question nor the report is in it; as JSON it stays under 2 kB.
    """
    at = datetime.fromtimestamp(job.finished_at or job.created_at, UTC)
    return {
        "type": f"research.{job.status}",
        "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": {
            "job_id": job.id,
            "status": job.status.value,
            "outcome": job.outcome.value if job.outcome else None,
            "label": clean(job.request.label) if job.request.label else None,
            "links": {
                "resource": f"research://jobs/{job.id}",
                "report": f"research://jobs/{job.id}/report.md",
                "cli": f"spadework show {job.id}",
            },
        },
    }


def body(job: Job) -> bytes:
    """The letter as bytes."""
    return encode(letter(job))
