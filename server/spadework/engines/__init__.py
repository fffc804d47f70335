"""Engines do the research. One engine is one story, read from top to bottom: `work`.

If nothing was submitted, submit; look; if there is nothing yet, return `Later`; else collect and return a Report.
A killed job runs `work` again, and the checkpoints in `bench` make it skip what is done and paid for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from spadework.clock import Clock
from spadework.egress import Egress
from spadework.engines.facts import Facts
from spadework.job import Job
from spadework.ledger import Ledger
from spadework_tools.models import Ask, Report, Request


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing yet: look again in `after_s` seconds. The job waits without holding a task."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Partial:
    """What was found before a job was ended, and what goes on elsewhere and may be billed, in words."""

    report: Report
    note: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a request will take, before it starts: seconds and the worst case in dollars (0: free).

    `request` is the request as settled for this engine (folders made absolute), where that differs; `deadline_s` how
    long it may take in all before it is given up, where the desk's own limits do not fit.
    """

    eta_s: int | None = None
    cost_usd: float | None = None
    request: Request | None = None
    deadline_s: float | None = None


class Unanswered(Exception):
    """Work cannot go on before the caller has answered; the job waits, holding no task, and `work` runs again then."""

    def __init__(self, asks: Sequence[Ask]) -> None:
        super().__init__("; ".join(ask.question for ask in asks))
        self.asks = tuple(asks)


class Bench(Protocol):
    """Everything an engine may touch while it works on one job."""

    @property
    def clock(self) -> Clock:
        """The injected clock."""
        ...

    async def progress(
        self, phase: str, done: int = 0, total: int | None = None, *, sources: int | None = None, note: str = ""
    ) -> None:
        """Say where the work is: a phase in words, and how many of how many. Cheap: it is coalesced."""
        ...

    async def recall(self, step: str) -> bytes | None:
        """What `keep` stored for this job under `step`, in this or any earlier process."""
        ...

    async def keep(self, step: str, value: bytes, *, durable: bool = False) -> None:
        """Store a checkpoint before the next step is taken; `durable` syncs it to disk, which money needs.

        Raises Fenced when the job is no longer ours; a value stays as it was first kept.
        """
        ...

    @property
    def http(self) -> Egress:
        """The guarded HTTP client, the only way out."""
        ...

    @property
    def ledger(self) -> Ledger:
        """Where money is reserved before a byte leaves, and booked when it is known."""
        ...

    def key(self, name: str) -> str:
        """A vendor's key (`perplexity`), a secret: never logged, kept or shown.

        Raises MissingKey, which names the variables that may hold it.
        """
        ...

    def setting(self, name: str) -> str | None:
        """A setting by its variable's name (`SPADEWORK_PERPLEXITY_BASE_URL`), or None where it is not set."""
        ...

    def hook(self, vendor: str) -> str | None:
        """The URL to which a vendor may tell that a run of this job has ended, a hint; None where nobody would hear."""
        ...

    async def earlier(self) -> Report | None:
        """The report of the job that this one follows up, or None where there is none (any more)."""
        ...

    def ask(self, *asks: Ask) -> tuple[str, ...]:
        """What the caller has answered to these questions, "" where it declined; each key is used for one question.

        Raises Unanswered as long as an answer is missing, which an engine lets pass.
        """
        ...

    async def snapshot(self, text: str) -> str:
        """Keep a source's text for later checks; returns its sha256 (hex, of the UTF-8)."""
        ...


class Engine(Protocol):
    """Who does the research."""

    @property
    def name(self) -> str:
        """The word an agent uses for it."""
        ...

    @property
    def facts(self) -> Facts:
        """What it can, costs and needs."""
        ...

    async def admit(self, request: Request, tier: str | None) -> Estimate:
        """Judge a request before anything is stored or spent.

        Raises BadRequest (or a kind of it) when it cannot work, with what to change.
        """
        ...

    async def work(self, job: Job, bench: Bench) -> Report | Later:
        """Do the research, or as much as can be done now. Raises EngineFailed when there is no way on."""
        ...

    async def stop(self, job: Job, bench: Bench) -> Report | Partial | str:
        """End a job whose caller asked for it or whose time is up, after `work` has been left.

        Returns the report where the work was done all the same (a cancel that raced with completion); what was found
        so far, if it is worth reading; else what goes on elsewhere and may be billed, in words ("" for nothing).
        """
        ...
