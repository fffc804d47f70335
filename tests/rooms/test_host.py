"""Keys at the desk: a job uses its own caller's, waits for a missing one by name, and goes on when it is brought."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
import trio.testing
from pydantic import SecretStr
from tests.rooms.house import rig

from spadework.caller import Caller, Callers
from spadework.engines import Bench, Later
from spadework.engines.scripted import Scripted
from spadework.job import Job
from spadework.settings import Settings
from spadework_tools.errors import MissingKey
from spadework_tools.models import Report, Status

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Hours pass in milliseconds."""
    return ("trio", {"clock": trio.testing.MockClock(autojump_threshold=0.02)})


def caller(home: Path, **keys: str) -> Caller:
    held = {vendor: SecretStr(key) for vendor, key in keys.items()}
    return Caller(Settings(home=home, vendor_keys=held), base=home)


class Keyed(Scripted):
    """An engine that needs a vendor's key before it does anything."""

    name = "exa"

    def __init__(self) -> None:
        self.used: list[str] = []

    async def work(self, job: Job, bench: Bench) -> Report | Later:
        self.used.append(bench.key("exa"))
        return await super().work(job, bench)


async def test_a_job_without_its_key_names_it_and_goes_on_by_itself_when_a_client_brings_it(home: Path) -> None:
    async with rig(home) as place, anyio.create_task_group() as group:
        engine = Keyed()
        group.start_soon(place.runner({"exa": engine}).run)
        waiting = await place.until(await place.add("report 300", engine="exa"), Status.RUNNING, "waiting for")
        assert waiting.phase == "waiting for EXA_API_KEY"
        assert waiting.error is not None
        assert waiting.error.code == "missing_key"
        place.kit.callers.arrive(caller(home, parallel="another-vendors"))
        await anyio.sleep(20)
        assert (await place.store.get(waiting.id)).phase == "waiting for EXA_API_KEY"
        place.kit.callers.arrive(caller(home, exa="brought-later"))
        with anyio.fail_after(60):
            ended = await place.ended(waiting)
        assert (ended.status, ended.error, engine.used) == (Status.COMPLETED, None, ["brought-later"])
        group.cancel_scope.cancel()


def test_a_job_uses_the_key_of_whoever_started_it_and_only_its_owners(tmp_path: Path) -> None:
    callers = Callers()
    first, second = caller(tmp_path, exa="first"), caller(tmp_path, exa="second")
    for one in (first, second):
        callers.arrive(one)
    callers.charge("r_1", first)
    assert callers.key("r_1", "local", "exa") == "first"
    assert callers.key("r_2", "local", "exa") == "second"
    callers.release("r_1")
    assert callers.key("r_1", "local", "exa") == "second"
    with pytest.raises(MissingKey, match="EXA_API_KEY") as caught:
        callers.key("r_3", "somebody else", "exa")
    assert caught.value.variables == ("EXA_API_KEY",)
    assert callers.secrets() == {"first", "second"}
    assert "first" not in repr(first)
