"""Shared by every room: the async backend, a fresh home, and the real server behind a real MCP client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import psutil
import pytest
from mcp.client import Client
from tests.journeys import server
from tests.journeys.wire import Wire

ERAS = ("2026-07-28", "2025-11-25")

Connect = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home that no server has used yet; a desk that a command started for it is gone at the end."""
    yield tmp_path / "home"
    for desk in tmp_path.rglob("desk.json"):
        with suppress(psutil.NoSuchProcess, OSError, ValueError):
            process = psutil.Process(json.loads(desk.read_text(encoding="utf-8"))["pid"])
            if "spadework" in " ".join(process.cmdline()):
                process.kill()


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    """Each protocol version that clients speak to us: the stateless one and the one with a handshake."""
    return request.param


@pytest.fixture
def client(home: Path, tmp_path: Path) -> Connect:
    """Starts the real server process over stdio: `async with client(era=…, roots=[…], setting=…) as agent`."""

    def connect(era: str = ERAS[0], **settings: object) -> AbstractAsyncContextManager[Client]:
        return server.connected(era, home, tmp_path, **settings)

    return connect


@pytest.fixture
def wire(home: Path, tmp_path: Path) -> Iterator[Callable[..., Wire]]:
    """Starts the real server process for raw JSON-RPC lines, `powerless` without root's rights; killed at the end."""
    started: list[Wire] = []

    def start(**settings: object) -> Wire:
        before = server.powerless() if settings.pop("powerless", False) else ()
        process = Wire(server.environment(home, **settings), tmp_path, (*before, *server.COMMAND))
        started.append(process)
        return process

    yield start
    for process in started:
        process.close()
