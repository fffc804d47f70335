"""What was bought: one entry for every submit that a stand-in accepted, whatever became of its reply."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Purchase:
    """One accepted submit.

    `price_usd` is what the vendor bills if the run succeeds (None: it never said), `credits` the same in its own unit;
    `key` the idempotency key, `group` the container the run was put in.
    """

    vendor: str
    id: str
    body: dict[str, Any]
    at: float
    price_usd: float | None = None
    credits: int | None = None
    key: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    group: str | None = None


class Ledger:
    """All purchases of one stand-in, oldest first, and what was billed for them in the end."""

    def __init__(self) -> None:
        self.purchases: list[Purchase] = []
        self.billed: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self.purchases)

    def enter(self, purchase: Purchase) -> None:
        """Write one accepted submit down."""
        self.purchases.append(purchase)

    def settle(self, run_id: str, amount: float) -> None:
        """Bill a run that ended; billing it again changes nothing."""
        self.billed.setdefault(run_id, amount)

    def matching(self, text: str) -> list[Purchase]:
        """The purchases whose body, key or metadata mention `text`."""
        return [entry for entry in self.purchases if text in f"{entry.body}{entry.key}{entry.metadata}"]

    @property
    def total_usd(self) -> float:
        """What all purchases cost if every run succeeds."""
        return sum(entry.price_usd or 0.0 for entry in self.purchases)
