"""What one job may take from the web, by effort."""

from __future__ import annotations

from dataclasses import dataclass

from spadework.egress import MIB
from spadework_tools.models import Effort


@dataclass(frozen=True, slots=True)
class Budget:
    """Rounds, pages, seconds and bytes for searching and reading; `at_once` pages are fetched at the same time.

    `writing` is the share of the time that is kept for finding quotes and writing.
    """

    rounds: int
    pages: int
    seconds: float
    size: int
    at_once: int = 4
    writing: float = 0.15

    @property
    def batch(self) -> int:
        """The pages of one round."""
        return -(-self.pages // self.rounds)


BUDGETS: dict[Effort, Budget] = {
    "low": Budget(rounds=1, pages=12, seconds=50, size=20 * MIB),
    "medium": Budget(rounds=3, pages=40, seconds=120, size=50 * MIB),
    "high": Budget(rounds=5, pages=120, seconds=600, size=200 * MIB),
}

#: For one record of a list: a row is a smaller question than a report, and there are many of them.
ROWS: dict[Effort, Budget] = {
    "low": Budget(rounds=1, pages=5, seconds=25, size=8 * MIB),
    "medium": Budget(rounds=2, pages=10, seconds=45, size=16 * MIB),
    "high": Budget(rounds=3, pages=24, seconds=120, size=40 * MIB),
}
