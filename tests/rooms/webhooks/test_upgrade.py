"""A registry from before webhooks opens, keeps its jobs, and can tell of them from then on."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.contracts.jobs import within
from tests.rooms.webhooks.office import endpoint, office

from spadework import hello
from spadework.registry import schema

pytestmark = pytest.mark.anyio


def test_the_bridge_names_the_schema_that_the_registry_has() -> None:
    assert hello.SCHEMA == schema.SCHEMA


@within(20)
async def test_a_registry_of_schema_1_opens_with_its_jobs(home: Path) -> None:
    async with office(home) as here:
        old = await here.job()
    con = sqlite3.connect(home / "registry" / "cache.db")
    con.execute("DROP TABLE rq_deliveries")
    con.execute("DROP TABLE rq_endpoints")
    con.execute("ALTER TABLE rq_workers DROP COLUMN since")
    con.execute("UPDATE rq_meta SET n = 1 WHERE k = 'schema'")
    con.commit()
    con.close()
    async with endpoint() as place, office(home, here.clock) as here:
        assert (await here.store.get(old.id)).request == old.request
        await here.end(await here.job(place.url))
        await here.courier().round()
        assert [arrival.json["data"]["job_id"] for arrival in place.arrivals] == [old.id]
