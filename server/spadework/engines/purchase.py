"""A purchase: what is sent to buy, what became of one sending, and what the vendor calls it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from spadework.egress import Reply, encode
from spadework.engines.payload import Payload


@dataclass(frozen=True, slots=True)
class Order:
    """What is sent to buy: a path and a JSON body."""

    path: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Handle:
    """What the vendor calls the purchase, and when (wall time) it was ordered."""

    id: str
    at: float
    more: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def segment(self) -> str:
        """The id as one part of a path, whatever the vendor put into it."""
        return quote(self.id, safe="")

    def encode(self) -> bytes:
        """As kept."""
        return encode({"id": self.id, "at": self.at, "more": self.more})

    @classmethod
    def of(cls, kept: bytes) -> Handle:
        """From what was kept."""
        row = json.loads(kept)
        return cls(row["id"], row["at"], row["more"])


@dataclass(frozen=True, slots=True)
class Try:
    """One submit that was answered with an error."""

    order: Order
    attempt: int
    reply: Reply
    answer: Payload
