"""The stores that the contract suite holds to their promise; a new one is a line in `STORES`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.contracts.clock import HandClock

from spadework.registry import JobStore
from spadework.registry.disk import DiskStore

#: Opens the test's registry, as one more process would: `await opener(limit=…, retention_s=…, tombstone_s=…)`.
Opener = Callable[..., Awaitable[JobStore]]


def _disk(home: Path, clock: HandClock) -> Opener:
    async def open_disk(**limits: float) -> JobStore:
        return await DiskStore.open(home, clock, **limits)  # type: ignore[arg-type]

    return open_disk


STORES = {"disk": _disk}


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=sorted(STORES))
async def opener(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> AsyncIterator[Opener]:
    """Opens stores over one registry, and closes them all at the end."""
    opened: list[JobStore] = []
    make = STORES[request.param](tmp_path / "home", clock)

    async def one_more(**limits: float) -> JobStore:
        opened.append(await make(**limits))
        return opened[-1]

    yield one_more
    for store in opened:
        await store.close()


@pytest.fixture
async def store(opener: Opener) -> JobStore:
    """The test's registry, as one process opened it."""
    return await opener()


@pytest.fixture
async def other(store: JobStore, opener: Opener) -> JobStore:
    """The same registry, as another process opened it."""
    return await opener()
