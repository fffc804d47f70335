"""A server process that speaks HTTP on a port of its own, and raw requests to it, each with a deadline."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

from tests.journeys.server import environment
from tests.journeys.wire import MODERN, Silent

PRODUCT = ("-m", "spadework", "serve", "--http")
VERSION = MODERN["io.modelcontextprotocol/protocolVersion"]
STARTS_S = 60


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which is JSON, or one event of a stream that holds it."""
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            (data,) = [line[5:] for line in self.body.decode().splitlines() if line.startswith("data:")]
            return json.loads(data)
        return json.loads(self.body)

    @property
    def code(self) -> int:
        """The code of the JSON-RPC error that the body is."""
        return self.json["error"]["code"]


class Served:
    """One server process. `token` is sent with every request that brings no other."""

    def __init__(
        self, home: Path, place: Path, command: Sequence[str] = (*PRODUCT, "127.0.0.1:0"), *,
        log: Path | None = None, **settings: object,
    ) -> None:  # fmt: skip
        self.token: str | None = None
        self._log = (log or place) / f"served-{time.monotonic_ns()}.log"
        with self._log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                env=environment(home, **settings), cwd=place,
            )  # fmt: skip
        found = self._awaited()
        self.url, self.port = found[1], int(found[2])

    def _awaited(self) -> re.Match[str]:
        until = time.monotonic() + STARTS_S
        while (found := re.search(r"serving MCP at (http://\S+?:(\d+))/mcp", self.said)) is None:
            if self.process.poll() is not None or time.monotonic() > until:
                self.close()
                raise Silent(f"it does not serve; its log:\n{self.said[-3000:]}")
            time.sleep(0.02)
        return found

    @property
    def said(self) -> str:
        """What it wrote to stderr."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it whatever its state."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)

    def stop(self, how: signal.Signals = signal.SIGTERM, within: float = 30) -> float:
        """Signal it; the seconds until it was gone."""
        begun = time.monotonic()
        self.process.send_signal(how)
        self.process.wait(within)
        return time.monotonic() - begun

    def raw(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None,
        *, within: float = 30,
    ) -> Answer:  # fmt: skip
        """One request with these headers and no others that HTTP does not demand."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=within)
        try:
            connection.request(method, path, body, dict(headers or {}))
            reply = connection.getresponse()
            return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def headers(self, method: str, name: str | None = None, **more: str | None) -> dict[str, str]:
        """The headers of a request of the stateless era; `more` with underscores for hyphens, None to leave one out."""
        found: dict[str, str | None] = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": VERSION,
            "mcp-method": method,
            "mcp-name": name,
            "authorization": f"Bearer {self.token}" if self.token else None,
            **{key.replace("_", "-"): value for key, value in more.items()},
        }
        return {key: value for key, value in found.items() if value is not None}

    def post(
        self, method: str, params: Mapping[str, Any] | None = None, *, meta: Mapping[str, Any] | None = None,
        within: float = 60, **headers: str | None,
    ) -> Answer:  # fmt: skip
        """One JSON-RPC request of the stateless era."""
        given = {**(params or {}), "_meta": MODERN if meta is None else meta}
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": given}
        name = given.get("name") or given.get("uri")
        return self.raw(
            "POST", "/mcp", json.dumps(message).encode(), self.headers(method, name, **headers), within=within
        )

    def result(self, tool: str, *, token: str | None = None, within: float = 60, **arguments: Any) -> dict[str, Any]:
        """A tool's result."""
        more = {"authorization": f"Bearer {token}"} if token else {}
        answer = self.post("tools/call", {"name": tool, "arguments": arguments}, within=within, **more)
        assert answer.status == 200, answer
        return answer.json["result"]

    def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What a tool answers, which must be no error."""
        found = self.result(tool, **arguments)
        assert not found.get("isError"), found
        return found["structuredContent"]

    def refused(self, tool: str, **arguments: Any) -> str:
        """The sentence that a tool refuses with."""
        found = self.result(tool, **arguments)
        assert found["isError"], found
        return found["content"][0]["text"]

    def ended(self, job_id: str, *, within: float = 60, **who: Any) -> dict[str, Any]:
        """The job's standing once it has ended."""
        until = time.monotonic() + within
        while time.monotonic() < until:
            found = self.ask("check_research", job_ids=[job_id], wait_s=5, **who)
            if found["jobs"][0]["status"] in ("completed", "failed", "cancelled"):
                return found["jobs"][0]
        raise Silent(f"{job_id} did not end: {found}")

    def alive(self) -> float:
        """The seconds that listing the tools takes."""
        begun = time.monotonic()
        assert len(self.post("tools/list").json["result"]["tools"]) == 4
        return time.monotonic() - begun

    def dial(self, within: float = 30) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=within)

    def open(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> socket.socket:
        """A connection on which a request was sent whose answer nobody has read yet."""
        line = self.dial()
        head = {"host": f"127.0.0.1:{self.port}", "content-length": str(len(body)), **headers}
        shown = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        line.sendall(f"{method} {path} HTTP/1.1\r\n{shown}\r\n".encode() + body)
        return line
