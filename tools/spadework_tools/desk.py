"""The port the tools talk to: what a research desk promises to one caller."""

from __future__ import annotations

from typing import Protocol

from spadework_tools.models import Cancelled, Page, Request, Standings, Ticket, View


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
