"""The desk: keeps what the tools promise to one caller. Ticket from job, ownership, sameness, waiting, reading."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import anyio

from spadework.asking import answer, replies, reply
from spadework.caller import LOCAL, Caller, Callers
from spadework.clock import Clock
from spadework.delivery import Address, Delivery, Endpoint
from spadework.detour import facts, left
from spadework.documents import card, hashes, kept, paper
from spadework.egress import Egress
from spadework.engines import Engine, Estimate
from spadework.engines.auto import Choice, choose
from spadework.engines.data import sound
from spadework.job import Job, fingerprint, new_id
from spadework.ledger import Ledger
from spadework.life import life, poll_after, standing, waits
from spadework.registry import JobStore, Listing
from spadework.registry.latest import newest
from spadework.reports import views
from spadework.reports.packed import unpack
from spadework.tell import addresses
from spadework_tools.errors import BadRequest, JobExpired, NoReport, NotReady, UnknownEngine, UnknownJob, UnknownSource
from spadework_tools.models import (
    Cancelled,
    Document,
    Life,
    Page,
    Part,
    Report,
    Request,
    Standings,
    Status,
    Ticket,
    View,
)

#: How long each effort may take before it is given up, seconds.
DEADLINES = {"low": 600.0, "medium": 1_800.0, "high": 7_200.0}
#: How long a webhook's secret still signs beside its successor, seconds.
KEEP_S = 86_400.0
#: One page of the list of a caller's jobs.
LISTED = 10
#: Who follows jobs wakes at least so often, and looks so often for what other processes wrote; seconds.
FOLLOW_S, LOOK_S = 60.0, 0.5


@dataclass(frozen=True)
class Desk:
    """A research desk as one owner sees it (the tools' port, `spadework_tools.desk.Desk`)."""

    store: JobStore
    engines: Mapping[str, Engine]
    caller: Caller
    clock: Clock
    ledger: Ledger
    callers: Callers = field(default_factory=Callers)
    closing: anyio.Event = field(default_factory=anyio.Event)
    reports: views.Shelf = field(default_factory=views.Shelf)
    judge: Callable[[str], None] = field(default_factory=lambda: Egress().judge)
    local: Callable[[Caller], Engine] | None = None

    async def start(self, request: Request) -> Ticket:
        """Accept a request durably, or hand back the job that it repeats.

        Raises BadRequest and its kinds, or MissingKey, before anything is stored; IdempotencyMismatch, QueueFull,
        StorageFull, ReadOnly when the registry refuses.
        """
        if (ticket := await self._replied(request)) is not None:
            return ticket
        if request.output_schema is not None:
            sound(request.output_schema)
        tell = addresses(request, self.caller, self.judge)
        request = await self._followed(request)
        choice = await self._choice(request)
        name, tier = choice.engine, choice.tier
        self.caller.demand(name)
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
            placed=bool(choice.why),
            why=choice.why,
            eta_s=estimate.eta_s,
            cost_estimate_usd=estimate.cost_usd,
            created_at=now,
            deadline_s=estimate.deadline_s or DEADLINES[request.effort],
        )
        job, created = await self._submitted(job, tell)
        if created and estimate.eta_s is not None and estimate.eta_s <= self.caller.settings.inline_s:
            job = await self._settled(job, self.caller.settings.inline_s)
        return self._ticket(job, created, estimate)

    async def check(
        self, job_ids: Sequence[str] = (), *, wait_s: float = 0, since: str | None = None, cursor: str | None = None
    ) -> Standings:
        """Where the named jobs stand, or the newest ones; returns early when one of them changes.

        Raises UnknownJob, JobExpired, BadRequest for a `since` or `cursor` that is not ours.
        """
        after = None if since is None else _moment(since, await self.store.version())
        listing = await self._listing(job_ids, cursor)
        seen = after if after is not None else max((job.version for job in listing.jobs), default=0)
        if wait_s > 0 and not _news(listing.jobs, seen) and any(map(waits, listing.jobs)):
            listing = await self._awaited(job_ids, cursor, seen, wait_s)
        news = _news(listing.jobs, seen) if after is not None else listing.jobs
        return Standings(
            jobs=tuple(standing(job, self.clock) for job in news),
            poll_after_s=poll_after(listing.jobs, self.clock),
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
        payload = await newest(self.store, job)
        if payload is not None:
            return job, unpack(payload)
        if not job.status.terminal:
            raise NotReady(
                f"{job.id} is {job.status} ({job.phase or 'waiting for its turn'}). "
                f"Call check_research after {poll_after([job], self.clock)} s; do other work until then."
            )
        if job.status is Status.COMPLETED:
            raise JobExpired(job.id)
        why = job.error.message if job.error else "It was cancelled before anything was found."
        raise NoReport(f"{job.id} {job.status} without a report. {why}")

    async def look(self, job_id: str) -> Life:
        """One job, its times and what it asks. Raises UnknownJob, JobExpired (also where it is yet to be swept)."""
        job = await self.store.get(job_id, self.caller.owner)
        if job.expires_at is not None and job.expires_at <= self.clock.wall():
            raise JobExpired(job.id)
        return life(job, self.clock)

    async def follow(self, job_ids: Sequence[str]) -> AsyncGenerator[Life]:
        """Each of these jobs as it stands, and again whenever it has changed, until this desk closes."""
        seen: dict[str, int] = {}
        live = list(dict.fromkeys(job_ids))
        while live and not self.closing.is_set():
            version = await self.store.version()
            for job_id in tuple(live):
                try:
                    job = await self.store.get(job_id, self.caller.owner)
                except (UnknownJob, JobExpired):
                    live.remove(job_id)
                    continue
                if job.version > seen.get(job_id, -1):
                    seen[job_id] = job.version
                    yield life(job, self.clock)
                if job.status.terminal:
                    live.remove(job_id)
            await self._stirred(version, FOLLOW_S, look_s=LOOK_S)
        await self.closing.wait()

    async def answer(self, job_id: str, answers: Mapping[str, str]) -> None:
        """Tell a job what it asked, by the questions' keys. Raises UnknownJob, JobExpired, RegistryBusy."""
        await self.store.get(job_id, self.caller.owner)
        await answer(self.store, self.clock, job_id, answers)

    async def document(self, job_id: str, part: Part, sha256: str = "") -> Document:
        """A part of a job. Raises UnknownJob, JobExpired, UnknownSource, and as `collect` for a report's parts."""
        if part == "job":
            return card(await self.look(job_id))
        job, report = await self.report(job_id)
        if part != "source":
            return paper(job, report, part)
        text = await self.store.payload(f"src/{sha256}") if sha256 in hashes(report) else None
        if text is None:
            raise UnknownSource(job_id, sha256)
        return kept(text)

    async def sources(self, job_id: str) -> tuple[str, ...]:
        """The hashes of a report's kept source texts. Raises as `collect`."""
        _, report = await self.report(job_id)
        return hashes(report)

    async def snapshot(self, job_id: str, sha256: str) -> str | None:
        """A source's text exactly as it was kept, or None where it is none of this job's. Raises as `collect`."""
        _, report = await self.report(job_id)
        data = await self.store.payload(f"src/{sha256}") if sha256 in hashes(report) else None
        return None if data is None else data.decode("utf-8", "surrogatepass")

    def beside(self, folder: str) -> Self:
        """The desk once the person at the client has said that this is the folder they work in.

        Only the machine's own user can open a folder so, and only where no setting says which may be read.
        """
        if self.local is None or self.caller.owner != LOCAL or self.caller.settings.roots or "\0" in folder:
            return self
        local = self.local(replace(self.caller, base=self.caller.base / folder))
        return replace(self, engines={**self.engines, local.name: local})

    async def webhooks(self) -> tuple[list[Endpoint], list[Delivery]]:
        """The caller's webhook endpoints, and the newest deliveries to them."""
        outbox = self.store.outbox
        return await outbox.endpoints(self.caller.owner), await outbox.deliveries(self.caller.owner)

    async def redeliver(self, name: str) -> list[Delivery]:
        """Send a webhook, or all of a job's, again under the same id. Raises UnknownDelivery."""
        return await self.store.outbox.redeliver(self.caller.owner, name)

    async def rotate(self, url: str, secret: str) -> Endpoint:
        """Sign for an endpoint with a new secret; for a day the one before signs too. Raises EgressRefused."""
        self.judge(url)
        return await self.store.outbox.rotate(self.caller.owner, url, secret, KEEP_S)

    async def _submitted(self, job: Job, tell: Sequence[Address]) -> tuple[Job, bool]:
        """Store a new job, or find the one it repeats. A runner may take it up at once, and needs its keys then."""
        self.callers.charge(job.id, self.caller)
        created = False
        try:
            dedupe_s = self.caller.settings.dedupe_hours * 3600
            kept, created = await self.store.submit(job, dedupe_s=dedupe_s, tell=tell)
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

    async def _stirred(self, version: int, longest_s: float, look_s: float = 0.05) -> int:
        """The store's counter once it has moved, the time is over or this desk is closing."""
        async with anyio.create_task_group() as group:

            async def until_closing() -> None:
                await self.closing.wait()
                group.cancel_scope.cancel()

            group.start_soon(until_closing)
            version = await self.store.changed(version, longest_s, look_s)
            group.cancel_scope.cancel()
        return version

    async def _settled(self, job: Job, wait_s: float) -> Job:
        """The job as soon as it has ended or asks something, or as it stands when the time is over."""
        with anyio.move_on_after(wait_s):
            version = await self.store.version()
            while waits(job := await self.store.get(job.id)):
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
        if job.status is Status.COMPLETED:
            return "The run had ended before it could be stopped, so its report was kept: get_result has it."
        events = [event for event in await self.store.events(job.id, limit=1_000) if event.kind == "cancelled"]
        elsewhere = events[-1].text if events else ""
        return elsewhere or "Nothing goes on elsewhere and nothing more is billed."

    async def _replied(self, request: Request) -> Ticket | None:
        """The ticket of the job that this request answers; None for a request that is research of its own."""
        if request.follow_up_to is None:
            return None
        job = await self.store.get(request.follow_up_to, self.caller.owner)
        if not replies(job, request):
            return None
        await reply(self.store, self.clock, job, request)
        return self._ticket(await self.store.get(job.id), created=False, estimate=Estimate())

    async def _followed(self, request: Request) -> Request:
        """The request with the folders of the job that it follows up, where it names none. Raises UnknownJob."""
        if request.follow_up_to is None:
            return request
        before = await self.store.get(request.follow_up_to, self.caller.owner)
        return request if request.folders else request.model_copy(update={"folders": before.request.folders})

    async def _choice(self, request: Request) -> Choice:
        """The engine and tier, as asked for or as `auto` places the request.

        Raises UnknownEngine naming what there is, MissingKey, BudgetExceeded or BadRequest where nothing fits.
        """
        asked = request.engine if request.engine != "auto" else self.caller.settings.engine
        if asked == "auto":
            keys = list(self.caller.settings.vendor_keys)
            return choose(request, facts(self.engines), keys, await left(self.ledger))
        name, _, tier = asked.partition(":")
        if name not in self.engines:
            usable = ", ".join(sorted(self.engines))
            raise UnknownEngine(f"there is no engine {name[:60]!r} here, so nothing was started. Use auto, {usable}.")
        return Choice(name, tier or None, "")

    def _ticket(self, job: Job, created: bool, estimate: Estimate) -> Ticket:
        return Ticket(
            job_id=job.id,
            status=job.status,
            created=created,
            engine=job.engine if job.tier is None else f"{job.engine}:{job.tier}",
            why=job.why or None,
            poll_after_s=poll_after([job], self.clock) or 0,
            eta_s=None if job.status.terminal else job.eta_s,
            cost_estimate_usd=estimate.cost_usd if created else 0.0,
            expires_at=job.expires_at,
        )


def _moment(since: str, version: int) -> int:
    """The store's version that a `since` names. Raises BadRequest for one that this store cannot have given."""
    number = since[1:]
    if since[:1] != "v" or not number.isdecimal() or len(number) > 18 or int(number) > version:
        raise BadRequest(f"since {since[:40]!r} is not one we gave. Pass on that of your last check, or leave it out.")
    return int(number)


def _news(jobs: Sequence[Job], seen: int) -> tuple[Job, ...]:
    return tuple(job for job in jobs if job.version > seen)
