"""A line to one vendor for one job: its origin, its key and its limits, with everything else left to the door."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import anyio.to_thread

from spadework.egress import MIB, Call, Egress, Reply, encode
from spadework.engines import Bench
from spadework.engines.payload import Payload, decode
from spadework_tools.errors import BadReply, EngineFailed

#: Bodies above this are decoded on a thread, so that no other job waits for them.
LARGE = MIB // 4
_KEY = re.compile(r"[\x21-\x7e]{8,512}")


class Line:
    """Requests to one vendor.

    The origin is the one that the user configured, or the vendor's own; no redirect is followed, since the key would
    go along. A key that the vendor echoes is taken out of everything that it says.
    """

    def __init__(self, http: Egress, vendor: str, base: str, headers: Mapping[str, str], key: str) -> None:
        self.vendor = vendor
        self._http, self._base, self._headers, self._key = http, base.rstrip("/"), dict(headers), key

    async def get(self, path: str, *, timeout_s: float = 30.0, partial: bool = False) -> Reply:
        """Ask. Raises Unreachable, BadReply or EgressRefused."""
        call = Call(
            "GET",
            self._base + path,
            {**self._headers, "accept": "text/event-stream" if partial else "application/json"},
            timeout_s=timeout_s,
            max_bytes=32 * MIB if not partial else 4 * MIB,
            trust=self._base,
            partial=partial,
        )
        return self._silent(await self._http.request(call))

    async def post(self, path: str, body: Any = None, *, timeout_s: float = 60.0) -> Reply:
        """Order, once, over a connection of its own. Raises Unreachable, BadReply or EgressRefused."""
        call = Call(
            "POST",
            self._base + path,
            {**self._headers, "accept": "application/json", "content-type": "application/json"},
            content=encode(body if body is not None else {}),
            timeout_s=timeout_s,
            trust=self._base,
            fresh=True,
        )
        return self._silent(await self._http.request(call))

    async def read(self, reply: Reply) -> Payload:
        """The reply's JSON. Raises BadReply."""
        if len(reply.body) < LARGE:
            return decode(reply.body, self.vendor)
        return await anyio.to_thread.run_sync(decode, reply.body, self.vendor)

    async def words(self, reply: Reply) -> Payload:
        """The body of an error; one that is no JSON says nothing."""
        try:
            return await self.read(reply)
        except BadReply:
            return Payload()

    def _silent(self, reply: Reply) -> Reply:
        key = self._key.encode()
        if key not in reply.body:
            return reply
        return Reply(reply.status, reply.headers, reply.body.replace(key, b"[key]"), reply.url, reply.truncated)


def open_line(bench: Bench, vendor: str, origin: str, header: str, prefix: str = "", **more: str) -> Line:
    """A line to a vendor with the key that the bench holds for it, and `more` headers (underscores for hyphens).

    Raises MissingKey, or EngineFailed `bad_key` for a key that cannot be one, before anything is sent.
    """
    key = bench.key(vendor).strip()
    if not _KEY.fullmatch(key):
        raise EngineFailed(
            f"the key for {vendor} is no key: it is shorter than 8 characters or holds spaces or signs that no header "
            "can carry. Set it again, without quotes or line ends.",
            code="bad_key",
        )
    base = bench.setting(f"SPADEWORK_{vendor.upper()}_BASE_URL") or origin
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    return Line(bench.http, vendor, base, {header: prefix + key, **headers}, key)
