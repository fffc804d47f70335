"""How a person's command comes to the jobs: at the desk process that serves the agents, or without one, in its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import anyio

from spadework.delivery import Delivery, Endpoint
from spadework.door import Forbidden
from spadework.environ import PREFIX, carried, workfolder
from spadework.hello import Hello
from spadework.job import Job
from spadework.join import Failed, joined
from spadework.remote import RemoteDesk
from spadework.screen import Screen
from spadework.settings import Settings
from spadework_tools.errors import Trouble
from spadework_tools.models import Cancelled, Page, Report, Request, Standings, Ticket, View

T = TypeVar("T")

#: How long a command without a desk may take to tell of the jobs that it has ended, seconds; the next one goes on.
FAREWELL_S = 10.0


class Jobs(Protocol):
    """What a command may do with the jobs, wherever they are kept; see `Desk`."""

    async def start(self, request: Request) -> Ticket:
        """Accept a request durably."""
        ...

    async def check(
        self, job_ids: Sequence[str] = (), *, wait_s: float = 0, since: str | None = None, cursor: str | None = None
    ) -> Standings:
        """Where jobs stand."""
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
        """One page of a report."""
        ...

    async def cancel(self, job_id: str) -> Cancelled:
        """Ask for a job to end."""
        ...

    async def report(self, job_id: str) -> tuple[Job, Report]:
        """A job and its whole report."""
        ...

    async def snapshot(self, job_id: str, sha256: str) -> str | None:
        """A kept source text."""
        ...

    async def webhooks(self) -> tuple[list[Endpoint], list[Delivery]]:
        """The webhook endpoints, and the newest deliveries."""
        ...

    async def redeliver(self, name: str) -> list[Delivery]:
        """Send webhooks again."""
        ...

    async def rotate(self, url: str, secret: str) -> Endpoint:
        """Change a webhook endpoint's secret."""
        ...


def visit(
    act: Callable[[Jobs], Awaitable[T]], *, no_desk: bool = False, run: bool = False, roots: Sequence[Path] = ()
) -> T:
    """Do one thing with the jobs; `roots` may be read besides those of the settings.

    `run` says that it needs somebody to work on them, which a desk does anyway. Raises Trouble.
    """
    settings = Settings.load()
    settings = settings.model_copy(update={"roots": (*settings.roots, *roots)}) if roots else settings
    if not no_desk:
        try:
            return _at_desk(act, settings, roots)
        except Forbidden as error:
            Screen().note(f"spadework: {error}; going on without a desk")
    return _in_house(act, settings, run=run)


def _at_desk(act: Callable[[Jobs], Awaitable[T]], settings: Settings, roots: Sequence[Path]) -> T:
    environ = carried()
    if roots:
        environ[f"{PREFIX}ROOTS"] = os.pathsep.join(map(str, settings.roots))
    hello = Hello("desk", workfolder(), environ, os.getpid())
    notes: list[str] = []

    def reach() -> socket.socket:
        try:
            line, welcome = joined(str(settings.home), hello)
        except Failed as error:
            raise _named(str(error)) from None
        notes.extend(welcome.notes)
        return line

    desk = RemoteDesk(reach)
    for note in notes:
        Screen().note(f"spadework: {note}")
    try:
        return anyio.run(partial(_acted, act, desk))
    finally:
        desk.close()


def _named(text: str) -> Trouble:
    """A desk's refusal as the trouble that it was: it comes as `code: message`."""
    code, parted, message = text.partition(": ")
    if not parted or not code.isidentifier():
        return Trouble(text)
    trouble = Trouble(message)
    trouble.code = code
    return trouble


async def _acted(act: Callable[[Jobs], Awaitable[T]], desk: Any) -> T:
    return await act(desk)


def _in_house(act: Callable[[Jobs], Awaitable[T]], settings: Settings, *, run: bool) -> T:
    """Open the house, do one thing in it, with a runner at work if asked, and close it."""
    # The MCP SDK takes a second to import; `--help` and usage errors need not wait for it.
    from spadework.app import opened

    results: list[T] = []

    async def inside() -> None:
        async with opened(settings) as house, anyio.create_task_group() as group:
            if run:
                group.start_soon(house.runner.run)
            results.append(await act(house.desk()))
            if run:
                with anyio.move_on_after(FAREWELL_S):
                    await house.courier.round()
            group.cancel_scope.cancel()

    anyio.run(inside)
    return results[0]
