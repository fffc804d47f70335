"""Webhooks that come in: a vendor says that a run has ended, believed only as far as its signature reaches.

What is read of a message is which run of which job it is about, and both stand under the signature; the result never
comes from here. Parallel signs by Standard Webhooks, keyed with the secret's own bytes in its examples and with what
they encode in others', so either is taken. cloro signs the time and the body and not its delivery's id, so its messages
are told apart by the task. Formats as of 2026-11-21.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from spadework.engines.payload import Payload, decode
from spadework.webhooks.signing import decoded, fresh, match, proven
from spadework_tools.errors import BadReply

CLORO_TIMESTAMP, CLORO_SIGNATURE = "x-cloro-timestamp", "x-cloro-signature"
#: A vendor's words for a run that goes on; any other may be its end.
ACTIVE = frozenset({"queued", "running", "cancelling", "processing"})


@dataclass(frozen=True, slots=True)
class Hint:
    """What one message says: `id` tells it from others, `job_id` and `run` are empty where it names none.

    `over`: the run may have ended.
    """

    id: str
    job_id: str
    run: str
    over: bool


Reader = Callable[[Sequence[str], Mapping[str, str], bytes, float], Hint]


def parallel(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float) -> Hint:
    """What a message of Parallel says that one of the secrets has signed at most five minutes from `now` (Unix time).

    Raises BadSignature and nothing else, whatever was sent.
    """
    message_id = proven([key for secret in secrets for key in _forms(secret)], headers, body, now)
    run = _read(body).at("data")
    return Hint(
        f"parallel {message_id}", run.at("metadata", "job").text(), run.at("run_id").text(), _over(run.at("status"))
    )


def cloro(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float) -> Hint:
    """The same of cloro, whose idempotency key is the job's id and, from the second purchase on, a number."""
    given = {name.lower(): value for name, value in headers.items()}
    stamp, signatures = given.get(CLORO_TIMESTAMP, ""), given.get(CLORO_SIGNATURE, "")
    fresh(stamp, now)
    signed = b".".join((stamp.encode(), body))
    match([f"v1={hmac.digest(secret.encode(), signed, hashlib.sha256).hex()}" for secret in secrets], signatures)
    task = _read(body).at("task")
    run, key = task.at("id").text(), task.at("idempotencyKey").text()
    return Hint(f"cloro {run}", key.partition(".")[0], run, _over(task.at("status")))


#: How each vendor's messages are read.
READERS: Mapping[str, Reader] = {"parallel": parallel, "cloro": cloro}


def _forms(secret: str) -> Iterator[bytes]:
    """The keys that a secret may stand for; a form that it has not is none, never an empty key."""
    yield secret.encode()
    if secret.startswith("whsec_"):
        with suppress(ValueError):
            yield decoded(secret)


def _read(body: bytes) -> Payload:
    """A signed body; one that is no JSON says nothing."""
    try:
        return decode(body, "the vendor")
    except BadReply:
        return Payload()


def _over(status: Payload) -> bool:
    return status.text().lower() not in ACTIVE
