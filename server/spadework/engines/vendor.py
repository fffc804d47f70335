"""The story that all vendors share: buy once, look until it is done, bring it home.

The intent is committed before a byte leaves, the request goes out once and over a connection of its own, and the
vendor's id is committed before anything else happens. Only a proof that the vendor did not accept (no connection, a
4xx) opens the way to a second try; a lost answer does not. What then happens is the vendor's `recover`: it finds the
run again where the vendor can be asked, and otherwise says plainly that the purchase is unconfirmed.

Why not the vendors' own clients: measured in November 2026, each of them sends a submit again by itself when its
answer is lost, and buys the run twice.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Any

from spadework.egress import Reply, encode
from spadework.engines import Bench, Estimate, Later
from spadework.engines.facts import Facts
from spadework.engines.fit import fit
from spadework.engines.line import Line
from spadework.engines.pace import asked, left, outage, pause
from spadework.engines.payload import Payload, decode
from spadework.engines.prices import Price
from spadework.engines.purchase import Handle, Order, Try
from spadework.engines.refusal import complaint, refused
from spadework.job import Job
from spadework.ledger import micros, usd
from spadework_tools.errors import (
    BadReply,
    BudgetExceeded,
    EgressRefused,
    EngineFailed,
    MissingKey,
    Trouble,
    UnknownEngine,
    Unreachable,
)
from spadework_tools.models import Report, Request

#: Seconds until a lost answer is looked into; long enough for a vendor's list to show what it accepted.
UNSURE_S = 3.0
#: A run that is refused or missing is given up only after so many looks over so many seconds.
PATIENT_LOOKS, PATIENT_S = 3, 600.0


class Vendor(ABC):
    """An engine that is bought. A subclass says what to send, how to find a lost purchase, and how to read the result.

    Args:
        unsure_s: seconds until a lost answer is looked into.
        timeout_s: seconds that one request may take.
    """

    name: str
    facts: Facts

    def __init__(self, *, unsure_s: float = UNSURE_S, timeout_s: float = 60.0) -> None:
        self.unsure_s, self.timeout_s = unsure_s, timeout_s
        # Only a memory of trouble, so that one strange answer ends no job; a new process starts with none.
        self._grudges: dict[tuple[str, str], tuple[float, int]] = {}

    def check(self, request: Request, tier: str) -> None:
        """Raises BadRequest for what the vendor would refuse, with what to change."""
        fit(request, self.facts)

    @abstractmethod
    def line(self, bench: Bench) -> Line:
        """A line to the vendor. Raises MissingKey, or EngineFailed for a key that cannot be one."""

    @abstractmethod
    async def order(self, job: Job, bench: Bench, line: Line, attempt: int) -> Order | Later:
        """What to send; free preparations may be made here."""

    @abstractmethod
    def named(self, answer: Payload, job: Job) -> tuple[str, dict[str, Any]]:
        """The vendor's id in the answer to an order ("" where there is none), and what else is to be remembered."""

    @abstractmethod
    async def recover(self, job: Job, bench: Bench, line: Line, attempt: int) -> Handle | Later:
        """Find out what became of an order whose answer was lost. Raises EngineFailed `unconfirmed`."""

    @abstractmethod
    async def look(self, job: Job, bench: Bench, line: Line, handle: Handle) -> Payload | Later:
        """Ask how the run is: its whole result, or when to look again. Raises EngineFailed when the run failed."""

    @abstractmethod
    def report(self, job: Job, handle: Handle, result: Payload) -> Report:
        """The result in our shape."""

    @abstractmethod
    async def withdraw(self, job: Job, bench: Bench, line: Line, handle: Handle) -> Report | str:
        """Stop a run: its report where it was done already, else what goes on and may be billed."""

    def hollow(self, job: Job, path: str, answer: Payload) -> bool:
        """Whether the answer of this path says that a run is done and lacks its result."""
        return False

    def price(self, request: Request, tier: str) -> Price:
        """The price of one request: a tier's, once for each record."""
        price = self.facts.tiers[tier]
        count = max(1, len(request.records))
        return Price(price.usual * count, price.worst * count, price.soon_s, price.long_s, price.firm, price.note)

    def tier(self, request: Request, tier: str | None) -> str:
        """The tier asked for, or the effort's. Raises UnknownEngine."""
        chosen = tier or self.facts.tier(request)
        if chosen not in self.facts.tiers:
            raise UnknownEngine(
                f"{self.name} has no tier {chosen[:40]!r}, so nothing was started. "
                f"Its tiers: {', '.join(self.facts.tiers)}."
            )
        return chosen

    async def admit(self, request: Request, tier: str | None) -> Estimate:
        """Judge a request: its tier, its shape, and its worst case against its own cap.

        Raises UnknownEngine, BadRequest or BudgetExceeded.
        """
        chosen = self.tier(request, tier)
        self.check(request, chosen)
        price = self.price(request, chosen)
        if request.max_cost_usd is not None and price.worst > request.max_cost_usd:
            raise BudgetExceeded(
                f"{self.name}:{chosen} may cost {usd(micros(price.worst))} and max_cost_usd is "
                f"{usd(micros(request.max_cost_usd))}, so nothing was started. Raise max_cost_usd, or choose a "
                "cheaper tier, effort or engine."
            )
        # A run has its own limit; a vendor that is away for a day on top of it only delays the job.
        deadline_s = price.limit_s + 86_400.0
        return Estimate((price.soon_s + price.long_s) // 2, price.worst, deadline_s=deadline_s)

    async def work(self, job: Job, bench: Bench) -> Report | Later:
        """Buy if nothing was bought; look; if there is nothing yet, `Later`; else bring the report home."""
        kept, result = await bench.recall("upstream"), await bench.recall("result")
        if kept is not None and result is not None:
            return await self.finish(job, bench, Handle.of(kept), decode(result, self.name))
        line = self.line(bench)
        handle = Handle.of(kept) if kept is not None else await self._buy(job, bench, line)
        if isinstance(handle, Later):
            return handle
        found = await self.look(job, bench, line, handle)
        return found if isinstance(found, Later) else await self.home(job, bench, handle, found)

    async def stop(self, job: Job, bench: Bench) -> Report | str:
        """Stop the run where the vendor can; else say what goes on and may be billed."""
        kept = await bench.recall("upstream")
        if kept is None:
            return await self._stop_unbought(job, bench)
        handle, result = Handle.of(kept), await bench.recall("result")
        if result is not None:
            return await self.finish(job, bench, handle, decode(result, self.name))
        try:
            ended = await self.withdraw(job, bench, self.line(bench), handle)
        except (Unreachable, BadReply):
            ended = f"{self.name} could not be reached, so its run {handle.id} goes on there and may be billed."
        except (MissingKey, EngineFailed) as error:
            ended = f"{self.name} could not be told ({error.code}), so its run {handle.id} goes on and may be billed."
        if isinstance(ended, str):
            await bench.ledger.book(job.id, self.name, None)
        return ended

    async def home(self, job: Job, bench: Bench, handle: Handle, result: Payload) -> Report:
        """Keep a result the moment it is seen, for the vendor may not, and turn it into the report."""
        await bench.keep("result", result.raw or encode(result.value), durable=True)
        return await self.finish(job, bench, handle, result)

    async def finish(self, job: Job, bench: Bench, handle: Handle, result: Payload) -> Report:
        """Turn a result into the report and book what it cost."""
        report = self.report(job, handle, result)
        await bench.ledger.book(job.id, self.name, self.spent(job, handle, report))
        for key in [key for key in self._grudges if key[0] == job.id]:
            del self._grudges[key]
        return report

    def spent(self, job: Job, handle: Handle, report: Report) -> float | None:
        """The dollars to book for a report; None where nobody knows."""
        return report.cost.amount if report.cost.unit == "usd" else None

    async def _buy(self, job: Job, bench: Bench, line: Line) -> Handle | Later:
        """Order once; a try that was left open by anyone is looked into, never repeated."""
        attempt, unsettled = await self.attempts(bench)
        if unsettled:
            return await self.recover(job, bench, line, attempt)
        tier = self.tier(job.request, job.tier)
        await bench.ledger.reserve(job.id, self.name, self.price(job.request, tier).worst, job.request.max_cost_usd)
        try:
            order = await self.order(job, bench, line, attempt + 1)
        except Trouble:
            await bench.ledger.release(job.id, self.name)
            raise
        return order if isinstance(order, Later) else await self.send(job, bench, line, order, attempt + 1)

    async def send(self, job: Job, bench: Bench, line: Line, order: Order, attempt: int) -> Handle | Later:
        """One submit: the intent is durable before it, the vendor's id before anything after it."""
        at = bench.clock.wall()
        digest = hashlib.sha256(encode(order.body)).hexdigest()
        await bench.keep(f"intent.{attempt}", encode({"at": at, "path": order.path, "sha256": digest}), durable=True)
        await bench.progress("submitting", note=f"ordering from {self.name}")
        try:
            reply = await line.post(order.path, order.body, timeout_s=self.timeout_s)
            answer = await line.read(reply) if reply.status < 300 else await line.words(reply)
        except Unreachable as lost:
            return await self._unsure(bench) if lost.sent else await self._not_taken(job, bench, attempt, None, lost)
        except BadReply:
            return await self._unsure(bench)
        except EgressRefused as refusal:
            why = EngineFailed(refusal.message, code=refusal.code)
            return await self._not_taken(job, bench, attempt, None, why)
        if 200 <= reply.status < 300:
            vendor_id, more = self.named(answer, job)
            return (
                await self.bought(job, bench, Handle(vendor_id, at, more)) if vendor_id else await self._unsure(bench)
            )
        return await self.declined(job, bench, line, Try(order, attempt, reply, answer))

    async def bought(self, job: Job, bench: Bench, handle: Handle) -> Handle | Later:
        """Commit the vendor's id, and leave the run its time."""
        await bench.keep("upstream", handle.encode(), durable=True)
        await bench.progress("waiting", note=f"{self.name} accepted it as {handle.id}")
        return Later(pause(job.id, 0.0, *self.rhythm(job)))

    async def declined(self, job: Job, bench: Bench, line: Line, tried: Try) -> Handle | Later:
        """An order that came back with an error: a 4xx proves that nothing was bought, a 5xx proves nothing."""
        if tried.reply.status >= 500 or tried.reply.status == 408:
            return await self._unsure(bench)
        failure = refused(self.name, tried.reply.status, complaint(tried.answer))
        return await self._not_taken(job, bench, tried.attempt, tried.reply, failure)

    async def attempts(self, bench: Bench) -> tuple[int, bool]:
        """How many submits were begun, and whether it is open what became of the last."""
        count = 0
        while await bench.recall(f"intent.{count + 1}") is not None:
            count += 1
        return count, count > 0 and await bench.recall(f"refused.{count}") is None

    async def disproved(self, bench: Bench, attempt: int, why: str) -> None:
        """Commit that a submit surely was not accepted."""
        await bench.keep(f"refused.{attempt}", why.encode("utf-8", "replace"), durable=True)

    async def intent_at(self, bench: Bench, attempt: int) -> float:
        """When (wall time) a submit was begun."""
        kept = await bench.recall(f"intent.{attempt}")
        return float(json.loads(kept)["at"]) if kept is not None else bench.clock.wall()

    async def unconfirmed(self, job: Job, bench: Bench, attempt: int, advice: str) -> EngineFailed:
        """The error for a purchase that nobody can prove or disprove; its worst case stays booked."""
        await bench.ledger.book(job.id, self.name, None)
        at = datetime.fromtimestamp(await self.intent_at(bench, attempt), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        worst = usd(micros(self.price(job.request, self.tier(job.request, job.tier)).worst))
        return EngineFailed(
            f"the order to {self.name} at {at} was sent and its answer lost, so it may have been bought, for {worst} "
            f"at most, and it was not sent again. {advice}",
            code="unconfirmed",
        )

    async def fetch(self, job: Job, bench: Bench, line: Line, handle: Handle, path: str) -> Payload | Later:
        """Ask about a run; every trouble that may pass is a reason to come back later, not to fail.

        An answer that says that a run is done without its result (`hollow`) is such a trouble. Raises EngineFailed
        when the vendor has refused or lost the run, or given nothing for it, for ten minutes and three looks.
        """
        elapsed = self.elapsed(bench, handle)
        try:
            reply = await line.get(path, timeout_s=self.timeout_s)
            if reply.status < 300:
                answer = await line.read(reply)
                if self.hollow(job, path, answer):
                    raise BadReply(
                        f"{self.name} says that {handle.id} is done and gives no result of it, so there is nothing to "
                        "report. It may have been billed; start it again, or choose another engine."
                    )
                self._grudges.pop((job.id, path), None)
                return answer
        except Unreachable:
            return await self._away(job, bench, elapsed, None)
        except BadReply as error:
            return await self._strange(job, bench, path, elapsed, EngineFailed(error.message, code=error.code))
        if reply.status in (408, 429) or reply.status >= 500:
            return await self._away(job, bench, elapsed, asked(reply.headers.get("retry-after"), bench.clock.wall()))
        said = complaint(await line.words(reply))
        return await self._strange(job, bench, path, elapsed, refused(self.name, reply.status, said, submitting=False))

    def overdue(self, job: Job, bench: Bench, handle: Handle) -> bool:
        """Whether a run goes on far beyond its tier's longest."""
        return self.elapsed(bench, handle) > self.price(job.request, self.tier(job.request, job.tier)).limit_s

    async def still(self, job: Job, bench: Bench, line: Line, handle: Handle) -> Later:
        """The run goes on: when to look again. Raises EngineFailed `deadline` for one that never ends."""
        elapsed = self.elapsed(bench, handle)
        if self.overdue(job, bench, handle):
            ended = await self.stop(job, bench)
            if isinstance(ended, Report):
                return Later(0.0)
            raise EngineFailed(
                f"{self.name} still runs {handle.id} after {elapsed / 60:.0f} minutes, far beyond its "
                f"usual span, so it was given up. {ended}",
                code="deadline",
            )
        return Later(pause(job.id, elapsed, *self.rhythm(job)))

    async def failed(self, job: Job, bench: Bench, handle: Handle, words: str, spent: float | None) -> EngineFailed:
        """The error for a run that the vendor gave up, in its own words; books what it cost."""
        await bench.ledger.book(job.id, self.name, spent)
        billed = "Nothing was charged." if spent == 0 else "It may have been billed."
        reason = words.rstrip(".") or "no reason was given"
        return EngineFailed(
            f"{self.name} gave up {handle.id}: {reason}. {billed} Start it again, or choose another engine.",
            code="run_failed",
        )

    def elapsed(self, bench: Bench, handle: Handle) -> float:
        """Seconds since the order; a wall clock set back counts as none."""
        return max(0.0, bench.clock.wall() - handle.at)

    def rhythm(self, job: Job) -> tuple[float, float]:
        """The first and the longest pause between looks, in seconds."""
        price = self.price(job.request, self.tier(job.request, job.tier))
        return max(2.0, min(30.0, price.soon_s / 2)), 60.0 if price.long_s >= 300 else 30.0

    async def _unsure(self, bench: Bench) -> Later:
        await bench.progress("unconfirmed", note=f"the answer of {self.name} was lost; finding out what became of it")
        return Later(self.unsure_s)

    async def _not_taken(
        self, job: Job, bench: Bench, attempt: int, reply: Reply | None, why: Unreachable | EngineFailed
    ) -> Later:
        """Surely not accepted: try again later where that may help, else fail; no money is held meanwhile."""
        await self.disproved(bench, attempt, why.message)
        await bench.ledger.release(job.id, self.name)
        # `auto` may go elsewhere instead of waiting: nothing was spent.
        if not why.retryable or (job.request.engine == "auto" and attempt > 1):
            raise (
                why if isinstance(why, EngineFailed) else EngineFailed(why.message, code="vendor_down", retryable=True)
            )
        since = max(0.0, bench.clock.wall() - await self.intent_at(bench, 1))
        header = reply.headers.get("retry-after") if reply is not None else None
        wait_s = max(asked(header, bench.clock.wall()) or 0.0, outage(job.id, since))
        await self.wait(job, bench, wait_s, why)
        return Later(wait_s)

    async def wait(self, job: Job, bench: Bench, wait_s: float, why: Unreachable | EngineFailed) -> None:
        """Say that the job waits. Raises EngineFailed where that is for longer than it may take in all."""
        if wait_s > left(job, bench.clock.boot()):
            raise EngineFailed(
                f"{why.message} {self.name} asks to wait for {wait_s / 3600:.0f} hours, longer than this job may take, "
                "so nothing was bought.",
                code=why.code if isinstance(why, EngineFailed) else "vendor_down",
                retryable=True,
            )
        await bench.progress("waiting", note=why.message)

    async def _away(self, job: Job, bench: Bench, elapsed: float, wait_s: float | None) -> Later:
        await bench.progress("waiting", note=f"{self.name} does not answer; its run goes on, and so will this job")
        # Past its deadline the job hears of its end then, and not whenever the vendor wants to be asked again.
        return Later(min(max(wait_s or 0.0, outage(job.id, elapsed)), left(job, bench.clock.boot())))

    async def _strange(self, job: Job, bench: Bench, path: str, elapsed: float, why: EngineFailed) -> Later:
        """Something that should not be: lasting trouble ends the job, a single strange answer does not."""
        now, key = bench.clock.boot(), (job.id, path)
        first, looks = self._grudges.get(key, (now, 0))
        self._grudges[key] = (first, looks + 1)
        if looks + 1 >= PATIENT_LOOKS and now - first >= PATIENT_S:
            self._grudges.pop(key)
            await bench.ledger.book(job.id, self.name, None)
            raise why
        await bench.progress("waiting", note=why.message)
        return Later(outage(job.id, elapsed))

    async def _stop_unbought(self, job: Job, bench: Bench) -> str:
        attempt, unsettled = await self.attempts(bench)
        if not unsettled:
            await bench.ledger.release(job.id, self.name)
            return ""
        return (await self.unconfirmed(job, bench, attempt, f"Look at your {self.name} account.")).message
