"""When to look again: pure functions of how long a run has been going, so that nothing needs to be remembered."""

from __future__ import annotations

import hashlib
import math
from email.utils import parsedate_to_datetime

from spadework.job import Job

#: The longest wait that a vendor can ask for; a job's own deadline comes long before it.
LONGEST_S = 7 * 86_400.0


def pause(job_id: str, elapsed_s: float, first_s: float, cap_s: float) -> float:
    """Seconds until the next look at a running job: `first_s` at first, each look half as late again, `cap_s` at most.

    A ten-minute run that starts at 5 s and is capped at 60 s is looked at 17 times.
    """
    step = first_s if elapsed_s < first_s else min(cap_s, max(first_s, elapsed_s / 2))
    return spread(job_id, elapsed_s, step)


def outage(job_id: str, elapsed_s: float) -> float:
    """Seconds until the next try while a vendor is away: at most 25 tries an hour, at most 4 minutes late."""
    return spread(job_id, elapsed_s, min(180.0, max(20.0, elapsed_s / 2)))


def spread(job_id: str, elapsed_s: float, wait_s: float) -> float:
    """A wait lengthened by up to a fifth, by job and moment, so that a thousand jobs do not come back as one."""
    digest = hashlib.blake2b(f"{job_id}{elapsed_s:.0f}".encode(), digest_size=2).digest()
    return wait_s * (1 + int.from_bytes(digest, "big") / 65_535 / 5)


def left(job: Job, now: float) -> float:
    """Seconds of a job's deadline that are left at a boot time; endless for one without a deadline."""
    if job.deadline_s is None or job.begun is None:
        return math.inf
    return max(0.0, job.begun[1] + job.deadline_s - now)


def asked(header: str | None, now: float) -> float | None:
    """The seconds that a Retry-After header asks for (RFC 9110, 10.2.3: seconds or a date), or None for nonsense."""
    if header is None:
        return None
    try:
        wait = float(header)
    except ValueError:
        try:
            wait = parsedate_to_datetime(header).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return min(LONGEST_S, max(0.0, wait)) if not math.isnan(wait) else None
