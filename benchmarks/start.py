"""How fast a client has its tools, and what it costs, beside a one-tool server on the bare SDK in the same run.

    uv run python benchmarks/start.py [ROUNDS]

Every round takes one start of each kind, so that whatever else the machine does falls on all of them alike. Goals:
warm at most 150 ms and 1/6 of the bare server, cold 1.3 of it, a trivial call 1.5 of it, 15 MB for a further client, an
idle desk 0.5 % of a core, no growth over 5,000 jobs. Takes some three minutes.
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


def starts(place: Path, rounds: int) -> dict[str, object]:
    """Spawn to tools: a cold home, a warm one, and the bare SDK's server."""
    taken: dict[str, list[float]] = {"bare": [], "cold": [], "warm": []}
    for number in range(rounds):
        home = place / f"start-{number}"
        taken["bare"].append(once(BARE, home))
        taken["cold"].append(once(OURS, home))
        taken["warm"].append(once(OURS, home))
        end_desk(home)
    bare, cold, warm = (statistics.median(taken[kind]) for kind in ("bare", "cold", "warm"))
    return {
        "bare_ms": round(bare * 1e3),
        "warm_ms": round(warm * 1e3),
        "warm_ratio": round(warm / bare, 3),
        "cold_ms": round(cold * 1e3),
        "cold_ratio": round(cold / bare, 2),
    }


def calls(place: Path, times: int) -> dict[str, object]:
    """A trivial call through bridge and desk, and to the bare SDK's server."""
    home = place / "calls"
    bare, ours = Client(BARE, home), Client(OURS, home)
    bare.tools()
    ours.tools()
    spans: dict[str, list[float]] = {"bare": [], "ours": []}
    for _ in range(10):
        spans["bare"] += bare.call("echo", times // 10)
        spans["ours"] += ours.call("check_research", times // 10)
    one, other = statistics.median(spans["bare"]), statistics.median(spans["ours"])
    bare.close()
    ours.close()
    end_desk(home)
    return {"bare_ms": round(one * 1e3, 2), "ours_ms": round(other * 1e3, 2), "ratio": round(other / one, 2)}


def idleness(place: Path) -> dict[str, object]:
    """What a further client and an idle desk take."""
    home = place / "idle"
    first = Client(OURS, home)
    first.tools()
    desk = desk_of(home)
    before = desk.memory_info().rss
    more = [Client(OURS, home) for _ in range(5)]
    for client in more:
        client.tools()
    each = max(psutil.Process(client.process.pid).memory_info().rss for client in more)
    grown = (desk.memory_info().rss - before) / len(more)
    for client in (*more, first):
        client.close()
    busy = sum(desk.cpu_times()[:2])
    time.sleep(20)
    idle = (sum(desk.cpu_times()[:2]) - busy) / 20
    end_desk(home)
    return {
        "bridge_mb": round(each / 1e6, 1),
        "desk_mb_more_for_each": round(grown / 1e6, 1),
        "desk_idle_percent_of_a_core": round(idle * 100, 2),
    }


def crowd(place: Path) -> dict[str, object]:
    """Twenty clients at once on a cold home."""
    home = place / "crowd"
    clients = [Client(OURS, home) for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        spans = list(pool.map(Client.tools, clients))
    for client in clients:
        client.close()
    desks = (home / "desk.log").read_text().count("is open: process")
    end_desk(home)
    return {"answers": len(spans), "desks": desks, "last_s": round(max(spans), 2)}


def growth(place: Path, jobs: int) -> dict[str, object]:
    """The desk's resident memory in MB after every tenth of so many jobs; the first tenth warms it up."""
    home = place / "growth"
    client = Client(OURS, home)
    client.tools()
    desk = desk_of(home)
    sizes: list[float] = []
    for tenth in range(10):
        script = "[script: report 300]"
        for number in range(jobs // 10):
            question = {"question": f"Question {tenth}-{number}? {script}", "engine": "scripted"}
            last = client.ask("tools/call", name="start_research", arguments=question)["structuredContent"]["job_id"]
        status = "queued"
        while status != "completed":
            standing = {"job_ids": [last], "wait_s": 10}
            found = client.ask("tools/call", name="check_research", arguments=standing)["structuredContent"]
            status = found["jobs"][0]["status"]
        sizes.append(round(desk.memory_info().rss / 1e6, 1))
    client.close()
    end_desk(home)
    return {"jobs": jobs, "rss_mb": sizes, "grown_mb": round(sizes[-1] - sizes[0], 1)}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    figures: dict[str, object] = {
        "python": sys.version.split()[0],
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
    }
    with tempfile.TemporaryDirectory(prefix="spadework-start-") as folder:
        place = Path(folder)
        figures["spawn_to_tools"] = starts(place, rounds)
        figures["trivial_call"] = calls(place, 1_000)
        figures["idle"] = idleness(place)
        figures["twenty_clients"] = crowd(place)
        figures["growth"] = growth(place, 5_000)
    print(json.dumps(figures, indent=2))


main()
