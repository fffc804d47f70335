"""What a job follows up: the report of an earlier one, which must be there before anything is bought on top of it."""

from __future__ import annotations

from spadework.engines import Bench
from spadework.job import Job
from spadework_tools.errors import EngineFailed
from spadework_tools.models import Report


async def before(job: Job, bench: Bench) -> Report | None:
    """The report of the job that this one follows up; None for one that follows nothing.

    Raises EngineFailed `nothing_to_follow` where that job has none (yet, or any more): its question alone would say
    something else, for the same money.
    """
    if job.request.follow_up_to is None:
        return None
    report = await bench.earlier()
    if report is None:
        raise EngineFailed(
            f"{job.request.follow_up_to}, which this job was to follow up, has no report to build on, so nothing was "
            "sent. Wait until it is completed, or ask a question that stands on its own without follow_up_to.",
            code="nothing_to_follow",
        )
    return report
