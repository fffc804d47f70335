"""Deliveries: who is told when a job ends, and how far that has come. Pure data; `registry.Outbox` keeps it."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from typing import Literal

Kind = Literal["webhook", "inbox", "command"]
#: Waiting for the job's end, due for a try, and how it can end; `disabled`: its endpoint takes no more.
State = Literal["waiting", "due", "delivered", "failed", "disabled"]


@dataclass(frozen=True, slots=True)
class Address:
    """Where to tell of a job's end: a webhook's URL, a project folder's inbox, or the command of the settings."""

    kind: Kind
    to: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one address. `id` is the same over all tries; `at` is the wall time of the next try or the end."""

    id: str
    job_id: str
    owner: str
    address: Address
    state: State
    attempt: int
    fence: int
    note: str
    at: float


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook's URL: its valid secrets, the newest first, since how long it fails, and why it gets no more."""

    url: str
    secrets: tuple[str, ...]
    failing_s: float
    disabled: str


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a try: `wait_s` until the next one (None: no more), `gone` when the endpoint wants no more."""

    note: str
    ok: bool = False
    wait_s: float | None = None
    gone: bool = False


def fresh_secret() -> str:
    """A new signing secret: 32 random bytes as Standard Webhooks 1.0.0 writes them."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def fresh_id() -> str:
    """A new message id."""
    return f"msg_{secrets.token_hex(16)}"
