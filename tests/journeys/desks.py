"""A home with a desk behind its clients: bridges that speak raw JSON-RPC in either era, and nothing left running."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from tests.journeys.server import environment

from spadework.door import Lock

MODERN, LEGACY = ERAS = ("2026-07-28", "2025-11-25")
BRIDGE = (sys.executable, "-m", "spadework", "serve")
DESK = (sys.executable, "-P", "-m", "spadework.porter")
_CLIENT = {"name": "agent", "version": "1"}
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": _CLIENT,
}


class Silent(AssertionError):
    """Nothing came in time."""


def until(true: Callable[[], Any], within: float = 20, what: str = "it") -> Any:
    """Wait for something of another process that can only be looked at; what it was at last."""
    end = time.monotonic() + within
    while not (found := true()):
        if time.monotonic() > end:
            raise Silent(f"{what} did not come about within {within} s")
        time.sleep(0.01)
    return found


class Agent:
    """An agent's client on a process of its own."""

    def __init__(self, era: str, env: Mapping[str, str], cwd: Path, command: Sequence[str], log: Path) -> None:
        self.era, self.log = era, log
        with log.open("wb") as noise:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=noise, env=dict(env), cwd=cwd, bufsize=0
            )
        assert self.process.stdin
        assert self.process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.process.stdout, selectors.EVENT_READ)
        self._buffer = b""
        self._number = 0
        #: Every line that the client was sent.
        self.lines: list[dict[str, Any]] = []
        if era == LEGACY:
            self.open()

    def open(self) -> None:
        """The legacy era's handshake."""
        hello = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": _CLIENT}
        assert "result" in self.request("initialize", hello)
        self.write({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def write(self, message: Mapping[str, Any]) -> None:
        """Send a message."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    def send(self, method: str, params: Mapping[str, Any] | None = None) -> int:
        """Send a request; its id."""
        self._number += 1
        given = {**(params or {}), **({"_meta": _META} if self.era == MODERN else {})}
        self.write({"jsonrpc": "2.0", "id": self._number, "method": method, "params": given})
        return self._number

    def line(self, within: float) -> dict[str, Any]:
        """The next line that comes. Raises Silent."""
        end = time.monotonic() + within
        while b"\n" not in self._buffer:
            if not self._selector.select(max(0.0, end - time.monotonic())):
                raise Silent(f"no line within {within} s; it said: {self.said[-2000:]}")
            assert self.process.stdout
            data = os.read(self.process.stdout.fileno(), 1 << 20)
            if not data:
                raise Silent(f"its output was closed; it said: {self.said[-2000:]}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        self.lines.append(json.loads(line))
        return self.lines[-1]

    def reply(self, number: int, within: float = 30) -> dict[str, Any]:
        """The answer to a request."""
        end = time.monotonic() + within
        while True:
            message = self.line(max(0.0, end - time.monotonic()))
            if message.get("id") == number and "method" not in message:
                return message

    def request(self, method: str, params: Mapping[str, Any] | None = None, within: float = 30) -> dict[str, Any]:
        """A request and its answer."""
        return self.reply(self.send(method, params), within)

    def call(self, tool: str, **arguments: Any) -> int:
        """Send a tool call; its id."""
        return self.send("tools/call", {"name": tool, "arguments": arguments})

    def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What a tool answers, which must be no error."""
        answer = self.reply(self.call(tool, **arguments), within=60)
        assert "result" in answer, answer
        assert not answer["result"].get("isError"), answer
        return answer["result"]["structuredContent"]

    def start(self, script: str, **arguments: Any) -> str:
        """Start scripted research; the job's id."""
        question = f"What is new? [script: {script}]"
        return self.ask("start_research", question=question, engine="scripted", **arguments)["job_id"]

    def standing(self, job_id: str, wait_s: float = 0) -> dict[str, Any]:
        """Where a job stands."""
        return self.ask("check_research", job_ids=[job_id], wait_s=wait_s)["jobs"][0]

    def ended(self, job_id: str, within: float = 60) -> dict[str, Any]:
        """The job's standing once it has ended."""
        end = time.monotonic() + within
        while (job := self.standing(job_id, 5))["status"] in ("queued", "running"):
            assert time.monotonic() < end, job
        return job

    @property
    def said(self) -> str:
        """What it wrote to its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def leave(self, how: signal.Signals | None = None) -> float:
        """Go away by closing stdin or by a signal to the bridge; the seconds until its process was gone."""
        begun = time.monotonic()
        if how is None:
            assert self.process.stdin
            self.process.stdin.close()
        else:
            self.process.send_signal(how)
        self.process.wait(20)
        took = time.monotonic() - begun
        self.close()
        return took

    def close(self) -> None:
        """End the process whatever its state."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        self._selector.close()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe and not pipe.closed:
                pipe.close()


class Place:
    """A home, its clients and its desk. Whatever of it still runs at the end is killed, and that must have worked."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder, self.home = folder, folder / "home"
        self.settings: dict[str, object] = {"inline_s": 0, **settings}
        self.agents: list[Agent] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for agent in self.agents:
            agent.close()
        for process in self.processes():
            process.kill()
        until(lambda: not self.processes(), 5, "the end of every process of this home")

    def env(self, **settings: object) -> dict[str, str]:
        """The environment of a client here; upper-case names are variables, others settings."""
        given = {**self.settings, **settings}
        plain = {name: str(value) for name, value in given.items() if name.isupper()}
        return environment(self.home, **{name: value for name, value in given.items() if not name.isupper()}) | plain

    def agent(
        self, era: str = MODERN, *, cwd: Path | None = None, command: Sequence[str] = BRIDGE, **settings: object
    ) -> Agent:
        """A new client."""
        log = self.folder / f"agent-{len(self.agents)}.log"
        agent = Agent(era, self.env(**settings), cwd or self.folder, command, log)
        self.agents.append(agent)
        return agent

    def command(self, *arguments: str, cwd: Path | None = None, **settings: object) -> subprocess.CompletedProcess[str]:
        """What a person types, to its end."""
        line = [sys.executable, "-m", "spadework", *arguments]
        env = self.env(**settings)
        return subprocess.run(
            line, env=env, cwd=cwd or self.folder, capture_output=True, text=True, timeout=60, check=False
        )

    @property
    def desk(self) -> int | None:
        """The desk's process id, by the lock that only a living one holds."""
        path = self.home / "desk.lock"
        if not path.exists():
            return None
        lock = Lock(str(path))
        held = not lock.take()
        lock.close()
        text = path.read_text(encoding="ascii").strip()
        return int(text) if held and text else None

    def kill(self, how: signal.Signals = signal.SIGKILL) -> int:
        """Signal the desk; its process id."""
        pid = until(lambda: self.desk, 20, "a desk")
        os.kill(pid, how)
        return pid

    def processes(self) -> list[psutil.Process]:
        """Every living process that works on this home."""
        mark, found = str(self.home), []
        for process in psutil.process_iter():
            try:
                if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                    continue
                if mark in process.cmdline() or process.environ().get("SPADEWORK_HOME") == mark:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    @property
    def log(self) -> str:
        """The desk's log."""
        return (self.home / "desk.log").read_text(encoding="utf-8")
