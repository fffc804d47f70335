"""A receiver of webhooks on loopback, and the checks of the vendors' signatures, written apart from the signing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.standins.server import serving


@dataclass(frozen=True, slots=True)
class Letter:
    """One delivery as it arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Inbox:
    """Takes every delivery but the first `refuse`, which get a 503; keeps them all."""

    def __init__(self, refuse: int = 0) -> None:
        self.refuse = refuse
        self.letters: list[Letter] = []
        self._came = threading.Condition()

    def serving(self) -> AbstractContextManager[str]:
        """Serve while the block runs; gives the base URL."""
        return serving(Starlette(routes=[Route("/{path:path}", self._take, methods=["POST"])]))

    async def _take(self, request: Request) -> Response:
        letter = Letter(dict(request.headers), await request.body())
        with self._came:
            self.letters.append(letter)
            self._came.notify_all()
            return Response(status_code=503 if len(self.letters) <= self.refuse else 200)

    def wait(self, count: int, timeout_s: float = 10.0) -> None:
        """Until so many have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.letters) >= count, timeout_s), f"only {len(self.letters)} came"


def opened(secret: bytes, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether Parallel's signature fits: one of a space-separated list of `v1,<base64>`."""
    signed = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    mine = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256))
    return any(hmac.compare_digest(one.encode(), b"v1," + mine) for one in headers["webhook-signature"].split(" "))


def sealed(secret: bytes, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether cloro's signature fits: `v1=<hex>` over the timestamp, a dot and the body."""
    signed = headers["x-cloro-timestamp"].encode() + b"." + body
    mine = hmac.digest(secret, signed, hashlib.sha256).hex()
    return hmac.compare_digest(headers["x-cloro-signature"], f"v1={mine}")
