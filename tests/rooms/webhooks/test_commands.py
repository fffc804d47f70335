"""`spadework webhooks`: a person lists, sends again and rotates, at the desk process and without one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from tests.contracts.jobs import within
from tests.journeys.server import environment
from tests.rooms.webhooks.office import Endpoint, endpoint, office

from spadework.clock import SystemClock

pytestmark = pytest.mark.anyio

Run = Callable[..., Any]


@pytest.fixture
async def place() -> AsyncGenerator[Endpoint]:
    async with endpoint() as opened:
        yield opened


@pytest.fixture(params=[True, False], ids=["at the desk", "without one"])
async def run(request: pytest.FixtureRequest, home: Path, tmp_path: Path) -> AsyncGenerator[Run]:
    """Runs `spadework webhooks …`; its exit code, stdout and stderr."""
    environ = environment(home, allow_private="127.0.0.1", idle_s=600)

    async def command(*words: str) -> tuple[int, str, str]:
        line = [sys.executable, "-m", "spadework", *words]
        line += [] if request.param or words[:2] == ("desk", "stop") else ["--no-desk"]
        work = partial(subprocess.run, line, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        done = await anyio.to_thread.run_sync(work)
        return done.returncode, done.stdout, done.stderr

    yield command
    if request.param:
        await command("desk", "stop")


@within(120)
async def test_a_person_lists_sends_again_and_rotates(home: Path, place: Endpoint, run: Run) -> None:
    async with office(home, SystemClock()) as here:
        place.always(410)
        job = await here.ended(place.url)
        await here.courier().round()
        secret, name = await here.secret(place.url), (await here.delivery(job)).id
    code, out, _ = await run("webhooks", "list")
    assert code == 0
    assert f"endpoint\t{place.url}\tdisabled: 127.0.0.1 answered 410\n" in out
    assert f"{name}\t{job.id}\tdisabled after 1 try" in out
    assert "whsec_" not in out
    assert secret in (await run("webhooks", "list", "--secrets"))[1]
    shown = json.loads((await run("webhooks", "list", "--json"))[1])
    assert [row["id"] for row in shown["deliveries"]] == [name]
    assert "whsec_" not in json.dumps(shown)

    code, out, _ = await run("webhooks", "redeliver", name)
    assert (code, len(place.arrivals), place.ids) == (1, 2, {name})
    assert "410" in out
    place.always(204)
    code, out, _ = await run("webhooks", "redeliver", name)
    assert (code, len(place.arrivals), place.ids) == (0, 3, {name})
    assert "delivered after 1 try" in out

    code, out, _ = await run("webhooks", "rotate", place.url, "--json")
    row = json.loads(out)
    assert code == 0
    assert row["secrets"][1] == secret != row["secrets"][0]
    await run("webhooks", "redeliver", job.id)
    at = int(place.arrivals[-1].headers["webhook-timestamp"])
    assert all(place.arrivals[-1].signed(one, at) for one in row["secrets"])


@within(120)
async def test_what_is_not_there_is_said_in_words(home: Path, run: Run) -> None:
    code, out, err = await run("webhooks", "list")
    assert (code, out) == (0, "")
    assert "No webhook was ever asked for" in err
    code, _, err = await run("webhooks", "redeliver", "msg_none")
    assert code == 1
    assert "unknown_delivery" in err
    code, _, err = await run("webhooks", "rotate", "https://10.0.0.1/")
    assert code == 1
    assert "egress_refused" in err
