"""Asking the search back-ends: each politely and by itself, so that one that fails costs only its own answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import anyio
import anyio.to_thread

from spadework.clock import Clock
from spadework.egress import MIB, Call, Egress, Reply
from spadework.engines.local.web.address import canonical
from spadework.engines.local.web.backends import BACKENDS, Question, backoff
from spadework.engines.local.web.breaker import Line
from spadework.engines.local.web.lead import Lead
from spadework.engines.local.web.reach import Reach
from spadework.engines.local.web.shelf import Shelf
from spadework.engines.pace import asked
from spadework_tools.errors import BadReply, EgressRefused, Trouble, Unreachable

#: How long an answer is taken as it is, and what one may take, in seconds and bytes.
FRESH_S, WHOLE_S, LARGEST = 3_600.0, 15.0, 4 * MIB
#: A back-end that asks for a longer wait than this is left alone instead, seconds.
PATIENCE_S = 10.0
_HINT = {("searxng", 403): " (is its JSON format enabled?)", ("duckduckgo", 202): " (it wants proof of a human being)"}


class Lines:
    """The lines to all back-ends, one set for the whole process, since their rules count every request of ours."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}

    def line(self, name: str, base: str) -> Line:
        """The line to one back-end at one place."""
        return self._lines.setdefault(f"{name} {base}", Line(name, BACKENDS[name].apart_s))


class Searches:
    """The searches of one job. `troubles` names each back-end that failed, with its last reason."""

    def __init__(self, http: Egress, shelf: Shelf, clock: Clock, reach: Reach, lines: Lines) -> None:
        self._http, self._shelf, self._clock, self._reach, self._lines = http, shelf, clock, reach, lines
        self.troubles: dict[str, str] = {}

    async def all(self, questions: Sequence[str], page: int, within_s: float) -> list[list[Lead]]:
        """The leads of every question from every back-end, each list best first; what is late is left out."""
        found: dict[tuple[int, int], list[Lead]] = {}
        with anyio.move_on_after(within_s):
            async with anyio.create_task_group() as group:
                for place, (name, base) in enumerate(self._reach.places):
                    group.start_soon(self._backend, place, name, base, questions, page, found)
        return [found[key] for key in sorted(found)]

    async def _backend(
        self,
        place: int,
        name: str,
        base: str,
        questions: Sequence[str],
        page: int,
        found: dict[tuple[int, int], list[Lead]],
    ) -> None:
        """Put the questions to one back-end, one after the other, until it fails."""
        self.troubles.setdefault(name, "gave no answer in time")
        for number, text in enumerate(questions[: BACKENDS[name].most]):
            try:
                found[place, number] = await self._asked(name, base, Question(text, page, self._reach.contact))
            except Trouble as trouble:
                self.troubles[name] = trouble.message
                return
        del self.troubles[name]

    async def _asked(self, name: str, base: str, question: Question) -> list[Lead]:
        url = base + BACKENDS[name].ask(question)
        key = json.dumps(["search", name, url])
        body = await anyio.to_thread.run_sync(self._shelf.reply, key, self._clock.wall() - FRESH_S)
        if body is not None:
            leads = BACKENDS[name].read(body, base)
        else:
            body = await self._fetched(name, base, url)
            leads = self._understood(name, base, body)
            await anyio.to_thread.run_sync(self._shelf.hold, key, self._clock.wall(), body)
        spelled = [(canonical(lead.url), lead) for lead in leads]
        return [replace(lead, url=url) for url, lead in spelled if url is not None]

    def _understood(self, name: str, base: str, body: bytes) -> list[Lead]:
        """The leads in a fresh answer. Raises BadReply for one of another form, which counts as a failure."""
        line = self._lines.line(name, base)
        try:
            leads = BACKENDS[name].read(body, base)
        except BadReply:
            line.failed(self._clock)
            raise
        line.worked()
        return leads

    async def _fetched(self, name: str, base: str, url: str) -> bytes:
        """A back-end's answer. Raises Resting, Unreachable, BadReply or EgressRefused."""
        line = self._lines.line(name, base)
        async with line.turn(self._clock):
            headers = {"user-agent": self._reach.agent, "accept": BACKENDS[name].accept}
            call = Call("GET", url, headers, timeout_s=WHOLE_S, max_bytes=LARGEST, hops=2, trust=base)
            try:
                reply = await self._http.request(call)
                wait = asked(reply.headers.get("retry-after"), self._clock.wall())
                if reply.status in (429, 503) and wait is not None and wait <= PATIENCE_S:
                    await anyio.sleep(wait)
                    reply = await self._http.request(call)
            except (Unreachable, BadReply, EgressRefused):
                line.failed(self._clock)
                raise
            self._judge(name, line, reply)
            return reply.body

    def _judge(self, name: str, line: Line, reply: Reply) -> None:
        """Note how a back-end answered. Raises BadReply for a status that is no answer."""
        if reply.status != 200:
            wait = asked(reply.headers.get("retry-after"), self._clock.wall())
            line.failed(self._clock, wait if reply.status in (429, 503) else None)
            hint = _HINT.get((name, reply.status), "")
            raise BadReply(f"{name} answered with status {reply.status}{hint}. Try it later.")
        if name == "stackexchange" and (seconds := backoff(reply.body)):
            line.wait(self._clock, min(600.0, seconds))
