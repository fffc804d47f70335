"""A vendor's model on loopback: it takes a turn on the vendor's wire, and a scripted mind says what comes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.clients.mind import Call, Mind, Move, Search, Turn
from tests.standins.server import Receive, Scope, Send
from tests.standins.standin import _read as read

#: More turns than any errand here takes.
MOST = 30
KEY = "sk-loopback-0123456789abcdefghijklmnopqrstuvwxyz"


class Model:
    """The ASGI app; `turns` holds every turn that it was given, `moves` what it did."""

    #: Where the vendor's API takes a turn.
    path = ""

    def __init__(self, mind: Mind) -> None:
        self.mind = mind
        self.turns: list[Turn] = []
        self.moves: list[Move] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read(receive)
        if (scope["method"], scope["path"]) != ("POST", self.path):
            # Whatever else a client asks, such as for news of itself, is not here.
            await _send(send, 404, "application/json", b'{"type":"error","error":{"type":"not_found_error"}}')
            return
        lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in self.answer(json.loads(body))]
        await _send(send, 200, "text/event-stream", "".join(lines).encode())

    def answer(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of the model's move. A request without any tool is no agent's turn but asks for a title."""
        if not body.get("tools"):
            return self.events(body, len(self.moves), "Harbour")
        turn = self.turn(body)
        self.turns.append(turn)
        assert len(self.turns) <= MOST, "the talk goes round in circles"
        move = self.mind(turn)
        if isinstance(move, Call) and move.tool not in turn.tools:
            move = Search(move.tool)
        self.moves.append(move)
        return self.events(body, len(self.moves), move)

    def turn(self, body: dict[str, Any]) -> Turn:
        """What a request tells the model."""
        raise NotImplementedError

    def events(self, body: dict[str, Any], number: int, move: Move) -> Iterator[dict[str, Any]]:
        """A move as the vendor's stream says it."""
        raise NotImplementedError


async def _send(send: Send, status: int, kind: str, body: bytes) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
