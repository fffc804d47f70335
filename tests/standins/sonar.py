"""The asynchronous Sonar API: retired on 2026-09-27, and still spoken by some gateways.

Retired, a valid key gets the recorded 403. Alive, it is as the vendor's SDK still describes it: unknown fields are
dropped in silence, and an idempotency key gives the earlier job back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.standins import answers
from tests.standins.ledger import Purchase
from tests.standins.script import Run
from tests.standins.standin import Refused, mint, reply
from tests.standins.strict import Flaw, parse

if TYPE_CHECKING:
    from tests.standins.perplexity import Perplexity

DOORS = ("/async/chat/completions", "/v1/async/sonar")
GONE = ("/chat/completions", "/v1/chat/completions", "/v1/sonar")
PRICE = 0.4
WORDS = {"queued": "CREATED", "running": "IN_PROGRESS"}


class Sonar:
    """The old API at its paths. `created_as` is its word for a waiting job: CREATED, or QUEUED at some gateways."""

    def __init__(self, host: Perplexity, *, alive: bool) -> None:
        self.host, self.alive, self.created_as = host, alive, "CREATED"
        self.keys: dict[str, str] = {}

    def routes(self) -> list[Route]:
        """Every path it ever had."""
        doors = [
            route
            for door in DOORS
            for route in (
                Route(door, self._submit, methods=["POST"]),
                Route(door, self._list),
                Route(f"{door}/{{id:str}}", self._look),
            )
        ]
        return [*doors, *(Route(path, self._retired, methods=["POST"]) for path in GONE)]

    def gone(self) -> Refused:
        """The recorded answer of today."""
        words = "Sonar is now the Agent API. Use /v1/responses instead of /v1/sonar."
        return Refused(403, {"error": {"message": words, "type": "chat_completions_not_available", "code": 403}})

    async def _retired(self, request: Request) -> Response:
        self.host.admit(request)
        raise self.gone()

    def _enter(self, request: Request) -> None:
        self.host.admit(request)
        if not self.alive:
            raise self.gone()

    async def _submit(self, request: Request) -> Response:
        self._enter(request)
        body = parse(await request.body())
        asked: Any = None if isinstance(body, Flaw) or not isinstance(body, dict) else body.get("request")
        if not isinstance(asked, dict) or not asked.get("model") or not asked.get("messages"):
            said = {"message": "request.model and request.messages are required", "type": "bad_request", "code": 400}
            raise Refused(400, {"error": said})
        key = body.get("idempotency_key")
        if key in self.keys:
            return reply(self.describe(self.host.runs[self.keys[key]]))
        return reply(self.describe(self._buy(body, key)))

    def _buy(self, body: dict[str, Any], key: str | None) -> Run:
        now = self.host.clock()
        run = Run(f"async_{mint()}", body, self.host.script_for(body), now, price=PRICE, started=now, modified=now)
        self.host.runs[run.id] = run
        if key is not None:
            self.keys[key] = run.id
        self.host.ledger.enter(Purchase("perplexity", run.id, body, now, PRICE, key=key))
        run.settle(now)
        return run

    async def _look(self, request: Request) -> Response:
        self._enter(request)
        run = self.host.runs.get(request.path_params["id"])
        if run is None or "request" not in run.body:
            raise Refused(404, {"error": {"message": "request not found", "type": "not_found", "code": 404}})
        run.look(self.host.clock())
        return reply(self.describe(run))

    async def _list(self, request: Request) -> Response:
        self._enter(request)
        known = [self.describe(run) for run in self.host.runs.values() if "request" in run.body]
        short = [
            {name: held for name, held in one.items() if name not in ("response", "error_message")} for one in known
        ]
        return reply({"requests": short, "next_token": None})

    def describe(self, run: Run) -> dict[str, Any]:
        """A job as the API shows it now."""
        ended = run.phase == "ended"
        failed = ended and run.fate != "completed"
        word = {"queued": self.created_as}.get(run.phase, run.script.running_as or WORDS.get(run.phase, ""))
        return {
            "id": run.id,
            "model": run.body["request"]["model"],
            "created_at": int(run.created),
            "started_at": int(run.created) if run.looks else None,
            "completed_at": int(run.ended or 0) if ended and not failed else None,
            "failed_at": int(run.ended or 0) if failed else None,
            "error_message": run.script.error[1] if failed else None,
            "status": ("FAILED" if failed else "COMPLETED") if ended else word,
            "response": _completion(run) if ended and not failed else None,
        }


def _completion(run: Run) -> dict[str, Any]:
    asked = run.body["request"]
    subject = str(asked["messages"][-1].get("content", ""))
    domains = asked.get("search_domain_filter") or []
    include, exclude = [d for d in domains if d[0] != "-"], [d[1:] for d in domains if d[0] == "-"]
    found = answers.pages(subject, 6, include, exclude)
    text = run.script.text if run.script.text is not None else answers.report(subject, found)
    message = {"role": "assistant", "content": f"<think>\nFirst I plan.\n</think>\n\n{text}"}
    choice = {"index": 0, "finish_reason": "stop", "message": message, "delta": {"role": "assistant", "content": ""}}
    return {
        "id": mint(),
        "object": "chat.completion",
        "model": asked["model"],
        "created": int(run.created),
        "status": "COMPLETED",
        "type": "message",
        "citations": [page["url"] for page in found],
        "search_results": [{name: held for name, held in page.items() if name != "id"} for page in found],
        "choices": [choice],
        "usage": {
            "prompt_tokens": 30,
            "completion_tokens": 900,
            "total_tokens": 930,
            "citation_tokens": 4000,
            "num_search_queries": 18,
            "reasoning_tokens": 70000,
            "search_context_size": "low",
            "cost": {
                "input_tokens_cost": 0.0,
                "output_tokens_cost": 0.01,
                "citation_tokens_cost": 0.01,
                "reasoning_tokens_cost": 0.29,
                "search_queries_cost": 0.09,
                "total_cost": PRICE,
            },
        },
    }
