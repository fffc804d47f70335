"""A trivial tool over HTTP: our server beside the bare SDK's, requests a second and milliseconds, measured in turns.

Both serve the same tool on loopback to the same raw client, in the stateless era. Ours has everything on that
`spadework serve --http` has on loopback: the guard, quotas, limits, the strict tools and the cleaner; `tokens` has a
token to check for each request too, which the SDK's has not. Prints JSON; `ratio` is ours to the SDK's.

    uv run python benchmarks/serving.py [--seconds 2] [--turns 5] [--clients 4]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "benchmark", "version": "1"},
}
TOKEN = "benchmark-0123456789abcdef"

BARE = """
import socket
import uvicorn
from mcp.server.mcpserver import MCPServer

server = MCPServer("bare", log_level="WARNING")


@server.tool()
async def echo(text: str) -> str:
    \"\"\"Says what it was told.\"\"\"
    return text


line = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
line.bind(("127.0.0.1", 0))
print(f"serving on :{line.getsockname()[1]}/", flush=True)
config = uvicorn.Config(server.streamable_http_app(), log_level="warning", access_log=False, http="h11")
uvicorn.Server(config).run(sockets=[line])
"""

OURS = """
import anyio
from pydantic import BaseModel, ConfigDict

from spadework.app import WireTool, opened, server
from spadework.auth import verifier
from spadework.listener import Listener, bound
from spadework.settings import Settings
from spadework.web import Address, Desks, place, site
from spadework_tools.tool import Answer, Hints, Tool


class Echo(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    text: str


async def echo(arguments, desk):
    return Answer((arguments.text,), {"result": arguments.text})


async def main():
    settings, line, closing = Settings.load(), bound("127.0.0.1", 0), anyio.Event()
    address = Address.of(line, settings)
    async with opened(settings) as house:
        judge = verifier(settings, house.kit.http, list(address.resources.values()))
        desks = Desks(house, closing, guarded=judge is not None)
        served = server(desks.of, desks.glance)
        tool = Tool("echo", "Echo", "Says what it was told.", Echo, echo, Hints(True, False, True, False))
        served._tool_manager._tools["echo"] = WireTool.wrap(tool, desks.of)
        known = place(address, settings, judge)
        async with site(served, known, settings, address.resources) as guard, anyio.create_task_group() as group:
            await group.start(Listener(guard, line, closing, guard.close).run_until_closed)
            print(f"serving on :{address.local.rpartition(':')[2]}/", flush=True)


anyio.run(main)
"""


class Server:
    """One of them, in a process of its own."""

    def __init__(self, script: str, home: Path, **more: str) -> None:
        around = dict(os.environ)  # noqa: TID251
        env = {**around, "SPADEWORK_HOME": str(home), "SPADEWORK_CALLS_PER_MINUTE": "1000000", **more}
        self._process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=env, text=True)
        assert self._process.stdout
        self.port = int(self._process.stdout.readline().rpartition(":")[2].rstrip("/\n"))

    def close(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    @property
    def cpu_s(self) -> float:
        """Processor seconds used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Connection:
    """A kept connection, spoken to in bytes, so that the client costs little beside the server."""

    def __init__(self, port: int) -> None:
        self._host = f"127.0.0.1:{port}"
        self._line = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def post(self, method: str, params: dict[str, object]) -> bytes:
        """One request; its answer's body."""
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
        body = json.dumps(message).encode()
        name = f"mcp-name: {params['name']}\r\n" if "name" in params else ""
        head = (
            f"POST /mcp HTTP/1.1\r\nhost: {self._host}\r\ncontent-type: application/json\r\n{name}"
            f"accept: application/json, text/event-stream\r\nauthorization: Bearer {TOKEN}\r\n"
            f"mcp-protocol-version: {VERSION}\r\nmcp-method: {method}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._line.sendall(head.encode() + body)
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._line.recv(65_536)
        top, _, rest = self._buffer.partition(b"\r\n\r\n")
        assert top.startswith(b"HTTP/1.1 200"), self._buffer[:500]
        (length,) = [int(row[15:]) for row in top.lower().split(b"\r\n") if row.startswith(b"content-length:")]
        while len(rest) < length:
            rest += self._line.recv(65_536)
        self._buffer = rest[length:]
        return rest[:length]


def turn(server: Server, clients: int, seconds: float) -> tuple[float, float]:
    """Requests a second of so many clients at once, and the server's processor milliseconds for each."""
    counts = [0] * clients
    until = time.perf_counter() + seconds

    def work(number: int) -> None:
        connection = Connection(server.port)
        while time.perf_counter() < until:
            answer = connection.post("tools/call", {"name": "echo", "arguments": {"text": "hello"}})
            assert b"hello" in answer
            counts[number] += 1

    before = server.cpu_s
    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds, (server.cpu_s - before) / sum(counts) * 1_000


def listing(server: Server, times: int = 200) -> list[float]:
    """The milliseconds of one client's `tools/list`, one after the other."""
    connection = Connection(server.port)
    found: list[float] = []
    for _ in range(times):
        begun = time.perf_counter()
        connection.post("tools/list", {})
        found.append((time.perf_counter() - begun) * 1_000)
    return found


def beside(figures: dict[str, list[tuple[float, float]]], name: str, which: int) -> float:
    """The median over the turns of one figure as a part of the SDK's in the same turn."""
    pairs = zip(figures[name], figures["sdk"], strict=True)
    return round(statistics.median(row[which] / bare[which] for row, bare in pairs), 3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--clients", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        servers = {
            "sdk": Server(BARE, home),
            "ours": Server(OURS, home / "ours"),
            "tokens": Server(OURS, home / "tokens", SPADEWORK_TOKENS=f"me={TOKEN}"),
        }
        try:
            figures: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
            for server in servers.values():
                turn(server, given.clients, 0.5)
            for number in range(given.turns):
                order = list(servers) if number % 2 else list(servers)[::-1]
                for name in order:
                    figures[name].append(turn(servers[name], given.clients, given.seconds))
            lists = {name: listing(server) for name, server in servers.items()}
        finally:
            for server in servers.values():
                server.close()
    least = min(ours[0] / sdk[0] for ours, sdk in zip(figures["ours"], figures["sdk"], strict=True))
    shown = {
        "requests_per_s": {name: round(statistics.median(rate for rate, _ in rows)) for name, rows in figures.items()},
        "cpu_ms_per_request": {
            name: round(statistics.median(cost for _, cost in rows), 3) for name, rows in figures.items()
        },
        "ratio": {name: beside(figures, name, 0) for name in ("ours", "tokens")},
        "ratio_least": round(least, 3),
        "cpu_ratio": {name: round(1 / beside(figures, name, 1), 3) for name in ("ours", "tokens")},
        "tools_list_ms": {name: round(statistics.median(rows), 2) for name, rows in lists.items()},
        "tools_list_ms_p95": {name: round(statistics.quantiles(rows, n=20)[-1], 2) for name, rows in lists.items()},
    }
    print(json.dumps(shown, indent=2))


if __name__ == "__main__":
    main()
