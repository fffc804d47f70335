"""A full, a read-only and a blocked registry: a typed error for writers, and readers go on.

The disks are real ones where the tests run as root (a small tmpfs), else a limit on file sizes and folder modes.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from tests.contracts.clock import HandClock
from tests.contracts.jobs import LEASE_S, a_job, ended, running, within

from spadework.registry import Change
from spadework.registry.disk import DiskStore
from spadework.registry.place import Place
from spadework_tools.errors import ReadOnly, RegistryBusy, StorageFull
from spadework_tools.models import Status

pytestmark = pytest.mark.anyio

BALLAST = 4 << 20


def mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, timeout=10)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    point = tmp_path / "disk"
    point.mkdir()
    mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(point))
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True, timeout=10)


def fill(disk: Path) -> Path:
    """Take every last byte of the disk."""
    path = disk / "ballast"
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return path


@within(30)
async def test_a_full_disk_is_an_error_and_passes_with_its_cause(disk: Path, clock: HandClock) -> None:
    async with await DiskStore.open(disk / "home", clock) as store:
        job_id = await ended(store, clock)
        lease = await running(store, clock)
        ballast = fill(disk)
        accepted = 0
        with pytest.raises(StorageFull), anyio.fail_after(5):
            # The log may have some room left from before.
            while accepted < 5_000:
                await store.submit(a_job(clock, "x" * 15_000))
                accepted += 1
        for _ in range(3):
            with pytest.raises(StorageFull):
                await store.update(lease, Change(payloads={lease.job.result_key: bytes(50_000)}))
        assert (await store.get(job_id)).status is Status.COMPLETED
        assert await store.payload(f"result/{job_id}") == b"report"
        assert len((await store.list(limit=1_000)).jobs) == 2 + accepted
        assert await store.payload(lease.job.result_key) is None
        ballast.unlink()
        await store.update(lease, Change({"status": Status.COMPLETED}, payloads={lease.job.result_key: b"late"}))
        assert await store.payload(lease.job.result_key) == b"late"
    assert {path.name for path in (disk / "home" / "registry").iterdir()} == {
        ".created", ".gate", ".gate.turn", "cache.db", "workers",
    }  # fmt: skip


@within(30)
async def test_a_disk_that_is_full_at_the_start_opens_for_reading_and_writes_once_there_is_room(
    disk: Path, clock: HandClock
) -> None:
    async with await DiskStore.open(disk / "home", clock) as store:
        job_id = await ended(store, clock)
    ballast = fill(disk)
    async with await DiskStore.open(disk / "home", clock) as store:
        assert (await store.get(job_id)).status is Status.COMPLETED
        assert await store.payload(f"result/{job_id}") == b"report"
        with pytest.raises(StorageFull):
            await store.submit(a_job(clock, "x" * 15_000))
        ballast.unlink()
        await store.submit(a_job(clock))
        assert len((await store.list()).jobs) == 2


@within(30)
async def test_a_disk_too_full_for_a_registry_says_so(disk: Path, clock: HandClock) -> None:
    (disk / "home").mkdir()
    ballast = fill(disk)
    with pytest.raises(StorageFull):
        await DiskStore.open(disk / "home", clock)
    ballast.unlink()
    async with await DiskStore.open(disk / "home", clock) as store:
        await store.submit(a_job(clock))


LIMITED = """
import resource, sys, pathlib, anyio
from spadework.registry.disk import DiskStore
from spadework_tools.errors import StorageFull
from tests.contracts.clock import HandClock
from tests.contracts.jobs import a_job
async def main():
    clock = HandClock()
    async with await DiskStore.open(pathlib.Path(sys.argv[1]), clock) as store:
        first, _ = await store.submit(a_job(clock))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
        try:
            for _ in range(500):
                await store.submit(a_job(clock, "x" * 15_000))
        except StorageFull:
            print("full")
        assert (await store.get(first.id)).id == first.id
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await store.submit(a_job(clock))
        print("works again")
anyio.run(main)
"""


@within(30)
async def test_a_limit_on_file_sizes_reads_as_a_full_disk(home: Path) -> None:
    """What a quota looks like to SQLite: an input/output error of no particular kind."""
    path = ":".join(entry for entry in sys.path if entry)
    command = [sys.executable, "-c", LIMITED, str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=25, env={"PYTHONPATH": path})
    assert (done.returncode, done.stdout) == (0, "full\nworks again\n"), done.stderr


@pytest.mark.parametrize("log", [False, True], ids=["closed properly", "with its log left behind"])
@within(30)
async def test_a_read_only_disk_is_read_and_refuses_writes(disk: Path, clock: HandClock, *, log: bool) -> None:
    home = disk / "home"
    store = await DiskStore.open(home, clock)
    job_id = await ended(store, clock)
    place = Place(home / "registry")
    left = {path: path.read_bytes() for path in place.folder.glob("cache.db*")}
    await store.close()
    if log:
        # As a killed process leaves them: the job stands in the log alone.
        for path, data in left.items():
            path.write_bytes(data)
    mount("-o", "remount,ro", str(disk))
    async with await DiskStore.open(home, clock) as store:
        assert (await store.get(job_id)).status is Status.COMPLETED
        assert await store.payload(f"result/{job_id}") == b"report"
        assert [job.id for job in (await store.list()).jobs] == [job_id]
        version = await store.version()
        assert await store.changed(version, 0.1) == version
        writes = (
            lambda: store.submit(a_job(clock)), lambda: store.cancel(job_id), lambda: store.claim("w", 1, LEASE_S),
            lambda: store.sweep(), lambda: store.heartbeat("w", LEASE_S), lambda: store.leave("w"),
        )  # fmt: skip
        for write in writes:
            with pytest.raises(ReadOnly, match=str(place.folder)):
                await write()
        mount("-o", "remount,rw", str(disk))
        await store.submit(a_job(clock))


@within(30)
async def test_a_read_only_disk_without_a_registry_says_so(disk: Path, clock: HandClock) -> None:
    mount("-o", "remount,ro", str(disk))
    with pytest.raises(ReadOnly):
        await DiskStore.open(disk / "home", clock)


@within(30)
async def test_a_folder_without_write_permission_is_read(home: Path, place: Place, clock: HandClock) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    async with await DiskStore.open(home, clock) as store:
        job_id = await ended(store, clock)
    place.folder.chmod(0o500)
    async with await DiskStore.open(home, clock) as store:
        assert (await store.get(job_id)).status is Status.COMPLETED
        with pytest.raises(ReadOnly):
            await store.submit(a_job(clock))
    place.folder.chmod(0o700)


@within(30)
async def test_a_stopped_holder_of_the_gate_makes_writers_give_up_and_keeps_no_reader(
    store: DiskStore, place: Place, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await ended(store, clock)
    monkeypatch.setattr("spadework.registry.session.WAIT_S", 0.3)
    with place.gate.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        given_up = a_job(clock, "given up?")
        with pytest.raises(RegistryBusy):
            await store.submit(given_up)
        assert (await store.get(job_id)).status is Status.COMPLETED
    await store.submit(a_job(clock))
    assert given_up.id not in {job.id for job in (await store.list()).jobs}
