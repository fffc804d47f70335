"""A damaged registry is refused by name and left as it is; it is never taken for an empty one."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.contracts.clock import HandClock
from tests.contracts.jobs import a_job, within

from spadework.registry.disk import DiskStore
from spadework.registry.place import Place, _kind
from spadework_tools.errors import BadHome, RegistryCorrupt, SchemaNewer

pytestmark = pytest.mark.anyio

JOBS = 40


async def fill(home: Path, clock: HandClock) -> list[str]:
    """The ids of the jobs in a registry that was closed properly."""
    async with await DiskStore.open(home, clock) as store:
        return [(await store.submit(a_job(clock)))[0].id for _ in range(JOBS)]


def cut(size: int) -> Callable[[Place], None]:
    def damage(place: Place) -> None:
        data = place.database.read_bytes()
        place.database.write_bytes(data[: size if size >= 0 else len(data) + size])

    return damage


def garbage(place: Place) -> None:
    data = place.database.read_bytes()
    place.database.write_bytes(b"\xaa" * 100 + data[100:])


def foreign(place: Place) -> None:
    place.database.unlink()
    con = sqlite3.connect(place.database)
    con.execute("CREATE TABLE theirs (x)")
    con.commit()
    con.close()


def missing(place: Place) -> None:
    place.database.unlink()


DAMAGES = {
    "empty": cut(0), "a few bytes": cut(50), "less than a page": cut(1_000), "half": cut(-40_000),
    "last page": cut(-4_096), "garbage": garbage, "foreign": foreign, "missing": missing,
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
@within(10)
async def test_a_damaged_registry_is_refused_and_left_alone(
    home: Path, place: Place, clock: HandClock, damage: str
) -> None:
    await fill(home, clock)
    DAMAGES[damage](place)
    before = place.database.read_bytes() if place.database.exists() else None
    for _ in range(2):
        with pytest.raises(RegistryCorrupt) as caught:
            await DiskStore.open(home, clock)
        assert str(place.database) in str(caught.value)
        assert "backup" in str(caught.value)
    assert (place.database.read_bytes() if place.database.exists() else None) == before


@within(10)
async def test_an_empty_file_is_refused_also_without_our_marker(home: Path, place: Place, clock: HandClock) -> None:
    place.make()
    place.database.touch()
    with pytest.raises(RegistryCorrupt):
        await DiskStore.open(home, clock)


@within(10)
async def test_a_flipped_page_is_an_error_that_names_the_file_when_it_is_met(
    home: Path, place: Place, clock: HandClock
) -> None:
    ids = await fill(home, clock)
    data = bytearray(place.database.read_bytes())
    for start in range(4_096 * 4, len(data), 4_096):
        data[start : start + 64] = b"\xff" * 64
    place.database.write_bytes(data)
    with pytest.raises(RegistryCorrupt, match=str(place.database)):
        async with await DiskStore.open(home, clock) as store:
            for job_id in ids:
                await store.get(job_id)


@within(10)
async def test_a_garbage_log_loses_nothing(home: Path, place: Place, clock: HandClock) -> None:
    ids = await fill(home, clock)
    place.log.write_bytes(b"\x5a" * 100_000)
    async with await DiskStore.open(home, clock) as store:
        assert {job.id for job in (await store.list(limit=100)).jobs} == set(ids)


@within(10)
async def test_a_newer_schema_is_refused_and_left_alone(home: Path, place: Place, clock: HandClock) -> None:
    await fill(home, clock)
    con = sqlite3.connect(place.database)
    con.execute("UPDATE rq_meta SET n = 99 WHERE k = 'schema'")
    con.commit()
    con.close()
    before = place.database.read_bytes()
    with pytest.raises(SchemaNewer, match="schema 99"):
        await DiskStore.open(home, clock)
    assert place.database.read_bytes() == before


@pytest.mark.parametrize("left", ["marker", "empty file", "half the tables"])
@within(10)
async def test_a_creation_that_was_cut_short_is_completed(
    home: Path, place: Place, clock: HandClock, left: str
) -> None:
    place.make()
    place.mark("begun")
    if left == "empty file":
        place.database.touch()
    if left == "half the tables":
        foreign_con = sqlite3.connect(place.database)
        foreign_con.execute("PRAGMA journal_mode = wal")
        foreign_con.execute("CREATE TABLE Settings (key TEXT NOT NULL UNIQUE, value)")
        foreign_con.close()
    assert len(await fill(home, clock)) == JOBS
    assert place.marked() == "complete"


@within(10)
async def test_a_registry_without_its_marker_opens_and_gets_it_back(home: Path, place: Place, clock: HandClock) -> None:
    await fill(home, clock)
    place.marker.unlink()
    async with await DiskStore.open(home, clock) as store:
        assert len((await store.list()).jobs) == JOBS
    assert place.marked() == "complete"


@within(20)
async def test_the_files_are_the_owners_alone_under_any_umask(home: Path, place: Place) -> None:
    """Also the database's log and shared memory, which exist only while it is open."""
    script = (
        "import os, sys, anyio, pathlib; os.umask(0)\n"
        "from spadework.registry.disk import DiskStore\nfrom tests.contracts.clock import HandClock\n"
        "from tests.contracts.jobs import a_job\n"
        "async def main():\n"
        "    clock = HandClock()\n"
        "    async with await DiskStore.open(pathlib.Path(sys.argv[1]), clock) as store:\n"
        "        await store.submit(a_job(clock)); await store.claim('w', 1, 30)\n"
        "        for path in sorted(pathlib.Path(sys.argv[1]).rglob('*')):\n"
        "            print(path.name, 'd' if path.is_dir() else 'f', oct(path.stat().st_mode & 0o777))\n"
        "anyio.run(main)\n"
    )
    command = [sys.executable, "-c", script, str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=15, env=_env())
    assert done.returncode == 0, done.stderr
    modes = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert {"cache.db", "cache.db-wal", "cache.db-shm", ".gate", ".created", "w.lock", "workers"} <= modes.keys()
    assert set(modes.values()) == {"d 0o700", "f 0o600"}


def _env() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(path for path in sys.path if path), "PATH": "/usr/bin:/bin"}


MOUNTS = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:40 / /home rw - nfs4 server:/home rw
31 30 0:41 / /home/ann/local\\040disk rw - xfs /dev/sdb rw
32 22 0:42 / /mnt rw - ext4 /dev/sdc rw
33 22 0:43 / /mnt rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/x", "ext4"),
        ("/home/ann/x", "nfs4"),
        ("/homely", "ext4"),
        ("/home/ann/local disk/registry", "xfs"),
        ("/mnt/x", "cifs"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_last_mount(tmp_path: Path, folder: str, kind: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert _kind(Path(folder), mounts) == kind


@within(10)
async def test_a_network_file_system_is_refused(home: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kind of the disk under the tests stands in for one that no test machine has."""
    home.mkdir()
    monkeypatch.setattr("spadework.registry.place.NETWORK", frozenset({_kind(home)}))
    with pytest.raises(BadHome, match="network"):
        await DiskStore.open(home, clock)
    assert list(home.iterdir()) == []


@within(10)
async def test_a_home_whose_name_would_be_expanded_is_refused(
    tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELSEWHERE", str(tmp_path / "elsewhere"))
    with pytest.raises(BadHome, match="variable"):
        await DiskStore.open(tmp_path / "$ELSEWHERE", clock)
