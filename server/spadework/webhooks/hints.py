"""Hints: what is done about a vendor's message. A waiting job is looked at now; nothing else ever comes of one.

The look asks the vendor with our own key, as it would have some time later; messages that are lost cost only that time.
Only a run that the job's own checkpoint names counts, a job of many runs is looked at when all of them are said to
have ended, and a message that was seen before does nothing. What was seen is held in memory: after a restart a message
that is repeated within its five minutes costs one look.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial

import anyio.to_thread
from pydantic import SecretStr

from spadework.bench import Kit, checkpoint
from spadework.engines.line import LARGE
from spadework.engines.vendor import Handle
from spadework.job import Job
from spadework.webhooks.inbound import READERS, Hint
from spadework_tools.errors import BadSignature, JobExpired, Trouble, UnknownJob
from spadework_tools.models import Status

log = logging.getLogger(__name__)

#: So many messages are remembered, for so many seconds; none is taken that was signed more than five minutes ago.
SEEN, SEEN_S = 20_000, 3_600.0
#: So many jobs with many runs are counted at once; the one that was heard of longest ago waits for its own time.
COUNTED = 1_000


class Hints:
    """Takes vendors' messages for the jobs of a kit.

    Args:
        kit: whose jobs they are about; its settings hold the secrets.
        wake: has a waiting job looked at, by its id.
    """

    def __init__(self, kit: Kit, wake: Callable[[str], None]) -> None:
        self._kit, self._wake = kit, wake
        self._secrets: Mapping[str, tuple[SecretStr, ...]] = kit.settings.webhook_secrets
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._over: OrderedDict[str, set[str]] = OrderedDict()

    async def take(self, vendor: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Judge one message; whether a job is looked at because of it.

        Raises BadSignature for one that is not the vendor's or too old, and whatever the store does, after which the
        same message is as good as new.
        """
        hint = await self._judged(vendor, headers, body)
        if not hint.over or not self._first(hint.id):
            return False
        try:
            job = await self._meant(vendor, hint)
            runs = await self._runs(job) if job is not None else ()
        except Trouble:
            self._seen.pop(hint.id, None)
            raise
        if job is None or hint.run not in runs or not self._complete(job, hint.run, len(runs)):
            return False
        log.info("%s: %s says that it is done", job.id, vendor)
        self._wake(job.id)
        return True

    async def _judged(self, vendor: str, headers: Mapping[str, str], body: bytes) -> Hint:
        secrets = [secret.get_secret_value() for secret in self._secrets.get(vendor, ())]
        if not secrets:
            raise BadSignature(
                f"webhooks of {vendor} are not taken here, since SPADEWORK_{vendor.upper()}_WEBHOOK_SECRET is not set. "
                "Nothing was done with this one."
            )
        judge = partial(READERS[vendor], secrets, dict(headers), body, self._kit.clock.wall())
        return judge() if len(body) < LARGE else await anyio.to_thread.run_sync(judge)

    def _first(self, message: str) -> bool:
        """Whether a message was not seen before."""
        now = self._kit.clock.boot()
        while self._seen and (len(self._seen) > SEEN or next(iter(self._seen.values())) < now - SEEN_S):
            self._seen.popitem(last=False)
        if message in self._seen:
            return False
        self._seen[message] = now
        return True

    async def _meant(self, vendor: str, hint: Hint) -> Job | None:
        """The job that waits for this vendor."""
        try:
            job = await self._kit.store.get(hint.job_id)
        except (UnknownJob, JobExpired):
            return None
        return job if job.engine == vendor and job.status is Status.RUNNING else None

    async def _runs(self, job: Job) -> frozenset[str]:
        """The runs that were bought for a job."""
        kept = await self._kit.store.payload(checkpoint(job, "upstream"))
        if kept is None:
            return frozenset()
        handle = Handle.of(kept)
        return frozenset(handle.more.get("runs", [handle.id]))

    def _complete(self, job: Job, run: str, count: int) -> bool:
        """Whether with this one all runs of a job are said to have ended."""
        over = self._over.setdefault(job.id, set())
        over.add(run)
        if len(over) >= count:
            del self._over[job.id]
            return True
        if len(self._over) > COUNTED:
            self._over.popitem(last=False)
        return False
