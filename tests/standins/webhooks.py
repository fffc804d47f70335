"""Outgoing webhooks, signed each the vendor's way, tried again on the vendor's schedule."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx2

PATIENCE_S = 0.01


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt: what was sent, and the status that came back (None: nobody answered)."""

    url: str
    attempt: int
    headers: dict[str, str]
    body: bytes
    status: int | None


class Courier:
    """Delivers webhooks from threads of its own; `scale` shortens the vendor's waits between attempts."""

    def __init__(self, clock: Callable[[], float], scale: float = 0.001) -> None:
        self.clock, self.scale = clock, scale
        self.deliveries: list[Delivery] = []
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def send(
        self,
        url: str,
        *,
        ready: Callable[[], bool],
        body: Callable[[], bytes],
        sign: Callable[[int, int, bytes], dict[str, str]],
        waits: Sequence[float],
        delivered: Callable[[], None] = lambda: None,
    ) -> None:
        """Post `body()` once `ready()`, until it is taken or `waits` (seconds) are used up.

        `sign` gets the attempt's number, the time and the body, and gives the headers.
        """

        def carry() -> None:
            while not ready():
                if self._over.wait(PATIENCE_S):
                    return
            for attempt, wait in enumerate((0.0, *waits), 1):
                if self._over.wait(wait * self.scale):
                    return
                if self._post(url, attempt, body(), sign):
                    delivered()
                    return

        thread = threading.Thread(target=carry, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _post(self, url: str, attempt: int, body: bytes, sign: Callable[[int, int, bytes], dict[str, str]]) -> bool:
        headers = {"content-type": "application/json", **sign(attempt, int(self.clock()), body)}
        try:
            status = httpx2.post(url, content=body, headers=headers, timeout=5.0).status_code
        except httpx2.TransportError:
            status = None
        self.deliveries.append(Delivery(url, attempt, headers, body, status))
        return status is not None and 200 <= status < 300

    def settled(self) -> None:
        """Wait until everything is delivered or given up."""
        for thread in self._threads:
            thread.join(10.0)
            assert not thread.is_alive(), "a webhook is still on its way"

    def stop(self) -> None:
        """Give up on what is not delivered."""
        self._over.set()
        for thread in self._threads:
            thread.join(10.0)


def parallel(secret: str, message: str, at: int, body: bytes) -> dict[str, str]:
    """Parallel's headers: HMAC-SHA256 over `id.timestamp.body`, keyed with the secret's own bytes."""
    signed = f"{message}.{at}.".encode() + body
    digest = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": message, "webhook-timestamp": str(at), "webhook-signature": f"v1,{digest}"}


def cloro(secret: str | None, message: str, at: int, body: bytes) -> dict[str, str]:
    """cloro's headers: HMAC-SHA256 over `timestamp.body`, in hex; none at all unless signing was switched on."""
    if secret is None:
        return {}
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"x-cloro-timestamp": str(at), "x-cloro-signature": f"v1={digest}", "x-cloro-webhook-id": message}
