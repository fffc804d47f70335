"""The `local` engine: research over the user's own files, or the web, with no key, no server and no model.

Its story: cut the question into parts, take what is new in the folders into the index (or what the web has to say,
`web/`), find quotes for each part, keep their sources as snapshots, write; a model of the user's adds to each step.
What was planned and what was found are checkpoints; files and pages that were read are kept, so a killed job reads
none of them twice, and the next question over the same ones reads nothing.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

import anyio
from pydantic import TypeAdapter

from spadework.engines import Bench, Estimate, Later, Partial
from spadework.engines.facts import Facts
from spadework.engines.local.database import damaged, discard, location
from spadework.engines.local.folders import Roots
from spadework.engines.local.intake import Reading, Survey, glance, settle, shown, survey, take
from spadework.engines.local.look import Look, threaded
from spadework.engines.local.model.mind import Mind
from spadework.engines.local.model.planning import Plan
from spadework.engines.local.plan import Part, parts
from spadework.engines.local.web.online import Online
from spadework.engines.local.web.reach import Reach
from spadework.engines.local.write import Circumstances, Evidence, report
from spadework.job import Job
from spadework_tools.errors import BadFolder, BadRequest, EngineFailed, ReadOnly, StorageFull, Unclear, UnknownEngine
from spadework_tools.models import Effort, Report, Request

#: How long one look at the files may take before progress is told and a cancellation is noticed, in seconds.
_STRETCH_S = 0.25
#: How many files are counted before a job starts, and how many a second are read on a slow machine.
_GLANCE, _FILES_A_SECOND = 2_000, 100
#: How long a job that is being ended may still look for quotes in what it has read, in seconds.
_LAST_LOOK_S = 3.0
_EVIDENCE = TypeAdapter(Evidence)
_PLAN = TypeAdapter(tuple[Part, ...])
_SEARCHES = TypeAdapter(tuple[str, ...])
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
    most_records=10_000,
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
        to read.
        """
        if tier is not None:
            raise UnknownEngine(f"local has no tiers, so 'local:{tier}' names nothing. Ask for 'local'.")
        if self._reach.takes(request):
            return Estimate(eta_s=_WEB_ETA[request.effort], cost_usd=0.0)
        folders = await threaded(partial(self._folders, request), Event())
        files = await threaded(partial(glance, folders, _GLANCE), Event())
        if files is None:
            names = ", ".join(str(folder) for folder in folders[:5])
            raise BadFolder(f"there are no files to read in {names}. Name a folder that holds documents.")
        # Settled now: the folders a job reads do not hang on where some later process happens to run.
        settled = request.model_copy(update={"folders": tuple(str(folder) for folder in folders)})
        return Estimate(eta_s=1 + files // _FILES_A_SECOND, cost_usd=0.0, request=settled)

    async def work(self, job: Job, bench: Bench) -> Report | Later:
        """Answer the question from the files or the web.

        Raises EngineFailed when a folder is gone meanwhile, another process holds the index or the web was closed to
        it, StorageFull, ReadOnly.
        """
        mind = Mind.of(bench, job.request.effort, self._online.shelf)
        reach = await self._way(job, bench)
        folders = () if reach else await self._standing(job.request)
        kept = await bench.recall("evidence")
        if kept is None:
            plan = await self._planned(job, bench, mind)
            with _told(self._home):
                if reach:
                    evidence = await self._online.evidence(job, bench, reach, mind, plan.parts, plan.searches)
                else:
                    evidence = await self._evidence(folders, plan.parts, mind.look, bench)
            evidence = replace(evidence, troubles=(*evidence.troubles, *mind.troubles))
            await bench.keep("evidence", _EVIDENCE.dump_json(evidence))
        else:
            evidence = _EVIDENCE.validate_json(kept)
        await bench.progress("writing", 1, 1, sources=evidence.reading.files)
        return await self._written(job, bench, folders, await self._answered(job, bench, mind, evidence))

    async def stop(self, job: Job, bench: Bench) -> Report | Partial | str:
        """What can be quoted of what was read so far, if found within seconds; nothing goes on elsewhere."""
        with anyio.move_on_after(_LAST_LOOK_S):
            if await bench.recall("way") is not None:
                evidence, ended = await self._online.remains(job, bench), "the job was ended before it was done"
                folders: tuple[Path, ...] = ()
            else:
                folders = await self._standing(job.request)
                evidence, ended = await self._read_so_far(job, bench, folders)
            if evidence is not None and any(finding.quotes for finding in evidence.findings):
                return Partial(await self._written(job, bench, folders, evidence, (ended,)))
        return ""

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
        if request.output_schema is not None and not request.records:
            filled = await mind.fill(request.question, request.output_schema, evidence.findings)
        more = mind.troubles[before:]
        if answer is None and filled is None and not more:
            return evidence
        evidence = replace(evidence, answer=answer, filled=filled, troubles=(*evidence.troubles, *more))
        await bench.keep("answered", _EVIDENCE.dump_json(evidence))
        return evidence

    async def _written(
        self, job: Job, bench: Bench, folders: Sequence[Path], evidence: Evidence, warnings: tuple[str, ...] = ()
    ) -> Report:
        around = Circumstances(
            question=job.request.question,
            started_at=job.started_at or bench.clock.wall(),
            finished_at=bench.clock.wall(),
            shown=partial(shown, folders),
            warnings=(*warnings, *_caveats(job.request, evidence)),
        )
        return await threaded(partial(report, evidence, around), Event())

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

    async def _evidence(self, folders: Sequence[Path], questions: Sequence[Part], look: Look, bench: Bench) -> Evidence:
        """Read and find; a damaged index is thrown away once, since it is only a cache."""
        place = location(self._home, folders)
        try:
            return await self._gather(place, folders, questions, look, bench)
        except sqlite3.Error as error:
            if not damaged(error):
                raise
        await threaded(partial(discard, place), Event())
        return await self._gather(place, folders, questions, look, bench)

    async def _gather(
        self, place: Path, folders: Sequence[Path], questions: Sequence[Part], look: Look, bench: Bench
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


@contextmanager
def _told(home: Path) -> Generator[None]:
    """Turns what a disk or a database can refuse into what the reader can do about it."""
    try:
        yield
    except sqlite3.Error as error:
        raise _refusal(error, home) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(str(home)) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ReadOnly(str(home)) from error
        raise


def _refusal(error: sqlite3.Error, home: Path) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StorageFull(str(home))
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return ReadOnly(str(home))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return EngineFailed(
            "another process is writing the index of these folders and did not finish in time. Try again shortly.",
            code="index_busy",
            retryable=True,
        )
    return EngineFailed(f"the index of these folders could not be used ({error}). Try again.", code="index_failed")


def _caveats(request: Request, evidence: Evidence) -> tuple[str, ...]:
    """What of the request has no effect here, each with the reason."""
    ignored = [name for name in _NO_EFFECT if getattr(request, name) and not evidence.web]
    lines = [f"{', '.join(ignored)}: no effect, since local reads files and not the web"] if ignored else []
    if evidence.filled is not None:
        return (*lines, *(f"data{place}: left empty, since no evidence shows it" for place in evidence.filled.dropped))
    unfilled = [name for name in ("output_schema", "records") if getattr(request, name)]
    lines += [f"{name}: data is null, since local quotes and {_unfilled(evidence)}" for name in unfilled]
    return tuple(lines)


def _unfilled(evidence: Evidence) -> str:
    return "its model fills no rows" if evidence.answer else "has no model to fill a schema with"
