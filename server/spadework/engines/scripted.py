"""The `scripted` engine: it does exactly what the question tells it, for demonstrations and tests.

A question may carry a script in brackets, steps parted by semicolons; without one the engine reads five pages:

    What is new? [script: read 20 0.1; park 30; report 60000]

    read N [SECONDS]      read N pages, each taking so long, each a checkpoint
    park SECONDS          hand the job back and look again later, as a vendor's poll does
    ask QUESTION          ask the caller; several questions at once are parted by |
    fail CODE MESSAGE     give up with this error
    crash                 die of a defect
    hang                  never end
    report [CHARACTERS]   a report of about this size
    none                  find nothing

Its report quotes pages that it makes up by rule, so that every citation can be checked like any other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from spadework.engines import Bench, Estimate, Later
from spadework.engines.facts import Facts
from spadework.job import Job
from spadework_tools.errors import BadRequest, EngineFailed
from spadework_tools.models import Ask, Citation, Cost, Outcome, Provenance, Report, Request, Source, Target

_SCRIPT = re.compile(r"\[script:(?P<steps>[^\]]*)\]")
_WORDS = frozenset({"read", "park", "ask", "fail", "crash", "hang", "report", "none"})
_MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a script: its word and what follows it."""

    word: str
    rest: str = ""

    def number(self, place: int, default: float) -> float:
        """The number at a place after the word, between 0 and a million."""
        parts = self.rest.split()
        return min(_MOST, max(0.0, float(parts[place]))) if place < len(parts) else default


class Scripted:
    """Does what the question's script says."""

    name = "scripted"
    facts = Facts(
        name="scripted", title="Follows a script in the question", kind="script", free=True, cancels="at once"
    )

    async def admit(self, request: Request, tier: str | None) -> Estimate:
        """The script's own length. Raises BadRequest for a script that cannot be followed, or a tier."""
        if tier is not None:
            raise BadRequest(f"engine scripted has no tier {tier!r}, so nothing was started. Leave the tier out.")
        steps = parse(request.question)
        seconds = sum(
            step.number(0, 5) * step.number(1, 0.2) if step.word == "read" else step.number(0, 0)
            for step in steps
            if step.word in ("read", "park")
        )
        return Estimate(eta_s=round(seconds), cost_usd=0.0)

    async def work(self, job: Job, bench: Bench) -> Report | Later:
        """Follow the script from the first step that has no checkpoint."""
        pages = 0
        answers: tuple[str, ...] = ()
        for place, step in enumerate(parse(job.request.question)):
            if step.word == "read":
                pages += await _read(bench, place, step)
            elif step.word == "park":
                if await bench.recall(f"{place}/parked") is None:
                    await bench.keep(f"{place}/parked", b"1")
                    return Later(step.number(0, 1))
            elif step.word == "ask":
                answers += bench.ask(*_asks(place, step))
            elif step.word in ("report", "none"):
                size = 0 if step.word == "none" else int(step.number(0, 2_000))
                return await _write(job, bench, pages, size, answers)
            else:
                await _fault(step)
        return await _write(job, bench, pages, 2_000, answers)

    async def stop(self, job: Job, bench: Bench) -> Report | str:
        """Nothing goes on elsewhere."""
        return ""


def parse(question: str) -> tuple[Step, ...]:
    """The script in a question. Raises BadRequest for a step that no engine could follow."""
    found = _SCRIPT.search(question)
    if found is None:
        return (Step("read", "5 0.2"), Step("report", "2000"))
    steps = tuple(Step(*part.strip().split(maxsplit=1)) for part in found["steps"].split(";") if part.strip())
    for step in steps:
        numbers = step.rest.split() if step.word in ("read", "park", "report") else []
        if step.word not in _WORDS or not all(re.fullmatch(r"\d+(\.\d+)?", number) for number in numbers):
            raise BadRequest(
                f"the script's step {step.word!r} cannot be followed, so nothing was started. "
                f"Use {', '.join(sorted(_WORDS))} with plain numbers."
            )
    return steps


async def _read(bench: Bench, place: int, step: Step) -> int:
    """Read the step's pages, each once in the job's whole life; returns how many there are."""
    total = int(step.number(0, 5))
    for page in range(total):
        name = f"{place}/page/{page}"
        if await bench.recall(name) is None:
            await anyio.sleep(step.number(1, 0.2))
            await bench.keep(name, b"1")
        await bench.progress("reading", page + 1, total, sources=page + 1)
    return total


def _asks(place: int, step: Step) -> list[Ask]:
    """The step's questions, each with a key of its own."""
    questions = [question.strip() for question in step.rest.split("|")]
    return [Ask(key=f"q{place}.{number}", question=question) for number, question in enumerate(questions)]


async def _fault(step: Step) -> None:
    if step.word == "hang":
        await anyio.sleep_forever()
    if step.word == "crash":
        raise RuntimeError("the script said so")
    code, _, message = step.rest.partition(" ")
    raise EngineFailed(message or "the script said so. Change it and start again.", code=code or None)


async def _write(job: Job, bench: Bench, pages: int, size: int, answers: Sequence[str]) -> Report:
    provenance = Provenance(engine="scripted", mode="scripted", adapter="scripted@1", started_at=job.started_at)
    free = Cost(amount=0.0, kind="computed")
    if size == 0:
        text = "Nothing was found, as the script asked."
        return Report(text=text, outcome=Outcome.NO_EVIDENCE, cost=free, provenance=provenance)
    text = "# Scripted report\n\n" + "".join(f"I was told: {answer or 'nothing'}\n\n" for answer in answers)
    sources: list[Source] = []
    citations: list[Citation] = []
    while len(text) < size or not citations:
        number = len(citations) + 1
        quote = f"Page {number} says that {number} and {number} make {2 * number}."
        page = f"A made-up page.\n{quote}\nIt ends here."
        sha256 = await bench.snapshot(page)
        start = page.index(quote)
        text += f"## Part {number}\n\n"
        at = len(text)
        text += f"> {quote} [c{number}]\n\n"
        sources.append(Source(id=f"s{number}", path=f"page-{number}.txt", title=f"Page {number}", sha256=sha256))
        target = Target(kind="span", start=at, end=len(text) - 2)
        citations.append(
            Citation(
                id=f"c{number}",
                source_id=f"s{number}",
                target=target,
                quote=quote,
                start=start,
                end=start + len(quote),
                line=2,
            )
        )
    usage = {"pages": pages}
    return Report(
        text=text, sources=tuple(sources), citations=tuple(citations), usage=usage, cost=free, provenance=provenance
    )
