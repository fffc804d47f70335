"""Perplexity on loopback: the Agent API, and the asynchronous Sonar API as it is today (gone) or as gateways keep it.

Where no document says how the vendor words or times a thing, the line says "guess".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.standins import answers
from tests.standins.agent import PRESETS, AgentRequest, objection
from tests.standins.faults import Fault, Kind
from tests.standins.ledger import Purchase
from tests.standins.script import Run
from tests.standins.sonar import Sonar
from tests.standins.standin import Refused, Standin, bearer, mint, reply, stream
from tests.standins.strict import Flaw, check, parse

#: Dollars a run: measured for fast, low and medium; high and above are guesses.
PRICES = {"fast": 0.0015, "low": 0.004, "medium": 0.016, "high": 0.4, "xhigh": 0.9, "wide-research": 0.9}
MODELS = {"fast": "perplexity/sonar", "low": "perplexity/sonar", "medium": "openai/gpt-5.5"}
LARGEST = 32 * 1024 * 1024
STATUSES = {"queued": "queued", "running": "in_progress"}


def error(status: int, kind: str, message: str, param: str | None = None, **headers: str) -> Refused:
    """The vendor's error object."""
    body: dict[str, Any] = {"message": message, "type": kind, "code": status}
    return Refused(status, {"error": {**body, "param": param} if param else body}, headers)


class Perplexity(Standin):
    """The Agent API. `sonar` switches the old asynchronous API on, for a gateway that still speaks it.

    `retired` names models, efforts and presets that are no more, `unlearnt` fields that this deployment does not know
    yet; with `expired_cursors` no stream can be resumed.
    """

    vendor = "perplexity"

    def __init__(self, *, sonar: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.retired: set[str] = set()
        self.unlearnt: set[str] = set()
        self.expired_cursors = False
        self.sonar = Sonar(self, alive=sonar)

    def routes(self) -> list[Route]:
        routes = [
            Route("/v1/{door:str}", self._submit, methods=["POST"]),
            Route("/v1/{door:str}/{id:str}", self._look),
            Route("/v1/{door:str}/{id:str}/cancel", self._cancel, methods=["POST"]),
            Route("/v1/{door:str}/{id:str}/files", self._files),
            Route("/v1/{door:str}/{id:str}/files/{file:str}/content", self._content),
        ]
        return [*self.sonar.routes(), *routes]

    def where(self, method: str, path: str) -> str:
        if path.startswith(("/async", "/chat")) or "sonar" in path:
            return "sonar_submit" if method == "POST" else "sonar_look"
        if method == "POST":
            return "cancel" if path.endswith("/cancel") else "submit"
        return "files" if "/files" in path else "look"

    def refusal(self, fault: Fault) -> Refused:
        headers = {"retry-after": fault.retry_after} if fault.retry_after is not None else {}
        if fault.kind is Kind.RATE_LIMIT:
            limits = {"limit": "50", "remaining": "0", "used": "50", "reset": "1"}
            headers |= {f"x-ratelimit-{name}": value for name, value in limits.items()}
            refused = error(429, "request_rate_limit_exceeded", "Request rate limit exceeded, please try again later.")
            return Refused(refused.status, refused.body, headers)
        if fault.kind is Kind.SERVER_ERROR:
            refused = error(fault.status, "internal_error", "Internal server error")
            return Refused(refused.status, refused.body, headers)
        return self._lasting(fault.kind)

    def _lasting(self, kind: Kind) -> Refused:
        if kind is Kind.BAD_KEY:
            return error(401, "invalid_api_key", "Invalid API key provided.")
        if kind is Kind.NO_CREDIT:  # guess: the vendor's words for an empty balance are undocumented
            return error(402, "insufficient_credits", "You have run out of credits.")
        if kind is Kind.RETIRED_MODEL:
            return error(400, "invalid_model", "The model is no longer available.", "model")
        return self.sonar.gone()

    def unknown(self, path: str) -> Refused:
        return error(404, "not_found", f"no route {path}")

    def admit(self, request: Request) -> None:
        """Raises the vendor's 401 for a key it does not know."""
        if bearer(request) not in self.keys:
            raise error(401, "invalid_api_key", "Invalid API key provided.")

    # The Agent API.

    async def _submit(self, request: Request) -> Response:
        self._door(request)
        raw = await request.body()
        if len(raw) > LARGEST:
            raise error(413, "request_too_large", "request body exceeds 32 MiB")
        body = parse(raw)
        self._judge(body)
        run = self._buy(body)
        if body.get("stream"):
            return stream(self._events(run), bare=True)
        if not body.get("background"):
            while run.phase != "ended":
                run.looks += 1
                run.end("completed" if run.script.fate == "never" else run.script.fate, self.clock())
        return reply(self.describe(run))

    def _door(self, request: Request) -> None:
        if request.path_params["door"] not in ("agent", "responses"):
            raise self.unknown(request.url.path)
        self.admit(request)

    def _judge(self, body: Any) -> None:
        flaw = check(AgentRequest, body)
        if flaw is None and (strange := sorted(self.unlearnt & body.keys())):
            flaw = Flaw(strange[0], strange[0], "", unknown=True)
        if flaw:
            said = f'json: unknown field "{flaw.field}"' if flaw.unknown else f"json: {flaw.path}: {flaw.text}"
            raise error(400, "invalid_request", f"invalid request body: {said}", flaw.field or None)
        if against := objection(body):
            raise error(400, against[0], against[2], against[1])
        if self.retired & {body.get("model"), body.get("preset"), body.get("effort")}:
            raise self._lasting(Kind.RETIRED_MODEL)
        earlier = body.get("previous_response_id")
        if earlier is not None and (earlier not in self.runs or not self.runs[earlier].succeeded):
            raise error(400, "invalid_request", "invalid request")

    def _buy(self, body: dict[str, Any]) -> Run:
        now = self.clock()
        run = Run(f"resp_{mint()}", body, self.script_for(body), now, started=now, modified=now)
        run.price = run.script.cost_usd if run.script.cost_usd is not None else PRICES[tier(body)]
        self.runs[run.id] = run
        metadata = body.get("metadata") or {}
        self.ledger.enter(Purchase(self.vendor, run.id, body, now, run.price, metadata=metadata))
        run.settle(now)
        return run

    async def _look(self, request: Request) -> Response:
        self._door(request)
        run = self._find(request.path_params["id"])
        query = request.query_params
        if query.get("format", "default") not in ("default", "short"):
            raise error(400, "invalid_parameter", "format must be default or short", "format")
        if query.get("stream") == "true":
            if self.expired_cursors:
                raise error(400, "invalid_request", "stream cursor has expired")
            after = int(query.get("starting_after", "-1"))
            return stream((one for one in self._events(run) if one["sequence_number"] > after), bare=True)
        run.look(self.clock())
        return reply(self.describe(run, short=query.get("format") == "short"))

    def _find(self, run_id: str) -> Run:
        run = self.runs.get(run_id)
        if run is None or run.body.get("store") is False:
            raise error(404, "not_found", f"response {run_id!r} not found")
        return run

    async def _cancel(self, request: Request) -> Response:
        self._door(request)
        run = self.runs.get(request.path_params["id"])
        if run is not None and run.phase != "ended" and run.script.on_cancel == "finishes":
            run.end("completed", self.clock())
        # The vendor tells an ended run and an unknown one apart by nothing.
        if run is None or run.phase == "ended" or run.cancelling is not None:
            raise error(400, "invalid_request", "response cannot be cancelled")
        run.cancel(self.clock())
        return reply({"response_id": run.id, "status": "cancelling"})

    async def _files(self, request: Request) -> Response:
        self._door(request)
        self._find(request.path_params["id"])
        return reply({"object": "list", "data": []})

    async def _content(self, request: Request) -> Response:
        self._door(request)
        raise error(404, "not_found", "file not found")

    def describe(self, run: Run, *, short: bool = False) -> dict[str, Any]:
        """A run as the API shows it now; `created_at` is the time of the answer, as live."""
        output = self._output(run)
        ended = run.phase == "ended"
        if run.succeeded:
            self.ledger.settle(run.id, run.price)
        return {
            "id": run.id,
            "object": "response",
            "created_at": int(self.clock()),
            "status": self._status(run),
            "model": self._model(run),
            "background": bool(run.body.get("background")),
            "effort": run.body.get("effort"),
            "preset": run.body.get("preset"),
            "store": run.body.get("store", True),
            "previous_response_id": run.body.get("previous_response_id"),
            "prompt_cache_key": run.body.get("prompt_cache_key"),
            "service_tier": run.body.get("service_tier", "default"),
            "output": [item for item in output if item["type"] == "message"] if short else output,  # short: guess
            "usage": _usage(run) if ended and run.fate in ("completed", "incomplete") else _so_far(run),
            "error": self._error(run),
        }

    def _status(self, run: Run) -> str:
        if run.phase != "ended":
            if run.script.fate == "needs_input" and run.looks > 1:
                return "requires_action"
            return run.script.running_as or STATUSES[run.phase]
        return run.fate

    def _model(self, run: Run) -> str:
        body = run.body
        named = (body.get("models") or [None])[0] or body.get("model")
        if named:
            return named
        if run.succeeded:
            return MODELS.get(tier(body), "anthropic/claude-opus-5")
        return body.get("effort") or body.get("preset") or "custom"

    def _error(self, run: Run) -> dict[str, str] | None:
        if run.phase != "ended" or run.fate not in ("failed", "cancelled"):
            return None
        if run.fate == "cancelled":
            return {"code": "cancelled", "message": "The response was cancelled.", "type": "cancelled"}
        code, message = run.script.error
        return {"code": code, "message": message, "type": "server_error"}

    def _output(self, run: Run) -> list[dict[str, Any]]:
        """What there is so far: it grows with every look, several search_results items before the message."""
        subject = ask(run.body)
        searches = run.script.searches if _searching(run.body) else 0
        done = run.phase == "ended" and run.fate in ("completed", "incomplete")
        shown = searches if done else min(searches, max(0, run.looks - 1))
        include, exclude = _domains(run.body)
        items: list[dict[str, Any]] = []
        found: list[dict[str, Any]] = []
        for place in range(shown):
            results = answers.pages(subject, 4, include, exclude, start=1 + 4 * place)
            found += results
            items.append({"type": "search_results", "queries": [f"{subject[:60]} part {place}"], "results": results})
        if done:
            if found and _fetching(run.body):
                read = [{name: found[0][name] for name in ("url", "title", "snippet")}]
                items.append({"type": "fetch_url_results", "contents": read})
            items.append(_message(run, subject, found))
        return items

    def _events(self, run: Run) -> Iterator[dict[str, Any]]:
        """The whole stream of a run, which is driven to its end."""
        number = 0

        def event(kind: str, **fields: Any) -> dict[str, Any]:
            nonlocal number
            number += 1
            return {"type": kind, "sequence_number": number - 1, **fields}

        yield event("response.created", response=self.describe(run))
        yield event("response.in_progress", response=self.describe(run))
        while run.phase != "ended" and run.script.fate != "never":
            run.looks += 1
            run.settle(self.clock() + (run.script.seconds or 0))
        for place, item in enumerate(self._output(run)):
            yield event("response.output_item.done", item=item, output_index=place)
        if run.fate == "failed":
            yield event("response.failed", error=self._error(run))
        else:
            yield event(f"response.{run.fate}", response=self.describe(run))


def tier(body: dict[str, Any]) -> str:
    """The effort a body asks for, by today's name; "fast" where it names only a model."""
    name = body.get("effort") or body.get("preset") or "fast"
    return PRESETS.get(name, name)


def ask(body: dict[str, Any]) -> str:
    """The question in a body."""
    given = body["input"]
    if isinstance(given, str):
        return given
    return " ".join(str(item.get("content", "")) for item in given)


def _kinds(body: dict[str, Any]) -> set[str]:
    """The tools that work: a preset brings its own, an explicit list replaces them, a bare model has none."""
    if body.get("tools") is not None:
        return {tool["type"] for tool in body["tools"]}
    return {"web_search", "fetch_url"} if body.get("effort") or body.get("preset") else set()


def _searching(body: dict[str, Any]) -> bool:
    return "web_search" in _kinds(body)


def _fetching(body: dict[str, Any]) -> bool:
    return "fetch_url" in _kinds(body)


def _domains(body: dict[str, Any]) -> tuple[list[str], list[str]]:
    named = [
        name
        for tool in body.get("tools") or []
        for name in (tool.get("filters") or {}).get("search_domain_filter") or []
    ]
    return [name for name in named if name[0] != "-"], [name[1:] for name in named if name[0] == "-"]


def _message(run: Run, subject: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    text = run.script.text
    form = run.body.get("response_format")
    if text is None and form and form.get("json_schema"):
        text = json.dumps(answers.fill(form["json_schema"]["schema"], subject), ensure_ascii=False)
    if text is None:
        text = answers.report(subject, found)
    if run.fate == "incomplete" and run.script.text is None:
        text = text[: len(text) // 2]
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"id": f"msg_{run.id}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def _so_far(run: Run) -> dict[str, Any] | None:
    """The running total; the vendor gives none in any capture, a gateway may (guess)."""
    total = run.script.running_usd
    return None if total is None or run.phase == "ended" else {"cost": {"currency": "USD", "total_cost": total}}


def _usage(run: Run) -> dict[str, Any]:
    searches = run.script.searches if _searching(run.body) else 0
    tools = round(min(run.price / 2, searches * 0.0005), 6)
    spent = round((run.price - tools) / 2, 6)
    cost = {
        "currency": "USD",
        "input_cost": spent,
        "output_cost": round(run.price - tools - spent, 6),
        "cache_creation_cost": 0.0,
        "cache_read_cost": 0.0,
        "tool_calls_cost": tools,
        "tool_calls_cost_details": {"search_web": tools},
        "total_cost": run.price,
    }
    return {
        "input_tokens": 1200,
        "output_tokens": 800,
        "total_tokens": 2000,
        "input_tokens_details": {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
        "tool_calls_details": {"search_web": {"invocation": searches, "cost_usd": tools}},
        "cost": cost,
    }
