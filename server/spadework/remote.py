"""A desk in another process, for a person's command: the same jobs as the agents', and no registry opened twice.

One JSON object a line each way: `{"do": NAME, "with": {…}}`, and `{"ok": …}` or `{"trouble": {…}}`, which
`counter.py` answers.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import anyio.to_thread
from pydantic import TypeAdapter

from spadework.delivery import Delivery, Endpoint
from spadework.job import Job
from spadework_tools.errors import BadRequest, MissingKey, Trouble
from spadework_tools.models import Cancelled, Page, Report, Request, Standings, Ticket, View

#: A question that ends the desk this often is not asked again.
TRIES = 3

_VERDICT = TypeAdapter(tuple[Job, Report])
DELIVERIES, ENDPOINT = TypeAdapter(list[Delivery]), TypeAdapter(Endpoint)
WEBHOOKS = TypeAdapter(tuple[list[Endpoint], list[Delivery]])


class RemoteDesk:
    """A desk in another process, as `Desk` is in this one.

    Given how to connect to it (which may start one); it is connected to again when it went away meanwhile.
    """

    def __init__(self, reach: Callable[[], socket.socket]) -> None:
        self._reach = reach
        self._line = reach()
        self._replies = self._line.makefile("rb")

    def close(self) -> None:
        """Hang up."""
        self._replies.close()
        self._line.close()

    async def start(self, request: Request) -> Ticket:
        """See `Desk.start`."""
        return Ticket.model_validate(await self._ask("start", request=request.model_dump(mode="json")))

    async def check(
        self, job_ids: Sequence[str] = (), *, wait_s: float = 0, since: str | None = None, cursor: str | None = None
    ) -> Standings:
        """See `Desk.check`."""
        given = {"job_ids": list(job_ids), "wait_s": wait_s, "since": since, "cursor": cursor}
        return Standings.model_validate(await self._ask("check", **given))

    async def collect(self, job_id: str, view: View = "brief", **which: Any) -> Page:
        """See `Desk.collect`."""
        return Page.model_validate(await self._ask("collect", job_id=job_id, view=view, **which))

    async def cancel(self, job_id: str) -> Cancelled:
        """See `Desk.cancel`."""
        return Cancelled.model_validate(await self._ask("cancel", job_id=job_id))

    async def report(self, job_id: str) -> tuple[Job, Report]:
        """See `Desk.report`."""
        return _VERDICT.validate_python(await self._ask("report", job_id=job_id), strict=False)

    async def snapshot(self, job_id: str, sha256: str) -> str | None:
        """See `Desk.snapshot`."""
        return await self._ask("snapshot", job_id=job_id, sha256=sha256)

    async def webhooks(self) -> tuple[list[Endpoint], list[Delivery]]:
        """See `Desk.webhooks`."""
        return WEBHOOKS.validate_python(await self._ask("webhooks"))

    async def redeliver(self, name: str) -> list[Delivery]:
        """See `Desk.redeliver`."""
        return DELIVERIES.validate_python(await self._ask("redeliver", name=name))

    async def rotate(self, url: str, secret: str) -> Endpoint:
        """See `Desk.rotate`."""
        return ENDPOINT.validate_python(await self._ask("rotate", url=url, secret=secret))

    async def _ask(self, do: str, **given: Any) -> Any:
        line = json.dumps({"do": do, "with": given}).encode() + b"\n"
        reply = await anyio.to_thread.run_sync(partial(self._told, line), abandon_on_cancel=True)
        if "ok" in reply:
            return reply["ok"]
        told = reply["trouble"]
        kinds: dict[str, type[Trouble]] = {"MissingKey": MissingKey, "BadRequest": BadRequest}
        trouble = kinds.get(told["kind"], Trouble)(told["message"])
        trouble.code = told["code"]
        raise trouble

    def _told(self, line: bytes) -> dict[str, Any]:
        """The desk's answer. Every question may be asked twice: a start carries the key that makes it one."""
        for _ in range(TRIES):
            try:
                self._line.sendall(line)
                reply = self._replies.readline()
            except OSError:
                reply = b""
            if reply.endswith(b"\n"):
                return json.loads(reply)
            self.close()
            self._line = self._reach()
            self._replies = self._line.makefile("rb")
        raise Trouble("the desk went away three times over this question. See its log: spadework desk logs.")
