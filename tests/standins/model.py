"""A model's endpoint of the OpenAI form, on loopback: what it answers is the test's to say.

`say` gets the last message and gives the text of the answer; `modes` are the response formats it takes. Embeddings
are counts of letters, so that texts of the same words are alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.standins.server import Receive, Scope, Send

MODES = ("json_schema", "json_object", "text")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class Model:
    """The ASGI app; `asked` holds the body of every request to `chat/completions`, `embedded` every text."""

    def __init__(
        self, say: Callable[[str], str], modes: tuple[str, ...] = ("json_schema", "json_object", "text")
    ) -> None:
        self.say, self.modes = say, modes
        self.asked: list[dict[str, Any]] = []
        self.embedded: list[str] = []
        self.keys: set[str] = set()
        self.status = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = json.loads(await _read(receive) or b"{}")
        self.keys.add(dict(scope["headers"]).get(b"authorization", b"").decode())
        status, answer = self.status, self._answer(scope["path"], body) if self.status == 200 else {"error": "no"}
        if answer is None:
            status, answer = 400, {"error": {"message": "unknown response_format"}}
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _answer(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        if path == "/v1/embeddings":
            self.embedded += body["input"]
            rows = [{"index": n, "embedding": _vector(text)} for n, text in enumerate(body["input"])]
            return {"object": "list", "data": rows[::-1], "model": body["model"]}
        assert path == "/v1/chat/completions", path
        self.asked.append(body)
        if body.get("response_format", {"type": "text"})["type"] not in self.modes:
            return None
        text = self.say(body["messages"][-1]["content"])
        return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}


def _vector(text: str) -> list[float]:
    low = text.lower()
    return [float(low.count(letter)) + 0.01 for letter in LETTERS]


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body
