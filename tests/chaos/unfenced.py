"""`spadework` with its fences switched off, for the control of the storms: whoever once held a job may write to it.

A stalled worker is told twice that its jobs are gone: by the fence at its next write, and by its next heartbeat, which
at the end of a stall comes first. Both are silenced here.
"""

from __future__ import annotations

from spadework.cli import main
from spadework.registry import tables
from spadework.registry.leases import Leases

tables.holds = lambda row, lease: True
_renew = Leases.heartbeat


def _deaf(self: Leases, worker: str, lease_s: float) -> bool:
    _renew(self, worker, lease_s)
    return True


Leases.heartbeat = _deaf

if __name__ == "__main__":
    main()
