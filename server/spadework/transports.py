"""Transports: how a client's bytes reach the server: stdio in one process with the runner, or a bridge's connection.

Why not the SDK's own `run_stdio_async` alone: a signal would kill it without a word (SIGTERM) or hang it (SIGINT, whose
reader thread cannot be cancelled), and an orphan would live for ever. The registry is crash-only, so a stop gives the
jobs back and leaves at once.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, Protocol, cast

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp.server.stdio import stdio_server

from spadework.calls import MARK, taken
from spadework.environ import PARENT
from spadework.mend import mend
from spadework.runner import Runner

#: How long a stop may take to give the jobs back, seconds; clients kill 100 ms after their first signal.
GRACE_S = 0.4
#: How often an orphan looks for its parent, seconds.
WATCH_S = 1.0
#: A line is refused beyond this size, bytes.
LONGEST_LINE = 64 << 20


class Lines:
    """A connection as lines. Writing to one that the other side has left does nothing: its end is seen by reading."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self._stream = stream
        self._buffer = BufferedByteReceiveStream(stream)

    async def line(self) -> bytes:
        """The next line, without its end. Raises EndOfStream."""
        try:
            return await self._buffer.receive_until(b"\n", LONGEST_LINE)
        except (anyio.IncompleteRead, anyio.DelimiterNotFound, anyio.BrokenResourceError):
            raise anyio.EndOfStream from None

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> str:
        try:
            return mend((await self.line()).decode("utf-8", "replace"))
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def write(self, text: str) -> None:
        """Send a text."""
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._stream.send(text.encode())

    async def flush(self) -> None:
        """Nothing is held back."""


class Announced(Lines):
    """A bridge's lines, of which it is told each tool call before anything is done about it."""

    def __init__(self, lines: Lines) -> None:
        self._inner = lines
        self._places = 0

    async def line(self) -> bytes:
        """The next line. Raises EndOfStream."""
        line = await self._inner.line()
        self._places += 1
        if MARK in line:
            await self._inner.write(taken(self._places))
        return line

    async def write(self, text: str) -> None:
        """Send a text."""
        await self._inner.write(text)


class Converser(Protocol):
    """An MCP server that can be given its streams."""

    async def converse(self, read: Any, write: Any) -> None:
        """Serve one session until the read side closes."""
        ...


async def serve_stream(server: Converser, lines: Lines) -> None:
    """Serve one client on a connection until it closes."""
    # The SDK's public way to streams of one's own: of a file it only reads lines, writes and flushes.
    file = cast("anyio.AsyncFile[str]", Announced(lines))
    async with stdio_server(file, file) as (read, write):
        await server.converse(read, write)


async def serve_stdio(server: Converser, runner: Runner) -> None:
    """Serve one client on stdin and stdout until it closes, a signal comes or the parent is gone; ends the process."""
    async with anyio.create_task_group() as group:
        group.start_soon(_on_signal, runner)
        group.start_soon(_on_orphaned, runner)
        group.start_soon(runner.run)
        # Of a file the SDK only reads lines.
        file = cast("anyio.AsyncFile[str]", _mended(_claimed_stdin()))
        async with stdio_server(stdin=file) as (read, write):
            await server.converse(read, write)
        await _exit(runner)


async def _mended(file: anyio.AsyncFile[str]) -> AsyncGenerator[str]:
    """The lines of a file, each mended before it is parsed."""
    async for line in file:
        yield mend(line)


def _claimed_stdin() -> anyio.AsyncFile[str]:
    """The client's pipe, taken away from everybody else: a child that reads stdin finds the null device."""
    wire = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return anyio.wrap_file(open(wire, encoding="utf-8", errors="replace"))  # noqa: PTH123 - an open descriptor


async def _exit(runner: Runner) -> None:
    """Give the jobs back and end the process.

    The stdin reader's thread cannot be cancelled, and interpreter teardown takes longer than clients wait.
    """
    with anyio.move_on_after(GRACE_S):
        await runner.leave()
    os._exit(0)


async def _on_signal(runner: Runner) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for _ in signals:
            await _exit(runner)


async def _on_orphaned(runner: Runner) -> None:
    while os.getppid() == PARENT:  # noqa: ASYNC110 - nothing tells a process that its parent is gone
        await anyio.sleep(WATCH_S)
    await _exit(runner)
