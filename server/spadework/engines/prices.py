"""What vendors charge, with the day each figure was read: the worst case of a run, in US dollars.

A reservation must hold even when a figure is a guess, so a worst case lies above everything seen; what a job really
cost is booked from the vendor's own report, or computed from `usual` where the vendor charges a fixed price.
"""

from __future__ import annotations

from dataclasses import dataclass

PERPLEXITY_DATE = "2026-11-21"
PARALLEL_DATE = "2026-11-21"
CLORO_DATE = "2026-11-21"


@dataclass(frozen=True, slots=True)
class Price:
    """One tier: the usual price and the worst case in dollars, the usual and the longest run in seconds.

    `firm`: the vendor charges exactly `usual` for a run that succeeds. `note` says where a figure is a guess.
    """

    usual: float
    worst: float
    soon_s: int
    long_s: int
    firm: bool = False
    note: str = ""

    @property
    def limit_s(self) -> float:
        """The seconds after which a run is given up: three times the longest usual one, an hour at least."""
        return max(3_600.0, 3.0 * self.long_s)


#: fast, low and medium were measured in October 2026; the vendor publishes no price for the others.
PERPLEXITY: dict[str, Price] = {
    "fast": Price(0.0015, 0.01, 3, 60),
    "low": Price(0.004, 0.02, 10, 180),
    "medium": Price(0.016, 0.10, 35, 900),
    "high": Price(0.65, 1.50, 180, 1_800, note="price not published; guessed"),
    "xhigh": Price(0.90, 3.00, 300, 3_600, note="price not published; guessed"),
    "wide-research": Price(0.90, 5.00, 600, 7_200, note="price not published; guessed"),
    "sonar-async": Price(
        0.40, 1.50, 180, 1_800, note="retired by the vendor on 2026-09-27; a gateway's price may differ"
    ),
}

#: docs.parallel.ai, "Pricing" and "Choose a processor": a fixed price for each run, and the usual span of time.
_PARALLEL_BASE: dict[str, tuple[float, int, int]] = {
    "lite": (0.005, 10, 60),
    "base": (0.01, 15, 100),
    "core": (0.025, 60, 300),
    "core2x": (0.05, 60, 600),
    "pro": (0.1, 120, 600),
    "ultra": (0.3, 300, 1_500),
    "ultra2x": (0.6, 300, 3_000),
    "ultra4x": (1.2, 300, 5_400),
    "ultra8x": (2.4, 300, 7_200),
}
PARALLEL: dict[str, Price] = {
    **{name: Price(usd, usd, soon, long, firm=True) for name, (usd, soon, long) in _PARALLEL_BASE.items()},
    **{
        # The same price, two to five times faster.
        f"{name}-fast": Price(usd, usd, max(5, soon // 4), long // 2, firm=True)
        for name, (usd, soon, long) in _PARALLEL_BASE.items()
    },
}

#: Dollars a credit on the smallest paid plan ($0.80 for 1,000); larger plans go down to $0.31.
CLORO_CREDIT_USD = 0.0008
#: Credits a task, charged only when it succeeds (docs.cloro.dev, OpenAPI of 2026-10-07).
CLORO_CREDITS: dict[str, int] = {
    "chatgpt": 7,
    "perplexity": 4,
    "gemini": 4,
    "copilot": 5,
    "aimode": 4,
    "google": 3,
    "google-news": 3,
}
#: A task whose id was lost is bought again, at most so often in all; the worst case of a job is all of them.
CLORO_ROUNDS = 3
CLORO: dict[str, Price] = {
    name: Price(count * CLORO_CREDIT_USD, count * CLORO_CREDIT_USD * CLORO_ROUNDS, 15, 300)
    for name, count in CLORO_CREDITS.items()
}
