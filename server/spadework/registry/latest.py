"""A job's report as it was last stored: with its verdicts where they are there, else as its engine gave it."""

from __future__ import annotations

from spadework.job import Job
from spadework.registry import JobStore


async def newest(store: JobStore, job: Job) -> bytes | None:
    """The stored report, or None where there is none (any more)."""
    return await store.payload(job.verified_key) or await store.payload(job.result_key)
