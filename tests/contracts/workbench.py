"""A bench on which one vendor's engine works against its stand-in: real sockets, real money book, a clock by hand.

Checkpoints are held in a dict that outlives engines and benches, as the registry outlives processes. A fuse kills the
work before or after a chosen checkpoint or request, as `kill -9` would; what runs next is a new engine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from tests.contracts.clock import HandClock
from tests.standins.cloro import Cloro
from tests.standins.parallel import Parallel
from tests.standins.perplexity import Perplexity
from tests.standins.standin import KEY, Standin

from spadework.egress import Call, Egress, Reply
from spadework.engines import Engine, Later
from spadework.job import Job, fingerprint, new_id
from spadework.ledger import FileLedger, Ledger, Purchase
from spadework_tools.errors import EngineFailed, MissingKey
from spadework_tools.models import Report, Request

Side = Literal["before", "after"]


class Killed(BaseException):
    """The process died here."""


@dataclass
class Fuse:
    """Kills at the `at`-th checkpoint or request (from 0), on the given side of it; counts them in any case."""

    what: Literal["keep", "request"]
    side: Side = "before"
    at: int = -1
    seen: int = 0

    def burn(self, side: Side) -> None:
        """One side of one point was reached."""
        if side == self.side and self.seen == self.at:
            self.at = -1
            raise Killed
        if side == "after":
            self.seen += 1


class Door(Egress):
    """The real way out, with a fuse in it."""

    fuse: Fuse | None = None

    async def request(self, call: Call) -> Reply:
        if self.fuse is None:
            return await super().request(call)
        self.fuse.burn("before")
        reply = await super().request(call)
        self.fuse.burn("after")
        return reply


@dataclass
class Workbench:
    """Everything an engine may touch (the Bench protocol), for one job."""

    clock: HandClock
    http: Egress
    ledger: Ledger
    base: dict[str, str]
    keys: dict[str, str]
    before: Report | None = None
    hooks: dict[str, str] = field(default_factory=dict[str, str])
    kept: dict[str, bytes] = field(default_factory=dict[str, bytes])
    notes: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    sources: int = 0
    fuse: Fuse | None = None

    async def progress(
        self, phase: str, done: int = 0, total: int | None = None, *, sources: int | None = None, note: str = ""
    ) -> None:
        self.notes.append((phase, note))
        self.sources = max(self.sources, sources or 0)

    async def recall(self, step: str) -> bytes | None:
        return self.kept.get(step)

    async def keep(self, step: str, value: bytes, *, durable: bool = False) -> None:
        if self.fuse is not None:
            self.fuse.burn("before")
        self.kept.setdefault(step, bytes(value))
        if self.fuse is not None:
            self.fuse.burn("after")

    def key(self, name: str) -> str:
        if name not in self.keys:
            raise MissingKey(f"{name} needs a key and none is set. Set it, then retry.")
        return self.keys[name]

    def setting(self, name: str) -> str | None:
        return self.base.get(name)

    def hook(self, vendor: str) -> str | None:
        return self.hooks.get(vendor)

    async def earlier(self) -> Report | None:
        return self.before

    async def snapshot(self, text: str) -> str:
        raise AssertionError("a vendor's engine keeps no snapshots")


@dataclass(frozen=True)
class House:
    """One vendor: its stand-in, its engine, and the stand-in's words for buying and for asking how a run is."""

    name: str
    standin: Callable[..., Standin]
    buys: str
    tier: str
    group: bool = False

    def engine(self, **options: Any) -> Engine:
        """A new engine, as a new process would make it."""
        module = import_module(f"spadework.engines.{self.name}")
        return getattr(module, self.name.capitalize())(**options)


HOUSES = {
    "perplexity": House("perplexity", Perplexity, "submit", "medium"),
    "parallel": House("parallel", Parallel, "add", "core", group=True),
    "cloro": House("cloro", Cloro, "submit", "perplexity"),
}


@dataclass
class Shop:
    """One vendor's stand-in, open, and the desk that buys there."""

    house: House
    standin: Standin
    url: str
    clock: HandClock
    door: Door
    money: FileLedger
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    def job(self, question: str = "How large is the market for heat pumps?", **fields: Any) -> Job:
        """A new job; `tier` and whatever the request takes may be given."""
        tier = fields.pop("tier", self.house.tier)
        request = Request(question=question, engine=f"{self.house.name}:{tier}", **fields)
        now = self.clock.wall()
        job = Job(
            id=new_id(now),
            owner="ann",
            request=request,
            fingerprint=fingerprint(request),
            engine=self.house.name,
            tier=tier,
            created_at=now,
        )
        return job.evolve(started_at=now)

    def bench(self, **options: Any) -> Workbench:
        """A bench of a job that has done nothing yet."""
        base = {f"SPADEWORK_{self.house.name.upper()}_BASE_URL": self.url}
        return Workbench(self.clock, self.door, self.money, base, {self.house.name: KEY}, **options)

    async def step(self, job: Job, bench: Workbench) -> Report | Later:
        """One turn of work by a new engine; a wait lets the clock pass."""
        got = await self.house.engine(**self.options).work(job, bench)
        if isinstance(got, Later):
            assert 0 <= got.after_s < 10 * 86_400
            self.clock.pass_s(got.after_s)
        return got

    async def drive(self, job: Job, bench: Workbench, most: int = 400) -> Report:
        """Work until there is a report, with a new engine (a restart) at every turn. Raises what the engine raises."""
        for _ in range(most):
            got = await self.step(job, bench)
            if isinstance(got, Report):
                return got
        raise AssertionError(f"still nothing after {most} turns; the last: {bench.notes[-3:]}")

    async def endure(self, job: Job, bench: Workbench, most: int = 400) -> Report | EngineFailed:
        """Work to the end by one engine that remembers, whatever the end is."""
        engine = self.house.engine(**self.options)
        for _ in range(most):
            try:
                got = await engine.work(job, bench)
            except EngineFailed as failure:
                return failure
            if isinstance(got, Report):
                return got
            self.clock.pass_s(got.after_s)
        raise AssertionError(f"still nothing after {most} turns; the last: {bench.notes[-3:]}")

    async def bought(self, job: Job, bench: Workbench) -> None:
        """Work until the vendor's id is kept."""
        for _ in range(10):
            if "upstream" in bench.kept:
                return
            await self.step(job, bench)
        raise AssertionError("nothing was bought")

    async def booked(self, job: Job) -> Purchase:
        """What the money book says of a job, looked up on the days since the tests' epoch."""
        for ago in range(12):
            day = _day(self.clock.wall() - ago * 86_400)
            for purchase in await self.money.purchases(day):
                if purchase.job_id == job.id:
                    return purchase
        raise AssertionError("the money book does not know this job")


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


@asynccontextmanager
async def opened(house: House, folder: Path, clock: HandClock, **options: Any) -> AsyncIterator[Shop]:
    """One vendor's shop while the block runs; `options` are the stand-in's."""
    standin = house.standin(clock=clock.wall, **options)
    if isinstance(standin, Parallel):
        standin.patience_s = 0.0
    door = Door()
    try:
        async with standin.serve() as url:
            yield Shop(house, standin, url, clock, door, FileLedger(folder / "ledger.jsonl", clock))
    finally:
        await door.aclose()
