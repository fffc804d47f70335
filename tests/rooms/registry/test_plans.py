"""The queries that run all the time walk one index each, without sorting or scanning what does not match."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contracts.clock import HandClock

from spadework.registry import leases, sweep, tables
from spadework.registry.core import Core, Limits

QUERIES = {
    "due": (leases._DUE, 3, "rq_due"),
    "next priority": (leases._PRIO, 1, "rq_due"),
    "held": (leases._HELD, 1, "rq_held"),
    "by id": (tables.BY_ID, 1, "sqlite_autoindex_rq_jobs_1"),
    "by key": (tables._BY_KEY, 2, "rq_idem"),
    "by work": (tables._BY_WORK, 3, "rq_same"),
    "newest": (tables._PAGES[False, False], 2, "PRIMARY KEY"),
    "newest of a status": (tables._PAGES[False, True], 3, "rq_status"),
    "newest of an owner": (tables._PAGES[True, True], 4, "rq_owner"),
    "ended": (sweep._ENDED, 2, "rq_ended"),
    "old tombstones": (sweep._TOMBS, 2, "rq_tombs_until"),
    "source still wanted": (sweep._WANTED, 1, "rq_refs_key"),
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_walks_its_index(home: Path, clock: HandClock, name: str) -> None:
    sql, values, index = QUERIES[name]
    core = Core.open(home, clock, Limits())
    plan = " / ".join(row[3] for row in core._session.con.execute(f"EXPLAIN QUERY PLAN {sql}", [0] * values))
    core.close()
    assert index in plan
    assert "TEMP B-TREE" not in plan
    assert "SCAN" not in plan or name == "next priority"
