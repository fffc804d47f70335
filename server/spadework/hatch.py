"""The hatch: where vendors say over HTTP that a run has ended. There is one only where a public URL is set.

It asks for no token, since a message's signature is its credential, and what it lets through is only a hint. Whoever
knocks here is a stranger until the signature is judged, so all of them together may have a few messages open at once
and a limited number a minute; a vendor who is turned away comes again, and the jobs are looked at all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from spadework.environ import HOOKED
from spadework.quota import Crowd, Rate
from spadework.settings import Settings
from spadework.webhooks.hints import Hints
from spadework_tools.errors import BadSignature, Trouble

#: The largest message, bytes: cloro's bring a whole answer along. So much more is read and thrown away before its
#: sender is cut off.
LARGEST: Final = 2 << 20
DRAINED: Final = 8 << 20
#: Messages a minute from each vendor, and open at once.
PER_MINUTE, AT_ONCE = 1_200, 16
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def hooks(settings: Settings) -> dict[str, str]:
    """By vendor, the URL that goes along with what is bought there: of those whose signatures can be judged."""
    return {vendor: f"{settings.public_url}{_path(vendor)}" for vendor in settings.webhook_secrets if _public(settings)}


def paths(settings: Settings) -> list[str]:
    """The paths of the hatch; none where vendors cannot come."""
    return [_path(vendor) for vendor in HOOKED if _public(settings)]


def routes(settings: Settings, hints: Hints) -> list[Route]:
    """The routes of the hatch, a vendor each; its answers are a status and, where it refuses, a sentence."""
    rate, crowd = Rate(PER_MINUTE), Crowd(AT_ONCE)
    return [
        Route(path, Slot(vendor, hints, rate, crowd).take, methods=["POST"])
        for vendor, path in zip(HOOKED, paths(settings), strict=False)
    ]


@dataclass(frozen=True)
class Slot:
    """The hatch of one vendor."""

    vendor: str
    hints: Hints
    rate: Rate
    crowd: Crowd

    async def take(self, request: Request) -> JSONResponse:
        """Take one message: 200 for a vendor's own, heeded or not; 401 for any other; 413, 429, 503 as they say."""
        with self.crowd.admit(self.vendor) as room:
            wait_s = self.rate.spend(self.vendor) if room else 1
            if wait_s:
                return _refusal(429, "rate_limited", "too many webhooks at once. Send it again later.", wait_s)
            body = await _body(request)
            if body is None:
                return _refusal(413, "too_large", f"a webhook has at most {LARGEST} bytes. Nothing was done with it.")
            try:
                await self.hints.take(self.vendor, request.headers, body)
            except BadSignature as trouble:
                return _refusal(401, trouble.code, trouble.message)
            except Trouble as trouble:
                return _refusal(503, trouble.code, "the jobs cannot be read now. Send it again later.", 30)
            return JSONResponse({"status": "ok"})


def _public(settings: Settings) -> bool:
    """Whether the public URL is one that a vendor may be told; plain HTTP shows every message to all on its way."""
    parts = urlsplit(settings.public_url or "")
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def _path(vendor: str) -> str:
    return f"/webhooks/{vendor}"


async def _body(request: Request) -> bytes | None:
    """A request's whole body; None for one that is too large, or whose sender went away."""
    held, size = bytearray(), 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > DRAINED:
                return None
            if size <= LARGEST:
                held += piece
            else:
                # Read on for a while: a sender that is still at it would get a reset instead of the answer.
                held.clear()
    except ClientDisconnect:
        return None
    return bytes(held) if size <= LARGEST else None


def _refusal(status: int, code: str, message: str, wait_s: int = 0) -> JSONResponse:
    headers = {"retry-after": str(wait_s)} if wait_s else {}
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)
