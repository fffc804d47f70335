"""Time, injected: the wall clock for people, the boot clock for leases and due times.

Leases and due times run on the boot clock (it counts through suspend and no one can set it), so a jump of the wall
clock steals no lease and expires no job. The boot id says which boot a stored boot time belongs to.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Where every part of spadework asks for the time."""

    @property
    def boot_id(self) -> str:
        """Names this boot of the machine; boot times of another boot mean nothing."""
        ...

    def wall(self) -> float:
        """Unix time in seconds, UTC; may jump."""
        ...

    def boot(self) -> float:
        """Seconds since this boot, suspend included; never jumps."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self._boot_id = _boot_id()
        # CLOCK_BOOTTIME is Linux; elsewhere the monotonic clock is the nearest there is.
        self._source = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    @property
    def boot_id(self) -> str:
        """Names this boot of the machine."""
        return self._boot_id

    def wall(self) -> float:
        """Unix time in seconds, UTC."""
        return time.time()

    def boot(self) -> float:
        """Seconds since this boot."""
        return time.clock_gettime(self._source)


def _boot_id() -> str:
    """The kernel's boot id; where there is none, the boot's wall time to the minute."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"boot-{int((time.time() - time.monotonic()) // 60)}"
