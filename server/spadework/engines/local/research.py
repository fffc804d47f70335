"""The story of `local`: cut the question into parts, take in what is new, find quotes, keep their sources, write.

It reads folders into an index, or what the web has to say (`web/`); a model of the user's adds to each step. What was
planned and what was found are checkpoints; files and pages that were read are kept, so a killed job reads none of them
twice, and the next question over the same ones reads nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import TypeVar

import anyio
from pydantic import TypeAdapter

from spadework.engines import Bench, Partial
from spadework.engines.local.database import damaged, discard, location
from spadework.engines.local.disk import told
from spadework.engines.local.intake import Reading, Survey, settle, shown, survey, take
from spadework.engines.local.look import Look, threaded
from spadework.engines.local.model.mind import NO_MODEL, Mind
from spadework.engines.local.model.planning import Plan
from spadework.engines.local.paper import Circumstances
from spadework.engines.local.plan import Part, parts
from spadework.engines.local.rows import Row, enriched, finished, in_index
from spadework.engines.local.table import table
from spadework.engines.local.web.online import Online
from spadework.engines.local.web.reach import Reach
from spadework.engines.local.write import Evidence, report
from spadework.job import Job
from spadework_tools.errors import EngineFailed
from spadework_tools.models import Report, Request

T = TypeVar("T")

#: How long one look at the files may take before progress is told and a cancellation is noticed, in seconds.
_STRETCH_S = 0.25
#: How long a job that is being ended may still look for quotes in what it has read, in seconds.
_LAST_LOOK_S = 3.0
_EVIDENCE = TypeAdapter(Evidence)
_PLAN = TypeAdapter(tuple[Part, ...])
_SEARCHES = TypeAdapter(tuple[str, ...])
_NO_EFFECT = ("include_domains", "exclude_domains", "published_after", "published_before")


@dataclass(frozen=True)
class Research:
    """Works on jobs over the files or the web.

    `home` is where the indexes live; `standing` gives a job's folders as they were admitted; `online` is the way of
    working on the web.
    """

    home: Path
    standing: Callable[[Request], Awaitable[tuple[Path, ...]]]
    online: Online

    async def work(self, job: Job, bench: Bench) -> Report:
        """Answer the question from the files or the web.

        Raises EngineFailed when a folder is gone meanwhile, another process holds the index or the web was closed to
        it, StorageFull, ReadOnly.
        """
        mind = Mind.of(bench, job.request.effort, self.online.shelf)
        reach = await self._way(job, bench)
        folders = () if reach else await self.standing(job.request)
        if job.request.records:
            return await self._rows(job, bench, reach, folders, mind)
        kept = await bench.recall("evidence")
        if kept is None:
            plan = await self._planned(job, bench, mind)
            with told(self.home):
                if reach:
                    evidence = await self.online.evidence(job, bench, reach, mind, plan.parts, plan.searches)
                else:
                    work = partial(self._gather, folders, plan.parts, mind.look, bench)
                    evidence = await self._undamaged(folders, work)
            evidence = replace(evidence, troubles=(*evidence.troubles, *mind.troubles))
            await bench.keep("evidence", _EVIDENCE.dump_json(evidence))
        else:
            evidence = _EVIDENCE.validate_json(kept)
        await bench.progress("writing", 1, 1, sources=evidence.reading.files)
        return await self._written(job, bench, folders, await self._answered(job, bench, mind, evidence))

    async def stop(self, job: Job, bench: Bench) -> Report | Partial | str:
        """What can be quoted of what was read so far, if found within seconds; nothing goes on elsewhere."""
        with anyio.move_on_after(_LAST_LOOK_S):
            if job.request.records:
                rows = await finished(job, bench)
                return "" if rows is None else Partial(await self._tabled(job, bench, (), rows, None))
            if await bench.recall("way") is not None:
                evidence, ended = await self.online.remains(job, bench), "the job was ended before it was done"
                folders: tuple[Path, ...] = ()
            else:
                folders = await self.standing(job.request)
                evidence, ended = await self._read_so_far(job, bench, folders)
            if evidence is not None and any(finding.quotes for finding in evidence.findings):
                return Partial(await self._written(job, bench, folders, evidence, (ended,)))
        return ""

    async def _rows(self, job: Job, bench: Bench, reach: Reach | None, folders: Sequence[Path], mind: Mind) -> Report:
        """The records of a job, looked up one after the other."""
        with told(self.home):
            if reach:
                pages = await self.online.opened(job, bench, reach)
                rows = await enriched(job, bench, mind, partial(self.online.row, job, reach, pages, mind.look))
                reading = None
            else:
                rows, reading = await self._undamaged(folders, partial(self._in_files, job, folders, mind, bench))
        return await self._tabled(job, bench, folders, rows, reading)

    async def _in_files(
        self, job: Job, folders: Sequence[Path], mind: Mind, bench: Bench, place: Path
    ) -> tuple[tuple[Row, ...], Reading]:
        reading = await _read(place, folders, bench)
        return await enriched(job, bench, mind, partial(in_index, place, mind.look)), reading

    async def _tabled(
        self, job: Job, bench: Bench, folders: Sequence[Path], rows: Sequence[Row], reading: Reading | None
    ) -> Report:
        await bench.progress("writing", 1, 1)
        around = self._around(job, bench, folders, _caveats(job.request, web=reading is None))
        return await threaded(partial(table, rows, job.request, reading, around), Event())

    async def _read_so_far(self, job: Job, bench: Bench, folders: Sequence[Path]) -> tuple[Evidence | None, str]:
        """What the files read so far hold, and how many those are, in words."""
        place = location(self.home, folders)
        if not place.exists():
            return None, ""
        known: Survey = await threaded(partial(survey, folders, Event()), Event())
        reading = await threaded(partial(settle, place, folders, known, 0), Event())
        look = Look(job.request.effort)
        findings = await look.all(place, parts(job.request.question), bench, reading.files)
        ended = f"the job was ended after {reading.files} of {len(known.found)} files; this is what they hold"
        return Evidence(findings, reading), ended

    async def _way(self, job: Job, bench: Bench) -> Reach | None:
        """The web as the job may use it, or None for one over folders; which of them never changes for a job.

        Raises EngineFailed where the web was open to the job when it began, and is not now.
        """
        reach = Reach.of(bench.setting)
        if await bench.recall("way") is not None:
            if not reach.open:
                raise EngineFailed(
                    "this job began on the web, which SPADEWORK_WEB closes to it now. Open it, and start it again.",
                    code="web_closed",
                )
            return reach
        if not reach.takes(job.request):
            return None
        await bench.keep("way", b"web")
        return reach

    async def _answered(self, job: Job, bench: Bench, mind: Mind, evidence: Evidence) -> Evidence:
        """The evidence with what the model makes of it, asked once for all runs of this job."""
        kept = await bench.recall("answered")
        if kept is not None:
            return _EVIDENCE.validate_json(kept)
        before = len(mind.troubles)
        request, filled = job.request, None
        answer = await mind.answer(request.question, evidence.findings)
        if request.output_schema is not None:
            quotes = [quote for finding in evidence.findings for quote in finding.quotes]
            filled = await mind.fill(request.question, request.output_schema, quotes)
        more = mind.troubles[before:]
        if answer is None and filled is None and not more:
            return evidence
        evidence = replace(evidence, answer=answer, filled=filled, troubles=(*evidence.troubles, *more))
        await bench.keep("answered", _EVIDENCE.dump_json(evidence))
        return evidence

    async def _written(
        self, job: Job, bench: Bench, folders: Sequence[Path], evidence: Evidence, warnings: tuple[str, ...] = ()
    ) -> Report:
        caveats = _caveats(job.request, web=evidence.web)
        unfilled = "" if evidence.filled or job.request.output_schema is None else _unfilled(evidence)
        if unfilled:
            caveats = (*caveats, f"output_schema: data is null, since {unfilled}")
        elif evidence.filled:
            dropped = evidence.filled.dropped
            caveats = (*caveats, *(f"data{place}: left empty, since no evidence shows it" for place in dropped))
        around = self._around(job, bench, folders, (*warnings, *caveats))
        return await threaded(partial(report, evidence, around, unfilled), Event())

    def _around(self, job: Job, bench: Bench, folders: Sequence[Path], warnings: tuple[str, ...]) -> Circumstances:
        return Circumstances(
            question=job.request.question,
            started_at=job.started_at or bench.clock.wall(),
            finished_at=bench.clock.wall(),
            shown=partial(shown, folders),
            warnings=warnings,
        )

    async def _planned(self, job: Job, bench: Bench, mind: Mind) -> Plan:
        kept = await bench.recall("plan")
        if kept is not None:
            return Plan(_PLAN.validate_json(kept), _SEARCHES.validate_json(await bench.recall("searches") or b"[]"))
        await bench.progress("planning")
        plan = await mind.plan(job.request.question, parts(job.request.question))
        await bench.keep("searches", _SEARCHES.dump_json(plan.searches))
        await bench.keep("plan", _PLAN.dump_json(plan.parts))
        return plan

    async def _undamaged(self, folders: Sequence[Path], work: Callable[[Path], Awaitable[T]]) -> T:
        """What can be done with an index; a damaged one is thrown away once, since it is only a cache."""
        place = location(self.home, folders)
        try:
            return await work(place)
        except sqlite3.Error as error:
            if not damaged(error):
                raise
        await threaded(partial(discard, place), Event())
        return await work(place)

    async def _gather(
        self, folders: Sequence[Path], questions: Sequence[Part], look: Look, bench: Bench, place: Path
    ) -> Evidence:
        reading = await _read(place, folders, bench)
        return Evidence(await look.all(place, questions, bench, reading.files), reading)


async def _read(place: Path, folders: Sequence[Path], bench: Bench) -> Reading:
    """Bring the index up to date, telling how far it is; on cancellation the thread ends after its present file."""
    stop = Event()
    await bench.progress("reading")
    known: Survey = await threaded(partial(survey, folders, stop), stop)
    total, done, taken = len(known.found), 0, 0
    while done < total:
        await bench.progress("reading", done, total, sources=done)
        through, read = await threaded(partial(take, place, known.found[done:], stop, _STRETCH_S), stop)
        done, taken = done + through, taken + read
    await bench.progress("reading", total, total, sources=total)
    return await threaded(partial(settle, place, folders, known, taken), stop)


def _caveats(request: Request, *, web: bool) -> tuple[str, ...]:
    """What of the request has no effect here, with the reason."""
    ignored = [name for name in _NO_EFFECT if getattr(request, name) and not web]
    return (f"{', '.join(ignored)}: no effect, since local reads files and not the web",) if ignored else ()


def _unfilled(evidence: Evidence) -> str:
    """Why data that was asked for is null."""
    failed = next((one for one in evidence.troubles if one.startswith("the model gave nothing to the data")), None)
    return failed or NO_MODEL
