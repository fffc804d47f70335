"""How a job's life looks from outside: its standing, when to look again, and its times. Pure functions of the job."""

from __future__ import annotations

from collections.abc import Sequence

from spadework.clock import Clock
from spadework.job import Job
from spadework_tools.models import Ask, Life, Standing, Status

#: How long each effort takes, about, where the engine does not say; seconds.
USUAL_S = {"low": 60.0, "medium": 300.0, "high": 1_800.0}
#: An agent comes back after at least and at most so long, a client's program that looks by itself likewise; seconds.
AGENT_S, PROGRAM_S = (5.0, 600.0), (5.0, 15.0)


def standing(job: Job, clock: Clock) -> Standing:
    """The job's line in a list."""
    ended = job.finished_at or clock.wall()
    return Standing(
        job_id=job.id,
        status=job.status,
        outcome=job.outcome,
        label=job.request.label,
        phase=job.phase,
        progress=None if job.progress is None else round(job.progress, 2),
        sources=job.sources,
        elapsed_s=max(0, round(ended - (job.started_at or job.created_at))),
        eta_s=None if job.status.terminal else job.eta_s,
        error=job.error,
        asks=asked(job) if asks(job) else None,
    )


def life(job: Job, clock: Clock) -> Life:
    """The job with its times and what it asks."""
    return Life(
        standing=standing(job, clock),
        question=job.request.question,
        engine=job.engine if job.tier is None else f"{job.engine}:{job.tier}",
        created_at=job.created_at,
        changed_at=job.changed_at or job.created_at,
        expires_at=job.expires_at,
        poll_s=_program(job, clock),
        asks=job.asks if asks(job) else (),
    )


def asked(job: Job) -> str:
    """What the job asks, and how any agent can answer."""
    return f"{_listed(job.asks)} Answer with start_research: follow_up_to {job.id}, the answer as question."


def poll_after(jobs: Sequence[Job], clock: Clock) -> int | None:
    """When an agent should look next, seconds; None when every job has ended.

    Half of what is left to wait, but never less than an eighth of what has passed: a job of 30 minutes is then looked
    at fewer than 8 times, and the last look comes at most an eighth late.
    """
    least, most = AGENT_S
    after: list[float] = []
    for job in jobs:
        if asks(job):
            after.append(most)
        elif not job.status.terminal:
            after.append(max(least, _left(job, clock) / 2, _passed(job, clock) / 8))
    return round(min(most, *after)) if after else None


def waits(job: Job) -> bool:
    """Whether waiting may bring news: the job is neither ended nor in need of an answer."""
    return not job.status.terminal and not asks(job)


def asks(job: Job) -> bool:
    """Whether the job wants an answer; one that is to end does not any more."""
    return job.status is Status.NEEDS_INPUT and not job.cancel_requested


def _program(job: Job, clock: Clock) -> int:
    least, most = PROGRAM_S
    if asks(job):
        return round(least)
    return round(min(most, max(least, _left(job, clock) / 20, _passed(job, clock) / 20)))


def _passed(job: Job, clock: Clock) -> float:
    return max(0.0, clock.wall() - (job.started_at or job.created_at))


def _left(job: Job, clock: Clock) -> float:
    """Seconds until the end as last told, from when it was told; by the effort where nobody told."""
    if job.eta_s is None:
        return max(0.0, USUAL_S[job.request.effort] - _passed(job, clock))
    told = job.changed_at or job.created_at
    return max(0.0, job.eta_s - (clock.wall() - told))


def _listed(asks: Sequence[Ask]) -> str:
    """The questions on one line, each with its choices."""
    lines = [ask.question + (f" ({' / '.join(ask.choices)})" if ask.choices else "") for ask in asks]
    if len(lines) == 1:
        return lines[0]
    return " ".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
