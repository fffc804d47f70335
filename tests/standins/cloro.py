"""cloro on loopback: the asynchronous queue, the synchronous endpoints, and webhooks.

The error bodies and the signature's concatenation (`timestamp.body`, the secret as it is) follow the vendor's guides
of 2026. Where no document says how the vendor words a thing, the line says "guess".
"""

from __future__ import annotations

import uuid
from typing import Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.standins import webhooks
from tests.standins.faults import Fault, Kind, encode
from tests.standins.ledger import Purchase
from tests.standins.script import Run
from tests.standins.snapshot import answer
from tests.standins.standin import Refused, Standin, bearer, reply, stamp
from tests.standins.strict import Body, Flaw, check, parse

CREDITS = {
    "CHATGPT": 7,
    "PERPLEXITY": 4,
    "GEMINI": 4,
    "AIMODE": 4,
    "COPILOT": 5,
    "GOOGLE": 3,
    "GOOGLE_NEWS": 3,  # guess
}
#: The dearest plan's price of one credit, in dollars.
CREDIT_USD = 0.0008
SYNC = {
    "chatgpt": "CHATGPT",
    "gemini": "GEMINI",
    "perplexity": "PERPLEXITY",
    "copilot": "COPILOT",
    "aimode": "AIMODE",
    "google": "GOOGLE",
    "google/news": "GOOGLE_NEWS",
}
SYNC_SURCHARGE = 2
QUERIES = ("GOOGLE", "GOOGLE_NEWS")
KEPT_S = 24 * 3600.0
WAITS = (120.0, 240.0, 480.0, 960.0)
WORDS = {"queued": "PROCESSING", "running": "PROCESSING", "completed": "COMPLETED", "incomplete": "COMPLETED"}


class Asked(Body):
    prompt: str = Field(min_length=1, max_length=10_000)
    country: str = Field(pattern=r"^[A-Z]{2}$")
    include: dict[str, Any] | None = None
    state: str | None = None


class Searched(Body):
    query: str = Field(min_length=1, max_length=10_000)
    country: str = Field(pattern=r"^[A-Z]{2}$")
    include: dict[str, Any] | None = None
    location: str | None = None
    uule: str | None = None
    device: Literal["desktop", "mobile"] | None = None
    pages: int | None = Field(default=None, ge=1)
    state: str | None = None


class Hook(Body):
    url: str


class Task(Body):
    taskType: Literal["CHATGPT", "PERPLEXITY", "GEMINI", "COPILOT", "AIMODE", "GOOGLE", "GOOGLE_NEWS"]  # noqa: N815
    payload: dict[str, Any]
    priority: int | None = Field(default=None, ge=1, le=10)
    idempotencyKey: str | None = Field(default=None, min_length=1)  # noqa: N815
    webhook: Hook | None = None


class Cloro(Standin):
    """The queue and its engines.

    `concurrency` tasks are worked on at a time, at most `queue_limit` wait, `credits` is the balance (None: no end of
    it). Webhooks are signed once `secret` is set.
    """

    vendor = "cloro"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.concurrency = 10
        self.queue_limit = 100_000
        self.credits: int | None = None
        self.secret: str | None = None
        self.used: dict[str, str] = {}

    def routes(self) -> list[Route]:
        return [
            Route("/v1/async/task", self._create, methods=["POST"]),
            Route("/v1/async/task/batch", self._batch, methods=["POST"]),
            Route("/v1/async/task/{id:str}", self._look),
            Route("/v1/async/status", self._status),
            Route("/v1/async/queue", self._drop, methods=["DELETE"]),
            Route("/v1/monitor/{engine:path}", self._monitor, methods=["POST"]),
            Route("/v1/countries", self._countries),
            Route("/v1/states", self._states),
        ]

    def where(self, method: str, path: str) -> str:
        if path.startswith("/v1/monitor"):
            return "monitor"
        if method == "POST":
            return "batch" if path.endswith("/batch") else "submit"
        return "queue" if method == "DELETE" else "status" if path.endswith("/status") else "look"

    def refusal(self, fault: Fault) -> Refused:
        if fault.kind is Kind.RATE_LIMIT:  # the vendor itself sends no Retry-After; a proxy before it may
            after = {"retry-after": fault.retry_after} if fault.retry_after is not None else {}
            refused = self.error(429, "RATE_LIMIT_EXCEEDED", "Rate limit exceeded")
            return Refused(refused.status, refused.body, after)
        if fault.kind is Kind.SERVER_ERROR:
            after = {"retry-after": fault.retry_after or "1"} if fault.status == 503 else {}
            refused = self.error(fault.status, "INTERNAL_SERVER_ERROR", "Internal server error")
            return Refused(refused.status, refused.body, after)
        return {
            Kind.BAD_KEY: self.error(401, "INVALID_OR_EXPIRED_API_KEY", "Invalid or expired API key"),
            Kind.NO_CREDIT: self.error(403, "INSUFFICIENT_CREDITS", "Insufficient credits"),
            Kind.RETIRED_MODEL: self.error(400, "PROVIDER_UNAVAILABLE", "This provider is unavailable"),  # guess
            Kind.RETIRED_ENDPOINT: self.error(410, "GONE", "This endpoint has been retired"),  # guess
        }[fault.kind]

    def error(self, status: int, code: str, message: str, details: Any = None) -> Refused:
        """The vendor's error object."""
        said = {"code": code, "message": message, "timestamp": stamp(self.clock())}
        return Refused(status, {"error": {**said, "details": details} if details else said})

    def unknown(self, path: str) -> Refused:
        return self.error(404, "ROUTE_NOT_FOUND", f"Route not found: {path}")

    def _enter(self, request: Request) -> None:
        token = bearer(request)
        if token is None:
            raise self.error(401, "MISSING_API_KEY", "Missing or invalid API key")
        if not token.startswith("sk_live_"):
            raise self.error(401, "INVALID_API_KEY_FORMAT", "Invalid API key format")
        if token not in self.keys:
            raise self.error(401, "INVALID_OR_EXPIRED_API_KEY", "Invalid or expired API key")
        self._turn()

    def _turn(self) -> None:
        """Free slots go to waiting tasks, dearest priority first; what is kept too long is forgotten."""
        now = self.clock()
        gone = [run.id for run in list(self.runs.values()) if run.ended is not None and now - run.ended > KEPT_S]
        for run_id in gone:
            del self.runs[run_id]
        free = self.concurrency - sum(1 for run in list(self.runs.values()) if _working(run))
        waiting = sorted(self._waiting(), key=lambda run: (-(run.body.get("priority") or 1), run.created))
        for run in waiting[: max(free, 0)]:
            run.started = now

    def _waiting(self) -> list[Run]:
        return [run for run in list(self.runs.values()) if run.started is None and run.phase != "ended"]

    # The queue.

    async def _create(self, request: Request) -> Response:
        self._enter(request)
        body = parse(await request.body())
        self._judge(body)
        run = self._buy(body)
        return reply({"success": True, "task": self._summary(run), "credits": _credits(run)})

    def _judge(self, body: Any) -> None:
        flaw = check(Task, body)
        if flaw is None:
            flaw = check(Searched if body["taskType"] in QUERIES else Asked, body["payload"])
        if flaw:
            raise _invalid(flaw)
        key = body.get("idempotencyKey")
        if key is not None and key in self.used:
            details = {"field": "idempotencyKey", "value": key}
            raise self.error(409, "RESOURCE_ALREADY_EXISTS", "A task with this idempotencyKey exists", details)
        if len(self._waiting()) >= self.queue_limit:
            details = {"limit": self.queue_limit, "current": len(self._waiting())}
            raise self.error(429, "QUEUE_LIMIT_EXCEEDED", "Queue limit exceeded", details)
        self._afford(CREDITS[body["taskType"]])

    def _afford(self, wanted: int) -> None:
        if self.credits is not None and wanted > self.credits:
            details = {"required": wanted, "available": self.credits}
            raise self.error(403, "INSUFFICIENT_CREDITS", "Insufficient credits", details)

    def _buy(self, body: dict[str, Any], extra: int = 0) -> Run:
        now, cost = self.clock(), CREDITS[body["taskType"]] + extra
        key = body.get("idempotencyKey")
        run = Run(str(uuid.uuid4()), body, self.script_for(body), now, cost * CREDIT_USD, modified=now)
        run.notes["credits"] = cost
        self.runs[run.id] = run
        if key is not None:
            self.used[key] = run.id
        self.ledger.enter(Purchase(self.vendor, run.id, body, now, run.price, cost, key))
        if body.get("webhook"):
            self._announce(run)
        return run

    async def _batch(self, request: Request) -> Response:
        self._enter(request)
        bodies = parse(await request.body())
        if not isinstance(bodies, list) or not 1 <= len(bodies) <= 500:
            raise _invalid(Flaw("", "", "a batch has 1 to 500 tasks"))
        results: list[dict[str, Any]] = []
        for place, body in enumerate(bodies):
            try:
                self._judge(body)
            except Refused as refused:
                results.append({"index": place, "success": False, "error": _batched(refused)})
            else:
                run = self._buy(body)
                bought = {"task": self._summary(run), "credits": _credits(run)}
                results.append({"index": place, "success": True, **bought})
        return reply({"success": all(one["success"] for one in results), "results": results})

    async def _look(self, request: Request) -> Response:
        self._enter(request)
        run = self.runs.get(request.path_params["id"])
        if run is None:
            raise self.error(404, "RESOURCE_NOT_FOUND", "Task not found")
        self._progress(run, looked=True)
        return reply(self.describe(run))

    def _progress(self, run: Run, *, looked: bool = False) -> None:
        self._turn()
        (run.look if looked else run.settle)(self.clock())
        if run.phase == "ended" and run.fate in ("completed", "incomplete") and "charged" not in run.notes:
            run.notes["charged"] = run.notes["credits"]
            self.ledger.settle(run.id, run.price)
            if self.credits is not None:
                self.credits -= run.notes["credits"]

    def _summary(self, run: Run) -> dict[str, Any]:
        late = int((run.ended - run.created) * 1000) if run.ended is not None else None
        return {
            "id": run.id,
            "taskType": run.body["taskType"],
            "status": _word(run),
            "priority": run.body.get("priority") or 1,
            "createdAt": stamp(run.created),
            "latencyMs": late,
            "idempotencyKey": run.body.get("idempotencyKey"),
        }

    def describe(self, run: Run) -> dict[str, Any]:
        """A task as the API shows it now."""
        shown: dict[str, Any] = {"task": self._summary(run), "credits": _credits(run)}
        if run.body.get("webhook"):
            at = run.notes.get("delivered")
            told = {"delivered": at is not None, "deliveredAt": stamp(at) if at is not None else None}
            shown["webhook"] = {"url": run.body["webhook"]["url"], **told}
        if run.phase == "ended":
            shown["response"] = answer(run)
        return shown

    async def _status(self, request: Request) -> Response:
        self._enter(request)
        waiting = self._waiting()
        tally: dict[str, int] = {}
        for run in waiting:
            place = str(run.body.get("priority") or 1)
            tally[place] = tally.get(place, 0) + 1
        working = sum(1 for run in self.runs.values() if _working(run))
        slots = {"used": working, "max": self.concurrency}
        counts = {"queuedTasks": len(waiting), "processingTasks": working}
        return reply({**counts, "priorityBreakdown": tally, "concurrency": slots})

    async def _drop(self, request: Request) -> Response:
        self._enter(request)
        waiting = self._waiting()
        for run in waiting:
            del self.runs[run.id]
        return reply({"success": True, "deletedTasks": len(waiting)})  # the count's name: guess

    # The synchronous endpoints, and reference data.

    async def _monitor(self, request: Request) -> Response:
        self._enter(request)
        kind = SYNC.get(request.path_params["engine"])
        if kind is None:
            raise self.unknown(request.url.path)
        body = parse(await request.body())
        if flaw := check(Searched if kind in QUERIES else Asked, body):
            raise _invalid(flaw)
        if sum(1 for run in self.runs.values() if _working(run)) >= self.concurrency:
            raise self.error(429, "CONCURRENT_LIMIT_EXCEEDED", "Concurrent limit exceeded", {"limit": self.concurrency})
        self._afford(CREDITS[kind] + SYNC_SURCHARGE)
        run = self._buy({"taskType": kind, "payload": body}, SYNC_SURCHARGE)
        run.started = run.created
        run.end("failed" if run.script.fate == "failed" else "completed", self.clock())
        self._progress(run)
        if run.fate == "failed":
            raise Refused(500, {"success": False, "error": run.script.error[1]})
        return reply({"success": True, "result": answer(run)})

    async def _countries(self, request: Request) -> Response:
        self._enter(request)
        return reply({"countries": [{"code": "US", "name": "United States"}, {"code": "GB", "name": "United Kingdom"}]})

    async def _states(self, request: Request) -> Response:
        self._enter(request)
        return reply({"states": [{"code": "NY", "name": "New York"}]})

    def _announce(self, run: Run) -> None:
        """The finished task, as a look shows it; five attempts."""

        def ready() -> bool:
            self._progress(run)
            return run.phase == "ended"

        def body() -> bytes:
            return encode({name: held for name, held in self.describe(run).items() if name != "webhook"})

        def sign(attempt: int, at: int, signed: bytes) -> dict[str, str]:
            return webhooks.cloro(self.secret, f"{run.id}-{attempt}", at, signed)

        def delivered() -> None:
            run.notes["delivered"] = self.clock()

        url = run.body["webhook"]["url"]
        self.courier.send(url, ready=ready, body=body, sign=sign, waits=WAITS, delivered=delivered)


def _working(run: Run) -> bool:
    return run.started is not None and run.phase != "ended"


def _word(run: Run) -> str:
    if run.phase == "ended":
        return WORDS.get(run.fate, "FAILED")
    return "QUEUED" if run.started is None else run.script.running_as or WORDS[run.phase]


def _credits(run: Run) -> dict[str, Any]:
    return {"creditsToCharge": run.notes["credits"], "creditsCharged": run.notes.get("charged")}


def _invalid(flaw: Flaw) -> Refused:
    said = f"Unknown field: {flaw.field}" if flaw.unknown else flaw.text
    details = [{"field": flaw.path, "message": said}]
    return Refused(400, {"success": False, "error": "Request validation failed", "details": details})


def _batched(refused: Refused) -> dict[str, Any]:
    """An item's error in a batch: the same object, and VALIDATION_ERROR where the whole call's is only words."""
    said = refused.body["error"]
    if isinstance(said, dict):
        return said
    return {"code": "VALIDATION_ERROR", "message": said, "details": refused.body["details"]}
