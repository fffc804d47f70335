"""A home whose jobs end at a word, its couriers, and an endpoint on a real socket that answers as it is told."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from standardwebhooks import Webhook
from tests.contracts.clock import HandClock

from spadework.bench import Kit
from spadework.clock import Clock
from spadework.delivery import Address, Delivery
from spadework.egress import Egress
from spadework.job import Job, fingerprint, new_id
from spadework.ledger import FileLedger
from spadework.registry import Change
from spadework.registry.disk import DiskStore
from spadework.settings import Settings
from spadework.webhooks.outbound import Courier
from spadework_tools.models import Outcome, Request, Status

QUESTION = "What is new in heat pumps, privately asked?"


@dataclass(frozen=True)
class Arrival:
    """One request as it came in."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def signed(self, secret: str, at: float) -> bool:
        """Whether the official package finds its signature right, at `at` on the sender's clock."""
        stamp = int(self.headers["webhook-timestamp"])
        assert abs(stamp - at) <= 1
        key = Webhook(secret)
        mine = key.sign(self.id, _utc(stamp), self.body.decode())
        return mine in self.headers["webhook-signature"].split(" ")


def _utc(stamp: int) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(stamp, UTC)


Answer = tuple[int, Mapping[str, str]]


@dataclass
class Endpoint:
    """A receiver; `answer` says what each request gets: a status and headers, or None for a connection dropped."""

    answer: Callable[[], Answer | None] = lambda: (204, {})
    arrivals: list[Arrival] = field(default_factory=list[Arrival])
    connections: int = 0
    port: int = 0
    came: anyio.Event = field(default_factory=anyio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/told?token=private"

    @property
    def ids(self) -> set[str]:
        return {arrival.id for arrival in self.arrivals}

    def always(self, status: int, **headers: str) -> None:
        self.answer = lambda: (status, {name.replace("_", "-"): value for name, value in headers.items()})

    async def wait(self, count: int) -> None:
        """Until so many have come."""
        while len(self.arrivals) < count:
            self.came = anyio.Event()
            await self.came.wait()

    async def _serve(self, stream: anyio.abc.SocketStream) -> None:
        self.connections += 1
        async with stream:
            data = b""
            while b"\r\n\r\n" not in data:
                data += await stream.receive()
            head, _, body = data.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            while len(body) < int(headers["content-length"]):
                body += await stream.receive()
            self.arrivals.append(Arrival(headers, body))
            answer = self.answer()
            self.came.set()
            if answer is not None:
                status, extra = answer
                fields = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
                await stream.send(f"HTTP/1.1 {status} So\r\ncontent-length: 0\r\n{fields}\r\n".encode())


@asynccontextmanager
async def endpoint() -> AsyncGenerator[Endpoint]:
    """An endpoint while the block runs."""
    place = Endpoint()
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        place.port = listener.extra(anyio.abc.SocketAttribute.local_port)
        group.start_soon(listener.serve, place._serve)
        yield place
        group.cancel_scope.cancel()


@dataclass
class Office:
    """A home, as one process has opened it."""

    kit: Kit
    clock: Any
    steady: bool = True

    @property
    def store(self) -> DiskStore:
        assert isinstance(self.kit.store, DiskStore)
        return self.kit.store

    def courier(self) -> Courier:
        return Courier(self.kit, jitter=lambda: 1.0) if self.steady else Courier(self.kit)

    async def job(self, *tell: str | Address, question: str = QUESTION, owner: str = "local", **fields: Any) -> Job:
        """A new job that is to be told of: URLs, or addresses."""
        request = Request(question=question, **fields)
        wall = self.clock.wall()
        job = Job(
            id=new_id(wall), owner=owner, request=request, fingerprint=fingerprint(request), engine="local",
            created_at=wall,
        )  # fmt: skip
        addresses = [Address("webhook", one) if isinstance(one, str) else one for one in tell]
        return (await self.store.submit(job, dedupe_s=86_400, tell=addresses))[0]

    async def end(self, job: Job, status: Status = Status.COMPLETED) -> Job:
        """The job, ended as a runner ends it."""
        (lease,) = await self.store.claim(f"w_{id(self)}", 1, 1e9, job.id)
        fields: dict[str, Any] = {"status": status}
        if status is Status.COMPLETED:
            fields["outcome"] = Outcome.FULL
        return await self.store.update(lease, Change(fields, payloads={job.result_key: b"the whole report"}))

    async def ended(self, *tell: str | Address, **fields: Any) -> Job:
        return await self.end(await self.job(*tell, **fields))

    async def delivery(self, job: Job) -> Delivery:
        """The one webhook of a job."""
        (found,) = [one for one in await self.store.outbox.deliveries("local") if one.job_id == job.id]
        return found

    async def tried(self, job: Job, *states: str, within_s: float, pace_s: float = 5) -> Delivery:
        """The one webhook of a job once it has been tried, or has come to one of these states."""
        with anyio.fail_after(within_s):
            version = 0
            while True:
                found = await self.delivery(job)
                if found.state in states or (found.attempt and not states):
                    return found
                version = await self.store.changed(version, pace_s, look_s=pace_s)

    async def secret(self, url: str, owner: str = "local") -> str:
        return (await self.store.outbox.secrets(owner, url))[0]

    async def drive(self, courier: Courier, longest_s: float) -> None:
        """Let the clock run by hand for so long, from one due delivery to the next."""
        until = self.clock.wall() + longest_s
        while (wait := await courier.round()) is not None and self.clock.wall() + wait <= until:
            self.clock.pass_s(wait)
        self.clock.pass_s(until - self.clock.wall())


@asynccontextmanager
async def office(home: Path, clock: Clock | None = None, **options: Any) -> AsyncGenerator[Office]:
    """A process's view of a home; `lookup` is the resolver, everything else settings."""
    clock = clock or HandClock()
    steady = options.pop("steady", True)
    lookup = {"lookup": options.pop("lookup")} if "lookup" in options else {}
    settings = Settings(home=home, **{"allow_private": ("127.0.0.1",), "inline_s": 0, **options})
    async with await DiskStore.open(home, clock) as store:
        http = Egress(allow_private=settings.allow_private, **lookup)
        yield Office(Kit(store, clock, http, FileLedger(home / "ledger.jsonl", clock), settings), clock, steady)
        await http.aclose()
