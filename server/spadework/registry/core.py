"""The registry without the event loop: everything that happens on the database thread."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from spadework.clock import Clock
from spadework.registry.leases import Leases
from spadework.registry.outbox import OutboxTables
from spadework.registry.place import locate
from spadework.registry.presence import Presence
from spadework.registry.schema import settle
from spadework.registry.session import Session
from spadework.registry.sweep import GAP_S, HOLD_S, Sweeper
from spadework.registry.tables import Tables


@dataclass(frozen=True, slots=True)
class Limits:
    """How many jobs may wait, and how long an ended job and then its tombstone are kept (seconds)."""

    queued: int = 100_000
    retention_s: float = 7 * 86_400
    tombstone_s: float = 30 * 86_400


class Core:
    """One process's registry, for one thread alone."""

    def __init__(self, session: Session, clock: Clock, presence: Presence, limits: Limits) -> None:
        self._session = session
        self._presence = presence
        self.tables = Tables(session, clock, limits.queued, limits.retention_s)
        self.leases = Leases(session, clock, self.tables, presence)
        self.outbox = OutboxTables(session, clock, self.tables)
        self.sweeper = Sweeper(session, clock, self.leases, limits.tombstone_s)

    @classmethod
    def open(cls, home: Path, clock: Clock, limits: Limits) -> Self:
        """Open the registry in a home folder; where nothing can be written, for reading.

        Raises BadHome, RegistryCorrupt, RegistryBusy, and ReadOnly or StorageFull where there is nothing to read.
        """
        place = locate(home)
        session = Session.open(place, partial(settle, clock=clock, hold_s=HOLD_S, gap_s=GAP_S))
        return cls(session, clock, Presence(place.workers), limits)

    def close(self) -> None:
        """Close the files; others see at once that this process's workers are gone."""
        self._presence.close()
        self._session.close()
