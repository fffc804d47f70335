"""A desk's house for the tests: the real store, runner and engines, over a clock that follows the event loop's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import trio

from spadework.bench import Kit
from spadework.egress import Egress
from spadework.engines import Engine
from spadework.engines.scripted import Scripted
from spadework.job import Job, fingerprint, new_id
from spadework.ledger import FileLedger
from spadework.registry.disk import DiskStore
from spadework.runner import Runner
from spadework.settings import Settings
from spadework_tools.models import Request, Status


class LoopClock:
    """Both clocks follow trio's, which a test may have made virtual; `jump` moves the wall alone. For any thread."""

    boot_id = "test-boot"

    def __init__(self) -> None:
        self.jump = 0.0
        self._loop = trio.lowlevel.current_clock()

    def wall(self) -> float:
        return 1_800_000_000 + self.jump + self._loop.current_time()

    def boot(self) -> float:
        return 1_000 + self._loop.current_time()


@dataclass(frozen=True)
class Rig:
    """A store and its kit, and jobs to put into it."""

    kit: Kit
    clock: LoopClock

    @property
    def store(self) -> DiskStore:
        store = self.kit.store
        assert isinstance(store, DiskStore)
        return store

    def runner(self, engines: Mapping[str, Engine] | None = None, **limits: float) -> Runner:
        return Runner(self.kit, engines or {"scripted": Scripted()}, **limits)

    async def add(self, script: str, *, engine: str = "scripted", deadline_s: float | None = None) -> Job:
        request = Request(question=f"What is new? [script: {script}]", engine=engine)
        wall = self.clock.wall()
        job = Job(
            id=new_id(wall), owner="local", request=request, fingerprint=fingerprint(request), engine=engine,
            created_at=wall, deadline_s=deadline_s,
        )  # fmt: skip
        return (await self.store.submit(job))[0]

    async def ended(self, job: Job, within_s: float = 3_600) -> Job:
        """The job once it has ended."""
        with anyio.fail_after(within_s):
            version = 0
            while not (job := await self.store.get(job.id)).status.terminal:
                version = await self.store.changed(version, 60, look_s=60)
        return job

    async def until(self, job: Job, status: Status, phase: str = "") -> Job:
        """The job once it has a status and its phase begins so."""
        with anyio.fail_after(3_600):
            version = 0
            while True:
                job = await self.store.get(job.id)
                if job.status is status and job.phase.startswith(phase):
                    return job
                version = await self.store.changed(version, 60, look_s=60)


@asynccontextmanager
async def rig(home: Path) -> AsyncGenerator[Rig]:
    """A rig over a home, closed at the end."""
    clock = LoopClock()
    async with await DiskStore.open(home, clock) as store:
        settings = Settings(home=home)
        http = Egress()
        yield Rig(Kit(store, clock, http, FileLedger(home / "ledger.jsonl", clock), settings), clock)
        await http.aclose()
