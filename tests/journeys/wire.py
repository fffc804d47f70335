"""The server process itself: its lines, its signals and its end, with a deadline on everything."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.journeys.server import COMMAND

MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "wire", "version": "1"},
}


class Silent(AssertionError):
    """The server said nothing in time."""


class Wire:
    """One server process, spoken to in raw JSON-RPC lines of the stateless era."""

    def __init__(self, env: Mapping[str, str], place: Path, command: Sequence[str] = COMMAND) -> None:
        self._log = place / f"server-{time.monotonic_ns()}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=dict(env), cwd=place, bufsize=0
            )
        assert self.process.stdin
        assert self.process.stdout
        os.set_blocking(self.process.stdout.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.process.stdout, selectors.EVENT_READ)
        self._buffer = b""
        # Far from the ids that a test writes by hand.
        self._number = 100_000

    @property
    def said(self) -> str:
        """What the server wrote to its log."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def write(self, line: bytes) -> None:
        """Send bytes as they are."""
        assert self.process.stdin
        view = memoryview(line)
        while view:
            view = view[os.write(self.process.stdin.fileno(), view) :]

    def send(self, method: str, params: Mapping[str, Any] | None = None) -> int:
        """Send a request; its id."""
        self._number += 1
        message = {
            "jsonrpc": "2.0",
            "id": self._number,
            "method": method,
            "params": {**(params or {}), "_meta": MODERN},
        }
        self.write(json.dumps(message).encode() + b"\n")
        return self._number

    def line(self, within: float = 30) -> bytes:
        """The next line the server writes. Raises Silent."""
        until = time.monotonic() + within
        while b"\n" not in self._buffer:
            if not self._selector.select(max(0.0, until - time.monotonic())):
                raise Silent(f"no line within {within} s; the server's log:\n{self.said[-2000:]}")
            assert self.process.stdout
            data = os.read(self.process.stdout.fileno(), 1 << 20)
            if not data:
                raise Silent(f"the server closed its output; its log:\n{self.said[-2000:]}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def reply(self, number: int, within: float = 30) -> dict[str, Any]:
        """The answer to a request; what comes before it must be protocol too."""
        until = time.monotonic() + within
        while True:
            message = json.loads(self.line(max(0.0, until - time.monotonic())))
            assert message["jsonrpc"] == "2.0"
            if message.get("id") == number:
                return message

    def request(self, method: str, params: Mapping[str, Any] | None = None, *, within: float = 30) -> dict[str, Any]:
        """A request and its answer."""
        return self.reply(self.send(method, params), within)

    def call(self, tool: str, arguments: Mapping[str, Any], *, within: float = 60) -> dict[str, Any]:
        """A tool's result."""
        answer = self.request("tools/call", {"name": tool, "arguments": dict(arguments)}, within=within)
        assert "result" in answer, answer
        return answer["result"]

    def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What a tool answers, which must be no error."""
        result = self.call(tool, arguments)
        assert not result.get("isError"), result
        return result["structuredContent"]

    def alive(self) -> float:
        """Ask for the tools, and say how long the answer took, in seconds."""
        begun = time.monotonic()
        assert len(self.request("tools/list")["result"]["tools"]) == 4
        return time.monotonic() - begun

    def stop(self, how: signal.Signals | None) -> float:
        """Signal the server, or close its input; the seconds until it was gone."""
        begun = time.monotonic()
        if how is None:
            assert self.process.stdin
            self.process.stdin.close()
        else:
            self.process.send_signal(how)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            raise Silent(f"still running 30 s after {how}; its log:\n{self.said[-2000:]}") from None
        return time.monotonic() - begun

    def close(self) -> None:
        """End the process whatever its state, and let go of its pipes."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        self._selector.close()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe and not pipe.closed:
                pipe.close()
