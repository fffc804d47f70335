"""The runner: claims due jobs and runs them on engines, until it is cancelled.

A job that waits for a vendor holds no task: its look is due at a time, and due work is claimed by whichever process is
alive. A runner that dies leaves nothing to tidy; its jobs go to the front of the queue for the next.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import anyio
import anyio.abc

from spadework.asking import PATIENCE_S
from spadework.bench import JobBench, Kit
from spadework.detour import detour
from spadework.engines import Engine, Later, Partial, Unanswered
from spadework.environ import VENDOR_KEYS
from spadework.job import Event, Job
from spadework.registry import Change, Fenced, Lease
from spadework.reports.packed import pack, unpack
from spadework.verify import fetches, verified
from spadework_tools.errors import MissingKey, ReadOnly, RegistryBusy, StorageFull, Trouble
from spadework_tools.models import Ask, Fault, Outcome, Report, Status

log = logging.getLogger(__name__)

#: A lease is renewed three times before it could end.
BEATS_A_LEASE = 3
#: How long an idle runner sleeps when nothing of its own process wakes it: the time until another's job is seen.
IDLE_S = 1.0
#: What passes by itself or by the user's hand, and is no engine's failure; tried again this often.
UNWRITABLE = (StorageFull, ReadOnly, RegistryBusy)
RETRY_S = 5.0
#: A job that waits for a key is woken by whoever brings it; by itself it looks so seldom, seconds.
KEY_S = 3_600.0
#: How often is looked for jobs that wait for a key which is here all the time, seconds.
LOST_KEY_S = 5.0


@dataclass(slots=True)
class Hand:
    """A job at work here: its cancel scope, whether the caller asked for the cancel, and whether to look again."""

    scope: anyio.CancelScope
    asked: bool = False
    again: bool = False


class Runner:
    """Runs jobs from the kit's store on engines; several runners, in several processes, share one store."""

    def __init__(
        self,
        kit: Kit,
        engines: Mapping[str, Engine],
        *,
        concurrency: int = 4,
        lease_s: float = 30.0,
    ) -> None:
        self._kit = kit
        self._store = kit.store
        self._engines = engines
        self._clock = kit.clock
        self._concurrency = concurrency
        self._lease_s = lease_s
        self._worker = _name()
        self._hands: dict[str, Hand] = {}
        self._freed = anyio.Event()
        self._woken: set[str] = set()

    async def run(self) -> None:
        """Run until cancelled; on the way out every job held here is given back to the front of the queue."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._beat)
                group.start_soon(self._answer_callers)
                await self._serve(group)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await self.leave()

    def wake(self, job_id: str) -> None:
        """Work on a waiting job, once, as soon as a hand is free; on one at work here when it waits again."""
        if hand := self._hands.get(job_id):
            # Whoever works on it now may have looked a moment too early.
            hand.again = True
        else:
            self._woken.add(job_id)
            self._freed.set()

    async def leave(self) -> None:
        """Give every job held here back to the front of the queue, for whoever comes next."""
        try:
            await self._store.leave(self._worker)
        except UNWRITABLE as trouble:
            # The next one sees that this process is gone, and takes the jobs then.
            log.warning("the jobs here could not be given back: %s", trouble)

    async def _serve(self, group: anyio.abc.TaskGroup) -> None:
        """Claim what is due, heed what was cancelled, and sleep until something changes."""
        seen = await self._store.version()
        eager = True
        while True:
            due = await self._store.due_in()
            free = self._concurrency - len(self._hands)
            if free and self._woken and await self._claim(group, 1, self._woken.pop()):
                continue
            if free and (eager or due == 0) and await self._claim(group, free):
                continue
            await self._heed()
            eager = False
            # Work that is due but could not be claimed is another runner's by now, or waits for a free hand here.
            seen = await self._pause(seen, min(IDLE_S, due) if due and free else IDLE_S)

    async def _answer_callers(self) -> None:
        """Wake what waits for a key that is here, and at once whenever a caller arrives who may have brought it."""
        while True:
            cursor: str | None = None
            while True:
                listing = await self._store.list(statuses=(Status.RUNNING,), cursor=cursor, limit=1_000)
                self._woken |= {job.id for job in listing.jobs if _keyless(job) and self._provided(job)}
                if (cursor := listing.cursor) is None:
                    break
            if self._woken:
                self._freed.set()
            # Another process of this home may have taken a job whose key is only here, and put it down to wait.
            with anyio.move_on_after(LOST_KEY_S):
                await self._kit.callers.arrival()

    def _provided(self, job: Job) -> bool:
        """Whether the key that a job waits for may be here now."""
        try:
            return job.engine not in VENDOR_KEYS or bool(self._kit.key(job, job.engine))
        except MissingKey:
            return False

    async def _claim(self, group: anyio.abc.TaskGroup, free: int, job_id: str | None = None) -> bool:
        """Take due jobs, or the one named, and set to work on them; whether there was any."""
        try:
            leases = await self._store.claim(self._worker, free, self._lease_s, job_id)
        except UNWRITABLE as trouble:
            log.warning("no job can be taken: %s", trouble)
            await anyio.sleep(RETRY_S)
            return False
        for lease in leases:
            self._hands[lease.job.id] = Hand(anyio.CancelScope())
            group.start_soon(self._work, lease, name=f"job {lease.job.id}")
        return bool(leases)

    async def _pause(self, seen: int, longest_s: float) -> int:
        """Sleep until the store changes, a hand here gets free, or the time is over; the store's counter then."""
        self._freed = anyio.Event()
        async with anyio.create_task_group() as group:

            async def until_freed() -> None:
                await self._freed.wait()
                group.cancel_scope.cancel()

            group.start_soon(until_freed)
            seen = await self._store.changed(seen, longest_s, look_s=IDLE_S)
            group.cancel_scope.cancel()
        return seen

    async def _heed(self) -> None:
        """Cancel the work of every job here whose caller asked for it."""
        for job_id, hand in list(self._hands.items()):
            if not hand.asked and (await self._store.get(job_id)).cancel_requested:
                hand.asked = True
                hand.scope.cancel()

    async def _beat(self) -> None:
        """Renew the lease, and free the jobs of workers that died; a lost lease drops everything."""
        while True:
            await anyio.sleep(self._lease_s / BEATS_A_LEASE)
            try:
                kept = await self._store.heartbeat(self._worker, self._lease_s)
                await self._store.sweep()
            except UNWRITABLE as trouble:
                log.warning("the lease could not be renewed: %s", trouble)
                continue
            if not kept:
                self._drop()

    def _drop(self) -> None:
        """Stop all work here: the lease is lost, and every job is another worker's or will be."""
        for hand in self._hands.values():
            hand.scope.cancel()
        self._worker = _name()

    async def _work(self, lease: Lease) -> None:
        """Run one job as far as it goes now."""
        bench = JobBench(self._kit, lease)
        hand = self._hands[lease.job.id]
        try:
            with hand.scope:
                if not lease.job.cancel_requested:
                    await self._advance(lease.job, bench)
            if hand.asked or lease.job.cancel_requested:
                await self._end(lease.job, bench)
        except Fenced:
            log.info("%s is another worker's now", lease.job.id)
        finally:
            self._hands.pop(lease.job.id, None)
            if bench.job.status.terminal:
                self._kit.callers.release(lease.job.id)
            elif hand.again:
                self._woken.add(lease.job.id)
            self._freed.set()

    async def _advance(self, job: Job, bench: JobBench) -> None:
        """Work on the job and write down what came of it."""
        try:
            engine = self._engines[job.engine]
            if (early := await self._early(bench)) is not None:
                await self._settle(bench, await self._checked(job, early, bench))
                return
            if job.begun is None or job.begun[0] != self._clock.boot_id or _keyless(job):
                job = await self._settle(bench, self._starting(job))
            result = None
            with anyio.move_on_after(self._left(job)):
                result = await self._worked(engine, job, bench)
            result = await engine.stop(job, bench) if result is None else result
            checked = isinstance(result, Report)
            change = await self._checked(job, result, bench) if checked else self._outcome(job, result)
        except Fenced:
            raise
        except MissingKey as trouble:
            change = self._waiting(job, trouble)
        except Unanswered as wait:
            change = self._asking(job, wait.asks)
        except Trouble as trouble:
            change = await detour(job, bench, self._kit, self._engines, trouble) or self._failing(
                Fault(code=trouble.code, message=trouble.message)
            )
        except Exception as error:
            # The runner's edge: a defect ends its own job and no other, and its text stays in the log.
            log.exception("%s: the engine stopped on a defect", job.id)
            change = self._failing(Fault(code="internal", message=_DEFECT.format(type(error).__name__)))
        await self._settle(bench, change)

    async def _worked(self, engine: Engine, job: Job, bench: JobBench) -> Report | Later:
        """What the engine made; work that met a full or locked disk goes on from its checkpoints once there is room."""
        while True:
            try:
                return await engine.work(job, bench)
            except UNWRITABLE as trouble:
                log.warning("%s waits: %s", job.id, trouble)
                await anyio.sleep(RETRY_S)

    async def _early(self, bench: JobBench) -> Report | None:
        """The report that an earlier life of this job stored and did not finish with."""
        payload = await self._store.payload(bench.job.result_key)
        return None if payload is None else unpack(payload)

    async def _checked(self, job: Job, report: Report, bench: JobBench) -> Change:
        """The end of a job with its report, which is stored before pages of strangers are read to check it."""
        if not report.citations:
            return self._finishing(job, report)
        if not fetches(report, bench):
            return self._finishing(job, await self._verified(report, bench))
        await self._settle(bench, Change(fields={"phase": "verifying"}, payloads=_kept(job, report)))
        report = await self._verified(report, bench)
        # Payloads never change, so the report with its verdicts has a key of its own.
        return replace(self._finishing(job, report), payloads=_kept(job, report, job.verified_key))

    async def _verified(self, report: Report, bench: JobBench) -> Report:
        """The report with its verdicts, or as it was where they cannot be had."""
        try:
            return await verified(report, bench, self._kit)
        except Fenced:
            raise
        except Exception:
            # The runner's edge: a full disk or a check that stops on a defect costs no report.
            log.exception("%s: its citations could not be checked", bench.job.id)
            return report

    async def _end(self, job: Job, bench: JobBench) -> None:
        """End a job whose caller asked for it, with its report where the work was done all the same."""
        try:
            said = await self._early(bench) or await self._engines[job.engine].stop(job, bench)
        except Fenced:
            raise
        except Trouble as trouble:
            said = f"The engine could not be told to stop: {trouble.message}"
        except Exception:
            # The runner's edge, as above.
            log.exception("%s: the engine stopped on a defect while it was being ended", job.id)
            said = "The engine could not be told to stop; what it does elsewhere may go on."
        change = self._finishing(job, said) if isinstance(said, Report) else self._cancelling(job, said)
        await self._settle(bench, change)

    async def _settle(self, bench: JobBench, change: Change) -> Job:
        """Write what became of the job; a full disk loses no finished report while this process lives."""
        while True:
            try:
                return await bench.write(change)
            except UNWRITABLE as trouble:
                log.warning("%s cannot be written yet: %s", bench.job.id, trouble)
                await anyio.sleep(RETRY_S)

    def _left(self, job: Job) -> float | None:
        """Seconds until the job's deadline; None without one."""
        if job.deadline_s is None or job.begun is None:
            return None
        return max(0.0, job.begun[1] + job.deadline_s - self._clock.boot())

    def _cancelling(self, job: Job, said: Partial | str) -> Change:
        note, found = (said.note, _kept(job, said.report)) if isinstance(said, Partial) else (said, {})
        event = Event(at=self._clock.wall(), kind="cancelled", text=note)
        fields = {"status": Status.CANCELLED, "finished_at": self._clock.wall(), "phase": "cancelled", "eta_s": None}
        return Change(fields=fields, events=(event,), payloads=found)

    def _outcome(self, job: Job, result: Report | Later | Partial | str) -> Change:
        if isinstance(result, Partial | str):
            note, found = (result.note, _kept(job, result.report)) if isinstance(result, Partial) else (result, {})
            message = f"{_DEADLINE.format(job.deadline_s or 0)} {note}".strip()
            return replace(self._failing(Fault(code="deadline", message=message)), payloads=found)
        return self._parking(result) if isinstance(result, Later) else self._finishing(job, result)

    def _starting(self, job: Job) -> Change:
        """The job's first work, its first with the key it waited for, or its first after a reboot; its time counts."""
        fields = {"begun": (self._clock.boot_id, self._clock.boot()), "phase": "starting", "error": None}
        return Change(fields=fields, durable=False)

    def _waiting(self, job: Job, trouble: MissingKey) -> Change:
        """The job waits for a key, and says for which."""
        fault = Fault(code=trouble.code, message=trouble.message)
        events = () if job.error == fault else (Event(at=self._clock.wall(), kind="waiting", text=fault.message),)
        names = " or ".join(trouble.variables)
        fields = {"error": fault, "phase": f"waiting for {names}"}
        return Change(fields=fields, events=events, due=self._clock.boot() + KEY_S)

    def _asking(self, job: Job, asks: Sequence[Ask]) -> Change:
        """The job waits for its caller's answer, and gives up when there is none for long."""
        now = self._clock.wall()
        since = job.asked_at or now
        if now - since >= PATIENCE_S:
            return self._failing(Fault(code="unanswered", message=_UNANSWERED))
        text = " ".join(ask.question for ask in asks)
        events = () if tuple(asks) == job.asks else (Event(at=now, kind=Status.NEEDS_INPUT, text=text),)
        fields = {
            "status": Status.NEEDS_INPUT, "asks": tuple(asks), "asked_at": since, "begun": None,
            "phase": "waiting for an answer",
        }  # fmt: skip
        return Change(fields=fields, events=events, due=self._clock.boot() + PATIENCE_S - (now - since))

    def _parking(self, later: Later) -> Change:
        return Change(fields={"phase": "waiting"}, due=self._clock.boot() + max(0.0, later.after_s), durable=False)

    def _failing(self, fault: Fault) -> Change:
        fields = {
            "status": Status.FAILED, "error": fault, "phase": "failed", "eta_s": None,
            "finished_at": self._clock.wall(),
        }  # fmt: skip
        event = Event(at=self._clock.wall(), kind="failed", text=fault.message, data={"code": fault.code})
        return Change(fields=fields, events=(event,))

    def _finishing(self, job: Job, report: Report) -> Change:
        fields = {
            "status": Status.COMPLETED, "outcome": report.outcome, "phase": "done", "progress": 1.0, "eta_s": None,
            "sources": len(report.sources), "error": None, "finished_at": self._clock.wall(),
            "cost_usd": report.cost.amount if report.cost.unit == "usd" else None,
        }  # fmt: skip
        found = "nothing found" if report.outcome is Outcome.NO_EVIDENCE else f"{len(report.citations)} citations"
        event = Event(at=self._clock.wall(), kind="completed", text=found)
        return Change(fields=fields, events=(event,), payloads=_kept(job, report))


_DEADLINE = (
    "the work did not end within its limit of {:.0f} s, so it was stopped. "
    "Start it again with a lower effort or a narrower question."
)
_UNANSWERED = (
    "the job asked a question and nobody answered it for 7 days, so it was given up. "
    "Start it again with the answer in the question."
)
_DEFECT = (
    "the engine stopped on a defect of its own ({}), so there is no report. "
    "Start it again; if it happens twice, report it with the log's entry."
)


def _keyless(job: Job) -> bool:
    """Whether a job waits for somebody to bring its key."""
    return job.error is not None and job.error.code == MissingKey.code


def _kept(job: Job, report: Report, key: str | None = None) -> dict[str, bytes]:
    """The report as a payload of its job."""
    return {key or job.result_key: pack(report)}


def _name() -> str:
    """A worker's name, new for every start, so that no two lives of a process share a lease."""
    return f"w_{secrets.token_hex(8)}"
