"""Joining a desk: finding it, starting one where there is none, and having one of another version hand over.

A joining is stepped by its owner, who meanwhile watches other things; it never blocks for long. Only the holder of the
starting lock starts a desk or asks one to hand over, so that twenty clients on a cold home make one desk, and a bridge
of the old version cannot slip its own in between. Standard library alone.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import time

from spadework.door import Forbidden, Lock, Shut, call
from spadework.environ import inherited
from spadework.hello import SCHEMA, VERSION, Garbled, Hello, Welcome

#: How long joining may take in all, seconds: a cold start takes one or two, a small busy machine twenty.
START_S = 60.0
#: How long until somebody else's start is looked at again, seconds.
TICK_S = 0.01
#: How long a desk that cannot tell when it listens (Windows) is waited for before another is started, seconds.
SILENT_S = 20.0
#: A desk that dies this often before it listens, without a word, is taken for forbidden.
DEATHS = 2
#: And one that we start and that dies this often before it welcomes us is taken for broken.
STILLBORN = 5


class Failed(Exception):
    """No desk will come of this; the message is for people."""


class Joining:
    """One way to a desk. Call `step` until it returns the connection; between steps wait for `fd`, or `TICK_S`."""

    def __init__(self, home: str, hello: Hello, *, start: bool = True, hand_over: bool = True) -> None:
        self._home = home
        self._hello = hello
        self._start = start
        # Only a fresh client asks a desk of another version to go: one that was itself sent on takes what it finds,
        # or two versions in use would throw each other out for ever.
        self._hand_over = hand_over
        self._until = time.monotonic() + START_S
        self._starting: Lock | None = None
        self._ready: int | None = None
        self._line: socket.socket | None = None
        self._heard = b""
        #: What the desk said behind its welcome.
        self.more = b""
        self._deaths = 0
        self._spawned = float("-inf")
        self._leaving = False
        self.welcome = Welcome()

    @property
    def fd(self) -> int | None:
        """What to wait for, or None: only time helps."""
        if self._ready is not None:
            return self._ready
        return self._line.fileno() if self._line is not None else None

    def step(self) -> socket.socket | None:
        """Go on as far as is possible now; the connection, once the desk has said welcome.

        Raises Failed, Forbidden where the environment allows no desk, Shut where there is none and none is to be
        started.
        """
        if time.monotonic() > self._until:
            self.close()
            raise Failed(
                f"the desk of {self._home} did not answer for {START_S:.0f} s. See its log with `spadework desk logs`, "
                "or run without it: spadework serve --no-desk."
            )
        try:
            return self._step()
        except (Failed, Forbidden, Shut):
            self.close()
            raise

    def close(self) -> None:
        """Let go of whatever is held."""
        if self._starting is not None:
            self._starting.close()
            self._starting = None
        if self._ready is not None:
            os.close(self._ready)
            self._ready = None
        if self._line is not None:
            self._line.close()
            self._line = None

    def _step(self) -> socket.socket | None:
        if self._ready is not None:
            self._await_start()
        if self._ready is None and self._line is None:
            self._knock()
        return self._greeted() if self._line is not None else None

    def _knock(self) -> None:
        try:
            self._line, address = call(self._home)
            hello = self._hello._replace(token=address.token)
            if self._leaving:
                hello = hello._replace(ask="handover", environ={})
            self._line.sendall(hello.line())
            self._line.settimeout(0)
        except (Shut, ConnectionError, TimeoutError):
            self._hang_up()
            self._leaving = False
            if not self._start:
                raise Shut("no desk runs here") from None
            if self._held() and time.monotonic() > self._spawned + SILENT_S:
                self._ready = spawn(self._home)
                if self._ready is None:
                    self._spawned = time.monotonic()

    def _hang_up(self) -> None:
        self._heard = b""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _held(self) -> bool:
        """Whether the starting lock is ours."""
        if self._starting is None:
            try:
                os.makedirs(self._home, mode=0o700, exist_ok=True)
                lock = Lock(f"{self._home}/desk.starting")
            except OSError as error:
                raise Forbidden(f"{self._home} cannot be written ({error.strerror})") from error
            if not lock.take():
                lock.close()
                return False
            self._starting = lock
        return True

    def _await_start(self) -> None:
        """What the desk that we started says of itself: it listens, or why it does not."""
        assert self._ready is not None
        try:
            said = os.read(self._ready, 4096).decode("utf-8", "replace").strip()
        except BlockingIOError:
            return
        os.close(self._ready)
        self._ready = None
        word, _, why = said.partition(" ")
        if word == "forbidden":
            raise Forbidden(why)
        if word == "failed":
            raise Failed(why)
        if not word:
            self._deaths += 1
            if self._deaths >= DEATHS:
                raise Forbidden("a background process ends at once here")

    def _greeted(self) -> socket.socket | None:
        """The desk's answer to our hello."""
        assert self._line is not None
        try:
            data = self._line.recv(65_536)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        self._heard += data
        if not data:
            # It went before it answered, or, asked to hand over, it is gone now.
            self._hang_up()
            self._deaths += self._starting is not None and not self._leaving
            if self._deaths >= STILLBORN:
                raise Failed(f"the desk of {self._home} ends as soon as it has started. Why stands in its desk.err.")
            self._leaving = False
            return None
        if b"\n" not in self._heard:
            return None
        return None if self._leaving else self._judged()

    def _judged(self) -> socket.socket | None:
        said, _, self.more = self._heard.partition(b"\n")
        try:
            self.welcome = Welcome.of(said)
        except (Garbled, TypeError):
            raise Failed(f"what listens for {self._home} does not speak as a desk does") from None
        if self.welcome.retry:
            self._hang_up()
            return None
        if self._hand_over and self._older(self.welcome):
            self._hang_up()
            self._leaving = self._held()
            return None
        if self.welcome.refusal:
            raise Failed(self.welcome.refusal)
        line, self._line = self._line, None
        self.close()
        return line

    def _older(self, welcome: Welcome) -> bool:
        """Whether that desk is of another version and may be followed by ours: its registry is not beyond us."""
        if welcome.stays:
            return False
        return self._hello.ask in ("mcp", "desk") and welcome.version != VERSION and welcome.schema <= SCHEMA


def spawn(home: str) -> int | None:
    """Start a desk that is nobody's child, in a session of its own.

    Returns the pipe on which it says that it listens, or None on Windows, where it cannot. Raises Forbidden where no
    process may be started.
    """
    if not sys.executable:
        raise Forbidden("this Python does not know its own interpreter")
    command = [sys.executable, "-P", "-m", "spadework.porter", home]
    if not hasattr(os, "fork"):
        _detach(command, home)
        return None
    ready, told = os.pipe()
    try:
        _fork(command, home, told)
    except OSError as error:
        os.close(ready)
        raise Forbidden(f"no process may be started here ({error.strerror})") from error
    finally:
        os.close(told)
    os.set_blocking(ready, False)
    return ready


def _fork(command: list[str], home: str, told: int) -> None:
    """Fork twice: whoever kills our process group or our children does not reach the desk, and nobody must reap it."""
    child = os.fork()
    if child:
        if os.waitpid(child, 0)[1]:
            raise OSError(0, "the child process was stopped")
        return
    # From here on nothing may return into the bridge's own code.
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir(home)
        nothing = os.open(os.devnull, os.O_RDWR)
        errors = os.open(f"{home}/desk.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for fd, number in ((nothing, 0), (nothing, 1), (errors, 2)):
            os.dup2(fd, number)
        os.set_inheritable(told, True)  # noqa: FBT003 - it takes no name
        # A pipe of the client's that stayed open in here would keep the client waiting for its end.
        os.closerange(3, told)
        os.closerange(told + 1, 65_536)
        os.execve(command[0], [*command, str(told)], inherited(home))  # noqa: S606 - no shell is wanted
    finally:
        os._exit(1)


def _detach(command: list[str], home: str) -> None:
    """Windows: a process without a console, in a group of its own."""
    # Needed nowhere else, and dear to import.
    import subprocess

    flags = 0x00000008 | 0x00000200 | 0x01000000  # DETACHED_PROCESS, CREATE_NEW_PROCESS_GROUP, BREAKAWAY_FROM_JOB
    subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
        [*command, "-"],
        cwd=home,
        env=inherited(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        creationflags=flags,
        close_fds=True,
    )


def joined(home: str, hello: Hello, *, start: bool = True) -> tuple[socket.socket, Welcome]:
    """A connection to the desk, waited for; for callers with nothing else to watch. Raises as `Joining.step`."""
    joining = Joining(home, hello, start=start)
    while True:
        line = joining.step()
        if line is not None:
            line.settimeout(None)
            return line, joining.welcome
        with selectors.DefaultSelector() as selector:
            if joining.fd is None:
                time.sleep(TICK_S)
            else:
                selector.register(joining.fd, selectors.EVENT_READ)
                selector.select(1.0)
