"""A clock that stands still until a test moves it."""

from __future__ import annotations


class HandClock:
    """Time set by hand: `pass_s` moves both clocks, `jump` only the wall clock, `reboot` starts another boot."""

    def __init__(self) -> None:
        self._wall = 1_800_000_000.0
        self._boot = 5_000.0
        self._boots = 1

    @property
    def boot_id(self) -> str:
        return f"boot-{self._boots}"

    def wall(self) -> float:
        return self._wall

    def boot(self) -> float:
        return self._boot

    def pass_s(self, seconds: float) -> None:
        self._wall += seconds
        self._boot += seconds

    def jump(self, seconds: float) -> None:
        self._wall += seconds

    def reboot(self, off_s: float = 30.0) -> None:
        self._wall += off_s
        self._boot = 3.0
        self._boots += 1
