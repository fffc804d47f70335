"""The bench: everything an engine may touch while it works on one job, written down under the job's lease."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spadework.caller import Callers, secret
from spadework.clock import Clock
from spadework.egress import Egress
from spadework.engines import Unanswered
from spadework.job import Event, Job
from spadework.ledger import Ledger
from spadework.registry import Change, JobStore, Lease
from spadework.registry.latest import newest
from spadework.reports.packed import unpack
from spadework.settings import Settings
from spadework_tools.errors import JobExpired, MissingKey, UnknownJob
from spadework_tools.models import Ask, Fault, Report

#: Progress is written at most this often, since every write wakes whoever waits for the job.
COALESCE_S = 1.0


@dataclass(frozen=True)
class Kit:
    """What every bench of this process shares."""

    store: JobStore
    clock: Clock
    http: Egress
    ledger: Ledger
    settings: Settings
    callers: Callers = field(default_factory=Callers)
    #: By vendor, the URL at which this process hears that a run has ended.
    hooks: Mapping[str, str] = field(default_factory=dict[str, str])

    def key(self, job: Job, vendor: str) -> str:
        """A vendor's key for a job: its owner's, else this process's own. Raises MissingKey."""
        try:
            return self.callers.key(job.id, job.owner, vendor)
        except MissingKey:
            own = secret(self.settings, vendor)
            if own is None:
                raise
        return own.get_secret_value()


class JobBench:
    """One job's bench. Every write carries the lease, so a worker that lost its job can write nothing more."""

    def __init__(self, kit: Kit, lease: Lease) -> None:
        self._kit = kit
        self._store = kit.store
        self._lease = lease
        self._clock = kit.clock
        self._begun = kit.clock.boot()
        self._written = float("-inf")
        self._pending: dict[str, Any] = {}
        self.job: Job = lease.job

    @property
    def clock(self) -> Clock:
        """The injected clock."""
        return self._clock

    @property
    def http(self) -> Egress:
        """The guarded HTTP client."""
        return self._kit.http

    @property
    def ledger(self) -> Ledger:
        """The ledger of this home."""
        return self._kit.ledger

    def key(self, name: str) -> str:
        """A vendor's key. Raises MissingKey, naming the variables that may hold it."""
        return self._kit.key(self.job, name)

    def setting(self, name: str) -> str | None:
        """A setting by its variable's name as the job's caller has it, else this process; None where it is not set."""
        theirs = self._kit.callers.setting(self.job.id, self.job.owner, name)
        return theirs or self._kit.settings.text(name)

    def hook(self, vendor: str) -> str | None:
        """Where a vendor may tell that a run of this job has ended; None where nobody would hear it."""
        url, own = self._kit.hooks.get(vendor), secret(self._kit.settings, vendor)
        # A vendor signs with the secret of the account that bought; ours belongs to our own key's.
        return url if own is not None and own.get_secret_value() == self.key(vendor) else None

    def ask(self, *asks: Ask) -> tuple[str, ...]:
        """What the caller has answered to these questions. Raises Unanswered as long as an answer is missing."""
        answers = self.job.answers
        if missing := [ask for ask in asks if ask.key not in answers]:
            raise Unanswered(missing)
        return tuple(answers[ask.key] for ask in asks)

    async def earlier(self) -> Report | None:
        """The report of the job that this one follows up, if it is still kept and the same owner's."""
        before = self.job.request.follow_up_to
        if before is None:
            return None
        try:
            job = await self._store.get(before, self.job.owner)
        except (UnknownJob, JobExpired):
            return None
        payload = await newest(self._store, job)
        return None if payload is None else unpack(payload)

    async def progress(
        self, phase: str, done: int = 0, total: int | None = None, *, sources: int | None = None, note: str = ""
    ) -> None:
        """Write down where the work is, at most once a second unless the phase is a new one."""
        counted = f"{phase} {done}/{total}" if total else phase
        self._pending = {"phase": counted, "progress": done / total if total else None}
        if sources is not None:
            self._pending["sources"] = sources
        self._pending["eta_s"] = self._eta(done, total)
        new_phase = phase != self.job.phase.partition(" ")[0]
        if note or new_phase or self._clock.boot() - self._written >= COALESCE_S:
            await self._flush(phase if new_phase else "", note)

    async def recall(self, step: str) -> bytes | None:
        """The checkpoint kept under `step`, by this process or an earlier one."""
        return await self._store.payload(self._key(step))

    async def keep(self, step: str, value: bytes, *, durable: bool = False) -> None:
        """Store a checkpoint together with the progress reported so far."""
        pending, self._pending = self._pending, {}
        change = Change(fields=pending, payloads={self._key(step): value}, durable=durable)
        self.job = await self._store.update(self._lease, change)

    async def snapshot(self, text: str) -> str:
        """Keep a source's text under its sha256, once for all jobs that cite it."""
        data = text.encode("utf-8", "surrogatepass")
        sha256 = hashlib.sha256(data).hexdigest()
        await self._store.update(self._lease, Change(payloads={f"src/{sha256}": data}, durable=False))
        return sha256

    async def write(self, change: Change) -> Job:
        """Write a change of the job itself; the runner's door."""
        self._pending = {}
        self.job = await self._store.update(self._lease, change)
        return self.job

    async def warn(self, fault: Fault) -> None:
        """Say why the job waits, without ending it."""
        event = Event(at=self._clock.wall(), kind="warning", text=str(fault.message), data={"code": fault.code})
        self.job = await self._store.update(self._lease, Change(fields={"error": fault}, events=(event,)))

    async def _flush(self, phase: str, note: str) -> None:
        pending, self._pending = self._pending, {}
        events = [Event(at=self._clock.wall(), kind="phase", text=phase)] if phase else []
        events += [Event(at=self._clock.wall(), kind="progress", text=note)] if note else []
        self._written = self._clock.boot()
        self.job = await self._store.update(self._lease, Change(fields=pending, events=events, durable=False))

    def _eta(self, done: int, total: int | None) -> int | None:
        """Seconds left at the pace so far; None before there is a pace."""
        spent = self._clock.boot() - self._begun
        return round(spent / done * (total - done)) if total and done else None

    def _key(self, step: str) -> str:
        return checkpoint(self._lease.job, step)


def checkpoint(job: Job, step: str) -> str:
    """The store's key of what a job's engine keeps under `step`."""
    # Each engine has its own: after a detour the next one must not take another's purchase for its own.
    return f"step/{job.id}/{job.engine}/{step}"
