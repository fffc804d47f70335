"""`spadework` with the fence check switched off, for the control of the storms: whoever held a job may write to it."""

from __future__ import annotations

from spadework.cli import main
from spadework.registry import tables

tables.holds = lambda row, lease: True

if __name__ == "__main__":
    main()
