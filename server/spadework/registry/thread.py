"""The one thread that talks to the database, and the way to it from the event loop.

Why one: a SQLite connection belongs to a thread, diskcache opens one for each, and a transaction that spans an await
would take in other tasks' writes. Here a whole transaction is one plain function.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import checkpoint_if_cancelled, current_token

from spadework_tools.errors import Trouble

T = TypeVar("T")


class Thread:
    """Runs functions one after the other, in the order of the calls."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def call(self, work: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
        """Run `work` on the thread and return what it returns or raise what it raises.

        A caller that is cancelled before the work began takes it along: it never runs. Once begun, the work is waited
        for; `undo` then takes back a result that nobody will receive. Raises RuntimeError after `stop`.
        """
        await checkpoint_if_cancelled()
        done = anyio.Event()
        future = self._pool.submit(work)
        future.add_done_callback(partial(_ring, _soon(), done))
        try:
            await done.wait()
        except anyio.get_cancelled_exc_class():
            if not future.cancel():
                with anyio.CancelScope(shield=True):
                    await done.wait()
                    # What cannot be taken back now is freed with the process.
                    if undo is not None and future.exception() is None:
                        with suppress(Trouble):
                            await self.call(partial(undo, future.result()))
            raise
        return future.result()

    def stop(self) -> None:
        """Accept no more work; the thread ends after what it has."""
        self._pool.shutdown(wait=False)


def _soon() -> Callable[[Callable[[], object]], object]:
    """The loop's own way to be called from another thread, without waiting for it to have done so.

    `anyio.from_thread.run_sync` would hold the database thread until the loop has a moment, and with it every other
    caller; both loops offer the same thing without the wait.
    """
    native: Any = current_token().native_token
    return native.run_sync_soon if hasattr(native, "run_sync_soon") else native.call_soon_threadsafe


def _ring(soon: Callable[[Callable[[], object]], object], done: anyio.Event, _future: Future[Any]) -> None:
    # A loop that has ended has nobody left to tell; both backends say so with a RuntimeError.
    with suppress(RuntimeError):
        soon(done.set)
