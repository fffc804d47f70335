"""`spadework costs`: what was spent, by day, engine and job, read from the ledger's file beside the registry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from spadework.clock import SystemClock
from spadework.ledger import MICROS, Purchase, history, micros, usd
from spadework.screen import Screen
from spadework.settings import Settings
from spadework_tools.errors import BadRequest

#: So many purchases a person is shown, the newest; `--json` gives all.
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Sum:
    """The money of some purchases in micro-dollars: spent, the part of it that no vendor confirmed, and reserved."""

    name: str
    spent: int
    unknown: int
    reserved: int
    jobs: int

    @classmethod
    def of(cls, name: str, rows: Sequence[Purchase]) -> Sum:
        """The sum of purchases under a name."""
        return cls(
            name,
            sum(row.counts_micros for row in rows if row.state in ("booked", "unknown")),
            sum(row.counts_micros for row in rows if row.state == "unknown"),
            sum(row.reserved_micros for row in rows if row.state == "open"),
            len({row.job_id for row in rows}),
        )

    def data(self, kind: str) -> dict[str, Any]:
        """As JSON."""
        return {
            kind: self.name,
            "spent_usd": self.spent / MICROS,
            "unknown_usd": self.unknown / MICROS,
            "reserved_usd": self.reserved / MICROS,
            "jobs": self.jobs,
        }

    def cells(self) -> tuple[str, ...]:
        """As a row of a table."""
        return self.name, usd(self.spent), usd(self.unknown), usd(self.reserved), str(self.jobs)


def costs(
    day: Annotated[
        str | None, typer.Option(help="Only this UTC day, or `today`.", metavar="YYYY-MM-DD", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what research has cost, by day, engine and job; what no vendor confirmed counts in full."""
    settings = Settings.load()
    found, damaged = history(settings.home / "ledger.jsonl", SystemClock())
    wanted = _day(day)
    rows = [row for row in found if wanted in (None, row.day)]
    days, engines = _sums(rows, "day"), _sums(rows, "engine")
    screen = Screen()
    if as_json:
        screen.data(
            {
                "daily_cap_usd": settings.daily_cap_usd,
                "total": Sum.of(wanted or "all", rows).data("of"),
                "days": [one.data("day") for one in days],
                "engines": [one.data("engine") for one in engines],
                "jobs": [_job(row) for row in reversed(rows)],
                "damaged_lines": damaged,
            }
        )
        return
    if not rows:
        screen.text(f"Nothing was bought{f' on {wanted}' if wanted else ''}.")
    else:
        _show(screen, rows, days, engines)
    if settings.daily_cap_usd is not None:
        screen.note(f"The cap is {usd(micros(settings.daily_cap_usd))} a UTC day (SPADEWORK_DAILY_CAP_USD).")
    if damaged:
        screen.note(f"spadework: {damaged} lines of the ledger are damaged and were left out.")


def _show(screen: Screen, rows: Sequence[Purchase], days: Iterable[Sum], engines: Iterable[Sum]) -> None:
    head = ("spent", "of it unconfirmed", "reserved", "jobs")
    screen.table(("day", *head), [one.cells() for one in days])
    screen.text("")
    screen.table(("engine", *head), [one.cells() for one in engines])
    screen.text("")
    newest = [*reversed(rows)][:SHOWN]
    screen.table(
        ("job", "day", "engine", "cost", "state"),
        [(row.job_id, row.day, row.engine, usd(row.counts_micros), _state(row)) for row in newest],
    )
    if len(rows) > len(newest):
        screen.note(f"{len(rows) - len(newest)} older purchases are not shown: spadework costs --json")


def _sums(rows: Sequence[Purchase], field: str) -> list[Sum]:
    names = sorted({getattr(row, field) for row in rows})
    return [Sum.of(name, [row for row in rows if getattr(row, field) == name]) for name in names]


def _job(row: Purchase) -> dict[str, Any]:
    return {
        "job_id": row.job_id,
        "day": row.day,
        "engine": row.engine,
        "reserved_usd": row.reserved_micros / MICROS,
        "spent_usd": None if row.state in ("open", "unknown") else row.counts_micros / MICROS,
        "state": row.state,
    }


def _state(row: Purchase) -> str:
    words = {"open": "reserved", "booked": "spent", "unknown": "unconfirmed, at most", "released": "not spent"}
    return words[row.state]


def _day(text: str | None) -> str | None:
    """A day as the ledger writes it. Raises BadRequest for what is none."""
    if text is None:
        return None
    if text == "today":
        return datetime.now(UTC).strftime("%Y-%m-%d")
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise BadRequest(f"--day {text[:40]!r} is no day. Write it like 2026-03-01, or `today`.") from None
