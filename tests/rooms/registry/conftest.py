"""A registry in a fresh home, and where its files are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contracts.clock import HandClock

from spadework.registry.disk import DiskStore
from spadework.registry.place import Place


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def place(home: Path) -> Place:
    return Place(home / "registry")


@pytest.fixture
async def store(home: Path, clock: HandClock) -> AsyncIterator[DiskStore]:
    async with await DiskStore.open(home, clock) as opened:
        yield opened
