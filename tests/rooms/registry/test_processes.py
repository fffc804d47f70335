"""Several real processes on one registry: opening at once, dying, and what an acknowledgement costs."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.contracts.jobs import a_job, within

from spadework.clock import SystemClock
from spadework.registry.disk import DiskStore
from spadework.registry.place import Place

pytestmark = pytest.mark.anyio

PRELUDE = """
import os, sys, pathlib, anyio
from spadework.clock import SystemClock
from spadework.registry import Change
from spadework.registry.disk import DiskStore
from tests.contracts.jobs import a_job
home, clock = pathlib.Path(sys.argv[1]), SystemClock()
async def main():
    sys.stdin.readline()
    async with await DiskStore.open(home, clock) as store:
"""
END = "\nanyio.run(main)\n"


ENV = {"PYTHONPATH": ":".join(path for path in sys.path if path), "PATH": "/usr/bin:/bin"}

RACE = """
import os, sys, pathlib, anyio
from spadework.clock import SystemClock
from spadework.registry.disk import DiskStore
from tests.contracts.jobs import a_job
async def main():
    async with await DiskStore.open(pathlib.Path(sys.argv[1]), SystemClock()) as store:
        await store.submit(a_job(SystemClock()))
start, go = os.pipe()
children = []
for _ in range(12):
    child = os.fork()
    if not child:
        os.close(go)
        os.read(start, 1)
        anyio.run(main)
        os._exit(0)
    children.append(child)
os.close(go)
for child in children:
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
os._exit(0)
"""


def start(home: Path, body: str, *before: str) -> subprocess.Popen[str]:
    """A process that opens the registry when it is told to (a line on its stdin), and runs `body` on it."""
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    command = [*before, sys.executable, "-c", PRELUDE + lines + END, str(home)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=ENV)


@within(60)
async def test_twelve_processes_open_an_empty_home_at_once(home: Path) -> None:
    """The processes are forked from one that has imported everything, so that they truly meet at the opening."""
    command = [sys.executable, "-c", RACE, str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, env=ENV)
    assert done.stdout.split() == ["0"] * 12, done.stderr
    async with await DiskStore.open(home, SystemClock()) as store:
        assert len((await store.list()).jobs) == 12


@within(60)
async def test_a_killed_workers_job_is_free_at_once_however_long_its_lease(home: Path) -> None:
    """By the lock that the kernel drops with the process; the lease would have held for an hour."""
    async with await DiskStore.open(home, SystemClock()) as store:
        job, _ = await store.submit(a_job(SystemClock()))
        worker = start(home, "print(await store.claim('w1', 1, 3600), flush=True)\nawait anyio.sleep(60)")
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
        assert job.id in worker.stdout.readline()
        assert await store.claim("w2", 1, 30) == []
        worker.send_signal(signal.SIGKILL)
        worker.communicate(timeout=10)
        (lease,) = await store.claim("w2", 1, 30)
        assert (lease.job.id, lease.fence) == (job.id, 2)
    assert not (Place(home / "registry").workers / "w1.lock").exists()


@pytest.mark.skipif(shutil.which("strace") is None, reason="counting syncs takes strace")
@within(60)
async def test_an_acknowledgement_is_synced_and_progress_is_not(home: Path, tmp_path: Path) -> None:
    """A commit that the disk does not have yet is lost with the power, and with it what was promised or paid."""
    body = (
        "os.getpriority(0, 1)\n"
        "for _ in range(10): await store.submit(a_job(clock))\n"
        "os.getpriority(0, 2)\n"
        "leases = await store.claim('w', 10, 30)\n"
        "for lease in leases: await store.update(lease, Change({'phase': 'x'}, durable=False))\n"
        "await store.heartbeat('w', 30)\n"
        "os.getpriority(0, 3)\n"
        "for lease in leases: await store.update(lease, Change({'status': 'completed'}))\n"
        "os.getpriority(0, 4)"
    )
    trace = tmp_path / "trace"
    strace = ("strace", "-f", "-e", "trace=fsync,fdatasync,getpriority", "-o", str(trace))
    process = start(home, body, *strace)
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    out, err = process.communicate(timeout=40)
    if "ptrace" in err:
        pytest.skip("no process may be traced here")
    assert process.returncode == 0, err + out
    parts = re.split(r"getpriority\(", trace.read_text())
    submits, progress, finishes = (part.count("sync(") for part in parts[1:4])
    assert submits >= 10
    assert progress == 0
    assert finishes >= 10
