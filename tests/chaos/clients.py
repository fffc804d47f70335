"""A storm over real servers: clients that hand in jobs over stdio while their servers are killed and stalled.

Each client writes what it was told to a log of its own (`history.check` reads it): what it is about to ask, and each
answer. A question whose answer never came is asked again, with the same key, of the next server.
"""

from __future__ import annotations

import fcntl
import json
import random
import signal
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos import history
from tests.journeys.server import COMMAND, environment
from tests.journeys.wire import Silent, Wire

#: Questions that a client has in flight at once.
WINDOW = 16


@dataclass(frozen=True)
class Plan:
    """How much there is to do and to suffer; `stalls` of the kills are preceded by a stop longer than the lease."""

    home: Path
    place: Path
    jobs: int
    kills: int
    stalls: int = 0
    servers: int = 3
    hands: int = 8
    lease_s: float = 30.0
    #: How long a server may go on after a stall before it is killed.
    after_s: float = 0.5
    script: str = "read 2 0.002; report 400"
    command: Sequence[str] = COMMAND
    seed: int = 1


@dataclass
class Client:
    """One client, its server and its share of the keys."""

    plan: Plan
    slot: int
    keys: deque[str]
    quota: list[int]
    wire: Wire | None = None
    answered: int = 0
    lives: int = 0
    killed: int = 0
    flying: dict[int, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.plan.place / f"client-{self.slot}.log"

    def live(self, over: threading.Event) -> None:
        """Ask until every key has its answer, then keep a server running until all is over."""
        with self.log.open("ab", buffering=0) as log:
            while not over.is_set():
                settings = {"inline_s": 0, "lease_s": self.plan.lease_s, "concurrency": self.plan.hands}
                self.wire = Wire(environment(self.plan.home, **settings), self.plan.place, self.plan.command)
                self.lives += 1
                with suppress(Silent, BrokenPipeError):
                    self._talk(log, over)
                self.keys.extendleft(reversed(self.flying.values()))
                self.flying.clear()
                self.killed += not over.is_set() and self.wire.process.wait(30) == -signal.SIGKILL
                self.wire.close()

    def _talk(self, log: Any, over: threading.Event) -> None:
        assert self.wire
        while not over.is_set():
            while self.keys and len(self.flying) < WINDOW and int(self.keys[0][1:]) < self.quota[0]:
                self._ask(log, self.keys[0])
            if not self.flying:
                if self.wire.process.poll() is not None:
                    return
                over.wait(0.01)
                continue
            answer = json.loads(self.wire.line(60))
            key = self.flying.pop(answer["id"])
            result = answer["result"]
            assert not result.get("isError"), (key, result)
            self._tell(log, op="taken", key=key, id=result["structuredContent"]["job_id"])
            self.answered += 1

    def _ask(self, log: Any, key: str) -> None:
        assert self.wire
        self._tell(log, op="ask", key=key)
        arguments = {"question": f"{key} [script: {self.plan.script}]", "engine": "scripted", "idempotency_key": key}
        number = self.wire.send("tools/call", {"name": "start_research", "arguments": arguments})
        self.flying[number] = self.keys.popleft()

    def _tell(self, log: Any, **entry: str) -> None:
        log.write(json.dumps(entry).encode() + b"\n")


class Storm:
    """The clients at work, and the weather."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._random = random.Random(plan.seed)
        self._quota = [0]
        self._over = threading.Event()
        self.clients = [
            Client(plan, slot, deque(f"k{n}" for n in range(slot, plan.jobs, plan.servers)), self._quota)
            for slot in range(plan.servers)
        ]
        self._threads = [threading.Thread(target=client.live, args=(self._over,)) for client in self.clients]

    def run(self, *, calm_s: float) -> history.Findings:
        """Kill as often as planned while the jobs come in, let the rest finish, and judge what is left."""
        for thread in self._threads:
            thread.start()
        try:
            self._muster()
            self._rage()
            self._quota[0] = self.plan.jobs
            self._calm(calm_s)
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join(90)
        assert not any(thread.is_alive() for thread in self._threads)
        logs = [client.log for client in self.clients]
        return history.check(self.plan.home / "registry" / "cache.db", logs)

    def _muster(self) -> None:
        """Wait until every server has answered, so that there is somebody to take over."""
        self._quota[0] = self.plan.servers
        until = time.monotonic() + 90
        while not all(client.answered for client in self.clients):
            assert time.monotonic() < until, "a server does not answer"
            time.sleep(0.01)

    def _rage(self) -> None:
        stalls = set(self._random.sample(range(self.plan.kills), self.plan.stalls))
        for killed in range(self.plan.kills):
            self._quota[0] = max(self._quota[0], self.plan.jobs * (killed + 1) // self.plan.kills)
            client = self._random.choice(self.clients)
            self._await(client, starting=self._random.random() < 0.1)
            time.sleep(self._random.uniform(0, 0.15))
            assert client.wire
            if killed in stalls:
                self._stop(client.wire)
                time.sleep(self.plan.lease_s * 2)
                client.wire.process.send_signal(signal.SIGCONT)
                time.sleep(self.plan.after_s)
            client.wire.process.kill()
            client.wire.process.wait(30)

    def _stop(self, wire: Wire) -> None:
        """Stop a server while it and another one are at work, but not inside a write, which would stop them all."""
        until = time.monotonic() + 30
        while self._count("SELECT count(DISTINCT worker) FROM rq_jobs") < min(2, self.plan.servers):
            assert time.monotonic() < until, "only one server is at work"
            # Whoever came first may have it all in hand: there is work for one more.
            self._quota[0] = min(self.plan.jobs, self._quota[0] + 1)
            time.sleep(0.02)
        while True:
            wire.process.send_signal(signal.SIGSTOP)
            if self._gate_opens(within=0.2):
                return
            wire.process.send_signal(signal.SIGCONT)
            time.sleep(0.003)
            assert time.monotonic() < until, "the server is always inside a write"

    def _gate_opens(self, within: float) -> bool:
        """Whether every lock of the gate can be had, by turns."""
        until = time.monotonic() + within
        locks = sorted((self.plan.home / "registry").glob(".gate*"))
        while locks and time.monotonic() < until:
            with locks[0].open("rb") as lock, suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                del locks[0]
            time.sleep(0.001)
        return not locks

    def _await(self, client: Client, *, starting: bool) -> None:
        """Wait until the client's server has a life to lose: it has begun to start, or it has answered."""
        until, lives, answered = time.monotonic() + 60, client.lives, client.answered
        while client.wire is None or client.wire.process.poll() is not None:
            assert time.monotonic() < until, "no server starts"
            time.sleep(0.005)
        while not starting and client.keys and client.answered == answered and client.lives in (lives, lives + 1):
            assert time.monotonic() < until, f"no answers from server {client.slot}: {client.wire.said[-1000:]}"
            if not any(int(key[1:]) < self._quota[0] for key in list(client.keys)[:1]) and not client.flying:
                return
            time.sleep(0.005)

    def _calm(self, within: float) -> None:
        """Wait until every job has ended."""
        until = time.monotonic() + within
        while (left := self.plan.jobs - self._ended()) and time.monotonic() < until:
            time.sleep(0.25)
        assert left == 0, f"{left} jobs are stuck"

    def _ended(self) -> int:
        return self._count("SELECT count(*) FROM rq_jobs WHERE status IN ('completed', 'failed')")

    def _count(self, sql: str) -> int:
        con = sqlite3.connect(f"file:{self.plan.home / 'registry' / 'cache.db'}?mode=ro", uri=True, timeout=10)
        try:
            return con.execute(sql).fetchone()[0]
        finally:
            con.close()
