"""Parallel: the Task API with every processor, reports and data with the basis of each field, and lists of records.

Each job makes a task group first, which is free, and buys its runs into it: one run, or one for each record. After a
lost answer the group's list shows what was accepted, so a job completes without buying anything twice. A run cannot
be stopped. Formats as of 2026-11-21; the vendor's Python package 1.3.7 and its documents were read.
"""

from __future__ import annotations

import json
from typing import Any

from spadework.egress import encode
from spadework.engines import Bench, Later, group, prices
from spadework.engines.basis import compose
from spadework.engines.before import before
from spadework.engines.facts import Facts
from spadework.engines.fit import bare, day
from spadework.engines.line import Line, open_line
from spadework.engines.pace import asked, outage
from spadework.engines.payload import Payload, plain
from spadework.engines.refusal import complaint, refused
from spadework.engines.vendor import Handle, Order, Vendor
from spadework.job import Job
from spadework.ledger import micros, usd
from spadework_tools.errors import BadReply, EngineFailed, Unreachable
from spadework_tools.models import Report, Request

ORIGIN = "https://api.parallel.ai"
VERIFIED = "2026-11-21"
#: The vendor takes so many characters of schema and input together.
LARGEST = 25_000
#: How much of another engine's report goes along with a follow-up question.
CONTEXT = 4_000
#: Seconds between the two readings of a group's list that prove a run was not accepted.
APART_S = 5.0
#: How long a lost order is looked for: a list that was out of reach for a day tells nothing any more in time.
SOUGHT_S = 24 * 3600.0
ENDED = frozenset({"completed", "failed", "cancelled"})
TEXT = {"type": "text", "description": "A thorough report in Markdown that answers the question, with its sources."}
#: What the vendor's documents still ask for where a webhook is wanted.
WEBHOOK_BETA = "webhook-2025-08-12"
#: Processors that tell what they are doing without being asked to.
TELLING = ("pro", "ultra")


class Parallel(Vendor):
    """Parallel's Task API; the tier is its processor."""

    name = "parallel"
    facts = Facts(
        name="parallel",
        title="Parallel Task API",
        tiers=prices.PARALLEL,
        by_effort={"low": "base", "medium": "pro", "high": "ultra"},
        by_effort_row={"low": "lite", "medium": "base", "high": "core"},
        keys=("PARALLEL_API_KEY",),
        schema=True,
        schema_depth=3,
        schema_object=True,
        largest=LARGEST,
        records=True,
        most_records=1_000,
        domains=200,
        dates=frozenset({"published_after"}),
        follow_up=True,
        cancels="no; a run goes on and is billed",
        keeps="indefinitely",
        verified_on=VERIFIED,
        prices_on=prices.PARALLEL_DATE,
    )

    def line(self, bench: Bench) -> Line:
        """A line to Parallel."""
        more = {"parallel_beta": WEBHOOK_BETA} if bench.hook(self.name) else {}
        return open_line(bench, self.name, ORIGIN, "x-api-key", **more)

    async def order(self, job: Job, bench: Bench, line: Line, attempt: int) -> Order | Later:
        """The runs that are still missing, into the job's own group, which is made first."""
        container = await self._group(job, bench, line)
        if isinstance(container, Later):
            return container
        common = await self._common(job, bench)
        have = await _adopted(bench, attempt)
        missing = [row for row in range(max(1, len(job.request.records))) if row not in have]
        extra = common.pop("context", "")
        inputs = [
            {"input": _input(job.request, row, extra), "metadata": {"row": str(row), "job": job.id}, **common}
            for row in missing
        ]
        return Order(group.path(container, "/runs"), {"inputs": inputs, "default_task_spec": _spec(job.request)})

    async def _group(self, job: Job, bench: Bench, line: Line) -> str | Later:
        """The job's group. Making one costs nothing, so a lost answer here only leaves an empty one behind."""
        kept = await bench.recall("group")
        if kept is not None:
            return kept.decode()
        wait = outage(job.id, max(0.0, bench.clock.wall() - (job.started_at or bench.clock.wall())))
        try:
            reply = await line.post(group.GROUPS, {"metadata": {"job": job.id}}, timeout_s=self.timeout_s)
            answer = await line.read(reply) if reply.status < 300 else await line.words(reply)
        except (Unreachable, BadReply) as error:
            return await self._later(job, bench, wait, EngineFailed(error.message, code="vendor_down", retryable=True))
        made = plain(answer.at("taskgroup_id").text(), 200)
        if reply.status < 300 and made:
            await bench.keep("group", made.encode(), durable=True)
            return made
        failure = refused(self.name, max(reply.status, 300), complaint(answer))
        if reply.status >= 300 and not failure.retryable:
            raise failure
        return await self._later(
            job, bench, max(wait, asked(reply.headers.get("retry-after"), bench.clock.wall()) or 0.0), failure
        )

    async def _later(self, job: Job, bench: Bench, wait_s: float, why: EngineFailed) -> Later:
        """Before anything is bought: come back later, or let `auto` go elsewhere at once."""
        if job.request.engine == "auto":
            raise why
        await self.wait(job, bench, wait_s, why)
        return Later(wait_s)

    async def _common(self, job: Job, bench: Bench) -> dict[str, Any]:
        """What all runs of the job share: processor, webhook, source policy, and the research they follow up."""
        request = job.request
        common: dict[str, Any] = {"processor": self.tier(request, job.tier)}
        if hook := bench.hook(self.name):
            common["webhook"] = {"url": hook, "event_types": ["task_run.status"]}
        policy: dict[str, Any] = {}
        if request.include_domains:
            policy["include_domains"] = [*map(bare, request.include_domains)]
        if request.exclude_domains:
            policy["exclude_domains"] = [*map(bare, request.exclude_domains)]
        if request.published_after:
            policy["after_date"] = day(request.published_after, "published_after").isoformat()
        if policy:
            common["source_policy"] = policy
        earlier = await before(job, bench)
        if earlier is not None:
            known = earlier.provenance.vendor_ids.get("interaction") if earlier.provenance.engine == self.name else None
            common |= {"previous_interaction_id": known} if known else {"context": earlier.text[:CONTEXT]}
        return common

    def named(self, answer: Payload, job: Job) -> tuple[str, dict[str, Any]]:
        """The run ids, in the order of the rows that were sent; more or fewer of them are no answer."""
        runs = [plain(run.text(), 200) for run in answer.at("run_ids").items() if run.text()]
        return (runs[0], {"runs": runs}) if runs else ("", {})

    async def bought(self, job: Job, bench: Bench, handle: Handle) -> Handle | Later:
        """As for all, with the group and the run of each row."""
        kept = await bench.recall("group")
        attempt, _ = await self.attempts(bench)
        have = await _adopted(bench, attempt)
        missing = [row for row in range(max(1, len(job.request.records))) if row not in have]
        if len(missing) != len(handle.more["runs"]):
            return Later(self.unsure_s)
        runs = {**have, **dict(zip(missing, handle.more["runs"], strict=True))}
        more = {"group": (kept or b"").decode(), "runs": [runs[row] for row in sorted(runs)]}
        return await super().bought(job, bench, Handle(runs[0], handle.at, more))

    async def recover(self, job: Job, bench: Bench, line: Line, attempt: int) -> Handle | Later:
        """Read the group's list: adopt what it shows; what is missing twice, seconds apart, was not accepted.

        Raises EngineFailed `unconfirmed` when the list could not be read for a day.
        """
        container = (await bench.recall("group") or b"").decode()
        at = await self.intent_at(bench, attempt)
        try:
            listed = await group.rows(line, container)
        except (Unreachable, BadReply):
            listed = 0
        if isinstance(listed, int):
            return await self._unread(job, bench, attempt, container)
        have = await _adopted(bench, attempt) | {row: _run_id(event) for row, event in listed.items()}
        count = max(1, len(job.request.records))
        if all(row in have for row in range(count)):
            more = {"group": container, "runs": [have[row] for row in range(count)]}
            return await super().bought(job, bench, Handle(have[0], at, more))
        if await bench.recall(f"looked.{attempt}") is None:
            await bench.keep(f"looked.{attempt}", b"1", durable=True)
            return Later(APART_S)
        await bench.keep(f"adopted.{attempt}", encode({str(row): run for row, run in have.items()}), durable=True)
        await self.disproved(bench, attempt, "the group's list shows no such run, twice")
        return Later(0.0)

    async def _unread(self, job: Job, bench: Bench, attempt: int, container: str) -> Later:
        """The list cannot be read: later, but not for ever."""
        sought = max(0.0, bench.clock.wall() - await self.intent_at(bench, attempt))
        if sought <= SOUGHT_S:
            return Later(outage(job.id, sought))
        advice = (
            f"Parallel's list of the group {container} shows what was accepted, and could not be read for a day. Look "
            "there, and to buy it (again) call start_research with a new idempotency_key."
        )
        raise await self.unconfirmed(job, bench, attempt, advice)

    def hollow(self, job: Job, path: str, answer: Payload) -> bool:
        """A result without its content; among many rows that is one row's failure."""
        return "/result" in path and not job.request.records and answer.at("output", "content").value is None

    async def look(self, job: Job, bench: Bench, line: Line, handle: Handle) -> Payload | Later:
        """One look: at the run, or at the tally of the group."""
        if job.request.records:
            return await self._look_all(job, bench, line, handle)
        found = await self.fetch(job, bench, line, handle, f"/v1/tasks/runs/{handle.segment}")
        if isinstance(found, Later):
            return found
        status = found.at("status").text()
        if status == "completed":
            # Done already, so the blocking result answers at once; a 408 or 404 here is only the vendor's lag.
            return await self.fetch(job, bench, line, handle, f"/v1/tasks/runs/{handle.segment}/result?timeout=10")
        if status in ENDED or status == "action_required":
            words = found.at("error", "message").text() or f"its status is {plain(status, 40)}"
            raise await self.failed(job, bench, handle, plain(words), None)
        await self._tell(job, bench, line, handle, status)
        return await self.still(job, bench, line, handle)

    async def _tell(self, job: Job, bench: Bench, line: Line, handle: Handle, status: str) -> None:
        """Progress: for the deep processors what the run says it is doing, once it has had time to do something."""
        said, read = "", 0
        if self.tier(job.request, job.tier).startswith(TELLING) and self.elapsed(bench, handle) > 60:
            try:
                said, read = await group.trace(line, handle.id)
            except (Unreachable, BadReply):
                said = ""
        await bench.progress("queued" if status == "queued" else "researching", sources=read or None, note=said)

    async def _look_all(self, job: Job, bench: Bench, line: Line, handle: Handle) -> Payload | Later:
        found = await self.fetch(job, bench, line, handle, group.path(handle.more["group"]))
        if isinstance(found, Later):
            return found
        done, total = _done(found), len(job.request.records)
        await bench.progress("researching", min(done, total), total)
        if done < total and not self.overdue(job, bench, handle):
            return await self.still(job, bench, line, handle)
        return await self._collect(job, bench, line, handle)

    async def _collect(self, job: Job, bench: Bench, line: Line, handle: Handle) -> Payload | Later:
        """Every row's run and output; a row too large for the list is fetched by itself."""
        wait = Later(outage(job.id, self.elapsed(bench, handle)))
        try:
            listed = await group.rows(line, handle.more["group"], output=True)
        except (Unreachable, BadReply):
            return wait
        if isinstance(listed, int):
            return wait
        rows: list[Any] = []
        for row, run in enumerate(handle.more["runs"]):
            event = listed.get(row, Payload())
            if event.at("run", "status").text() == "completed" and not event.at("output").fields():
                single = Handle(run, handle.at)
                path = f"/v1/tasks/runs/{single.segment}/result?timeout=10"
                try:
                    own = await self.fetch(job, bench, line, single, path)
                except EngineFailed as lost:
                    # One row that the vendor has lost must not take the others with it.
                    own = Payload({"run": {"error": {"message": lost.message}}})
                if isinstance(own, Later):
                    return own
                event = own
            rows.append({"run": event.at("run").value, "output": event.at("output").value})
        if not any(Payload(row).at("output").fields() for row in rows):
            words = Payload(rows[0]).at("run", "error", "message").text() or "no reason was given"
            raise await self.failed(job, bench, handle, plain(f"all {len(rows)} rows failed: {words}"), None)
        return Payload({"rows": rows})

    def report(self, job: Job, handle: Handle, result: Payload) -> Report:
        """The report, or the data with the basis of each field."""
        tier = self.tier(job.request, job.tier)
        return compose(job, handle, result, tier, prices.PARALLEL[tier].usual, VERIFIED)

    async def withdraw(self, job: Job, bench: Bench, line: Line, handle: Handle) -> Report | str:
        """No run can be stopped: a finished one gives its report, any other goes on and is billed."""
        many = bool(job.request.records)
        path = group.path(handle.more["group"]) if many else f"/v1/tasks/runs/{handle.segment}"
        found = await line.read(await line.get(path))
        done = _done(found) >= len(job.request.records) if many else found.at("status").text() == "completed"
        result = await self.look(job, bench, line, handle) if done else None
        if isinstance(result, Payload):
            return await self.home(job, bench, handle, result)
        if not many and found.at("status").text() in ENDED:
            return f"Parallel's run {handle.id} had ended as {found.at('status').text()}; it may be billed."
        worst = usd(micros(self.price(job.request, self.tier(job.request, job.tier)).worst))
        count = len(handle.more["runs"])
        what = f"its run {handle.id} goes on" if count == 1 else f"its {count} runs go on"
        return f"Parallel has no way to stop a run, so {what} and may be billed with up to {worst}."


def _input(request: Request, row: int, context: str = "") -> Any:
    """What one run is given: the question, or a record with the question as its instruction."""
    asked_for = f"{request.question}\n\nAn earlier report on this said:\n\n{context}" if context else request.question
    if not request.records:
        return asked_for
    record = request.records[row]
    name = "instruction"
    while name in record:
        name = f"research_{name}"
    return {**record, name: asked_for}


def _spec(request: Request) -> dict[str, Any]:
    """The form of the output: text, the caller's schema, or, for an empty schema, whatever the vendor finds fit."""
    if request.output_schema is None:
        return {"output_schema": TEXT}
    if not request.output_schema:
        return {"output_schema": {"type": "auto"}}
    return {"output_schema": {"type": "json", "json_schema": request.output_schema}}


def _done(tally: Payload) -> int:
    """How many runs of a group have ended, one way or another."""
    counts = tally.at("status", "task_run_status_counts")
    return sum(int(counts.at(status).number() or 0) for status in ENDED)


def _run_id(event: Payload) -> str:
    return plain(event.at("run", "run_id").text(), 200)


async def _adopted(bench: Bench, attempt: int) -> dict[int, str]:
    """The runs of earlier submits that the group's list showed, by row."""
    found: dict[int, str] = {}
    for place in range(1, attempt + 1):
        kept = await bench.recall(f"adopted.{place}")
        if kept is not None:
            found |= {int(row): run for row, run in json.loads(kept).items()}
    return found
