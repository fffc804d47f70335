"""What becomes of a run: how long it takes, how it ends, and what it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Fate = Literal["completed", "failed", "never", "incomplete", "cancelled", "needs_input"]
Phase = Literal["queued", "running", "ended"]


@dataclass(frozen=True, slots=True)
class Script:
    """The course of one run.

    It ends at the look number `polls` (0: before the first), or, with `seconds`, when the stand-in's clock has gone
    that far. `running_as` replaces the vendor's word for a running one. `text` is the report, else one is made up.
    `running_usd` is what a run that goes on says it has cost so far, where the vendor says such a thing.
    `unverified` names output fields that come back null with a reason. A cancel stops the run (the look after
    `cancel_looks` others shows it), finds it just finished, or is ignored.
    """

    polls: int | None = 2
    seconds: float | None = None
    fate: Fate = "completed"
    running_as: str | None = None
    text: str | None = None
    error: tuple[str, str] = ("internal_error", "The research could not be finished: the planner gave up.")
    cost_usd: float | None = None
    running_usd: float | None = None
    unverified: frozenset[str] = frozenset()
    searches: int = 3
    on_cancel: Literal["stops", "finishes", "ignored"] = "stops"
    cancel_looks: int = 1

    def phase(self, looks: int, elapsed: float) -> Phase:
        """Where a run stands after so many looks and seconds."""
        if self.fate in ("never", "needs_input"):
            return "running" if looks else "queued"
        if self.seconds is not None:
            return "ended" if elapsed >= self.seconds else "running" if looks else "queued"
        if looks >= (self.polls or 0):
            return "ended"
        return "running" if looks else "queued"


@dataclass(slots=True)
class Run:
    """One accepted submit and where it stands. `started` is None while it waits for a free slot."""

    id: str
    body: dict[str, Any]
    script: Script
    created: float
    price: float = 0.0
    started: float | None = None
    looks: int = 0
    phase: Phase = "queued"
    fate: Fate = "completed"
    ended: float | None = None
    modified: float = 0.0
    cancelling: int | None = None
    group: str | None = None
    notes: dict[str, Any] = field(default_factory=dict[str, Any])

    def look(self, now: float) -> None:
        """Someone asked: time goes on, and a scripted run with it."""
        if self.phase == "ended" or self.started is None:
            return
        self.looks += 1
        if self.cancelling is not None:
            self._fade(now)
        else:
            self.settle(now)

    def settle(self, now: float) -> None:
        """Let the run end if its time has come; asking this counts as no look."""
        if self.phase == "ended" or self.started is None or self.cancelling is not None:
            return
        phase = self.script.phase(self.looks, now - self.started)
        if phase != self.phase:
            self.phase, self.modified = phase, now
        if phase == "ended":
            self.end(self.script.fate, now)

    def end(self, fate: Fate, now: float) -> None:
        """The run is over."""
        self.phase, self.fate, self.ended, self.modified = "ended", fate, now, now

    def cancel(self, now: float) -> None:
        """Take a cancel, the way the script says."""
        if self.script.on_cancel == "stops":
            self.cancelling, self.modified = self.script.cancel_looks, now

    def _fade(self, now: float) -> None:
        assert self.cancelling is not None
        if self.cancelling > 0:
            self.cancelling -= 1
        else:
            self.end("cancelled", now)

    @property
    def succeeded(self) -> bool:
        """Whether it has ended well."""
        return self.phase == "ended" and self.fate == "completed"

    @property
    def progress(self) -> float:
        """How far it is, from 0 to 1, by looks."""
        if self.phase == "ended":
            return 1.0
        return min(0.95, self.looks / max(self.script.polls or 10, 1))
