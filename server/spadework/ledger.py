"""Money: what jobs may cost, what was set aside for them, and what they did cost.

Before a byte leaves for a vendor, the worst case is reserved against the job's cap and the day's; what was really
spent is booked afterwards, or `unknown`, which counts as the whole worst case. All of it stands in one append-only
file of JSON lines beside the registry, written and synced under a lock that all processes share.

Why a file of lines: it can be read with any tool years later, a killed writer can spoil only the line it was writing,
and that line's money had not been spent yet. Sums are whole micro-dollars, so that no cap is missed by rounding.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import anyio
import anyio.to_thread

from spadework.clock import Clock
from spadework_tools.errors import BudgetExceeded, ReadOnly, StorageFull

T = TypeVar("T")

MICROS = 1_000_000
#: Closed purchases leave memory after this many days; no job lives so long after its money was booked.
REMEMBERED_DAYS = 40


@dataclass(frozen=True, slots=True)
class Totals:
    """One UTC day's money in dollars. `unknown` is the part of `spent` that no vendor confirmed."""

    day: str
    spent_usd: float
    reserved_usd: float
    unknown_usd: float
    cap_usd: float | None
    jobs: int
    damaged_lines: int


@dataclass(frozen=True, slots=True)
class Purchase:
    """What one job set aside and spent at one engine; it counts on the day it was reserved."""

    job_id: str
    engine: str
    day: str
    reserved_micros: int
    spent_micros: int | None = None
    state: str = "open"

    @property
    def counts_micros(self) -> int:
        """What it weighs against a cap: the booked sum, else the whole reservation."""
        return self.reserved_micros if self.spent_micros is None else self.spent_micros


class Ledger(Protocol):
    """Where money is reserved, booked and summed; safe to use from several processes at once."""

    async def reserve(self, job_id: str, engine: str, worst_usd: float, job_cap_usd: float | None = None) -> None:
        """Set the worst case aside, durably, before anything is sent; once per job and engine.

        Raises BudgetExceeded with the figures when it does not fit the job's cap or the day's.
        """
        ...

    async def book(self, job_id: str, engine: str, spent_usd: float | None) -> None:
        """Close a reservation with what was spent, once; None: nobody knows, and the worst case counts."""
        ...

    async def release(self, job_id: str, engine: str) -> None:
        """Close a reservation whose money was surely not spent."""
        ...

    async def totals(self, day: str | None = None) -> Totals:
        """One UTC day's sums (`YYYY-MM-DD`; today's unless given)."""
        ...

    async def purchases(self, day: str | None = None) -> list[Purchase]:
        """One UTC day's purchases, in the order they were reserved."""
        ...


class FileLedger:
    """The ledger as one file of JSON lines.

    Args:
        path: the file, made on the first write with mode 0600.
        clock: its wall clock says which day it is.
        daily_cap_usd: what one UTC day may cost, or None for no cap.
    """

    def __init__(self, path: Path, clock: Clock, daily_cap_usd: float | None = None) -> None:
        self._book = _Book(path, clock, None if daily_cap_usd is None else micros(daily_cap_usd))
        # One thread at a time: the file lock is per process and the sums in memory have no other guard.
        self._slot = anyio.CapacityLimiter(1)

    async def reserve(self, job_id: str, engine: str, worst_usd: float, job_cap_usd: float | None = None) -> None:
        """Set the worst case aside; raises BudgetExceeded, ReadOnly or StorageFull, and then nothing was."""
        cap = None if job_cap_usd is None else micros(job_cap_usd)
        await self._run(lambda: self._book.reserve(job_id, engine, micros(worst_usd), cap))

    async def book(self, job_id: str, engine: str, spent_usd: float | None) -> None:
        """Close a reservation with what was spent; the first booking stays."""
        spent = None if spent_usd is None else micros(spent_usd)
        await self._run(lambda: self._book.close(job_id, engine, "unknown" if spent is None else "booked", spent))

    async def release(self, job_id: str, engine: str) -> None:
        """Close a reservation whose money was surely not spent."""
        await self._run(lambda: self._book.close(job_id, engine, "released", 0))

    async def totals(self, day: str | None = None) -> Totals:
        """One UTC day's sums."""
        return await self._run(lambda: self._book.totals(day))

    async def purchases(self, day: str | None = None) -> list[Purchase]:
        """One UTC day's purchases, in the order they were reserved."""
        return await self._run(lambda: self._book.listed(day))

    async def _run(self, work: Callable[[], T]) -> T:
        # Never abandoned: a reservation that is half written must be finished by the thread that began it.
        return await anyio.to_thread.run_sync(work, limiter=self._slot)


def history(path: Path, clock: Clock) -> tuple[list[Purchase], int]:
    """Every purchase that a ledger's file holds, of whatever age, and how many of its lines are damaged.

    Blocks while another process writes. Raises ReadOnly when the file cannot be opened.
    """
    return _Book(path, clock, None, forgets=False).all()


class _Book:
    """The file and its sums; every method runs on one thread at a time, outside the event loop."""

    def __init__(self, path: Path, clock: Clock, cap: int | None, *, forgets: bool = True) -> None:
        self._path, self._clock, self._cap, self._forgets = path, clock, cap, forgets
        self._read_to = 0
        self._inode: int = 0
        self._damaged = 0
        self._purchases: dict[tuple[str, str], Purchase] = {}

    def reserve(self, job_id: str, engine: str, worst: int, job_cap: int | None) -> None:
        with self._locked() as handle:
            held = self._purchases.get((job_id, engine))
            if held is not None and (held.state == "open" or held.counts_micros) and held.reserved_micros >= worst:
                return
            self._check(job_id, engine, worst, job_cap)
            self._append(handle, {"kind": "reserve", "job": job_id, "engine": engine, "micros": worst})

    def close(self, job_id: str, engine: str, state: str, spent: int | None) -> None:
        with self._locked() as handle:
            held = self._purchases.get((job_id, engine))
            if held.state != "open" if held is not None else state == "released":
                return
            self._append(handle, {"kind": state, "job": job_id, "engine": engine, "micros": spent})

    def totals(self, day: str | None) -> Totals:
        day = day or self._today()
        rows = self.listed(day)
        open_rows = [row.reserved_micros for row in rows if row.state == "open"]
        unknown = [row.counts_micros for row in rows if row.state == "unknown"]
        spent = sum(row.counts_micros for row in rows if row.state in ("booked", "unknown"))
        return Totals(
            day=day,
            spent_usd=spent / MICROS,
            reserved_usd=sum(open_rows) / MICROS,
            unknown_usd=sum(unknown) / MICROS,
            cap_usd=None if self._cap is None else self._cap / MICROS,
            jobs=len({row.job_id for row in rows}),
            damaged_lines=self._damaged,
        )

    def listed(self, day: str | None) -> list[Purchase]:
        day = day or self._today()
        if self._path.exists():
            with self._locked(write=False):
                pass
        return [row for row in self._purchases.values() if row.day == day]

    def all(self) -> tuple[list[Purchase], int]:
        if self._path.exists():
            with self._locked(write=False):
                pass
        return list(self._purchases.values()), self._damaged

    def _check(self, job_id: str, engine: str, worst: int, job_cap: int | None) -> None:
        own = sum(
            row.counts_micros
            for key, row in self._purchases.items()
            if row.job_id == job_id and key != (job_id, engine)
        )
        if job_cap is not None and own + worst > job_cap:
            raise BudgetExceeded(
                f"the worst case on {engine} is {usd(worst)}{f' after {usd(own)} already spent' if own else ''}, "
                f"and this job's cap is {usd(job_cap)}, so nothing was sent. "
                "Raise max_cost_usd, or choose a cheaper engine, tier or effort."
            )
        if self._cap is None:
            return
        today = self._today()
        rows = [row for key, row in self._purchases.items() if row.day == today and key != (job_id, engine)]
        spent = sum(row.counts_micros for row in rows if row.state != "open")
        held = sum(row.counts_micros for row in rows if row.state == "open")
        if spent + held + worst > self._cap:
            raise BudgetExceeded(
                f"the worst case on {engine} is {usd(worst)}, and of today's cap of {usd(self._cap)} {usd(spent)} is "
                f"spent and {usd(held)} reserved, so nothing was sent. "
                "Raise SPADEWORK_DAILY_CAP_USD, wait for tomorrow (UTC), or choose a cheaper engine."
            )

    def _today(self) -> str:
        return datetime.fromtimestamp(self._clock.wall(), UTC).strftime("%Y-%m-%d")

    def _locked(self, *, write: bool = True) -> _Held:
        return _Held(self._path, self._catch_up, write=write)

    def _catch_up(self, handle: int) -> None:
        """Take in what any process appended since the last look; a replaced or cut file is read afresh."""
        state = os.fstat(handle)
        if state.st_ino != self._inode or state.st_size < self._read_to:
            self._read_to, self._inode, self._damaged = 0, state.st_ino, 0
            self._purchases.clear()
        for line in _lines(handle, self._read_to, state.st_size):
            if not line.endswith(b"\n"):
                break  # torn by a kill: the next writer ends the line, and it is skipped as damaged
            self._read_to += len(line)
            self._apply(line)

    def _append(self, handle: int, fields: dict[str, Any]) -> None:
        row = {"v": 1, "at": self._clock.wall(), "day": self._today(), **fields}
        line = json.dumps(row, separators=(",", ":")).encode("ascii") + b"\n"
        size = os.fstat(handle).st_size
        torn = size > self._read_to
        _write(handle, b"\n" + line if torn else line, self._path)
        if size == 0:
            _sync_folder(self._path.parent)
        self._catch_up(handle)

    def _apply(self, line: bytes) -> None:
        row = _row(line)
        if row is None:
            self._damaged += bool(line.strip())
            return
        key = (row["job"], row["engine"])
        held = self._purchases.get(key)
        if row["kind"] == "reserve":
            self._purchases[key] = Purchase(*key, row["day"], row["micros"])
            self._forget(row["day"])
        elif held is None:
            self._purchases[key] = Purchase(*key, row["day"], row["micros"] or 0, row["micros"], row["kind"])
        elif held.state == "open":
            self._purchases[key] = replace(held, spent_micros=row["micros"], state=row["kind"])

    def _forget(self, today: str) -> None:
        """Drop closed purchases older than any live job once in a while, so that memory stays flat for years."""
        if not self._forgets or len(self._purchases) % 1024:
            return
        floor = (date.fromisoformat(today) - timedelta(days=REMEMBERED_DAYS)).isoformat()
        self._purchases = {k: p for k, p in self._purchases.items() if p.state == "open" or p.day >= floor}


class _Held:
    """The ledger's file, open and locked, with the sums up to date."""

    def __init__(self, path: Path, catch_up: Callable[[int], None], *, write: bool) -> None:
        self._path, self._catch_up = path, catch_up
        self._flags = os.O_RDWR | os.O_APPEND | os.O_CREAT if write else os.O_RDONLY
        self._handle = -1

    def __enter__(self) -> int:
        try:
            self._handle = os.open(self._path, self._flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except PermissionError:
            raise ReadOnly(str(self._path)) from None
        except OSError as error:
            raise ReadOnly(f"{self._path} ({error.strerror})") from None
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX)
            self._catch_up(self._handle)
        except OSError as error:
            os.close(self._handle)
            raise ReadOnly(f"{self._path} ({error.strerror})") from None
        return self._handle

    def __exit__(self, *_exc: object) -> None:
        os.close(self._handle)


def micros(amount_usd: float) -> int:
    """Dollars as whole micro-dollars, rounded up: a cap is never passed by rounding."""
    whole = round(amount_usd * MICROS, 3)
    return int(whole) + (whole > int(whole))


def usd(amount_micros: int) -> str:
    """Micro-dollars as people write them: cents, or as many places as the sum needs."""
    text = f"{amount_micros / MICROS:.6f}".rstrip("0")
    whole, _, rest = text.partition(".")
    return f"${whole}.{rest.ljust(2, '0')}"


def _lines(handle: int, start: int, end: int) -> Iterator[bytes]:
    with open(handle, "rb", closefd=False) as file:
        file.seek(start)
        while file.tell() < end:
            yield file.readline()


def _write(handle: int, data: bytes, path: Path) -> None:
    try:
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    except OSError as error:
        raise StorageFull(f"the disk of {path} ({error.strerror})") from None


def _sync_folder(folder: Path) -> None:
    """A new file is only as durable as the folder's entry for it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _row(line: bytes) -> dict[str, Any] | None:
    """A line as a row, or None where it is not one we wrote whole."""
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    row = cast("dict[str, Any]", value)
    texts = all(isinstance(row.get(name), str) for name in ("kind", "job", "engine", "day"))
    amount = row.get("micros")
    sane = amount is None or (isinstance(amount, int) and amount >= 0)
    known = row.get("kind") in ("reserve", "booked", "unknown", "released")
    return row if texts and sane and known and (amount is not None or row["kind"] == "unknown") else None
