"""The embedded registry: one folder, one database, any number of processes.

Job tables stand inside a diskcache directory, so that a job and its payloads change in one transaction. Every call
hops to the process's one database thread; a whole transaction is one function there, and none spans an await. A
process must not fork while a store is open: the child would share its locks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio

from spadework.clock import Clock
from spadework.delivery import Address
from spadework.job import Event, Job
from spadework.registry import Change, Lease, Listing, Swept
from spadework.registry.core import Core, Limits
from spadework.registry.post import DiskOutbox
from spadework.registry.thread import Thread
from spadework_tools.models import Status

T = TypeVar("T")

#: How often a process looks for other processes' changes while a caller waits for one, in seconds.
LOOK_S = 0.05
#: How often all who wait may wake together to look for those, times a second: one look for all of them is quick, but a
#: thousand wakings at 20 a second each are a whole core.
WAKINGS = 400


class DiskStore:
    """The `JobStore` in a folder of its own. Made by `open`; closed by `close` or at the end of `async with`."""

    def __init__(self, core: Core, thread: Thread) -> None:
        self._core = core
        self._thread = thread
        self._stirred = anyio.Event()
        self._glanced = (float("-inf"), 0)
        self._waiting = 0
        self._closed = False
        self._outbox = DiskOutbox(core.outbox, thread, self._write)

    @classmethod
    async def open(
        cls,
        home: Path,
        clock: Clock,
        *,
        limit: int = 100_000,
        retention_s: float = 7 * 86_400,
        tombstone_s: float = 30 * 86_400,
    ) -> Self:
        """Open the registry in `<home>/registry`, creating it where there is none.

        Given how many jobs may wait, and for how many seconds an ended job and then its tombstone are kept. A disk
        that is read-only or full opens for reading when a registry is there; writes then raise ReadOnly or
        StorageFull.

        Raises:
            RegistryCorrupt: the files are missing, damaged, foreign or (SchemaNewer) newer; nothing was changed.
            BadHome: the folder is on a network file system, or its name leads elsewhere.
            ReadOnly, StorageFull: no registry is there, and none can be made.
            RegistryBusy: other processes were opening it all the time.
        """
        limits = Limits(limit, retention_s, tombstone_s)
        thread = Thread("registry")
        try:
            core = await thread.call(partial(Core.open, home, clock, limits), Core.close)
        except BaseException:
            thread.stop()
            raise
        return cls(core, thread)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _write(self, work: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
        """Run a write, and wake this process's own waiters whatever came of it."""
        try:
            return await self._thread.call(work, undo)
        finally:
            self._stir()

    def _stir(self) -> None:
        self._glanced = (float("-inf"), 0)
        stirred, self._stirred = self._stirred, anyio.Event()
        stirred.set()

    @property
    def outbox(self) -> DiskOutbox:
        """See `JobStore.outbox`."""
        return self._outbox

    async def submit(self, job: Job, *, dedupe_s: float = 0.0, tell: Sequence[Address] = ()) -> tuple[Job, bool]:
        """See `JobStore.submit`. The same job handed in twice, by its id, is one job too."""
        return await self._write(partial(self._core.tables.submit, job, dedupe_s, tell))

    async def get(self, job_id: str, owner: str | None = None) -> Job:
        """See `JobStore.get`."""
        return await self._thread.call(partial(self._core.tables.get, job_id, owner))

    async def list(
        self,
        owner: str | None = None,
        statuses: Sequence[Status] = (),
        *,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Listing:
        """See `JobStore.list`. `limit` is brought into 1 to 1,000."""
        return await self._thread.call(partial(self._core.tables.page, owner, statuses, cursor, limit))

    async def claim(self, worker: str, n: int, lease_s: float, job_id: str | None = None) -> list[Lease]:
        """See `JobStore.claim`. The one named is taken whenever nobody holds it, due or not.

        A worker that has lost its lease gets nothing until its heartbeat has told it so. Raises ValueError for a
        worker's name that is in use elsewhere.
        """
        leases = self._core.leases
        return await self._write(partial(leases.claim, worker, n, lease_s, job_id), leases.undo)

    async def update(self, lease: Lease, change: Change) -> Job:
        """See `JobStore.update`."""
        return await self._write(partial(self._core.tables.update, lease, change))

    async def heartbeat(self, worker: str, lease_s: float) -> bool:
        """See `JobStore.heartbeat`."""
        return await self._thread.call(partial(self._core.leases.heartbeat, worker, lease_s))

    async def leave(self, worker: str) -> None:
        """See `JobStore.leave`."""
        await self._write(partial(self._core.leases.leave, worker))

    async def cancel(self, job_id: str, owner: str | None = None) -> tuple[Job, bool]:
        """See `JobStore.cancel`."""
        return await self._write(partial(self._core.tables.cancel, job_id, owner))

    async def events(self, job_id: str, after: int = 0, limit: int = 100) -> list[Event]:
        """See `JobStore.events`. A job that is not there has none."""
        return await self._thread.call(partial(self._core.tables.events, job_id, after, limit))

    async def version(self) -> int:
        """See `JobStore.version`."""
        return await self._thread.call(self._core.tables.version)

    async def changed(self, since: int, timeout_s: float, look_s: float = LOOK_S) -> int:
        """See `JobStore.changed`. Own writes wake at once; other processes' within `look_s`, or later in a crowd."""
        self._waiting += 1
        try:
            with anyio.move_on_after(timeout_s):
                while True:
                    stirred = self._stirred
                    version = await self._glance(look_s)
                    if version > since:
                        return version
                    with anyio.move_on_after(max(look_s, self._waiting / WAKINGS)):
                        await stirred.wait()
        finally:
            self._waiting -= 1
        return await self.version()

    async def _glance(self, look_s: float) -> int:
        """The version, read at most twice in `look_s` seconds however many wait for it."""
        stirred, (at, version) = self._stirred, self._glanced
        if anyio.current_time() - at < look_s / 2:
            return version
        version = await self.version()
        if stirred is self._stirred:
            # Else a write of our own came between, and this is older than what its waiters were woken for.
            self._glanced = (anyio.current_time(), version)
        return version

    async def due_in(self) -> float | None:
        """See `JobStore.due_in`."""
        return await self._thread.call(self._core.leases.due_in)

    async def payload(self, key: str) -> bytes | None:
        """See `JobStore.payload`. Raises RegistryCorrupt for a row that spadework cannot have written."""
        return await self._thread.call(partial(self._core.tables.payload, key))

    async def sweep(self, budget: int = 200) -> Swept:
        """See `JobStore.sweep`."""
        return await self._write(partial(self._core.sweeper.sweep, budget))

    async def close(self) -> None:
        """See `JobStore.close`. Workers that have not left are gone for the others at once."""
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            await self._thread.call(self._core.close)
        self._thread.stop()
        self._stir()
