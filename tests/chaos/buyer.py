"""A worker that buys: the real runner, engines, registry and money book, without the tools, on a clock that hurries.

    python -m tests.chaos.buyer HOME VENDOR URL EPOCH SCALE [careless]

Its parent kills it. A second of its clock is a `SCALE`-th of a real one, and all lives of a storm share one time line.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import anyio
from tests.standins.standin import KEY

from spadework.bench import Kit
from spadework.egress import Egress
from spadework.engines import Bench, Engine, Later
from spadework.engines.cloro import Cloro
from spadework.engines.line import Line
from spadework.engines.parallel import Parallel
from spadework.engines.perplexity import Perplexity
from spadework.engines.vendor import Handle
from spadework.job import Job
from spadework.ledger import FileLedger
from spadework.registry.disk import DiskStore
from spadework.runner import Runner
from spadework.settings import Settings

ENGINES = {"perplexity": Perplexity, "parallel": Parallel, "cloro": Cloro}
#: Seconds of the hurried clock. A worker that was killed is seen by its lock, so no lease needs to end.
LEASE_S = 100_000.0


class Hurried:
    """Both clocks count from the storm's epoch, many times as fast as real ones."""

    boot_id = "storm"

    def __init__(self, epoch: float, scale: float) -> None:
        self._epoch, self._scale = epoch, scale

    def wall(self) -> float:
        return self._epoch + self.boot()

    def boot(self) -> float:
        return (time.time() - self._epoch) * self._scale


class Careless(Perplexity):
    """Takes a lost answer for a lost order."""

    async def recover(self, job: Job, bench: Bench, line: Line, attempt: int) -> Handle | Later:
        await self.disproved(bench, attempt, "surely not")
        return Later(0.0)


def settings(home: Path, vendor: str, url: str) -> Settings:
    """What a client's configuration would say."""
    return Settings.load(
        {"SPADEWORK_HOME": str(home), f"SPADEWORK_{vendor.upper()}_BASE_URL": url, f"{vendor.upper()}_API_KEY": KEY}
    )


async def work(given: Settings, clock: Hurried, engines: Mapping[str, Engine]) -> None:
    """Work until killed."""
    store = await DiskStore.open(given.home, clock)
    kit = Kit(store, clock, Egress(), FileLedger(given.home / "ledger.jsonl", clock), given)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await Runner(kit, engines, concurrency=8, lease_s=LEASE_S).run()


def main() -> None:
    home, vendor, url, epoch, scale, *rest = sys.argv[1:]
    kind = Careless if rest == ["careless"] else ENGINES[vendor]
    clock = Hurried(float(epoch), float(scale))
    anyio.run(work, settings(Path(home), vendor, url), clock, {vendor: kind(timeout_s=2.0)})


if __name__ == "__main__":
    main()
