"""The `local` engine: research over the user's own files, with no key, no server and no model.

Its story: cut the question into parts, take what is new in the folders into the index, find quotes for each part,
keep their sources as snapshots, write. What was planned and what was found are checkpoints; files that were read stay
in the index, so a killed job reads none of them twice, and the next question over the same folders reads nothing.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import TypeVar

import anyio
import anyio.to_thread
from pydantic import TypeAdapter

from spadework.engines import Bench, Estimate, Later, Partial
from spadework.engines.facts import Facts
from spadework.engines.local.database import damaged, discard, location
from spadework.engines.local.folders import Roots
from spadework.engines.local.index import Index
from spadework.engines.local.intake import Reading, Survey, glance, settle, shown, survey, take
from spadework.engines.local.plan import Part, parts
from spadework.engines.local.select import Finding, find
from spadework.engines.local.write import Circumstances, Evidence, report
from spadework.job import Job
from spadework_tools.errors import BadFolder, BadRequest, EngineFailed, ReadOnly, StorageFull, UnknownEngine
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
_NO_EFFECT = ("include_domains", "exclude_domains", "published_after", "published_before")


class Local:
    """Searches folders and answers with verbatim quotes.

    `index_home` is where the indexes live, `roots` the folders that may be read, `base` what relative folders are
    relative to.
    """

    facts = Facts(
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

    def __init__(self, index_home: Path, roots: tuple[Path, ...], base: Path) -> None:
        self._home, self._roots, self._base = index_home, Roots(roots), base

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
        folders = await _threaded(partial(self._folders, request), Event())
        files = await _threaded(partial(glance, folders, _GLANCE), Event())
        if files is None:
            names = ", ".join(str(folder) for folder in folders[:5])
            raise BadFolder(f"there are no files to read in {names}. Name a folder that holds documents.")
        # Settled now: the folders a job reads do not hang on where some later process happens to run.
        settled = request.model_copy(update={"folders": tuple(str(folder) for folder in folders)})
        return Estimate(eta_s=1 + files // _FILES_A_SECOND, cost_usd=0.0, request=settled)

    async def work(self, job: Job, bench: Bench) -> Report | Later:
        """Answer the question from the files.

        Raises EngineFailed when a folder is gone meanwhile or another process holds the index, StorageFull, ReadOnly.
        """
        kept = await bench.recall("evidence")
        folders = await self._standing(job.request)
        if kept is None:
            questions = await self._planned(job, bench)
            evidence = await self._evidence(folders, questions, job.request.effort, bench)
            await bench.keep("evidence", _EVIDENCE.dump_json(evidence))
        else:
            evidence = _EVIDENCE.validate_json(kept)
        await bench.progress("writing", 1, 1, sources=evidence.reading.files)
        return await self._written(job, bench, folders, evidence)

    async def stop(self, job: Job, bench: Bench) -> Report | Partial | str:
        """What can be quoted of the files read so far, if found within seconds; nothing goes on elsewhere."""
        with anyio.move_on_after(_LAST_LOOK_S):
            folders = await self._standing(job.request)
            place = location(self._home, folders)
            if not place.exists():
                return ""
            known: Survey = await _threaded(partial(survey, folders, Event()), Event())
            reading = await _threaded(partial(settle, place, folders, known, 0), Event())
            findings = await _searched(place, parts(job.request.question), job.request.effort, bench, reading)
            if any(finding.quotes for finding in findings):
                ended = f"the job was ended after {reading.files} of {len(known.found)} files; this is what they hold"
                return Partial(await self._written(job, bench, folders, Evidence(findings, reading), (ended,)))
        return ""

    async def _written(
        self, job: Job, bench: Bench, folders: Sequence[Path], evidence: Evidence, warnings: tuple[str, ...] = ()
    ) -> Report:
        around = Circumstances(
            question=job.request.question,
            started_at=job.started_at or bench.clock.wall(),
            finished_at=bench.clock.wall(),
            shown=partial(shown, folders),
            warnings=(*warnings, *_caveats(job.request)),
        )
        return await _threaded(partial(report, evidence, around), Event())

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
        raise BadRequest("local has nothing to read: no folders were passed. Pass folders, or set SPADEWORK_ROOTS.")

    async def _standing(self, request: Request) -> tuple[Path, ...]:
        """The folders as they were admitted, which another process with other roots may have done."""
        try:
            look = _admitted if _settled(request) else self._folders
            return await _threaded(partial(look, request), Event())
        except BadRequest as trouble:
            raise EngineFailed(trouble.message, code=trouble.code) from None

    async def _planned(self, job: Job, bench: Bench) -> tuple[Part, ...]:
        kept = await bench.recall("plan")
        if kept is not None:
            return _PLAN.validate_json(kept)
        await bench.progress("planning")
        planned = parts(job.request.question)
        await bench.keep("plan", _PLAN.dump_json(planned))
        return planned

    async def _evidence(
        self, folders: Sequence[Path], questions: Sequence[Part], effort: Effort, bench: Bench
    ) -> Evidence:
        """Read and find; a damaged index is thrown away once, since it is only a cache."""
        place = location(self._home, folders)
        with _told(self._home):
            try:
                return await self._gather(place, folders, questions, effort, bench)
            except sqlite3.Error as error:
                if not damaged(error):
                    raise
            await _threaded(partial(discard, place), Event())
            return await self._gather(place, folders, questions, effort, bench)

    async def _gather(
        self, place: Path, folders: Sequence[Path], questions: Sequence[Part], effort: Effort, bench: Bench
    ) -> Evidence:
        reading = await _read(place, folders, bench)
        return Evidence(await _searched(place, questions, effort, bench, reading), reading)


async def _searched(
    place: Path, questions: Sequence[Part], effort: Effort, bench: Bench, reading: Reading
) -> tuple[Finding, ...]:
    """What was found for each question, its sources kept as snapshots."""
    findings: list[Finding] = []
    for number, question in enumerate(questions):
        await bench.progress("retrieving", number, len(questions), sources=reading.files)
        finding, texts = await _threaded(partial(_found, place, question, effort), Event())
        for text in texts:
            await bench.snapshot(text)
        findings.append(finding)
    return tuple(findings)


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
    known: Survey = await _threaded(partial(survey, folders, stop), stop)
    total, done, taken = len(known.found), 0, 0
    while done < total:
        await bench.progress("reading", done, total, sources=done)
        through, read = await _threaded(partial(take, place, known.found[done:], stop, _STRETCH_S), stop)
        done, taken = done + through, taken + read
    await bench.progress("reading", total, total, sources=total)
    return await _threaded(partial(settle, place, folders, known, taken), stop)


def _found(place: Path, question: Part, effort: Effort) -> tuple[Finding, tuple[str, ...]]:
    """The finding for one question, and the texts it quotes."""
    with Index(place) as index:
        finding = find(index, question, effort)
        return finding, tuple(index.texts({quote.path for quote in finding.quotes}))


async def _threaded(call: Callable[[], T], stop: Event) -> T:
    """Run a blocking call in a thread; when the job is cancelled, leave it behind and tell it to stop."""
    try:
        return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
    except BaseException:
        stop.set()
        raise


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


def _caveats(request: Request) -> tuple[str, ...]:
    """What of the request has no effect here, each with the reason."""
    ignored = [name for name in _NO_EFFECT if getattr(request, name)]
    lines = [f"{', '.join(ignored)}: no effect, since local reads files and not the web"] if ignored else []
    unfilled = [name for name in ("output_schema", "records") if getattr(request, name)]
    lines += [f"{name}: data is null, since local quotes and has no model to fill a schema with" for name in unfilled]
    return tuple(lines)
