"""Parallel on loopback: task runs, task groups, their events, and signed webhooks.

Where no document says how the vendor words or times a thing, the line says "guess".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.standins import webhooks
from tests.standins.basis import payload
from tests.standins.faults import Fault, Kind, encode
from tests.standins.ledger import Purchase
from tests.standins.script import Run
from tests.standins.standin import Refused, Standin, mint, reply, stamp, stream
from tests.standins.strict import Body, Flaw, check, parse
from tests.standins.tasks import AddRequest, GroupRequest, RunRequest, objection, price

ACTIVE = frozenset({"queued", "running", "cancelling"})
#: From five seconds, doubling, over two days.
WAITS = tuple(5.0 * 2**turn for turn in range(15))
STEP_S = 0.01


def error(status: int, message: str, detail: dict[str, Any] | None = None, **headers: str) -> Refused:
    """The vendor's error object."""
    body = {"ref_id": mint(), "message": message, "detail": detail}
    return Refused(status, {"type": "error", "error": body}, headers)


@dataclass(slots=True)
class Group:
    """A task group: runs in the order they came. `hidden` counts the listings that still miss its newest runs."""

    id: str
    metadata: dict[str, Any]
    created: float
    runs: list[str] = field(default_factory=list[str])
    hidden: int = 0


class Parallel(Standin):
    """The Task API.

    `patience_s` is how long a blocking result really blocks (the vendor: as long as it was asked to), `lag` how many
    group listings do not yet show new runs, `balance_usd` what the account holds, `secret` the account's webhook key.
    """

    vendor = "parallel"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.groups: dict[str, Group] = {}
        self.patience_s = 0.05
        self.lag = 0
        self.balance_usd: float | None = None
        self.secret = "parallel-account-secret"
        self.per_minute = 2000
        self._creates: list[float] = []

    def routes(self) -> list[Route]:
        runs, groups = "/v1/tasks/runs", "/v1/tasks/groups"
        return [
            Route(runs, self._create, methods=["POST"]),
            Route(runs + "/{id:str}", self._look),
            Route(runs + "/{id:str}/result", self._result),
            Route(runs + "/{id:str}/input", self._input),
            Route(runs + "/{id:str}/events", self._trace),
            Route(groups, self._group, methods=["POST"]),
            Route(groups + "/{group:str}", self._group_look),
            Route(groups + "/{group:str}/runs", self._add, methods=["POST"]),
            Route(groups + "/{group:str}/runs", self._list),
            Route(groups + "/{group:str}/events", self._group_events),
            Route(groups + "/{group:str}/runs/{id:str}", self._look),
        ]

    def where(self, method: str, path: str) -> str:
        parts = path.strip("/").split("/")[2:]
        if method == "POST":
            return {"runs": "submit", "groups": "add" if len(parts) > 1 else "group"}.get("".join(parts[:1]), "other")
        if parts[:1] == ["groups"]:
            return ("group_look", "list", "look")[min(len(parts) - 2, 2)] if parts[-1] != "events" else "group_events"
        return parts[2] if len(parts) > 2 else "look"

    def said(self, path: str, body: bytes) -> str:
        words = super().said(path, body)
        named = [self.groups[part] for part in path.split("/") if part in self.groups]
        return "\n".join([words, *(f"{group.metadata} {self.runs[run].body}" for group in named for run in group.runs)])

    def refusal(self, fault: Fault) -> Refused:
        after = {"retry-after": fault.retry_after} if fault.retry_after is not None else {}
        if fault.kind is Kind.RATE_LIMIT:
            return error(429, "Rate limit exceeded: too many requests", **after)
        if fault.kind is Kind.SERVER_ERROR:
            return error(fault.status, "The service is temporarily unavailable", **after)
        return {
            Kind.BAD_KEY: error(401, "Unauthorized: invalid or missing credentials"),
            Kind.NO_CREDIT: error(402, "Payment required: insufficient credit in account"),
            # A processor that is no more reads like one that never was.
            Kind.RETIRED_MODEL: error(403, "Forbidden: invalid processor"),
            Kind.RETIRED_ENDPOINT: error(410, "Gone: this endpoint has been retired"),  # guess
        }[fault.kind]

    def unknown(self, path: str) -> Refused:
        return error(404, f"Not Found: {path}")

    # Runs.

    async def _create(self, request: Request) -> Response:
        body = await self._read(request, RunRequest)
        self._judge([body])
        return reply(self.describe(self._buy(body)), 202)

    async def _read(self, request: Request, model: type[Body]) -> Any:
        self._enter(request)
        body = parse(await request.body())
        if flaw := check(model, body):
            raise error(422, "Request validation error", _detail(flaw))
        return body

    def _enter(self, request: Request) -> None:
        if request.headers.get("x-api-key") not in self.keys:
            raise error(401, "Unauthorized: invalid or missing credentials")

    def _judge(self, bodies: list[dict[str, Any]]) -> None:
        """Refuses before anything is taken: one bad run refuses all that came with it."""
        for body in bodies:
            if price(body["processor"]) is None:
                raise error(403, f"Forbidden: invalid processor {body['processor']!r}")
            if against := objection(body):
                raise error(422, "Request validation error", {"errors": [against]})
            earlier = body.get("previous_interaction_id")
            if earlier is not None and not any(run.notes["interaction"] == earlier for run in self.runs.values()):
                raise error(422, "Request validation error", {"errors": ["unknown previous_interaction_id"]})
        now = self.clock()
        self._creates = [at for at in self._creates if at > now - 60]
        if len(self._creates) >= self.per_minute:
            raise error(429, "Rate limit exceeded: too many requests")
        self._afford(sum(price(body["processor"]) or 0.0 for body in bodies))
        self._creates.append(now)

    def _afford(self, wanted: float) -> None:
        """What is in flight is reserved, and does not pay for more."""
        if self.balance_usd is None:
            return
        held = sum(run.price for run in self.runs.values() if run.phase != "ended" or run.fate == "completed")
        if held + wanted > self.balance_usd:
            raise error(402, "Payment required: insufficient credit in account")

    def _buy(self, body: dict[str, Any], group: str | None = None) -> Run:
        now = self.clock()
        cost = price(body["processor"]) or 0.0
        run = Run(f"trun_{mint()}", body, self.script_for(body), now, cost, started=now, modified=now, group=group)
        run.notes["interaction"] = run.id
        self.runs[run.id] = run
        metadata = body.get("metadata") or {}
        self.ledger.enter(Purchase(self.vendor, run.id, body, now, cost, metadata=metadata, group=group))
        self._progress(run)
        if body.get("webhook"):
            self._announce(run)
        return run

    def _progress(self, run: Run, *, looked: bool = False) -> None:
        (run.look if looked else run.settle)(self.clock())
        if run.succeeded:
            self.ledger.settle(run.id, run.price)

    async def _look(self, request: Request) -> Response:
        run = self._find(request)
        self._progress(run, looked=True)
        return reply(self.describe(run))

    def _find(self, request: Request) -> Run:
        self._enter(request)
        run = self.runs.get(request.path_params["id"])
        if run is None or request.path_params.get("group", run.group) != run.group:
            raise error(404, "Run id not found")
        return run

    async def _result(self, request: Request) -> Response:
        run = self._find(request)
        patience = min(float(request.query_params.get("timeout", "600")), self.patience_s)
        self._progress(run, looked=True)
        with anyio.move_on_after(patience):
            while run.phase != "ended" and run.script.seconds is not None:
                await anyio.sleep(STEP_S)
                self._progress(run)
        if run.phase != "ended":
            raise error(408, "Request timed out: run is still active")
        if run.fate != "completed":
            raise error(404, "Run failed or run id not found")
        return reply({"run": self.describe(run), "output": payload(run)})

    async def _input(self, request: Request) -> Response:
        return reply(self._find(request).body)

    def describe(self, run: Run) -> dict[str, Any]:
        """A run as the API shows it now."""
        status = self.status(run)
        return {
            "run_id": run.id,
            "interaction_id": run.notes["interaction"],
            "status": status,
            "is_active": status in ACTIVE,
            "processor": run.body["processor"],
            "metadata": run.body.get("metadata") or {},
            "taskgroup_id": run.group,
            "warnings": None,
            "error": _failure(run),
            "created_at": stamp(run.created),
            "modified_at": stamp(run.modified),
        }

    def status(self, run: Run) -> str:
        """The vendor's word for where a run stands."""
        if run.phase == "ended":
            return "completed" if run.fate == "incomplete" else run.fate
        if run.script.fate == "needs_input" and run.looks > 1:
            return "action_required"
        return run.script.running_as or run.phase

    async def _trace(self, request: Request) -> Response:
        """The whole trace so far, from its beginning; the last event of an ended run carries the output."""
        run = self._find(request)
        self._progress(run, looked=True)
        return stream(self._story(run))

    def _story(self, run: Run) -> Iterator[dict[str, Any]]:
        at = stamp(run.created)
        done = int(run.progress * 4)
        for kind in ("plan", "search", "tool_call", "result")[: done + 1]:
            yield {"type": f"task_run.progress_msg.{kind}", "message": f"Working: {kind}", "timestamp": at}
        read = [f"https://example.org/{place}" for place in range(done)]
        stats = {"num_sources_considered": done * 10, "num_sources_read": done, "sources_read_sample": read}
        yield {"type": "task_run.progress_stats", "progress_meter": run.progress * 100, "source_stats": stats}
        yield self._state(run, output=True, given=False, mark="")

    def _state(self, run: Run, *, output: bool, given: bool, mark: str) -> dict[str, Any]:
        shown = payload(run) if output and self.status(run) == "completed" else None
        event = {"type": "task_run.state", "event_id": mark, "run": self.describe(run)}
        return {**event, "input": run.body if given else None, "output": shown}

    # Groups.

    async def _group(self, request: Request) -> Response:
        body = await self._read(request, GroupRequest)
        group = Group(f"tgrp_{mint()}", body.get("metadata") or {}, self.clock())
        self.groups[group.id] = group
        return reply(self._described(group))

    def _held(self, request: Request) -> Group:
        self._enter(request)
        group = self.groups.get(request.path_params["group"])
        if group is None:
            raise error(404, "Task group not found")
        return group

    def _described(self, group: Group) -> dict[str, Any]:
        made = {"taskgroup_id": group.id, "created_at": stamp(group.created), "metadata": group.metadata}
        return {**made, "status": self._tally(group)}

    def _tally(self, group: Group) -> dict[str, Any]:
        runs = [self.runs[run] for run in group.runs]
        counts: dict[str, int] = {}
        for run in runs:
            counts[self.status(run)] = counts.get(self.status(run), 0) + 1
        return {
            "num_task_runs": len(runs),
            "task_run_status_counts": counts,
            "is_active": any(run.phase != "ended" for run in runs),
            "status_message": None,
            "modified_at": stamp(max((run.modified for run in runs), default=group.created)),
        }

    async def _group_look(self, request: Request) -> Response:
        group = self._held(request)
        for run in group.runs:
            self._progress(self.runs[run], looked=True)
        return reply(self._described(group))

    async def _add(self, request: Request) -> Response:
        body = await self._read(request, AddRequest)
        group = self._held(request)
        spec = body.get("default_task_spec")
        bodies = [{"task_spec": spec, **one} if spec else one for one in body["inputs"]]
        self._judge(bodies)
        cursor = str(len(group.runs)) if group.runs else ""
        bought = [self._buy(one, group.id).id for one in bodies]
        group.runs += bought
        group.hidden = self.lag
        added = {"run_ids": bought, "event_cursor": cursor, "run_cursor": cursor, "status": self._tally(group)}
        return reply(added)

    async def _list(self, request: Request) -> Response:
        group = self._held(request)
        if group.hidden > 0:
            group.hidden -= 1
            return stream([])
        query = request.query_params
        for run in group.runs:
            self._progress(self.runs[run], looked=True)
        wants = {name: query.get(f"include_{name}", "false").lower() == "true" for name in ("input", "output")}
        first = int(query.get("last_event_id") or 0)
        rows = [(place, self.runs[run]) for place, run in enumerate(group.runs, 1) if place > first]
        kept = [(place, run) for place, run in rows if query.get("status") in (None, self.status(run))]
        return stream(
            self._state(run, output=wants["output"], given=wants["input"], mark=str(place)) for place, run in kept
        )

    async def _group_events(self, request: Request) -> Response:
        """The group's tally, then every run that has ended, in the order of the runs."""
        group = self._held(request)
        for run in group.runs:
            self._progress(self.runs[run], looked=True)
        first = int(request.query_params.get("last_event_id") or 0)
        ended = [(place, self.runs[run]) for place, run in enumerate(group.runs, 1) if place > first]
        tally = {"type": "task_group_status", "event_id": str(first), "status": self._tally(group)}
        states = [
            self._state(run, output=False, given=False, mark=str(place)) for place, run in ended if run.phase == "ended"
        ]
        return stream([tally, *states])

    # Webhooks.

    def _announce(self, run: Run) -> None:
        """One message when the run has ended; the same id at every attempt, so that a receiver can tell."""
        message = f"msg_{mint()}"

        def ready() -> bool:
            self._progress(run)
            return run.phase == "ended"

        def body() -> bytes:
            event = {"timestamp": stamp(self.clock()), "type": "task_run.status", "data": self.describe(run)}
            return encode(event)

        def sign(_attempt: int, at: int, signed: bytes) -> dict[str, str]:
            return webhooks.parallel(self.secret, message, at, signed)

        self.courier.send(run.body["webhook"]["url"], ready=ready, body=body, sign=sign, waits=WAITS)


def _detail(flaw: Flaw) -> dict[str, Any]:
    said = f"{flaw.path}: extra inputs are not permitted" if flaw.unknown else f"{flaw.path}: {flaw.text}"
    return {"errors": [said]}


def _failure(run: Run) -> dict[str, Any] | None:
    if run.phase != "ended" or run.fate != "failed":
        return None
    code, message = run.script.error
    return {"ref_id": f"ref_{run.id}", "message": message, "detail": {"code": code}}
