"""How fast a client has its tools, and what it costs, beside a one-tool server on the bare SDK in the same run.

    uv run python benchmarks/start.py [ROUNDS]

Every round takes one start of each kind, so that whatever else the machine does falls on all of them alike.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

_BARE = """
from mcp.server.mcpserver import MCPServer
server = MCPServer("bare")
@server.tool()
def echo(text: str = "x") -> str:
    "Echo."
    return text
server.run("stdio")
"""
_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "benchmark", "version": "1"},
}
BARE = (sys.executable, "-c", _BARE)
OURS = (sys.executable, "-m", "spadework", "serve")


class Client:
    """A server process, from the moment of its spawn."""

    def __init__(self, command: tuple[str, ...], home: Path) -> None:
        env = {"PATH": os.defpath, "HOME": str(Path.home())}
        self.begun = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**env, "SPADEWORK_HOME": str(home)},
        )  # fmt: skip

    def ask(self, method: str, **params: object) -> dict[str, object]:
        line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": _META}})
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["result"]

    def tools(self) -> float:
        """Seconds from the spawn to the answer."""
        assert self.ask("tools/list")["tools"]
        return time.perf_counter() - self.begun

    def call(self, tool: str, times: int) -> list[float]:
        spans = []
        for _ in range(times):
            begun = time.perf_counter()
            self.ask("tools/call", name=tool, arguments={})
            spans.append(time.perf_counter() - begun)
        return spans

    def close(self) -> None:
        self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def once(command: tuple[str, ...], home: Path) -> float:
    client = Client(command, home)
    took = client.tools()
    client.close()
    return took


def desk_of(home: Path) -> psutil.Process:
    return psutil.Process(int((home / "desk.lock").read_text()))


def end_desk(home: Path) -> None:
    desk = desk_of(home)
    desk.terminate()
    desk.wait(20)


def starts(place: Path, rounds: int) -> None:
    taken: dict[str, list[float]] = {"bare": [], "cold": [], "warm": []}
    for number in range(rounds):
        home = place / f"start-{number}"
        taken["bare"].append(once(BARE, home))
        taken["cold"].append(once(OURS, home))
        taken["warm"].append(once(OURS, home))
        end_desk(home)
    bare, cold, warm = (statistics.median(taken[kind]) for kind in ("bare", "cold", "warm"))
    print(f"spawn to tools, median of {rounds}:", end=" ")
    print(f"bare {bare * 1e3:.0f} ms, cold {cold * 1e3:.0f}, warm {warm * 1e3:.0f}")
    print(f"  warm (goal: at most 150 ms and 0.167 of bare)  {warm * 1e3:.0f} ms, {warm / bare:.3f}")
    print(f"  cold (goal: at most 1.3 of bare)               {cold / bare:.2f}")


def calls(place: Path, times: int) -> None:
    home = place / "calls"
    bare, ours = Client(BARE, home), Client(OURS, home)
    bare.tools()
    ours.tools()
    spans: dict[str, list[float]] = {"bare": [], "ours": []}
    for _ in range(10):
        spans["bare"] += bare.call("echo", times // 10)
        spans["ours"] += ours.call("check_research", times // 10)
    one, other = statistics.median(spans["bare"]), statistics.median(spans["ours"])
    print(f"a trivial call (goal: 1.5 of bare): {other / one:.2f}, bare {one * 1e3:.2f} ms, ours {other * 1e3:.2f} ms")
    desk = desk_of(home)
    before = desk.memory_info().rss
    more = [Client(OURS, home) for _ in range(5)]
    for client in more:
        client.tools()
    each = max(psutil.Process(client.process.pid).memory_info().rss for client in more)
    grown = (desk.memory_info().rss - before) / len(more)
    print(
        f"a further client (goal: at most 15 MB): bridge {each / 1e6:.1f} MB, desk {grown / 1e6:.1f} MB more for each"
    )
    for client in (*more, bare, ours):
        client.close()
    busy = sum(desk.cpu_times()[:2])
    time.sleep(20)
    print(f"an idle desk (goal: at most 0.5 % of a core): {(sum(desk.cpu_times()[:2]) - busy) / 20:.2%}")
    end_desk(home)


def crowd(place: Path) -> None:
    home = place / "crowd"
    clients = [Client(OURS, home) for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        spans = list(pool.map(Client.tools, clients))
    for client in clients:
        client.close()
    desks = (home / "desk.log").read_text().count("is open: process")
    print(f"20 clients on a cold home: {len(spans)} answers, {desks} desk, the last after {max(spans):.2f} s")
    end_desk(home)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    load = os.getloadavg()[0]
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {load:.1f} before the run")
    with tempfile.TemporaryDirectory(prefix="spadework-start-") as folder:
        starts(Path(folder), rounds)
        calls(Path(folder), 1_000)
        crowd(Path(folder))


main()
