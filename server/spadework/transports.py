"""Transports: how a client's bytes reach the server: stdio in one process with the runner, or a bridge's connection.

Why not the SDK's own `run_stdio_async` alone: a signal would kill it without a word (SIGTERM) or hang it (SIGINT, whose
reader thread cannot be cancelled), and an orphan would live for ever. The registry is crash-only, so a stop gives the
jobs back and leaves at once.
"""

from __future__ import annotations

import os
import signal
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any, BinaryIO, Protocol, cast

import anyio
import anyio.abc
import anyio.to_thread
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp.server.stdio import stdio_server

from spadework.calls import LONGEST, MARK, overlong, taken
from spadework.environ import PARENT
from spadework.grammar import refusal
from spadework.mend import mend
from spadework.runner import Runner

#: How long a stop may take to give the jobs back, seconds; clients kill 100 ms after their first signal.
GRACE_S = 0.4
#: How often an orphan looks for its parent, seconds.
WATCH_S = 1.0
#: A bridge that sends more than this without a line's end is cut off, bytes; none of ours does.
LONGEST_LINE = 2 * LONGEST


class Lines:
    """A connection as lines. Writing to one that the other side has left does nothing: its end is seen by reading."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self._stream = stream
        self._buffer = BufferedByteReceiveStream(stream)
        # Whoever reads has something to say too, while an answer may be half on its way to a slow client.
        self._turn = anyio.Lock(fast_acquire=True)

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
            return (await self.line()).decode("utf-8", "replace")
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def write(self, text: str) -> None:
        """Send a text."""
        async with self._turn:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self._stream.send(text.encode())


class Wire(ABC):
    """An MCP client's lines and the way back; a line that is no message of the protocol is answered here.

    Of a file the SDK only reads lines, writes and flushes, so this can be its file.
    """

    @abstractmethod
    async def line(self) -> bytes:
        """The next line. Raises EndOfStream."""

    @abstractmethod
    async def write(self, text: str) -> None:
        """Send a text."""

    def __aiter__(self) -> Wire:
        return self

    async def __anext__(self) -> str:
        try:
            while True:
                text = mend((await self.line()).decode("utf-8", "replace"))
                owed = refusal(text) if text.strip() else ""
                if owed is None:
                    return text
                await self.write(owed)
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def flush(self) -> None:  # noqa: B027 - the same for all
        """Nothing is held back."""


class Announced(Wire):
    """A bridge's lines, of which it is told each tool call before anything is done about it."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._places = 0

    async def line(self) -> bytes:
        """The next line. Raises EndOfStream."""
        line = await self._lines.line()
        self._places += 1
        if MARK in line:
            await self._lines.write(taken(self._places))
        return line

    async def write(self, text: str) -> None:
        """Send a text."""
        await self._lines.write(text)


class Pipes(Wire):
    """The client's two pipes, taken away from everybody else: a child reads nothing, and what it prints goes astray."""

    def __init__(self) -> None:
        self._stdin = _claimed(0, os.open(os.devnull, os.O_RDONLY), "rb")
        self._stdout = anyio.wrap_file(_claimed(1, os.dup(2), "wb"))
        self._turn = anyio.Lock(fast_acquire=True)

    async def line(self) -> bytes:
        """The next line that is not too long. Raises EndOfStream."""
        while len(line := await self._read()) == LONGEST and not line.endswith(b"\n"):
            await self.write(overlong().decode())
            while line and not line.endswith(b"\n"):
                line = await self._read()
        if not line:
            raise anyio.EndOfStream
        return line

    async def _read(self) -> bytes:
        """A line, or so much of one as a line may have."""
        return await anyio.to_thread.run_sync(self._stdin.readline, LONGEST)

    async def write(self, text: str) -> None:
        """Send a text."""
        async with self._turn:
            with suppress(BrokenPipeError):
                await self._stdout.write(text.encode())
                await self._stdout.flush()


def _claimed(number: int, instead: int, mode: str) -> BinaryIO:
    """One of the standard files, in whose place another is left."""
    wire = os.dup(number)
    os.dup2(instead, number)
    os.close(instead)
    return cast("BinaryIO", open(wire, mode))  # noqa: PTH123 - an open descriptor


class Converser(Protocol):
    """An MCP server that can be given its streams."""

    async def converse(self, read: Any, write: Any) -> None:
        """Serve one session until the read side closes."""
        ...


async def serve_stream(server: Converser, lines: Lines) -> None:
    """Serve one client on a connection until it closes."""
    await _serve(server, Announced(lines))


async def _serve(server: Converser, wire: Wire) -> None:
    # The SDK's public way to streams of one's own.
    file = cast("anyio.AsyncFile[str]", wire)
    async with stdio_server(file, file) as (read, write):
        await server.converse(read, write)


async def serve_stdio(server: Converser, runner: Runner) -> None:
    """Serve one client on stdin and stdout until it closes, a signal comes or the parent is gone; ends the process."""
    async with anyio.create_task_group() as group:
        group.start_soon(_on_signal, runner)
        group.start_soon(_on_orphaned, runner)
        group.start_soon(runner.run)
        await _serve(server, Pipes())
        await _exit(runner)


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
