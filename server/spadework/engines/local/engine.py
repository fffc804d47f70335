"""The `local` engine: research over the user's own files, or the web, with no key, no server and no model.

Here is who may ask it for what; what it then does is told in `research.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio.to_thread

from spadework.engines import Bench, Estimate, Later, Partial
from spadework.engines.facts import Facts
from spadework.engines.local.folders import Roots, glance
from spadework.engines.local.web.reach import Reach
from spadework.job import Job
from spadework_tools.errors import BadFolder, BadRequest, EngineFailed, Unclear, UnknownEngine
from spadework_tools.models import Effort, Report, Request

if TYPE_CHECKING:
    from spadework.engines.local.research import Research
    from spadework.engines.local.web.online import Online

T = TypeVar("T")

#: How many files are counted before a job starts, and how many a second are read on a slow machine.
_GLANCE, _FILES_A_SECOND = 2_000, 100
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
        self._online = online
        self._made: Research | None = None

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
        folders = await _aside(partial(self._folders, request))
        files = await _aside(partial(glance, folders, _GLANCE))
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
        return await (await self._research()).work(job, bench)

    async def stop(self, job: Job, bench: Bench) -> Report | Partial | str:
        """What can be quoted of what was read so far, if found within seconds; nothing goes on elsewhere."""
        return await (await self._research()).stop(job, bench)

    async def _research(self) -> Research:
        if self._made is None:
            kind, online = await _aside(_loaded)
            self._made = self._made or kind(self._home, self._standing, self._online or online(self._home))
        return self._made

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
            return await _aside(partial(look, request))
        except BadRequest as trouble:
            raise EngineFailed(trouble.message, code=trouble.code) from None


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


async def _aside(call: Callable[[], T]) -> T:
    """What a call returns that looks at the disk; one that hangs is left behind when the job is cancelled."""
    return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)


def _loaded() -> tuple[type[Research], type[Online]]:
    """Index, model and web; a desk that is just starting works on nothing yet, and would wait for them."""
    from spadework.engines.local.research import Research
    from spadework.engines.local.web.online import Online

    return Research, Online
