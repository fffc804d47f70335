"""The desk: keeps what the tools promise to one caller. Ticket from job, ownership, sameness, waiting, reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import anyio

from spadework.caller import Caller, Callers
from spadework.clock import Clock
from spadework.engines import Engine, Estimate
from spadework.engines.data import sound
from spadework.job import Job, fingerprint, new_id
from spadework.registry import JobStore, Listing
from spadework.reports import views
from spadework_tools.errors import BadRequest, JobExpired, NoReport, NotReady, UnknownEngine
from spadework_tools.models import Cancelled, Page, Report, Request, Standing, Standings, Status, Ticket, View

#: How long each effort may take before it is given up, seconds.
DEADLINES = {"low": 600.0, "medium": 1_800.0, "high": 7_200.0}
#: One page of the list of a caller's jobs.
LISTED = 10


@dataclass(frozen=True)
class Desk:
    """A research desk as one owner sees it (the tools' port, `spadework_tools.desk.Desk`)."""

    store: JobStore
    engines: Mapping[str, Engine]
    caller: Caller
    clock: Clock
    callers: Callers = field(default_factory=Callers)
    closing: anyio.Event = field(default_factory=anyio.Event)
    reports: views.Shelf = field(default_factory=views.Shelf)

    async def start(self, request: Request) -> Ticket:
        """Accept a request durably, or hand back the job that it repeats.

        Raises BadRequest and its kinds, or MissingKey, before anything is stored; IdempotencyMismatch, QueueFull,
        StorageFull, ReadOnly when the registry refuses.
        """
        if request.output_schema is not None:
            sound(request.output_schema)
        name, tier = self._engine(request)
        self.caller.demand(name)
        if request.follow_up_to is not None:
            await self.store.get(request.follow_up_to, self.caller.owner)
        estimate = await self.engines[name].admit(request, tier)
        now = self.clock.wall()
        settled = estimate.request or request
        job = Job(
            id=new_id(now),
            owner=self.caller.owner,
            request=settled,
            fingerprint=fingerprint(settled),
            engine=name,
            tier=tier,
            eta_s=estimate.eta_s,
            cost_estimate_usd=estimate.cost_usd,
            created_at=now,
            deadline_s=estimate.deadline_s or DEADLINES[request.effort],
        )
        job, created = await self._submitted(job)
        if created and estimate.eta_s is not None and estimate.eta_s <= self.caller.settings.inline_s:
            job = await self._settled(job, self.caller.settings.inline_s)
        return self._ticket(job, created, estimate)

    async def check(
        self, job_ids: Sequence[str] = (), *, wait_s: float = 0, since: str | None = None, cursor: str | None = None
    ) -> Standings:
        """Where the named jobs stand, or the newest ones; returns early when one of them changes.

        Raises UnknownJob, JobExpired, BadRequest for a `since` or `cursor` that is not ours.
        """
        after = _moment(since, await self.store.version())
        listing = await self._listing(job_ids, cursor)
        seen = after if after is not None else max((job.version for job in listing.jobs), default=0)
        if wait_s > 0 and not _news(listing.jobs, seen) and any(not job.status.terminal for job in listing.jobs):
            listing = await self._awaited(job_ids, cursor, seen, wait_s)
        news = _news(listing.jobs, seen) if after is not None else listing.jobs
        return Standings(
            jobs=tuple(self._standing(job) for job in news),
            poll_after_s=self._poll_after(listing.jobs),
            since=f"v{max((job.version for job in listing.jobs), default=seen)}",
            cursor=listing.cursor,
            unchanged=not news,
        )

    async def collect(
        self,
        job_id: str,
        view: View = "brief",
        *,
        section: str | None = None,
        query: str | None = None,
        cursor: str | None = None,
        max_chars: int = 12_000,
    ) -> Page:
        """One page of one view of a finished job's report.

        Raises UnknownJob, JobExpired, NotReady while it runs, NoReport when it ended without one, BadRequest for a
        section, query or cursor that does not fit.
        """
        job, report = await self.report(job_id)
        texts = await self._texts(report) if view == "evidence" else {}
        return self.reports.page(
            job, report, view, section=section, query=query, cursor=cursor, max_chars=max_chars, texts=texts
        )

    async def cancel(self, job_id: str) -> Cancelled:
        """Ask for the job to end; what was found so far stays readable."""
        job, changed = await self.store.cancel(job_id, self.caller.owner)
        if not job.status.terminal:
            job = await self._settled(job, self.caller.settings.inline_s)
        return Cancelled(job_id=job.id, status=job.status, changed=changed, note=await self._cancel_note(job, changed))

    async def report(self, job_id: str) -> tuple[Job, Report]:
        """A job and its whole report. Raises as `collect`."""
        job = await self.store.get(job_id, self.caller.owner)
        payload = await self.store.payload(job.result_key)
        if payload is not None:
            return job, Report.model_validate_json(payload)
        if not job.status.terminal:
            raise NotReady(
                f"{job.id} is {job.status} ({job.phase or 'waiting for its turn'}). "
                f"Call check_research after {self._poll_after([job])} s; do other work until then."
            )
        if job.status is Status.COMPLETED:
            raise JobExpired(job.id)
        why = job.error.message if job.error else "It was cancelled before anything was found."
        raise NoReport(f"{job.id} {job.status} without a report. {why}")

    async def _submitted(self, job: Job) -> tuple[Job, bool]:
        """Store a new job, or find the one it repeats. A runner may take it up at once, and needs its keys then."""
        self.callers.charge(job.id, self.caller)
        created = False
        try:
            kept, created = await self.store.submit(job, dedupe_s=self.caller.settings.dedupe_hours * 3600)
            return kept, created
        finally:
            if not created:
                self.callers.release(job.id)

    async def _listing(self, job_ids: Sequence[str], cursor: str | None) -> Listing:
        if not job_ids:
            return await self.store.list(self.caller.owner, cursor=cursor, limit=LISTED)
        return Listing(
            tuple([await self.store.get(job_id, self.caller.owner) for job_id in dict.fromkeys(job_ids)]), None
        )

    async def _awaited(self, job_ids: Sequence[str], cursor: str | None, seen: int, wait_s: float) -> Listing:
        """The listing once one of its jobs has changed since `seen`, or as it is when the time is over."""
        until = self.clock.boot() + wait_s
        version = await self.store.version()
        while True:
            listing = await self._listing(job_ids, cursor)
            left = until - self.clock.boot()
            if _news(listing.jobs, seen) or left <= 0 or self.closing.is_set():
                return listing
            version = await self._stirred(version, left)

    async def _stirred(self, version: int, longest_s: float) -> int:
        """The store's counter once it has moved, the time is over or this desk is closing."""
        async with anyio.create_task_group() as group:

            async def until_closing() -> None:
                await self.closing.wait()
                group.cancel_scope.cancel()

            group.start_soon(until_closing)
            version = await self.store.changed(version, longest_s)
            group.cancel_scope.cancel()
        return version

    async def _settled(self, job: Job, wait_s: float) -> Job:
        """The job as soon as it has ended, or as it stands when the time is over."""
        with anyio.move_on_after(wait_s):
            version = await self.store.version()
            while not (job := await self.store.get(job.id)).status.terminal:
                version = await self.store.changed(version, wait_s)
        return job

    async def _texts(self, report: Report) -> dict[str, str]:
        """The kept snapshots of a report's sources, by sha256."""
        texts: dict[str, str] = {}
        for source in report.sources:
            if source.sha256 and (data := await self.store.payload(f"src/{source.sha256}")) is not None:
                texts[source.sha256] = data.decode("utf-8", "surrogatepass")
        return texts

    async def _cancel_note(self, job: Job, changed: bool) -> str:
        if not job.status.terminal:
            return "It was asked to stop and will end within seconds; check_research shows when."
        if not changed and job.status is not Status.CANCELLED:
            return f"It had already {job.status} and stays so."
        events = [event for event in await self.store.events(job.id, limit=1_000) if event.kind == "cancelled"]
        elsewhere = events[-1].text if events else ""
        return elsewhere or "Nothing goes on elsewhere and nothing more is billed."

    def _engine(self, request: Request) -> tuple[str, str | None]:
        """The engine's name and tier. Raises UnknownEngine, naming what there is."""
        asked = request.engine if request.engine != "auto" else self.caller.settings.engine
        name, _, tier = (asked if asked != "auto" else "local").partition(":")
        if name not in self.engines:
            usable = ", ".join(sorted(self.engines))
            raise UnknownEngine(f"there is no engine {name[:60]!r} here, so nothing was started. Use auto, {usable}.")
        return name, tier or None

    def _ticket(self, job: Job, created: bool, estimate: Estimate) -> Ticket:
        return Ticket(
            job_id=job.id,
            status=job.status,
            created=created,
            engine=job.engine if job.tier is None else f"{job.engine}:{job.tier}",
            poll_after_s=self._poll_after([job]) or 0,
            eta_s=None if job.status.terminal else job.eta_s,
            cost_estimate_usd=estimate.cost_usd if created else 0.0,
            expires_at=job.expires_at,
        )

    def _standing(self, job: Job) -> Standing:
        begun = job.started_at or job.created_at
        ended = job.finished_at or self.clock.wall()
        return Standing(
            job_id=job.id,
            status=job.status,
            outcome=job.outcome,
            label=job.request.label,
            phase=job.phase,
            progress=None if job.progress is None else round(job.progress, 2),
            sources=job.sources,
            elapsed_s=max(0, round(ended - begun)),
            eta_s=None if job.status.terminal else job.eta_s,
            error=job.error,
        )

    def _poll_after(self, jobs: Sequence[Job]) -> int | None:
        """When to look next, seconds; None when every job has ended.

        Half of what is left, or as long again as it has taken: a job of 30 minutes is then looked at 8 times.
        """
        waits: list[float] = []
        for job in jobs:
            if job.status.terminal:
                continue
            elapsed = max(0.0, self.clock.wall() - (job.started_at or job.created_at))
            waits.append(elapsed if job.eta_s is None else job.eta_s / 2)
        return round(min(600.0, max(5.0, min(waits)))) if waits else None


def _moment(since: str | None, version: int) -> int | None:
    """The store's version that a `since` names. Raises BadRequest for one that this store cannot have given."""
    if since is None:
        return None
    number = since[1:]
    if since[:1] != "v" or not number.isdecimal() or len(number) > 18 or int(number) > version:
        raise BadRequest(f"since {since[:40]!r} is not one we gave. Pass on that of your last check, or leave it out.")
    return int(number)


def _news(jobs: Sequence[Job], seen: int) -> tuple[Job, ...]:
    return tuple(job for job in jobs if job.version > seen)
