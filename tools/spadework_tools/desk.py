"""The port the tools talk to: what a research desk promises to one caller."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol, Self

from spadework_tools.models import Cancelled, Document, Life, Page, Part, Request, Standings, Ticket, View


class Desk(Protocol):
    """A research desk as one caller sees it: every job it shows or touches is that caller's own.

    Every method raises a `Trouble` for what can be foreseen.
    """

    async def start(self, request: Request) -> Ticket:
        """Accept a request durably, or hand back the job that it repeats."""
        ...

    async def check(
        self, job_ids: tuple[str, ...] = (), *, wait_s: float = 0, since: str | None = None, cursor: str | None = None
    ) -> Standings:
        """Where the named jobs stand, or the caller's recent ones; waits up to `wait_s` seconds for a change."""
        ...

    async def collect(
        self,
        job_id: str,
        view: View = "brief",
        *,
        section: str | None = None,
        query: str | None = None,
        cursor: str | None = None,
        max_chars: int = 12_000,
    ) -> Page:
        """One page of one view of a report."""
        ...

    async def cancel(self, job_id: str) -> Cancelled:
        """Ask for the job to end; an ended job stays as it is."""
        ...

    async def look(self, job_id: str) -> Life:
        """One job, its times and what it asks."""
        ...

    def follow(self, job_ids: Sequence[str]) -> AsyncGenerator[Life]:
        """Each of these jobs as it stands, and again whenever it has changed, until this desk closes."""
        ...

    async def answer(self, job_id: str, answers: Mapping[str, str]) -> None:
        """Tell a job what it asked, by the questions' keys; what it does not ask (any more) is passed over."""
        ...

    async def document(self, job_id: str, part: Part, sha256: str = "") -> Document:
        """A part of a job; of its sources the one whose snapshot has this hash."""
        ...

    async def sources(self, job_id: str) -> tuple[str, ...]:
        """The hashes of a report's kept source texts."""
        ...

    def beside(self, folder: str) -> Self:
        """The same desk once the person at the client has said that this is the folder they work in."""
        ...
