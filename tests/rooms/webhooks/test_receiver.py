"""The README's receiver, run as it stands: it takes what is real once, and refuses what is forged or stale."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.contracts.jobs import within
from tests.rooms.webhooks.office import office

from spadework.clock import SystemClock
from spadework.delivery import fresh_secret
from spadework.webhooks.signing import ID, SIGNATURE, TIMESTAMP, sign

pytestmark = pytest.mark.anyio

RECEIVER = Path(__file__).with_name("receiver.py")
BODY = b'{"type":"research.completed","timestamp":"2026-11-21T00:00:00Z","data":{"job_id":"r_1"}}'
SECRET, OLD = fresh_secret(), fresh_secret()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Program:
    """The receiver as a process of its own."""

    def __init__(
        self,
        folder: Path,
        secrets: str = f"{SECRET} {OLD}",
        source: str = RECEIVER.read_text(encoding="utf-8"),
        port: int = 0,
    ) -> None:
        (folder / "receiver.py").write_text(source, encoding="utf-8")
        self.port = port or free_port()
        environ = {"PATH": os.defpath, "WEBHOOK_SECRETS": secrets, "PORT": str(self.port)}
        self.process = subprocess.Popen(
            [sys.executable, "receiver.py"], cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip
        self.url = f"http://127.0.0.1:{self.port}/hook"

    def ready(self) -> Program:
        until = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                assert time.monotonic() < until
                time.sleep(0.02)

    def post(self, headers: Mapping[str, str], body: bytes = BODY) -> int:
        return httpx2.post(self.url, headers=dict(headers), content=body, timeout=10).status_code

    def done(self) -> list[str]:
        """The work it did, one line each; it is ended for that."""
        self.process.kill()
        assert self.process.stdout is not None
        with self.process.stdout:
            lines = self.process.stdout.read().splitlines()
        self.process.wait(10)
        return lines


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    started: list[Program] = []

    def start(**options: Any) -> Program:
        started.append(Program(tmp_path, **options))
        return started[-1].ready()

    yield start
    for program in started:
        if program.process.poll() is None:
            program.done()


def signed(secret: str = SECRET, name: str = "msg_1", at: float = 0, body: bytes = BODY) -> dict[str, str]:
    stamp = int(time.time() + at)
    return {ID: name, TIMESTAMP: str(stamp), SIGNATURE: sign([secret], name, stamp, body)}


def test_a_repeated_message_is_worked_on_once_and_answered_2xx_each_time(receiver: Callable[..., Program]) -> None:
    program = receiver()
    assert [program.post(signed(at=n)) for n in range(5)] == [204] * 5
    assert program.post(signed(OLD, "msg_2")) == 204
    assert program.done() == ["research.completed r_1"] * 2


def test_what_is_forged_or_stale_is_refused_and_never_worked_on(receiver: Callable[..., Program]) -> None:
    program = receiver()
    right = signed()
    forged: list[tuple[dict[str, str], bytes]] = [
        (signed(fresh_secret()), BODY),
        (right, BODY + b" "),
        ({**right, ID: "msg_9"}, BODY),
        ({**right, TIMESTAMP: str(int(time.time()) + 1)}, BODY),
        (signed(at=-301), BODY),
        (signed(at=302), BODY),
        ({**right, SIGNATURE: "v1"}, BODY),
        ({**right, SIGNATURE: "v1,a,b,c"}, BODY),
        ({**right, SIGNATURE: "v1a," + right[SIGNATURE][3:]}, BODY),
        ({**right, TIMESTAMP: "nan"}, BODY),
        ({**right, TIMESTAMP: "1e9"}, BODY),
        ({ID: "msg_1"}, BODY),
        ({}, b"\xff not JSON"),
        (right, b""),
    ]
    assert [program.post(headers, body) for headers, body in forged] == [401] * len(forged)
    assert program.post(right) == 204
    assert program.done() == ["research.completed r_1"]


def test_work_that_failed_is_done_at_the_next_try(receiver: Callable[..., Program], tmp_path: Path) -> None:
    source = RECEIVER.read_text(encoding="utf-8").replace(
        "    print(event", '    if not os.path.exists("mended"):\n        raise RuntimeError\n    print(event'
    )
    program = receiver(source=source)
    with pytest.raises(httpx2.RemoteProtocolError):
        program.post(signed())
    (tmp_path / "mended").touch()
    assert program.post(signed()) == 204
    assert program.done() == ["research.completed r_1"]


@within(30)
async def test_a_job_that_ends_is_told_to_the_receiver_once_however_often_it_is_sent(
    home: Path, receiver: Callable[..., Program]
) -> None:
    async with office(home, SystemClock()) as here:
        program = receiver()
        await here.store.outbox.rotate("local", program.url, SECRET, 0)
        job = await here.ended(program.url)
        assert await here.courier().round() is None
        delivery = await here.delivery(job)
        assert (delivery.state, delivery.note) == ("delivered", "127.0.0.1 answered 204")
        await here.store.outbox.redeliver("local", delivery.id)
        await here.courier().round()
        assert (await here.delivery(job)).state == "delivered"
        await here.store.outbox.rotate("local", program.url, fresh_secret(), 86_400)
        await here.store.outbox.redeliver("local", delivery.id)
        await here.courier().round()
        assert (await here.delivery(job)).state == "delivered"
        await here.store.outbox.rotate("local", program.url, fresh_secret(), 0)
        await here.store.outbox.redeliver("local", delivery.id)
        await here.courier().round()
        assert (await here.delivery(job)).note == "127.0.0.1 answered 401"
    assert program.done() == [f"research.completed {job.id}"]
