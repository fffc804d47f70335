"""Money is reserved before it is spent, exactly, by any number of processes, and survives their deaths."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from spadework.ledger import FileLedger, micros, usd
from spadework_tools.errors import BudgetExceeded, ReadOnly

pytestmark = pytest.mark.anyio


class Day:
    """A clock whose wall the test sets."""

    boot_id = "boot"

    def __init__(self, at: float = 1_795_000_000.0) -> None:
        self.at = at

    def wall(self) -> float:
        return self.at

    def boot(self) -> float:
        return self.at


def ledger(folder: Path, cap: float | None = None, clock: Day | None = None) -> FileLedger:
    return FileLedger(folder / "ledger.jsonl", clock or Day(), cap)


async def test_a_days_money_is_what_was_booked_and_what_is_held(tmp_path):
    book = ledger(tmp_path, 5.0)
    await book.reserve("r_1", "parallel", 2.4)
    await book.reserve("r_2", "perplexity", 0.1)
    await book.book("r_1", "parallel", 0.3)
    totals = await book.totals()
    assert (totals.day, totals.spent_usd, totals.reserved_usd, totals.jobs) == ("2026-11-18", 0.3, 0.1, 2)
    assert stat.S_IMODE((tmp_path / "ledger.jsonl").stat().st_mode) == 0o600


async def test_an_unknown_cost_counts_as_the_worst_case(tmp_path):
    book = ledger(tmp_path, 1.0)
    await book.reserve("r_1", "perplexity", 0.9)
    await book.book("r_1", "perplexity", None)
    assert (await book.totals()).unknown_usd == 0.9
    with pytest.raises(BudgetExceeded):
        await book.reserve("r_2", "perplexity", 0.2)


async def test_the_refusal_shows_every_figure(tmp_path):
    book = ledger(tmp_path, 1.0)
    await book.reserve("r_1", "parallel", 0.6)
    await book.reserve("r_2", "parallel", 0.3)
    await book.book("r_2", "parallel", 0.3)
    with pytest.raises(BudgetExceeded) as caught:
        await book.reserve("r_3", "parallel", 0.2)
    assert all(figure in caught.value.message for figure in ("$0.20", "$1.00", "$0.30", "$0.60"))
    with pytest.raises(BudgetExceeded) as caught:
        await book.reserve("r_3", "parallel", 0.05, job_cap_usd=0.01)
    assert all(figure in caught.value.message for figure in ("$0.05", "$0.01", "max_cost_usd"))


async def test_the_cap_can_be_met_exactly_to_the_cent(tmp_path):
    book = ledger(tmp_path, 1.0)
    for place in range(10):
        await book.reserve(f"r_{place}", "parallel", 0.1)
    with pytest.raises(BudgetExceeded):
        await book.reserve("r_10", "parallel", 0.000001)


async def test_reserving_and_booking_again_after_a_restart_changes_nothing(tmp_path):
    for _ in range(2):
        book = ledger(tmp_path, 1.0)
        await book.reserve("r_1", "parallel", 0.6)
        await book.book("r_1", "parallel", 0.3)
    assert (await book.totals()).spent_usd == 0.3


async def test_what_was_released_can_be_reserved_again(tmp_path):
    book = ledger(tmp_path, 1.0)
    for _ in range(3):
        await book.reserve("r_1", "parallel", 0.6)
        await book.release("r_1", "parallel")
    await book.reserve("r_1", "parallel", 0.6)
    assert (await book.totals()).reserved_usd == 0.6


async def test_a_job_that_moved_to_another_engine_keeps_its_own_cap(tmp_path):
    book = ledger(tmp_path)
    await book.reserve("r_1", "perplexity", 0.6, job_cap_usd=1.0)
    await book.book("r_1", "perplexity", None)
    with pytest.raises(BudgetExceeded, match=r"after \$0.60 already spent"):
        await book.reserve("r_1", "parallel", 0.6, job_cap_usd=1.0)


async def test_a_new_day_begins_with_nothing_spent(tmp_path):
    clock = Day()
    book = ledger(tmp_path, 1.0, clock)
    await book.reserve("r_1", "parallel", 1.0)
    clock.at += 86_400
    await book.reserve("r_2", "parallel", 1.0)
    await book.book("r_1", "parallel", 0.5)
    assert (await book.totals("2026-11-18")).spent_usd == 0.5
    assert (await book.totals()).reserved_usd == 1.0
    assert [row.job_id for row in await book.purchases("2026-11-18")] == ["r_1"]


async def test_two_ledgers_on_one_file_see_each_other(tmp_path):
    one, two = ledger(tmp_path, 1.0), ledger(tmp_path, 1.0)
    await one.reserve("r_1", "parallel", 0.6)
    with pytest.raises(BudgetExceeded):
        await two.reserve("r_2", "parallel", 0.6)
    await one.release("r_1", "parallel")
    await two.reserve("r_2", "parallel", 0.6)


@pytest.mark.parametrize("tail", [b'{"v":1,"kind":"res', b"\x00\x00\x00", b'{"v":1}\n', b"[1]\n"])
async def test_a_torn_or_foreign_line_loses_nothing_else(tmp_path, tail):
    await ledger(tmp_path).reserve("r_1", "parallel", 0.6)
    with (tmp_path / "ledger.jsonl").open("ab") as file:
        file.write(tail)
    book = ledger(tmp_path)
    assert (await book.totals()).reserved_usd == 0.6
    await book.reserve("r_2", "parallel", 0.1)
    fresh = await ledger(tmp_path).totals()
    assert fresh.reserved_usd == pytest.approx(0.7)
    assert fresh.damaged_lines == 1


async def test_a_file_that_was_put_back_is_read_afresh(tmp_path):
    book = ledger(tmp_path)
    await book.reserve("r_1", "parallel", 0.6)
    before = (tmp_path / "ledger.jsonl").read_bytes()
    await book.reserve("r_2", "parallel", 0.6)
    (tmp_path / "ledger.jsonl").write_bytes(before)
    assert (await book.totals()).reserved_usd == 0.6


async def test_a_link_in_the_ledgers_place_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / "ledger.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ReadOnly):
        await ledger(tmp_path).reserve("r_1", "parallel", 0.1)
    assert (tmp_path / "elsewhere").read_bytes() == b""


@pytest.mark.parametrize(("amount", "text"), [(0.1, "$0.10"), (2.4, "$2.40"), (0.0015, "$0.0015"), (1000, "$1000.00")])
def test_money_reads_as_people_write_it(amount, text):
    assert usd(micros(amount)) == text


def test_rounding_never_makes_money_less():
    assert micros(0.0000001) == 1
    assert micros(0.1 + 0.2) == 300_000


BUYER = """
import sys, anyio
from pathlib import Path
from spadework.clock import SystemClock
from spadework.ledger import FileLedger
from spadework_tools.errors import BudgetExceeded

async def main():
    book = FileLedger(Path(sys.argv[1]), SystemClock(), 1.0)
    for place in range(1000):
        try:
            await book.reserve(f"r_{sys.argv[2]}_{place}", "parallel", 0.01)
        except BudgetExceeded:
            return
        print(f"r_{sys.argv[2]}_{place}", flush=True)

anyio.run(main)
"""


def _buyer(path: Path, name: str) -> subprocess.Popen[bytes]:
    env = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(["server", "tools"])}
    return subprocess.Popen([sys.executable, "-c", BUYER, str(path), name], env=env, stdout=subprocess.PIPE)


async def test_four_processes_together_reserve_the_cap_and_not_a_cent_more(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with anyio.fail_after(60):
        buyers = [_buyer(path, str(place)) for place in range(4)]
        outputs = [await anyio.to_thread.run_sync(buyer.communicate) for buyer in buyers]
    granted = [line for out, _ in outputs for line in out.split()]
    assert len(granted) == 100
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert sum(row["micros"] for row in rows) == 1_000_000


async def test_a_reservation_that_was_granted_outlives_a_kill(tmp_path):
    path = tmp_path / "ledger.jsonl"
    granted: list[str] = []
    with anyio.fail_after(60):
        for place in range(5):
            buyer = _buyer(path, str(place))
            assert buyer.stdout
            for _ in range(3):
                granted.append((await anyio.to_thread.run_sync(buyer.stdout.readline)).decode().strip())
            buyer.send_signal(signal.SIGKILL)
            rest = await anyio.to_thread.run_sync(buyer.stdout.read)
            granted += rest.decode().split()
            buyer.wait()
            buyer.stdout.close()
    kept = {json.loads(line)["job"] for line in path.read_bytes().splitlines() if line.endswith(b"}")}
    assert {name for name in granted if name} <= kept
