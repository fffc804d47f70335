"""Perplexity: the Agent API with every effort, and the old asynchronous Sonar API for gateways that still speak it.

The Agent API takes a request in the background, is looked at until it ends, and can be told to stop. It has no list,
no idempotency key and no webhook, so an order whose answer was lost can be neither proved nor repeated: the job ends
as unconfirmed. Formats as of 2026-11-21; the vendor's Python package 0.46.1 and its documents were read.
"""

from __future__ import annotations

from typing import Any

from spadework.engines import Bench, Later, prices, sonar
from spadework.engines.before import before
from spadework.engines.data import conforms, parse, tell
from spadework.engines.facts import Facts
from spadework.engines.fit import bare, day
from spadework.engines.line import Line, open_line
from spadework.engines.payload import Payload, plain, readable
from spadework.engines.refusal import complaint
from spadework.engines.sheet import Sheet
from spadework.engines.vendor import Handle, Order, Try, Vendor
from spadework.job import Job
from spadework.ledger import micros, usd
from spadework_tools.errors import BadReply, BudgetExceeded, EngineFailed, Unreachable
from spadework_tools.models import Cost, Outcome, Provenance, Report, Target

ORIGIN = "https://api.perplexity.ai"
VERIFIED = "2026-11-21"
#: How much of an earlier report goes along with a follow-up question that the vendor cannot link itself.
CONTEXT = 4_000
UNMAPPED = "Perplexity documents no link between its text and its sources; marks were matched by their numbers."
LOOSE = "Perplexity's text carries no marks, so its sources are listed without saying which claim each supports."


class Perplexity(Vendor):
    """Perplexity's Agent API; the tier `sonar-async` speaks the old one."""

    name = "perplexity"
    facts = Facts(
        name="perplexity",
        title="Perplexity Agent API",
        tiers=prices.PERPLEXITY,
        by_effort={"low": "low", "medium": "medium", "high": "high"},
        keys=("PERPLEXITY_API_KEY", "PPLX_API_KEY"),
        schema=True,
        domains=20,
        dates=frozenset({"published_after", "published_before"}),
        follow_up=True,
        cancels="yes; what ran until then may be billed",
        keeps="undocumented",
        verified_on=VERIFIED,
        prices_on=prices.PERPLEXITY_DATE,
    )

    def line(self, bench: Bench) -> Line:
        """A line to Perplexity, or to the gateway that the user configured."""
        return open_line(bench, self.name, ORIGIN, "authorization", "Bearer ")

    async def order(self, job: Job, bench: Bench, line: Line, attempt: int) -> Order | Later:
        """The request, with what an earlier job found where this one follows it up."""
        tier = self.tier(job.request, job.tier)
        earlier = await before(job, bench)
        question = job.request.question if earlier is None else following(job, earlier)
        if tier == sonar.TIER:
            return Order(sonar.PATH, sonar.body(job, question, filters(job)))
        body: dict[str, Any] = {"input": question, "background": True, "effort": tier}
        if earlier is not None and (linked := _linked(earlier)):
            body |= {"previous_response_id": linked, "input": job.request.question}
        if found := filters(job):
            body["tools"] = [{"type": "web_search", "filters": found}]
        if job.request.output_schema is not None:
            form = {"name": "report", "schema": job.request.output_schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        return Order("/v1/agent", body)

    async def declined(self, job: Job, bench: Bench, line: Line, tried: Try) -> Handle | Later:
        """As for all vendors, but an API that does not know `effort` yet is asked again with its older name."""
        said = complaint(tried.answer)
        if tried.reply.status == 400 and said.field == "effort" and "unknown field" in said.message:
            await self.disproved(bench, tried.attempt, said.message)
            body = {name: value for name, value in tried.order.body.items() if name != "effort"}
            order = Order(tried.order.path, {**body, "preset": tried.order.body["effort"]})
            return await self.send(job, bench, line, order, tried.attempt + 1)
        return await super().declined(job, bench, line, tried)

    def named(self, answer: Payload, job: Job) -> tuple[str, dict[str, Any]]:
        """The response's id."""
        return plain(answer.at("id").text(), 200), {}

    async def recover(self, job: Job, bench: Bench, line: Line, attempt: int) -> Handle | Later:
        """There is no way to find out."""
        raise await self.unconfirmed(
            job,
            bench,
            attempt,
            "Perplexity offers no way to find out; look at your account there, and to buy it (again) call "
            "start_research with a new idempotency_key.",
        )

    async def look(self, job: Job, bench: Bench, line: Line, handle: Handle) -> Payload | Later:
        """One look at the run."""
        old = self.tier(job.request, job.tier) == sonar.TIER
        found = await self.fetch(
            job, bench, line, handle, sonar.path(handle.segment) if old else f"/v1/responses/{handle.segment}"
        )
        if isinstance(found, Later):
            return found
        return await (self._old(job, bench, line, handle, found) if old else self._new(job, bench, line, handle, found))

    async def _new(self, job: Job, bench: Bench, line: Line, handle: Handle, found: Payload) -> Payload | Later:
        status = found.at("status").text()
        if status == "completed" or (status == "incomplete" and written(found)):
            return found
        if status in ("failed", "cancelled", "incomplete"):
            error = found.at("error").at("message").text() or found.at("incomplete_details").at("reason").text()
            raise await self.failed(job, bench, handle, plain(error or f"its status is {status}"), dollars(found))
        if status == "requires_action":
            raise await self.failed(
                job, bench, handle, "it waits for an input that nobody can give here", dollars(found)
            )
        searches = sum(1 for item in found.at("output").items() if item.at("type").text() == "search_results")
        pages = len(Reading(job, found).sheet.sources)
        await bench.progress(_phase(status), searches, sources=pages, note=f"{searches} searches")
        spent, cap = dollars(found), job.request.max_cost_usd
        if spent is not None and cap is not None and spent > cap:
            return await self._too_dear(job, bench, line, handle, spent)
        return await self.still(job, bench, line, handle)

    async def _too_dear(self, job: Job, bench: Bench, line: Line, handle: Handle, spent: float) -> Later:
        """A run whose running total has crossed the job's cap is stopped. Raises EngineFailed `budget_exceeded`."""
        try:
            ended = await self.withdraw(job, bench, line, handle)
        except (Unreachable, BadReply):
            return await self.still(job, bench, line, handle)
        if isinstance(ended, Report):
            return Later(0.0)
        await bench.ledger.book(job.id, self.name, spent)
        cap = usd(micros(job.request.max_cost_usd or 0.0))
        raise EngineFailed(
            f"{handle.id} has cost {usd(micros(spent))} so far and this job's cap is {cap}, so it was given up. "
            f"{ended} Start it again with a higher max_cost_usd, or with a lower effort.",
            code=BudgetExceeded.code,
        )

    async def _old(self, job: Job, bench: Bench, line: Line, handle: Handle, found: Payload) -> Payload | Later:
        status = found.at("status").text().upper()
        if status == "COMPLETED":
            return found
        if status == "FAILED":
            words = found.at("error_message").text() or found.at("failed_reason").text()
            raise await self.failed(job, bench, handle, plain(words), None)
        await bench.progress(_phase(status.lower()))
        return await self.still(job, bench, line, handle)

    def report(self, job: Job, handle: Handle, result: Payload) -> Report:
        """The text with its sources; JSON where a schema was given."""
        tier = self.tier(job.request, job.tier)
        reading = sonar.Reading(result) if tier == sonar.TIER else Reading(job, result)
        return compose(job, handle, result, reading, tier)

    async def withdraw(self, job: Job, bench: Bench, line: Line, handle: Handle) -> Report | str:
        """Look first, for a finished run and an unknown one refuse a cancel in the same words."""
        if self.tier(job.request, job.tier) == sonar.TIER:
            return f"this API cannot be told to stop, so {handle.id} runs on and will be billed."
        for _ in range(2):
            found = await line.read(await line.get(f"/v1/responses/{handle.segment}"))
            if found.at("status").text() == "completed":
                return await self.home(job, bench, handle, found)
            if found.at("status").text() in ("failed", "cancelled", "incomplete"):
                return f"Perplexity's run had ended as {found.at('status').text()}; what it did may be billed."
            reply = await line.post(f"/v1/responses/{handle.segment}/cancel")
            if reply.status < 300:
                return "Perplexity was told to stop. What it did until then may be billed; it gives no figure."
        return f"Perplexity refused to stop {handle.id}, so it may run on and be billed."


class Reading:
    """What an Agent API answer says: text, sources by the vendor's numbers, cost and usage."""

    def __init__(self, job: Job, result: Payload) -> None:
        self.sheet = Sheet(job.started_at)
        self.numbered: dict[int, tuple[str, str]] = {}
        self.text = written(result)
        self.cost = dollars(result)
        self.usage = tally(result.at("usage"))
        self.model = plain(result.at("model").text(), 100)
        self.partial = result.at("status").text() == "incomplete"
        for item in result.at("output").items():
            kind = item.at("type").text()
            if kind == "search_results":
                self._searched(item)
            elif kind == "fetch_url_results":
                for page in item.at("contents").items():
                    self.sheet.source(page.at("url").text(), page.at("title").text(), "fetched")

    def _searched(self, item: Payload) -> None:
        for page in item.at("results").items():
            published = page.at("date").text() or page.at("last_updated").text()
            source = self.sheet.source(page.at("url").text(), page.at("title").text(), "searched", published)
            number = page.at("id").number()
            if source is not None:
                place = int(number) if number is not None else len(self.numbered) + 1
                self.numbered.setdefault(place, (source, readable(page.at("snippet").text())))


def compose(job: Job, handle: Handle, result: Payload, reading: Reading | sonar.Reading, tier: str) -> Report:
    """A report from a reading, with the warnings that its reader should know."""
    warnings = ["parts of the vendor's answer were no valid text or numbers and were replaced"] * result.repaired
    schema, data, fits = job.request.output_schema, None, None
    sheet = reading.sheet
    if schema is not None:
        data = parse(reading.text)
        fits = data is not None and conforms(data, schema)
    if schema is not None and data is not None:
        text = tell(data, lambda _: "")
    else:
        text = sheet.weave(readable(reading.text), reading.numbered)
        warnings += ["the answer was no JSON although a schema was given"] * (schema is not None)
    if sheet.citations:
        warnings += [UNMAPPED] * (tier != sonar.TIER)
    else:
        for source, quote in reading.numbered.values():
            sheet.cite(source, Target(), quote)
        warnings += [LOOSE] * bool(sheet.citations)
    outcome = Outcome.FULL if sheet.sources else Outcome.NO_EVIDENCE
    if not reading.text.strip():
        warnings.append("Perplexity finished without writing anything; only its sources are here")
    if reading.partial or not reading.text.strip() or (schema is not None and data is None):
        outcome = Outcome.PARTIAL
    cost = Cost() if reading.cost is None else Cost(amount=reading.cost, kind="reported")
    return Report(
        text=text,
        outcome=outcome,
        data=data,
        schema_ok=fits,
        sources=sheet.sources,
        citations=sheet.citations,
        usage=reading.usage,
        cost=cost,
        provenance=Provenance(
            engine="perplexity",
            tier=tier,
            model=reading.model or None,
            vendor_ids={"response": handle.id},
            started_at=handle.at,
            adapter="perplexity@1",
            verified_on=VERIFIED,
            warnings=tuple(warnings),
        ),
    )


def filters(job: Job) -> dict[str, Any]:
    """The search filters; a denied domain has a dash before it, a date stands as the documents write it."""
    request = job.request
    found: dict[str, Any] = {}
    domains = [*map(bare, request.include_domains), *(f"-{bare(domain)}" for domain in request.exclude_domains)]
    if domains:
        found["search_domain_filter"] = domains
    if request.published_after:
        found["search_after_date_filter"] = day(request.published_after, "published_after").strftime("%m/%d/%Y")
    if request.published_before:
        found["search_before_date_filter"] = day(request.published_before, "published_before").strftime("%m/%d/%Y")
    return found


def following(job: Job, earlier: Report) -> str:
    """A follow-up question with what the earlier report said, for a vendor that did not write it."""
    return f"{job.request.question}\n\nAn earlier report on this said:\n\n{earlier.text[:CONTEXT]}"


def _linked(earlier: Report) -> str | None:
    """The response that the vendor can go on from: one of its own new API that came to its end."""
    made = earlier.provenance
    own = made.engine == "perplexity" and made.tier != sonar.TIER and earlier.outcome is not Outcome.PARTIAL
    return made.vendor_ids.get("response") if own else None


def written(result: Payload) -> str:
    """The text of the last message."""
    texts = [
        "".join(
            part.at("text").text() for part in item.at("content").items() if part.at("type").text() == "output_text"
        )
        for item in result.at("output").items()
        if item.at("type").text() == "message"
    ]
    return next((text for text in reversed(texts) if text), "")


def dollars(result: Payload) -> float | None:
    """What the vendor says that the run cost, in dollars."""
    cost = result.at("usage").at("cost")
    return cost.at("total_cost").money() if cost.at("currency").text("USD") == "USD" else None


def tally(usage: Payload) -> dict[str, Any]:
    """The numbers of a usage object, its first level only."""
    return {
        plain(name, 60): value
        for name, value in usage.fields().items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _phase(status: str) -> str:
    return "queued" if status in ("queued", "created") else "researching"
