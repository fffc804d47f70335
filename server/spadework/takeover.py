"""Becoming the desk of a home in this very process, for `serve --http`.

Why not beside the desk that may be there: two desks would share the registry well enough, but not the keys, which are
in one process's memory, nor the day's spending cap. So the one in the background is asked to hand over: its clients
come back to this one, and its jobs go on here. Blocking; called before any event loop runs.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from spadework.door import Address, Forbidden, Lock, Shut, call, listen, publish
from spadework.environ import workfolder
from spadework.hello import Garbled, Hello, Welcome
from spadework_tools.errors import Trouble

#: How long the desk before this one, or another start, may take, seconds.
PATIENCE_S = 30.0
_LOOK_S = 0.05


class Occupied(Trouble):
    """Another desk keeps this home."""

    code = "occupied"


@dataclass(frozen=True)
class Tenure:
    """The right to be a home's desk, and its door for the clients of this machine. Given back with the process."""

    lock: Lock
    line: socket.socket
    address: Address


def take(home: Path) -> Tenure:
    """Become the desk of a home. Raises Occupied, or Trouble where its files or sockets cannot be made."""
    place = str(home)
    try:
        os.makedirs(place, mode=0o700, exist_ok=True)  # noqa: PTH103 - the modules beside this one speak in texts
        # Held meanwhile, so that the clients who are sent away wait for this desk instead of starting one.
        starting = _held(Lock(f"{place}/desk.starting"), place)
        try:
            lock = Lock(f"{place}/desk.lock")
            if not lock.take():
                _ask_to_leave(place)
                _held(lock, place)
            lock.sign(f"{os.getpid()}\n")
            line, address = listen(place)
            publish(place, address)
        finally:
            starting.close()
    except (OSError, Forbidden) as error:
        raise Trouble(
            f"{home} cannot be a desk's home ({error}). Set SPADEWORK_HOME to a folder of your own."
        ) from error
    return Tenure(lock, line, address)


def _held(lock: Lock, home: str) -> Lock:
    """The lock, once it is ours. Raises Occupied."""
    until = time.monotonic() + PATIENCE_S
    while not lock.take():
        if time.monotonic() > until:
            lock.close()
            raise Occupied(
                f"another desk has kept {home} for {PATIENCE_S:.0f} s. End it with `spadework desk stop`, or set "
                "SPADEWORK_HOME to another folder."
            )
        time.sleep(_LOOK_S)
    return lock


def _ask_to_leave(home: str) -> None:
    """Ask the desk that is there to hand over. Raises Occupied when it stays."""
    try:
        line, address = call(home)
    except Shut:
        return
    with line, line.makefile("rb") as replies:
        try:
            line.sendall(Hello("handover", workfolder(), {}, os.getpid(), token=address.token).line())
            welcome = Welcome.of(replies.readline())
        except (OSError, Garbled):
            return
    if welcome.refusal:
        raise Occupied(welcome.refusal)
