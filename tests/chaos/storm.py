"""A storm: processes that submit and work while their parent kills them at random points.

Run as `python -m tests.chaos.storm HOME --kills 250 --jobs 5000`; prints what `history` found as JSON. The children are
forked from this process, which has imported everything and opened nothing, so that a new one works within
milliseconds. Each writes what it was told to a log of its own, one `write` for each line, after it was told.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import secrets
import signal
import struct
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
from tests.chaos import history

from spadework.clock import SystemClock
from spadework.job import Event, Job, fingerprint, new_id
from spadework.registry import Change, Fenced, Lease, tables
from spadework.registry.disk import DiskStore
from spadework_tools.errors import RegistryBusy
from spadework_tools.models import Request, Status


@dataclass(frozen=True)
class Plan:
    """How much there is to do and to suffer. `stall` is the share of jobs during which the worker stops for longer
    than its lease; `unfenced` is the control, in which such a worker's writes are let through."""

    home: Path
    kills: int
    jobs: int
    workers: int
    lease_s: float
    stall: float
    unfenced: bool
    seed: int

    def log(self, slot: int) -> Path:
        return self.home / f"log-{slot}"


class Worker:
    """One process's life: submits its share of the script, and works on whatever is due."""

    def __init__(self, plan: Plan, slot: int, quota: mmap.mmap) -> None:
        self._plan = plan
        self._slot = slot
        self._quota = quota
        self._clock = SystemClock()
        self._random = random.Random(os.getpid() ^ plan.seed)
        self._name = f"w{slot}-{secrets.token_hex(6)}"
        self._log = os.open(plan.log(slot), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        past = history.read([plan.log(slot)])
        self._next = sum(entry["op"] == "taken" for entry in past)

    def _tell(self, **entry: Any) -> None:
        os.write(self._log, json.dumps(entry).encode() + b"\n")

    async def live(self) -> None:
        """Work until every scripted job of all processes has ended."""
        async with await DiskStore.open(self._plan.home, self._clock) as store:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._beat, store)
                while not await self._over(store):
                    try:
                        await self._submit(store)
                        for lease in await store.claim(self._name, 3, self._plan.lease_s):
                            await self._work(store, lease)
                    except RegistryBusy:
                        continue
                tasks.cancel_scope.cancel()
            await store.leave(self._name)

    async def _beat(self, store: DiskStore) -> None:
        while True:
            await anyio.sleep(self._plan.lease_s / 4)
            try:
                if not await store.heartbeat(self._name, self._plan.lease_s):
                    self._name = f"w{self._slot}-{secrets.token_hex(6)}"
                await store.sweep()
            except RegistryBusy:
                continue

    async def _over(self, store: DiskStore) -> bool:
        if self._key() is not None or struct.unpack("q", self._quota[:8])[0] < self._plan.jobs:
            return False
        open_ones = await store.list("ann", [Status.QUEUED, Status.RUNNING], limit=1)
        return not open_ones.jobs

    def _key(self) -> int | None:
        """The number of this process's next job in the script."""
        number = self._next * self._plan.workers + self._slot
        return number if number < self._plan.jobs else None

    async def _submit(self, store: DiskStore) -> None:
        number = self._key()
        if number is None or number >= struct.unpack("q", self._quota[:8])[0]:
            await anyio.sleep(0.002)
            return
        request = Request(question=f"What is the number {number}?", idempotency_key=f"k{number}")
        self._tell(op="ask", key=f"k{number}")
        wall = self._clock.wall()
        job = Job(
            id=new_id(wall), owner="ann", request=request, fingerprint=fingerprint(request), engine="x", created_at=wall
        )
        job, _ = await store.submit(job)
        self._tell(op="taken", key=f"k{number}", id=job.id)
        self._next += 1

    async def _work(self, store: DiskStore, lease: Lease) -> None:
        job_id = lease.job.id
        try:
            step = Change(payloads={f"step/{job_id}/one": b"x"}, durable=self._random.random() < 0.5)
            await store.update(lease, step)
            if self._random.random() < self._plan.stall:
                # The whole process stops, heartbeat and all, as under a suspended laptop or a swapping machine.
                time.sleep(self._plan.lease_s * 1.6)
            progress = Event(at=0, kind="progress", text="half")
            await store.update(lease, Change({"phase": "half"}, [progress], durable=False))
            if self._random.random() < 0.2:
                await store.update(lease, Change(due=self._clock.boot() + 0.02))
                return
            result = f"{job_id}:{lease.fence}".encode()
            await store.update(lease, Change({"status": Status.COMPLETED}, payloads={f"result/{job_id}": result}))
        except Fenced:
            self._tell(op="fenced", id=job_id)
            return
        self._tell(op="done", id=job_id, fence=lease.fence)


class Storm:
    """The parent: keeps the workers coming, and kills them."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._random = random.Random(plan.seed)
        self._quota = mmap.mmap(-1, 8)
        self._slots: dict[int, int] = {}

    def _fork(self, slot: int) -> None:
        child = os.fork()
        if child:
            self._slots[slot] = child
            return
        code = 1
        try:
            anyio.run(Worker(self._plan, slot, self._quota).live)
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)

    def rage(self) -> None:
        """Kill as often as planned, at random points, while the script moves on a little after each."""
        for slot in range(self._plan.workers):
            self._fork(slot)
        for killed in range(self._plan.kills):
            self._quota[:8] = struct.pack("q", self._plan.jobs * (killed + 1) // self._plan.kills)
            time.sleep(self._random.uniform(0.02, 0.25))
            slot = self._random.randrange(self._plan.workers)
            if self._random.random() < 0.05:
                os.kill(self._slots[slot], signal.SIGSTOP)
                time.sleep(self._plan.lease_s * 1.3)
                os.kill(self._slots[slot], signal.SIGCONT)
            os.kill(self._slots[slot], signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(self._slots[slot], 0)[1])
            if status not in (-signal.SIGKILL, 0):
                raise SystemExit(f"a worker failed by itself with {status}")
            self._fork(slot)

    def calm(self, deadline_s: float) -> None:
        """Let the workers finish; whoever is at work after the deadline is stuck."""
        end = time.monotonic() + deadline_s
        while self._slots and time.monotonic() < end:
            for slot, child in list(self._slots.items()):
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    del self._slots[slot]
                    if status:
                        raise SystemExit(f"a worker failed by itself with {status}")
            time.sleep(0.02)
        for child in self._slots.values():
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def run(plan: Plan) -> dict[str, Any]:
    """The storm and what history says of it."""
    plan.home.mkdir(parents=True, exist_ok=True)
    if plan.unfenced:
        tables.holds = lambda row, lease: True
    storm = Storm(plan)
    started = time.monotonic()
    storm.rage()
    storm.calm(60)
    logs = [plan.log(slot) for slot in range(plan.workers) if plan.log(slot).exists()]
    found = history.check(plan.home / "registry" / "cache.db", logs)
    fenced = sum(entry["op"] == "fenced" for entry in history.read(logs))
    extra = {"kills": plan.kills, "fenced": fenced, "seconds": round(time.monotonic() - started, 1)}
    return {"sound": found.sound, **asdict(found), **extra}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("--kills", type=int, default=250)
    parser.add_argument("--jobs", type=int, default=5_000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--lease", type=float, default=0.8)
    parser.add_argument("--stall", type=float, default=0.003)
    parser.add_argument("--unfenced", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    plan = Plan(
        given.home, given.kills, given.jobs, given.workers, given.lease, given.stall, given.unfenced, given.seed
    )
    json.dump(run(plan), sys.stdout)


if __name__ == "__main__":
    main()
