"""cloro: what an answer engine says to a question right now, with its sources; a snapshot, not research.

The vendor takes an idempotency key but answers a repeated one with 409 and without the task's id. So a lost answer is
asked for again under the same key, which buys nothing twice; a 409 then proves that the task was bought and its id is
lost, and since a task costs less than a cent it is bought once more under a new key, twice at most, and the report
says so. Results are kept there for 24 hours, so they are stored here the moment they are seen. Formats as of
2026-11-21, from the vendor's OpenAPI file of 2026-10-07.
"""

from __future__ import annotations

from typing import Any

from spadework.engines import Bench, Later, prices
from spadework.engines.data import tell
from spadework.engines.facts import Facts
from spadework.engines.line import Line, open_line
from spadework.engines.pace import asked, outage
from spadework.engines.payload import Payload, plain, readable
from spadework.engines.refusal import complaint, refused
from spadework.engines.sheet import Sheet
from spadework.engines.vendor import Handle, Order, Try, Vendor
from spadework.job import Job
from spadework.ledger import micros, usd
from spadework_tools.errors import BadReply, BadRequest, Unreachable
from spadework_tools.models import Cost, Outcome, Provenance, Report, Request, Target

ORIGIN = "https://api.cloro.dev"
VERIFIED = "2026-11-21"
PATH = "/v1/async/task"
#: How often a task may be bought for one job, lost ones included; the price table's worst case is that many.
ROUNDS = prices.CLORO_ROUNDS
#: How long the vendor keeps a task and its result.
KEPT_S = 24 * 3600.0
SEARCHES = frozenset({"google", "google-news"})
LONGEST = 10_000
SNAPSHOT = "this is an answer engine's own answer at one moment, not research; nothing in it was checked"


class Cloro(Vendor):
    """cloro's queue of tasks; the tier names the answer engine."""

    name = "cloro"
    facts = Facts(
        name="cloro",
        title="cloro.dev",
        tiers=prices.CLORO,
        by_effort={"low": "google", "medium": "perplexity", "high": "chatgpt"},
        kind="snapshot",
        keys=("CLORO_API_KEY",),
        cancels="no; a task that was accepted runs on",
        keeps="24 hours",
        verified_on=VERIFIED,
        prices_on=prices.CLORO_DATE,
    )

    def check(self, request: Request, tier: str) -> None:
        """As for all; the vendor takes at most 10,000 characters."""
        super().check(request, tier)
        if len(request.question) > LONGEST:
            raise BadRequest(
                f"cloro takes at most {LONGEST:,} characters and the question has {len(request.question):,}, so "
                "nothing was started. Shorten it."
            )

    def line(self, bench: Bench) -> Line:
        """A line to cloro."""
        return open_line(bench, self.name, ORIGIN, "authorization", "Bearer ")

    async def order(self, job: Job, bench: Bench, line: Line, attempt: int) -> Order | Later:
        """The task under the key of its round."""
        return self._task(job, bench, await self._lost(bench) + 1)

    def _task(self, job: Job, bench: Bench, round_: int) -> Order:
        tier = self.tier(job.request, job.tier)
        words = "query" if tier in SEARCHES else "prompt"
        payload: dict[str, Any] = {words: job.request.question, "country": "US"}
        if tier not in SEARCHES:
            payload["include"] = {"markdown": True}
        key = job.id if round_ == 1 else f"{job.id}.{round_}"
        task_type = tier.upper().replace("-", "_")
        body: dict[str, Any] = {"taskType": task_type, "payload": payload, "idempotencyKey": key}
        if hook := bench.hook(self.name):
            body["webhook"] = {"url": hook}
        return Order(PATH, body)

    def named(self, answer: Payload, job: Job) -> tuple[str, dict[str, Any]]:
        """The task's id."""
        return plain(answer.at("task", "id").text(), 200), {}

    async def bought(self, job: Job, bench: Bench, handle: Handle) -> Handle | Later:
        """As for all, with the number of tasks that were bought and lost before."""
        return await super().bought(job, bench, Handle(handle.id, handle.at, {"lost": await self._lost(bench)}))

    async def declined(self, job: Job, bench: Bench, line: Line, tried: Try) -> Handle | Later:
        """As for all, but a 409 on our own key proves that the task was bought before."""
        if tried.reply.status == 409:
            return await self._again(job, bench, tried.attempt)
        return await super().declined(job, bench, line, tried)

    async def recover(self, job: Job, bench: Bench, line: Line, attempt: int) -> Handle | Later:
        """Send the same task under the same key: either it is taken now, or the vendor proves that it was before."""
        at = await self.intent_at(bench, attempt)
        if bench.clock.wall() - at > KEPT_S:
            raise await self.unconfirmed(
                job, bench, attempt, "cloro keeps a task for 24 hours, so nothing is left to find. Start it again."
            )
        wait = Later(outage(job.id, max(0.0, bench.clock.wall() - at)))
        order = self._task(job, bench, await self._lost(bench) + 1)
        try:
            reply = await line.post(order.path, order.body, timeout_s=self.timeout_s)
            answer = await line.read(reply) if reply.status < 300 else await line.words(reply)
        except (Unreachable, BadReply):
            return wait
        if reply.status < 300 and self.named(answer, job)[0]:
            return await self.bought(job, bench, Handle(self.named(answer, job)[0], at))
        if reply.status == 409:
            return await self._again(job, bench, attempt)
        if reply.status < 300 or reply.status in (408, 429) or reply.status >= 500:
            return Later(max(wait.after_s, asked(reply.headers.get("retry-after"), bench.clock.wall()) or 0.0))
        # The first sending may still have been taken, so even a clear refusal of this one proves nothing about it.
        said = refused(self.name, reply.status, complaint(answer)).message
        raise await self.unconfirmed(job, bench, attempt, f"Asked again, {said}")

    async def _again(self, job: Job, bench: Bench, attempt: int) -> Later:
        """A task was bought and its id is lost: buy another while that costs next to nothing."""
        lost = await self._lost(bench) + 1
        await bench.keep(f"lost.{lost}", b"1", durable=True)
        if lost >= ROUNDS:
            raise await self.unconfirmed(
                job,
                bench,
                attempt,
                f"cloro accepted {lost} tasks and gives no ids. Start it again with a new idempotency_key.",
            )
        await self.disproved(bench, attempt, "accepted by the vendor, its id lost")
        await bench.progress("submitting", note="cloro accepted the task but its id was lost; ordering once more")
        return Later(0.0)

    async def _lost(self, bench: Bench) -> int:
        count = 0
        while await bench.recall(f"lost.{count + 1}") is not None:
            count += 1
        return count

    def hollow(self, job: Job, path: str, answer: Payload) -> bool:
        """A completed task without its response."""
        return answer.at("task", "status").text().upper() == "COMPLETED" and not answer.at("response").fields()

    async def look(self, job: Job, bench: Bench, line: Line, handle: Handle) -> Payload | Later:
        """One look at the task."""
        found = await self.fetch(job, bench, line, handle, f"{PATH}/{handle.segment}")
        if isinstance(found, Later):
            return found
        status = found.at("task", "status").text().upper()
        if status == "COMPLETED":
            return found
        if status == "FAILED":
            answer = found.at("response")
            words = answer.at("error").text() or complaint(answer).message or answer.at("message").text()
            raise await self.failed(job, bench, handle, plain(words), handle.more.get("lost", 0) * self._price(job))
        await bench.progress("queued" if status == "QUEUED" else "researching")
        return await self.still(job, bench, line, handle)

    def report(self, job: Job, handle: Handle, result: Payload) -> Report:
        """The answer with its sources and its pills."""
        answer, tier = result.at("response"), self.tier(job.request, job.tier)
        sheet = Sheet(job.started_at)
        text = readable(answer.at("markdown").text() or answer.at("text").text())
        hits = _hits(answer)
        for cited in (*answer.at("sources").items(), *hits):
            place = sheet.source(_address(cited), _label(cited), "searched", cited.at("date").text())
            quote = cited.at("description").text() or cited.at("snippet").text()
            if place is not None and quote:
                sheet.cite(place, Target(), quote)
        for pill in answer.at("citationPills").items():
            place = sheet.source(_address(pill), _label(pill), "cited")
            if place is not None:
                sheet.cite(place, Target())
        if not text:
            rows = [{_label(hit) or _address(hit): hit.at("snippet").text() or _address(hit)} for hit in hits]
            text = "\n".join(tell(row, lambda _: "") for row in rows) or "The answer engine gave no text."
        charged = result.at("credits", "creditsCharged").money() or result.at("credits", "creditsToCharge").money()
        queries = [plain(query.text()) for query in answer.at("searchQueries").items() if query.text()]
        return Report(
            text=text,
            outcome=Outcome.FULL if sheet.sources else Outcome.NO_EVIDENCE,
            sources=sheet.sources,
            citations=sheet.citations,
            usage={"search_queries": queries} if queries else {},
            cost=Cost() if charged is None else Cost(amount=charged, unit="credits", kind="reported"),
            provenance=Provenance(
                engine=self.name,
                tier=tier,
                model=plain(answer.at("model").text(), 100) or None,
                mode="snapshot",
                vendor_ids={"task": handle.id},
                started_at=handle.at,
                adapter="cloro@1",
                verified_on=VERIFIED,
                warnings=self._warnings(job, handle, result),
            ),
        )

    def _warnings(self, job: Job, handle: Handle, result: Payload) -> tuple[str, ...]:
        lost = handle.more.get("lost", 0)
        warnings = [SNAPSHOT]
        if lost:
            spent = usd(micros(lost * self._price(job)))
            warnings.append(
                f"{lost} earlier task(s) of this job were accepted and their ids lost; they cost {spent} more"
            )
        if result.repaired:
            warnings.append("parts of the vendor's answer were no valid text or numbers and were replaced")
        return tuple(warnings)

    def spent(self, job: Job, handle: Handle, report: Report) -> float | None:
        """Credits in dollars, those of lost tasks included; unknown where the vendor named none."""
        if report.cost.amount is None:
            return None
        return report.cost.amount * prices.CLORO_CREDIT_USD + handle.more.get("lost", 0) * self._price(job)

    async def withdraw(self, job: Job, bench: Bench, line: Line, handle: Handle) -> Report | str:
        """No single task can be stopped; one that is done gives its report."""
        found = await line.read(await line.get(f"{PATH}/{handle.segment}"))
        status = found.at("task", "status").text().upper()
        if status == "COMPLETED":
            return await self.home(job, bench, handle, found)
        if status == "FAILED":
            return "cloro's task had failed, and a failed task costs nothing."
        return f"cloro cannot stop a single task, so {handle.id} runs on and costs {usd(micros(self._price(job)))}."

    def _price(self, job: Job) -> float:
        return prices.CLORO[self.tier(job.request, job.tier)].usual


def _hits(answer: Payload) -> list[Payload]:
    """A result page's entries, under the names that the vendor gives them."""
    return [hit for name in ("organicResults", "newsResults", "results") for hit in answer.at(name).items()]


def _address(entry: Payload) -> str:
    return entry.at("url").text() or entry.at("link").text()


def _label(entry: Payload) -> str:
    return entry.at("label").text() or entry.at("title").text()
