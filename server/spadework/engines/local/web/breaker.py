"""One line to a back-end: requests one at a time and apart, and none at all for a while after it failed or said so."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from spadework.clock import Clock
from spadework_tools.errors import Trouble

#: So many failures in a row open the circuit, for so many seconds.
FAILURES, REST_S = 3, 60.0


class Resting(Trouble):
    """The back-end failed too often, or asked to be left alone; nothing was sent."""

    code = "backend_resting"


class Line:
    """The line to one back-end; `apart_s` is the least time between two requests. One for the whole process."""

    def __init__(self, name: str, apart_s: float) -> None:
        self._name, self._apart_s = name, apart_s
        self._lock = anyio.Lock()
        self._free_at = float("-inf")
        self._rests_until = float("-inf")
        self._failed = 0

    @asynccontextmanager
    async def turn(self, clock: Clock) -> AsyncGenerator[None]:
        """Wait for this caller's turn. Raises Resting while the circuit is open."""
        async with self._lock:
            left = self._rests_until - clock.boot()
            if left > 0:
                raise Resting(f"{self._name} is left alone for {left:.0f} s more after it failed or asked for it.")
            await anyio.sleep(max(0.0, self._free_at - clock.boot()))
            try:
                yield
            finally:
                self._free_at = max(self._free_at, clock.boot() + self._apart_s)

    def worked(self) -> None:
        """The back-end answered."""
        self._failed = 0

    def failed(self, clock: Clock, asked_s: float | None = None) -> None:
        """The back-end failed; `asked_s` is how long it asks to be left alone."""
        self._failed += 1
        if asked_s is not None:
            self._rests_until = clock.boot() + asked_s
        elif self._failed >= FAILURES:
            self._rests_until = clock.boot() + REST_S

    def wait(self, clock: Clock, seconds: float) -> None:
        """The back-end answered, and asks for so many seconds before the next request."""
        self._free_at = max(self._free_at, clock.boot() + seconds)
