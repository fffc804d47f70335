"""Looking things up in an index from the event loop: in worker threads, with embeddings where there are any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Event
from typing import Protocol, TypeVar

import anyio.to_thread

from spadework.clock import Clock
from spadework.engines.local.index import Index, Passage
from spadework.engines.local.model.dense import Dense
from spadework.engines.local.plan import Part
from spadework.engines.local.retrieve import candidates
from spadework.engines.local.select import Finding, find
from spadework_tools.errors import Trouble
from spadework_tools.models import Effort

T = TypeVar("T")


class Notes(Protocol):
    """Where looking things up writes down what it did: a job's bench, or a part of one."""

    @property
    def clock(self) -> Clock:
        """See `Bench`."""
        ...

    async def progress(
        self, phase: str, done: int = 0, total: int | None = None, *, sources: int | None = None, note: str = ""
    ) -> None:
        """See `Bench`."""
        ...

    async def recall(self, step: str) -> bytes | None:
        """See `Bench`."""
        ...

    async def keep(self, step: str, value: bytes, *, durable: bool = False) -> None:
        """See `Bench`."""
        ...

    async def snapshot(self, text: str) -> str:
        """See `Bench`."""
        ...


class Look:
    """How one job looks things up. `troubles` says why embeddings were not used, where they should have been."""

    def __init__(self, effort: Effort, dense: Dense | None = None) -> None:
        self._effort: Effort = effort
        self._dense = dense
        self.troubles: tuple[str, ...] = ()

    async def find(self, place: Path, question: Part) -> tuple[Finding, tuple[str, ...]]:
        """The finding for one question, and the texts it quotes."""
        likeness = await self._likeness(place, question)
        return await threaded(partial(_found, place, question, self._effort, likeness), Event())

    async def all(
        self, place: Path, questions: Sequence[Part], bench: Notes, sources: int, *, keep: bool = True
    ) -> tuple[Finding, ...]:
        """What was found for each question; `keep`: its sources are kept as snapshots."""
        findings: list[Finding] = []
        for number, question in enumerate(questions):
            await bench.progress("retrieving", number, len(questions), sources=sources)
            finding, texts = await self.find(place, question)
            for text in texts if keep else ():
                await bench.snapshot(text)
            findings.append(finding)
        return tuple(findings)

    async def _likeness(self, place: Path, question: Part) -> Mapping[int, float] | None:
        if self._dense is None:
            return None
        passages = await threaded(partial(_candidates, place, question), Event())
        if not passages:
            return None
        try:
            return await self._dense.likeness(question.query, passages)
        except Trouble as trouble:
            # Retrieval is sound without; one failure is enough to say so, and not to wait for the next.
            self._dense = None
            self.troubles = (f"embeddings were not used: {trouble.message}",)
            return None


def _candidates(place: Path, question: Part) -> tuple[Passage, ...]:
    with Index(place) as index:
        return candidates(index, question.query)


def _found(
    place: Path, question: Part, effort: Effort, likeness: Mapping[int, float] | None
) -> tuple[Finding, tuple[str, ...]]:
    with Index(place) as index:
        finding = find(index, question, effort, likeness)
        return finding, tuple(index.texts({quote.path for quote in finding.quotes}))


async def threaded(call: Callable[[], T], stop: Event) -> T:
    """Run a blocking call in a thread; when the job is cancelled, leave it behind and tell it to stop."""
    try:
        return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
    except BaseException:
        stop.set()
        raise
