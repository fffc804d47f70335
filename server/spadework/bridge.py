"""The bridge: the thin process that an agent's client starts. It copies lines between stdio and the desk.

Standard library alone: a client waits for its tools, and importing the MCP SDK costs a second and 65 MB for each client
where this costs hundredths and 10. It ends with its client: when stdin closes, its parent is gone, or a signal comes.
When the desk goes instead, it finds or starts the next one and carries on over the same pipe.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import sys
import time
from collections import deque
from types import FrameType
from typing import NoReturn

from spadework.calls import LONGEST, Calls, overlong, refused
from spadework.door import Forbidden
from spadework.environ import carried, find_home, workfolder
from spadework.hello import SCHEMA, VERSION, Hello
from spadework.join import TICK_S, Failed, Joining

#: How much is held for a side that does not read, bytes; the other side then waits.
HELD = 1 << 20
#: How long answers under way may take to arrive after the client closed its end, seconds.
LAST_S = 0.15
#: How often an orphan looks for its parent where the system cannot tell, seconds.
WATCH_S = 0.1
#: Read at once, bytes; a larger buffer would be mapped and unmapped by the system for every line.
_CHUNK = 1 << 16


class Unable(Exception):
    """No desk is possible here; `read` is what the client has already said, for whoever serves it instead."""

    def __init__(self, why: str, read: bytes) -> None:
        super().__init__(why)
        self.read = read


class Client:
    """The client's two pipes, and whether its process still lives. Raises OSError where one is closed already."""

    def __init__(self, stdin: int, stdout: int) -> None:
        # One that is closed already must not be taken for what is opened next, and gets its number.
        for pipe in (stdin, stdout):
            os.fstat(pipe)
        self.stdin, self.stdout = _selectable(stdin, stdout)
        self._parent = os.getppid()
        self.death = _death(self._parent)
        # A full pipe must not keep us from noticing that the client is gone; a terminal is shared with others.
        mode = os.fstat(self.stdout).st_mode
        self._atomic = 0 if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else 512
        if not self._atomic:
            os.set_blocking(self.stdout, False)

    @property
    def orphan(self) -> bool:
        """Whether whoever started us is gone."""
        return os.getppid() != self._parent

    def write(self, data: memoryview) -> int:
        """Write what the pipe takes now."""
        try:
            return os.write(self.stdout, data[: self._atomic] if self._atomic else data)
        except BlockingIOError:
            return 0


class Bridge:
    """One client, and whichever desk serves it now."""

    def __init__(self, client: Client, home: str, hello: Hello) -> None:
        self._client = client
        self._home = home
        self._hello = hello
        self._calls = Calls()
        self._joining: Joining | None = Joining(home, hello)
        self._line: socket.socket | None = None
        self._served = False
        # The handshake to repeat to a new desk: what goes before its answer, and what goes after.
        self._opening: list[bytes] = []
        self._rest: list[bytes] = []
        # Lines for the desk, the first of them sent up to `_offset`; the client's unfinished line; and the other way.
        self._up: deque[bytes] = deque()
        self._up_size = 0
        self._offset = 0
        self._said = bytearray()
        # In the middle of a line that is too long, and passed over to its end.
        self._deaf = False
        self._heard = bytearray()
        self._down = bytearray()
        self._ends = float("inf")

    def run(self) -> NoReturn:
        """Copy until the client is gone. Raises Unable when no desk is possible, Failed when it refuses us."""
        while True:
            if self._joining is not None:
                self._join()
            self._send()
            readable, writable = self._wait()
            if self._client.death in readable or self._client.orphan or time.monotonic() >= self._ends:
                _end()
            if self._client.stdout in writable or self._down:
                self._answer()
            if self._line is not None and self._line in readable:
                self._hear()
            if self._client.stdin in readable:
                self._listen()

    def _wait(self) -> tuple[list[int | socket.socket], list[int | socket.socket]]:
        """Sleep until there is something to do."""
        reads: list[int | socket.socket] = []
        writes: list[int | socket.socket] = []
        timeout = min(WATCH_S if self._client.death < 0 else 60.0, max(0.0, self._ends - time.monotonic()))
        if self._client.death >= 0:
            reads.append(self._client.death)
        if self._ends == float("inf") and self._up_size < HELD:
            reads.append(self._client.stdin)
        if self._line is not None and len(self._down) < HELD:
            reads.append(self._line)
        if self._line is not None and self._sendable:
            writes.append(self._line)
        if self._down:
            writes.append(self._client.stdout)
        if self._joining is not None:
            if self._joining.fd is None:
                timeout = min(timeout, TICK_S)
            else:
                reads.append(self._joining.fd)
                timeout = min(timeout, 1.0)
        readable, writable, _ = select.select(reads, writes, [], timeout)
        return readable, writable

    def _join(self) -> None:
        """Come a step nearer to a desk."""
        assert self._joining is not None
        joining = self._joining
        try:
            self._line = joining.step()
        except (Forbidden, Failed) as error:
            self._joining = None
            if not self._served:
                if isinstance(error, Forbidden):
                    raise Unable(str(error), b"".join(self._up) + bytes(self._said)) from None
                raise
            self._refuse(str(error))
            return
        if self._line is None:
            return
        self._line.settimeout(0)
        self._joining = None
        if not self._served:
            for note in self._notes(joining):
                _note(note)
        self._served = True
        self._take(joining.more)
        if self._calls.draining:
            self._lose()

    def _notes(self, joining: Joining) -> list[str]:
        welcome = joining.welcome
        other = welcome.schema > SCHEMA
        newer = f"served by a newer desk ({welcome.version}, this is {VERSION}), whose registry this one cannot open"
        return [*welcome.notes, *([newer] if other else [])]

    def _refuse(self, why: str) -> None:
        """There is no desk for now: say so to all who wait; the next line tries again."""
        self._down += b"".join(refused(line, f"desk_unavailable: {why}") for line in self._up)
        self._up.clear()
        self._opening.clear()
        self._up_size = 0

    @property
    def _sendable(self) -> bool:
        """Whether the desk may be sent anything now: a line once begun is finished, whatever else is the matter."""
        if self._opening or self._offset:
            return True
        return bool(self._up) and not self._calls.draining and not self._calls.greeting

    def _send(self) -> None:
        while self._line is not None and self._sendable:
            opening = bool(self._opening)
            line = self._opening[0] if opening else self._up[0]
            try:
                self._offset += self._line.send(memoryview(line)[self._offset :])
            except BlockingIOError:
                return
            except OSError:
                self._lose()
                return
            if self._offset == len(line):
                self._offset = 0
                if opening:
                    self._opening.pop(0)
                    self._calls.repeated()
                else:
                    self._up_size -= len(self._up.popleft())
                    self._calls.sent(line)

    def _listen(self) -> None:
        """Read what the client says."""
        try:
            data = os.read(self._client.stdin, _CHUNK)
        except OSError:
            data = b""
        if not data:
            if self._calls.quiet and not self._down:
                _end()
            self._ends = time.monotonic() + LAST_S
            return
        for line in self._whole(data):
            if self._calls.wanted(line):
                self._up.append(line)
                self._up_size += len(line)
        if self._up and self._line is None and self._joining is None:
            self._joining = Joining(self._home, self._hello, hand_over=False)

    def _whole(self, data: bytes) -> list[bytes]:
        """The client's complete lines; one that is too long is refused as soon as that is seen."""
        if self._deaf:
            _, end, data = data.partition(b"\n")
            self._deaf = not end
        lines = _lines(self._said, data)
        if len(self._said) > LONGEST:
            self._said.clear()
            self._deaf = True
            self._down += overlong()
        return lines

    def _hear(self) -> None:
        """Read what the desk says."""
        assert self._line is not None
        try:
            data = self._line.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._take(data)
        if self._down:
            self._answer()
        if not data or (self._calls.draining and self._calls.quiet and not self._offset):
            self._lose()
        elif self._calls.quiet and self._ends < float("inf") and not self._down:
            _end()

    def _take(self, data: bytes) -> None:
        """Sort what the desk said: what the client is to see, and what was meant for us."""
        greeting = self._calls.greeting
        for line in _lines(self._heard, data):
            if self._calls.heard(line):
                self._down += line
        if greeting and not self._calls.greeting:
            self._opening += self._rest

    def _answer(self) -> None:
        """Pass on to the client what it is due."""
        try:
            with memoryview(self._down) as data:
                written = self._client.write(data) if data else 0
        except OSError:
            _end()
        del self._down[:written]

    def _lose(self) -> None:
        """The desk is gone: look for the next, and settle what was under way."""
        if self._line is not None:
            self._line.close()
            self._line = None
        self._offset = 0
        self._heard.clear()
        handshake, again, answers = self._calls.lost()
        self._opening, self._rest = handshake[:1], handshake[1:]
        self._up.extendleft(reversed(again))
        self._up_size += sum(map(len, again))
        self._down += b"".join(answers)
        self._joining = Joining(self._home, self._hello, hand_over=False)


def serve() -> NoReturn:
    """Be the bridge of whoever started this process. Raises Unable when no desk is possible here."""
    for number in (signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
        signal.signal(number, _stop)
    hello = Hello("mcp", workfolder(), carried(), os.getpid())
    try:
        client = Client(0, 1)
    except OSError:
        _end()
    try:
        Bridge(client, find_home(), hello).run()
    except Failed as error:
        _note(str(error))
        os._exit(1)


def _lines(buffer: bytearray, data: bytes) -> list[bytes]:
    """The complete lines of what was buffered and what came; the rest stays in the buffer."""
    if b"\n" not in data:
        buffer += data
        return []
    buffer += data
    whole, _, rest = buffer.rpartition(b"\n")
    lines = [bytes(line) + b"\n" for line in whole.split(b"\n") if line.strip()]
    buffer[:] = rest
    return lines


def _note(text: str) -> None:
    """One line for whoever reads the client's log of us."""
    try:
        os.write(2, f"spadework: {text}\n".encode("utf-8", "replace"))
    except OSError:
        return


def _end() -> NoReturn:
    # The interpreter's teardown takes longer than some clients wait.
    os._exit(0)


def _stop(number: int, frame: FrameType | None) -> None:
    _end()


def _death(parent: int) -> int:
    """What becomes readable when the parent ends; -1 where the system offers nothing of the kind."""
    try:
        return os.pidfd_open(parent)
    except (AttributeError, OSError):
        return -1


def _selectable(stdin: int, stdout: int) -> tuple[int, int]:
    """The pipes as something that can be waited for; on Windows only sockets can, so threads copy."""
    if sys.platform != "win32":
        return stdin, stdout
    return pumped(stdin, inward=True), pumped(stdout, inward=False)


def pumped(fd: int, *, inward: bool) -> int:
    """A socket's descriptor in place of a pipe's: a thread copies between them until either ends."""
    # Nobody else needs it, and every bridge would pay for it.
    import threading

    ours, theirs = socket.socketpair()

    def copy() -> None:
        try:
            while data := (os.read(fd, _CHUNK) if inward else theirs.recv(_CHUNK)):
                if inward:
                    theirs.sendall(data)
                else:
                    while data:
                        data = data[os.write(fd, data) :]
        except OSError:
            pass
        theirs.close()

    threading.Thread(target=copy, daemon=True).start()
    return ours.detach()
