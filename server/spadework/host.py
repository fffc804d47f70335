"""The desk process: one for each user and home, behind all clients, and at work when there is none.

Every connection is one caller with settings and keys of its own; the runner is everybody's. It ends after an idle time
without callers and live jobs, when it is told to, or when a caller of another version asks for its place. Ending means:
no new calls, the present ones finish or their bridges are told, the jobs go back to the queue, and only then the lock.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.abc

from spadework.app import House, opened, server
from spadework.caller import Caller, Callers
from spadework.calls import DRAINING
from spadework.counter import serve_port
from spadework.door import Address, find, peer, prove, retire, same
from spadework.hello import VERSION, Garbled, Hello, Welcome
from spadework.job import Job
from spadework.settings import Settings
from spadework.transports import Lines, serve_stream
from spadework_tools.errors import Trouble
from spadework_tools.models import Status

log = logging.getLogger(__name__)

#: How long calls under way may take to finish when the desk is to end, seconds.
GRACE_S: Final = 5.0
#: How long a caller may take over its hello, seconds.
HELLO_S: Final = 10.0
#: How long a desk that cannot open tells its callers so, seconds.
REFUSING_S: Final = 1.0
#: Files that a desk asks the system for (what macOS gives at most), and those of them that are for no caller.
MOST_FILES: Final = 10_240
SPARE_FILES: Final = 48
#: How often a desk looks whether its home is still there, seconds.
BEREFT_S: Final = 2.0
_LIVE = (Status.QUEUED, Status.RUNNING, Status.NEEDS_INPUT)
#: Settings of the whole process, which the first caller of a desk decides.
_COMMON = (
    "registry",
    "queue_limit",
    "concurrency",
    "lease_s",
    "retention_days",
    "daily_cap_usd",
    "allow_private",
    "idle_s",
    "on_finish",
)


@dataclass(slots=True, eq=False)
class Guest:
    """A connection: which process calls, since when, and its lines."""

    number: int
    lines: Lines
    scope: anyio.CancelScope
    ask: str = ""
    pid: int = 0


@dataclass(slots=True)
class Host:
    """A desk process at work."""

    home: str
    address: Address
    house: House
    settings: Settings
    #: Served by somebody's own command, it ends when that is ended, and for no other version and no idleness.
    stays: bool = False
    begun: float = field(default_factory=time.time)
    guests: set[Guest] = field(default_factory=set[Guest])
    count: int = 0
    leaving: anyio.Event = field(default_factory=anyio.Event)
    stirred: anyio.Event = field(default_factory=anyio.Event)

    async def serve(self, listener: anyio.abc.SocketListener) -> None:
        """Serve until it is time to go, and go."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._on_signal)
            group.start_soon(self._on_idle)
            group.start_soon(self._on_bereft)
            group.start_soon(self.house.runner.run)
            group.start_soon(self.house.courier.run)
            group.start_soon(self._admit, listener, group)
            await self.leaving.wait()
            retire(self.home, self.address)
            await listener.aclose()
            await self._drain()
            group.cancel_scope.cancel()
        log.info("the desk ends")

    async def _admit(self, listener: anyio.abc.SocketListener, group: anyio.abc.TaskGroup) -> None:
        """Let callers in while there is room; the others wait before the door."""
        room = max(1, most_files() - SPARE_FILES)
        with suppress(anyio.ClosedResourceError):
            while True:
                try:
                    stream = await listener.accept()
                except (OSError, anyio.BrokenResourceError) as error:
                    # No file is left for it, or it has gone again: neither is a reason to leave the others alone.
                    log.warning("a caller could not be let in (%s)", error.__cause__ or error)
                    await anyio.sleep(1)
                    continue
                self.count += 1
                guest = Guest(self.count, Lines(stream), anyio.CancelScope())
                self.guests.add(guest)
                group.start_soon(self._meet, guest, stream)
                while len(self.guests) >= room:
                    await self._stir()

    async def _drain(self) -> None:
        """Tell the bridges to finish what is under way and come again, and wait for that, but not for ever."""
        log.info("the desk is to end; %d callers", len(self._clients))
        for guest in self._clients:
            with anyio.move_on_after(0.5):
                await guest.lines.write(f'{{"jsonrpc":"2.0","method":"{DRAINING}"}}\n')
        with anyio.move_on_after(GRACE_S):
            while self._clients:
                await self._stir()

    async def _stir(self) -> None:
        """Wait until a caller goes."""
        if self.stirred.is_set():
            self.stirred = anyio.Event()
        await self.stirred.wait()

    @property
    def _clients(self) -> list[Guest]:
        return [guest for guest in self.guests if guest.ask == "mcp"]

    async def _on_signal(self) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                log.info("told to end by %s", number.name)
                self.leaving.set()

    async def _on_idle(self) -> None:
        """End after a time without callers and live jobs."""
        quiet = time.monotonic()
        while True:
            await anyio.sleep(min(60.0, self.settings.idle_s / 4))
            if self.stays or self.guests or await self._live():
                quiet = time.monotonic()
            elif time.monotonic() - quiet >= self.settings.idle_s:
                log.info("idle for %.0f s", self.settings.idle_s)
                self.leaving.set()
                return

    async def _on_bereft(self) -> None:
        """End when nobody can find this desk any more: its home was deleted, or its address is another desk's."""
        while (there := find(self.home)) is not None and there.pid == os.getpid():  # noqa: ASYNC110 - nothing tells it
            await anyio.sleep(BEREFT_S)
        log.warning("the home of this desk is gone")
        self.leaving.set()

    async def _live(self) -> bool:
        """Whether there is work that this desk can do: a job without its key or its answer needs a caller."""
        if await self.house.kit.store.outbox.due_in() is not None:
            return True
        listing = await self.house.kit.store.list(statuses=_LIVE, limit=1_000)
        waiting = [job for job in listing.jobs if _waits_for_caller(job)]
        return len(waiting) < len(listing.jobs)

    async def _meet(self, guest: Guest, stream: anyio.abc.SocketStream) -> None:
        """Serve one connection to its end."""
        try:
            async with stream:
                with guest.scope:
                    await self._greet(guest, stream)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            log.debug("caller %d broke off", guest.number)
        except Garbled as error:
            log.warning("caller %d sent %s", guest.number, error)
        except Exception:
            # The desk's edge: whatever one connection dies of, the others go on.
            log.exception("caller %d: its connection stopped on a defect", guest.number)
        finally:
            self.guests.discard(guest)
            self.stirred.set()
            if guest.ask in ("mcp", "desk"):
                log.info("caller %d went", guest.number)

    async def _greet(self, guest: Guest, stream: anyio.abc.SocketStream) -> None:
        hello = await received(guest.lines, stream, self.address)
        if hello is None:
            return
        guest.ask, guest.pid = hello.ask, hello.pid
        if self.leaving.is_set():
            await guest.lines.write(Welcome(pid=os.getpid(), retry=True).line().decode())
            return
        if hello.ask == "handover" and self.stays:
            await guest.lines.write(
                Welcome(pid=os.getpid(), refusal=_STAYS.format(self.home, os.getpid())).line().decode()
            )
        elif hello.ask in ("stop", "handover"):
            await self._step_down(guest, hello)
        elif hello.ask == "status":
            await guest.lines.write(Welcome(pid=os.getpid(), state=await self._state()).line().decode())
        else:
            await self._attend(guest, hello)

    async def _step_down(self, guest: Guest, hello: Hello) -> None:
        log.info("asked for a %s by process %d, version %s", hello.ask, hello.pid, hello.version)
        await guest.lines.write(Welcome(pid=os.getpid()).line().decode())
        self.leaving.set()
        # Whoever asked waits for the end of this connection, and it ends with everything else.
        await anyio.sleep_forever()

    async def _attend(self, guest: Guest, hello: Hello) -> None:
        """Serve an agent's client, or a command, as the caller that it is."""
        try:
            settings = Settings.load(hello.environ, home=Path(self.home))
        except Trouble as trouble:
            await guest.lines.write(Welcome(pid=os.getpid(), refusal=str(trouble)).line().decode())
            return
        desk = self.house.desk(Caller(settings, base=Path(hello.cwd)), self.leaving)
        log.info("caller %d came: process %d, %s", guest.number, hello.pid, hello.ask)
        welcome = Welcome(pid=os.getpid(), notes=self._notes(settings), stays=self.stays)
        await guest.lines.write(welcome.line().decode())
        if hello.ask == "mcp":
            await serve_stream(server(lambda _: desk, tasks=settings.tasks == "auto"), guest.lines)
        else:
            await serve_port(desk, guest.lines)

    def _notes(self, settings: Settings) -> tuple[str, ...]:
        other = [name for name in _COMMON if getattr(settings, name) != getattr(self.settings, name)]
        if not other:
            return ()
        names = ", ".join(f"SPADEWORK_{name.upper()}" for name in other)
        return (f"the desk was started with another {names} and keeps it; `spadework desk stop` ends it",)

    async def _state(self) -> Mapping[str, Any]:
        store = self.house.kit.store
        counts = {status.value: len((await store.list(statuses=(status,), limit=1_000)).jobs) for status in _LIVE}
        clients = [{"pid": guest.pid, "as": guest.ask} for guest in self.guests if guest.ask in ("mcp", "desk")]
        up = round(time.time() - self.begun)
        return {"home": self.home, "up_s": up, "clients": clients, "jobs": counts, "idle_s": self.settings.idle_s}


_STAYS = (
    "`spadework serve --http` already keeps {} (process {}) and makes no room. End it with `spadework desk stop`, or "
    "set SPADEWORK_HOME to another folder."
)


def _waits_for_caller(job: Job) -> bool:
    return job.status is Status.NEEDS_INPUT or (job.error is not None and job.error.code == "missing_key")


async def received(lines: Lines, stream: anyio.abc.SocketStream, address: Address) -> Hello | None:
    """The hello of a caller who may come in; None: another user's, one without the door's secret, or none."""
    hello: Hello | None = None
    with anyio.move_on_after(HELLO_S):
        if address.unix:
            raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)  # noqa: S610 - no Django here
            if peer(raw) not in (None, os.getuid()):
                log.warning("another user's process was turned away")
                return None
            return Hello.of(await lines.line())
        challenge = await lines.line()
        await lines.write(prove(_nonce(challenge), address.token) + "\n")
        hello = Hello.of(await lines.line())
    if hello is None:
        log.warning("a caller that said no hello within %.0f s was turned away", HELLO_S)
        return None
    if not same(hello.token.encode(), address.token.encode()):
        log.warning("a caller without the door's secret was turned away")
        return None
    return hello


def most_files() -> int:
    """How many files and connections this process may have at once, after asking for as many as it can get."""
    if sys.platform == "win32":
        return MOST_FILES
    # Only here: Windows has none.
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return most
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (ValueError, OSError):
        return soft
    return most


def run(home: str, door: socket.socket, address: Address) -> int:
    """Be the desk of this home behind a door that is open already; the process's exit code."""
    os.umask(0o077)
    callers = Callers()
    _log_to(Path(home) / "desk.log", callers)
    code = anyio.run(_run, home, door, address, callers)
    logging.shutdown()
    return code


async def _run(home: str, door: socket.socket, address: Address, callers: Callers) -> int:
    async with await anyio.abc.SocketListener.from_socket(door) as listener:
        try:
            settings = Settings.load(home=Path(home))
            async with opened(settings, callers=callers) as house:
                log.info("desk %s of %s is open: process %d", VERSION, home, os.getpid())
                await Host(home, address, house, settings).serve(listener)
                return 0
        except Trouble as trouble:
            log.error("the desk cannot open: %s", trouble)
            await _refuse(listener, address, str(trouble))
            return 1
        finally:
            retire(home, address)


async def _refuse(listener: anyio.abc.Listener[Any], address: Address, why: str) -> None:
    """Tell all who wait at the door why there is no desk."""

    async def refuse(stream: anyio.abc.SocketStream) -> None:
        lines = Lines(stream)
        with suppress(anyio.BrokenResourceError, anyio.EndOfStream, Garbled):
            async with stream:
                if await received(lines, stream, address) is not None:
                    await lines.write(Welcome(pid=os.getpid(), refusal=why).line().decode())

    with anyio.move_on_after(REFUSING_S):
        await listener.serve(refuse)


def _nonce(challenge: bytes) -> str:
    try:
        return str(json.loads(challenge)["nonce"])
    except (ValueError, RecursionError, TypeError, KeyError):
        raise Garbled("a line that is no challenge") from None


class Discreet(logging.Formatter):
    """Log lines in which no caller's key can be read, whatever text an error brought along."""

    def __init__(self, callers: Callers) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._callers = callers

    def format(self, record: logging.LogRecord) -> str:
        """The line, with its traceback."""
        text = super().format(record)
        for secret in self._callers.secrets():
            text = text.replace(secret, "[key]")
        return text


def _log_to(path: Path, callers: Callers) -> None:
    handler = RotatingFileHandler(path, maxBytes=2_000_000, backupCount=3, encoding="utf-8")
    handler.setFormatter(Discreet(callers))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("spadework").setLevel(logging.INFO)
