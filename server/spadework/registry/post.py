"""The outbox of a registry on disk, as the event loop sees it: every call is one function on the database thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Protocol, TypeVar

from spadework.delivery import Address, Delivery, Endpoint, State, Tried
from spadework.registry.outbox import OutboxTables
from spadework.registry.thread import Thread

T = TypeVar("T")


class Write(Protocol):
    """Runs a write on the database thread and wakes who waits for changes."""

    def __call__(self, work: Callable[[], T], undo: Callable[[T], object] | None = None) -> Awaitable[T]:
        """What `work` returns; `undo` takes back what nobody will receive."""
        ...


class DiskOutbox:
    """The `Outbox` of a `DiskStore`."""

    def __init__(self, tables: OutboxTables, thread: Thread, write: Write) -> None:
        self._tables = tables
        self._thread = thread
        self._write = write

    async def claim(self, n: int, lease_s: float, busy: Collection[Address] = ()) -> list[Delivery]:
        """See `Outbox.claim`."""
        work = partial(self._tables.claim, n, lease_s, tuple(busy))
        return await self._thread.call(work, self._tables.return_all)

    async def settle(self, delivery: Delivery, tried: Tried, patience_s: float) -> State | None:
        """See `Outbox.settle`."""
        return await self._write(partial(self._tables.settle, delivery, tried, patience_s))

    async def give_back(self, delivery: Delivery) -> None:
        """See `Outbox.give_back`."""
        await self._write(partial(self._tables.return_all, [delivery]))

    async def due_in(self, busy: Collection[Address] = ()) -> float | None:
        """See `Outbox.due_in`."""
        return await self._thread.call(partial(self._tables.due_in, tuple(busy)))

    async def secrets(self, owner: str, url: str) -> tuple[str, ...]:
        """See `Outbox.secrets`."""
        return await self._thread.call(partial(self._tables.secrets, owner, url))

    async def deliveries(self, owner: str, limit: int = 50) -> list[Delivery]:
        """See `Outbox.deliveries`."""
        return await self._thread.call(partial(self._tables.deliveries, owner, limit))

    async def endpoints(self, owner: str) -> list[Endpoint]:
        """See `Outbox.endpoints`."""
        return await self._thread.call(partial(self._tables.endpoints, owner))

    async def redeliver(self, owner: str, name: str) -> list[Delivery]:
        """See `Outbox.redeliver`."""
        return await self._write(partial(self._tables.redeliver, owner, name))

    async def rotate(self, owner: str, url: str, secret: str, keep_s: float) -> Endpoint:
        """See `Outbox.rotate`."""
        return await self._write(partial(self._tables.rotate, owner, url, secret, keep_s))
