"""The calls under way between a client and its desk, and what becomes of them when the desk goes.

Requests that only read are asked again of the next desk, and nobody notices. So is a tool call that the dead desk had
not taken yet: a desk says so before it begins on one. A call that was taken may or may not have been carried out, and
only its caller can know whether to repeat it: it is answered with an error that says so. The legacy era's handshake is
repeated for the client, its answer kept from it. Standard library alone.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple, cast

#: Requests without an effect, safe to ask again.
_READS = (
    "initialize server/discover ping tools/list resources/list resources/templates/list resources/read prompts/list "
    "prompts/get completion/complete subscriptions/listen tasks/get"
)
READS = frozenset(_READS.split())
#: Open until somebody ends them; nobody waits for their answer.
OPEN = "subscriptions/listen"
#: What a desk tells its bridge when it wants to go: a notification that no client sees.
DRAINING = "spadework/draining"
#: What a desk tells its bridge before it begins on a tool call: the number of the line, which no client sees either.
TAKEN = "spadework/taken"
#: The lines that are announced so.
MARK = b'"tools/call"'
#: A client's line is refused beyond this size, bytes. A desk takes twice as much, so that it never cuts a bridge off.
LONGEST = 32 << 20
#: A request that a desk has seen is given to so many desks at most, one that none has seen to so many.
TRIES, UNSEEN_TRIES = 3, 10

_ACK = "notifications/subscriptions/acknowledged"
_LOST = (
    "desk_restarted: the desk stopped while this call was under way, so it may or may not have been carried out. A new "
    "desk is up and every job is kept: make the same call again (a repeated start_research returns the same job)."
)


class Call(NamedTuple):
    """A request under way: its id, and how often it was sent."""

    number: Any
    method: str
    line: bytes
    tries: int
    place: int
    taken: bool = False


class Calls:
    """What one client has asked and not yet been answered."""

    def __init__(self) -> None:
        self._pending: dict[str, Call] = {}
        self._tries: dict[str, int] = {}
        self._asked: set[str] = set()
        self._acks: set[str] = set()
        self._opening = ""
        self._handshake: list[bytes] = []
        self._greeted = False
        self._places = 0
        self.greeting = False
        self.draining = False

    @property
    def quiet(self) -> bool:
        """Whether no answer is awaited."""
        return all(call.method == OPEN for call in self._pending.values())

    def wanted(self, line: bytes) -> bool:
        """Whether a client's line is still for somebody: an answer to a question of a dead desk is not."""
        message = _object(line)
        if message is None or "method" in message or "id" not in message or not message.keys() & {"result", "error"}:
            return True
        number = _key(message["id"])
        if number not in self._asked:
            return False
        self._asked.discard(number)
        return True

    def repeated(self) -> None:
        """A line of a repeated handshake has gone to the desk."""
        self._places += 1

    def sent(self, line: bytes) -> None:
        """A client's line has gone to the desk as a whole."""
        self._places += 1
        message = _object(line)
        method = message.get("method") if message is not None else None
        if message is None or not isinstance(method, str):
            return
        if method == "notifications/initialized":
            self._handshake[1:] = [line]
        elif method == "notifications/cancelled":
            # Nobody waits for its answer any more, and the desk may give none.
            self._pending.pop(_key(_parameters(message).get("requestId")), None)
        if message.get("id") is None:
            return
        number = _key(message["id"])
        self._pending[number] = Call(message["id"], method, line, self._tries.pop(number, 0) + 1, self._places)
        if method == "initialize":
            self._opening, self._handshake, self._greeted = number, [line], False

    def heard(self, line: bytes) -> bool:
        """A line has come from the desk; whether the client is to see it."""
        message = _object(line)
        if message is None:
            return True
        method = message.get("method")
        if method == DRAINING:
            self.draining = True
            return False
        if method == TAKEN:
            self._take(_parameters(message).get("line"))
            return False
        if method == _ACK:
            return self._acknowledged(message)
        if "id" not in message:
            return True
        number = _key(message["id"])
        if method is None:
            return self._answered(number)
        self._asked.add(number)
        return True

    def _take(self, place: Any) -> None:
        for number, call in self._pending.items():
            if call.place == place:
                self._pending[number] = call._replace(taken=True)
                return

    def _acknowledged(self, message: dict[str, Any]) -> bool:
        number = _key(_parameters(message, "_meta").get("io.modelcontextprotocol/subscriptionId"))
        if (call := self._pending.get(number)) is not None:
            self._pending[number] = call._replace(tries=1)
        known = number in self._acks
        self._acks.add(number)
        return not known

    def _answered(self, number: str) -> bool:
        if number != self._opening:
            if (call := self._pending.pop(number, None)) is not None and call.method == OPEN:
                self._acks.discard(number)
            return True
        # The id of the handshake may come back for another request, once it has been answered.
        own = self._pending.pop(number, None) is not None
        if self.greeting and not own:
            self.greeting = False
            return False
        self._greeted = True
        return True

    def lost(self) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """The desk is gone: the handshake to repeat, the requests to ask again, and the answers for the client."""
        self.draining = False
        self._asked.clear()
        self._places = 0
        again: list[bytes] = []
        answers: list[bytes] = []
        for number, call in self._pending.items():
            if _harmless(call):
                self._tries[number] = call.tries
                again.append(call.line)
            else:
                answers.append(refusal(call.number, _LOST))
        self._pending.clear()
        self.greeting = self._greeted
        return (list(self._handshake) if self._greeted else []), again, answers


def _harmless(call: Call) -> bool:
    """Whether a request may be given to the next desk: it only reads, or no desk has begun on it."""
    if call.method in READS:
        return call.tries < TRIES
    return MARK in call.line and not call.taken and call.tries < UNSEEN_TRIES


def taken(place: int) -> str:
    """What a desk tells its bridge before it begins on the line with this number."""
    return json.dumps({"jsonrpc": "2.0", "method": TAKEN, "params": {"line": place}}) + "\n"


def refused(line: bytes, why: str) -> bytes:
    """The answer to a client's line that no desk can be asked; empty where it awaits none."""
    message = _object(line)
    if message is None or "method" not in message or message.get("id") is None:
        return b""
    return refusal(message["id"], why)


def overlong() -> bytes:
    """The answer to a line of more than `LONGEST` bytes, of which nobody knows what it asked."""
    why = f"Invalid request: a line has at most {LONGEST} bytes. Nothing was done with this one; send less at once."
    return json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": why}}).encode() + b"\n"


def refusal(number: Any, why: str) -> bytes:
    """An error that the caller may answer with a second try."""
    error = {"code": -32000, "message": why, "data": {"retryable": True, "reason": why.partition(":")[0]}}
    return json.dumps({"jsonrpc": "2.0", "id": number, "error": error}).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", message) if isinstance(message, dict) else None


def _key(number: Any) -> str:
    """An id as a key: 1 and "1" are two."""
    return json.dumps(number)


def _parameters(message: dict[str, Any], inner: str = "") -> dict[str, Any]:
    """A message's parameters, or an object within them; empty where there are none."""
    found: Any = message.get("params")
    if inner and isinstance(found, dict):
        found = cast("dict[str, Any]", found).get(inner)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
