"""The `local` engine: research over the user's own files, or the web, with no key, no server and no model.

Its story: cut the question into parts, take what is new in the folders into the index (or what the web has to say,
`web/`), find quotes for each part, keep their sources as snapshots, write; a model of the user's adds to each step.
What was planned and what was found are checkpoints; files and pages that were read are kept, so a killed job reads
none of them twice, and the next question over the same ones reads nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import TypeVar

import anyio
from pydantic import TypeAdapter

from spadework.engines import Bench, Estimate, Later, Partial
from spadework.engines.facts import Facts
from spadework.engines.local.database import damaged, discard, location
from spadework.engines.local.disk import told
from spadework.engines.local.folders import Roots
from spadework.engines.local.intake import Reading, Survey, glance, settle, shown, survey, take
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
from spadework_tools.errors import BadFolder, BadRequest, EngineFailed, Unclear, UnknownEngine
from spadework_tools.models import Effort, Report, Request

T = TypeVar("T")

#: How long one look at the files may take before progress is told and a cancellation is noticed, in seconds.
_STRETCH_S = 0.25
#: How many files are counted before a job starts, and how many a second are read on a slow machine.
_GLANCE, _FILES_A_SECOND = 2_000, 100
#: How long a job that is being ended may still look for quotes in what it has read, in seconds.
_LAST_LOOK_S = 3.0
_EVIDENCE = TypeAdapter(Evidence)
_PLAN = TypeAdapter(tuple[Part, ...])
_SEARCHES = TypeAdapter(tuple[str, ...])
#: How many records one job takes on the web, where each is searched for by itself.
MOST_ON_WEB = 100
#: How long a row takes as a rule, over files and on the web, and how long it may take with a slow model, in seconds.
_ROW_S, _WEB_ROW_S, _SLOW_ROW_S = 0.1, 15, 60.0
#: What a job may take without its rows, seconds.
_AROUND_S: dict[Effort, float] = {"low": 600.0, "medium": 1_800.0, "high": 7_200.0}
#: How long a job on the web takes at most, as a rule, in seconds.
_WEB_ETA: dict[Effort, int] = {"low": 45, "medium": 100, "high": 400}
#: Where a caller's settings say nothing of the web.
_NOWHERE = Reach()
_NO_EFFECT = ("include_domains", "exclude_domains", "published_after", "published_before")


FACTS = Facts(
    name="local",
    title="Files on this machine",
    free=True,
    schema=True,
    records=True,
    most_records=1_000,
    dates=frozenset({"published_after", "published_before"}),
    folders=True,
    follow_up=True,
    cancels="at once",
    keeps="everything, on this machine",
)


class Local:
    """Searches folders, or the web, and answers with verbatim quotes.

    `index_home` is where the indexes live, `roots` the folders that may be read, `base` what relative folders are
    relative to; `reach` is the web as the caller's settings allow it, `online` another way of working on it.
    """

    def __init__(
        self,
        index_home: Path,
        roots: tuple[Path, ...],
        base: Path,
        reach: Reach = _NOWHERE,
        online: Online | None = None,
    ) -> None:
        self._home, self._roots, self._base, self._reach = index_home, Roots(roots), base, reach
        self._online = online or Online(index_home)

    @property
    def facts(self) -> Facts:
        """What it can and needs; sites can be named where the web is open to it."""
        return replace(FACTS, domains=50) if self._reach.open else FACTS

    @property
    def name(self) -> str:
        """The word an agent uses for it."""
        return "local"

    async def admit(self, request: Request, tier: str | None) -> Estimate:
        """Judge a request: folders must exist, lie inside the roots and hold files.

        Raises UnknownEngine for a tier, BadFolder for a folder that cannot be used, BadRequest where there is nothing
        to read, or more records than one job takes.
        """
        if tier is not None:
            raise UnknownEngine(f"local has no tiers, so 'local:{tier}' names nothing. Ask for 'local'.")
        rows, web = len(request.records), self._reach.takes(request)
        _few(rows, MOST_ON_WEB if web else FACTS.most_records, web=web)
        if web:
            eta = rows * _WEB_ROW_S if rows else _WEB_ETA[request.effort]
            return Estimate(eta_s=eta, cost_usd=0.0, deadline_s=_deadline(request))
        folders = await threaded(partial(self._folders, request), Event())
        files = await threaded(partial(glance, folders, _GLANCE), Event())
        if files is None:
            names = ", ".join(str(folder) for folder in folders[:5])
            raise BadFolder(f"there are no files to read in {names}. Name a folder that holds documents.")
        # Settled now: the folders a job reads do not hang on where some later process happens to run.
        settled = request.model_copy(update={"folders": tuple(str(folder) for folder in folders)})
        eta = 1 + files // _FILES_A_SECOND + round(rows * _ROW_S)
        return Estimate(eta_s=eta, cost_usd=0.0, request=settled, deadline_s=_deadline(request))

    async def work(self, job: Job, bench: Bench) -> Report | Later:
        """Answer the question from the files or the web.

        Raises EngineFailed when a folder is gone meanwhile, another process holds the index or the web was closed to
        it, StorageFull, ReadOnly.
        """
        mind = Mind.of(bench, job.request.effort, self._online.shelf)
        reach = await self._way(job, bench)
        folders = () if reach else await self._standing(job.request)
        if job.request.records:
            return await self._rows(job, bench, reach, folders, mind)
        kept = await bench.recall("evidence")
        if kept is None:
            plan = await self._planned(job, bench, mind)
            with told(self._home):
                if reach:
                    evidence = await self._online.evidence(job, bench, reach, mind, plan.parts, plan.searches)
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
                evidence, ended = await self._online.remains(job, bench), "the job was ended before it was done"
                folders: tuple[Path, ...] = ()
            else:
                folders = await self._standing(job.request)
                evidence, ended = await self._read_so_far(job, bench, folders)
            if evidence is not None and any(finding.quotes for finding in evidence.findings):
                return Partial(await self._written(job, bench, folders, evidence, (ended,)))
        return ""

    async def _rows(self, job: Job, bench: Bench, reach: Reach | None, folders: Sequence[Path], mind: Mind) -> Report:
        """The records of a job, looked up one after the other."""
        with told(self._home):
            if reach:
                pages = await self._online.opened(job, bench, reach)
                rows = await enriched(job, bench, mind, partial(self._online.row, job, reach, pages, mind.look))
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
        place = location(self._home, folders)
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

    def _folders(self, request: Request) -> tuple[Path, ...]:
        """The folders to read: those named, or all roots that are there."""
        if request.folders:
            return tuple(dict.fromkeys(self._roots.resolve(folder, self._base) for folder in request.folders))
        present = tuple(root.resolve() for root in self._roots.allowed if root.is_dir())
        if present:
            return present
        if self._roots.allowed:
            raise BadFolder(
                "none of the folders in SPADEWORK_ROOTS is there. Correct SPADEWORK_ROOTS, or pass folders."
            )
        raise Unclear(
            "local has nothing to read: no folders were passed. Pass folders, or set SPADEWORK_ROOTS; "
            "SPADEWORK_WEB=on lets it search the web.",
            "folders",
            "Which folder should be researched? Give its full path.",
        )

    async def _standing(self, request: Request) -> tuple[Path, ...]:
        """The folders as they were admitted, which another process with other roots may have done."""
        try:
            look = _admitted if _settled(request) else self._folders
            return await threaded(partial(look, request), Event())
        except BadRequest as trouble:
            raise EngineFailed(trouble.message, code=trouble.code) from None

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
        place = location(self._home, folders)
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


def _settled(request: Request) -> bool:
    """Whether the folders are real paths, as `admit` leaves them."""
    return bool(request.folders) and all(Path(folder).is_absolute() for folder in request.folders)


def _admitted(request: Request) -> tuple[Path, ...]:
    """Folders that were admitted before, looked at once more. Raises BadFolder for one that leads elsewhere now."""
    folders = tuple(Path(folder) for folder in request.folders)
    for folder in folders:
        if Roots((folder,)).resolve(str(folder), folder) != folder:
            raise BadFolder(
                f"{folder} has become a link since the job was accepted, so it is not read. Start it again."
            )
    return folders


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


def _few(rows: int, most: int, *, web: bool) -> None:
    """Raises BadRequest for more records than one job takes."""
    if rows > most:
        where = " on the web" if web else ""
        raise BadRequest(
            f"{rows:,} records were given and local takes at most {most:,} in one job{where}, so nothing was started. "
            "Split them into several jobs."
        )


def _deadline(request: Request) -> float | None:
    """How long records may take in all; other jobs have the desk's own limits."""
    return _AROUND_S[request.effort] + len(request.records) * _SLOW_ROW_S * 2 if request.records else None


def _caveats(request: Request, *, web: bool) -> tuple[str, ...]:
    """What of the request has no effect here, with the reason."""
    ignored = [name for name in _NO_EFFECT if getattr(request, name) and not web]
    return (f"{', '.join(ignored)}: no effect, since local reads files and not the web",) if ignored else ()


def _unfilled(evidence: Evidence) -> str:
    """Why data that was asked for is null."""
    failed = next((one for one in evidence.troubles if one.startswith("the model gave nothing to the data")), None)
    return failed or NO_MODEL
