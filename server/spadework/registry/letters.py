"""Who is told when a job ends: addresses, deliveries, and the port (`Outbox`) that every store keeps for them.

The store writes a delivery together with its job and makes it due in the very transaction that ends the job, so that
no kill comes between. Whichever process is alive claims what is due and says what came of it; a claim that is not
settled in time is anybody's again, so a delivery happens at least once.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Protocol

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

    ok: bool
    note: str
    wait_s: float | None = None
    gone: bool = False


class Outbox(Protocol):
    """The deliveries of a store. Every method is safe to call from several processes at once."""

    async def claim(self, n: int, lease_s: float, busy: Collection[Address] = ()) -> list[Delivery]:
        """Take up to `n` deliveries that are due, one for each address and none for a busy one, for `lease_s`."""
        ...

    async def settle(self, delivery: Delivery, tried: Tried, patience_s: float) -> State | None:
        """Write down what came of a claimed delivery; its state now, or None when it was no longer the claimer's.

        An endpoint that is gone, or has failed without a break for `patience_s`, is disabled, and the job says so.
        """
        ...

    async def give_back(self, delivery: Delivery) -> None:
        """Make a claimed delivery due at once, since nobody here will finish it."""
        ...

    async def due_in(self, busy: Collection[Address] = ()) -> float | None:
        """Seconds until the next delivery to an address that is not busy (0: one is due), or None if none waits."""
        ...

    async def secrets(self, owner: str, url: str) -> tuple[str, ...]:
        """The valid secrets of an endpoint, the newest first; one is made where there is none."""
        ...

    async def deliveries(self, owner: str, limit: int = 50) -> list[Delivery]:
        """The newest webhooks of an owner, newest first."""
        ...

    async def endpoints(self, owner: str) -> list[Endpoint]:
        """The webhook endpoints of an owner."""
        ...

    async def redeliver(self, owner: str, name: str) -> list[Delivery]:
        """Send an ended job's webhooks again, under the same ids: one by its id, or all of a job by the job's.

        Their endpoints are enabled again. Raises UnknownDelivery.
        """
        ...

    async def rotate(self, owner: str, url: str, secret: str, keep_s: float) -> Endpoint:
        """Give an endpoint a new secret; the one before stays valid for `keep_s`. The same secret twice changes nothing.

        An endpoint that is new is made known; one that was disabled is enabled again.
        """
        ...


def fresh_secret() -> str:
    """A new signing secret: 32 random bytes as Standard Webhooks 1.0.0 writes them."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def fresh_id() -> str:
    """A new message id."""
    return f"msg_{secrets.token_hex(16)}"
