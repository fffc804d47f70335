"""`spadework desk status|stop|logs`: looking after the desk process."""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import suppress
from typing import Annotated, Any

import typer

from spadework.door import Forbidden, Lock, Shut, described, find
from spadework.environ import workfolder
from spadework.hello import Hello, Welcome
from spadework.join import Failed, joined
from spadework.screen import Screen
from spadework.settings import Settings
from spadework_tools.errors import Trouble

#: How long a desk may take to end, seconds: its calls, its jobs, its files.
STOP_S = 20.0

upkeep = typer.Typer(no_args_is_help=True, help="Look after the desk: the process behind all clients.")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@upkeep.command()
def status(as_json: AsJson = False) -> None:
    """Say whether a desk runs, for whom, and how much work it has."""
    home, screen = str(Settings.load().home), Screen()
    welcome = _asked(home, "status")
    if as_json:
        screen.data({"running": welcome is not None, **(_state(home, welcome) if welcome else {"home": home})})
    elif welcome is None:
        screen.text(f"No desk runs for {home}. The next client or command starts one.")
    else:
        state = _state(home, welcome)
        jobs = ", ".join(f"{count} {name}" for name, count in state["jobs"].items())
        screen.text(
            f"The desk of {home}: process {state['pid']}, version {state['version']}, up {state['up_s']} s, "
            f"{len(state['clients'])} clients; jobs: {jobs}."
        )


@upkeep.command()
def stop() -> None:
    """End the desk: calls under way finish, jobs stay and go on with the next desk."""
    home, screen = str(Settings.load().home), Screen()
    welcome = _asked(home, "stop")
    if welcome is None:
        screen.text(f"No desk runs for {home}.")
        return
    until = time.monotonic() + STOP_S
    while not _gone(home, welcome.pid):
        if time.monotonic() > until:
            raise Trouble(
                f"the desk (process {welcome.pid}) has not ended after {STOP_S:.0f} s. See: spadework desk logs."
            )
        time.sleep(0.05)
    screen.text(f"The desk of {home} (process {welcome.pid}) has ended. Jobs are kept and go on with the next one.")


@upkeep.command()
def logs(lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="How many of the last lines.")] = 50) -> None:
    """Print the end of the desk's log."""
    path, screen = Settings.load().home / "desk.log", Screen()
    try:
        with path.open(encoding="utf-8", errors="replace") as log:
            for line in deque(log, maxlen=lines):
                screen.text(line.rstrip("\n"))
    except FileNotFoundError:
        screen.note(f"spadework: there is no log yet at {path}.")


def _asked(home: str, ask: str) -> Welcome | None:
    """The desk's answer; None when there is no desk. Raises Trouble when it does not answer."""
    try:
        line, welcome = joined(home, Hello(ask, workfolder(), {}, os.getpid()), start=False)
    except Shut:
        return None
    except (Failed, Forbidden) as error:
        raise Trouble(str(error)) from None
    if ask == "stop":
        # The desk holds this open for as long as it lives.
        line.settimeout(STOP_S)
        with suppress(OSError):
            line.recv(1)
    line.close()
    return welcome


def _gone(home: str, pid: int) -> bool:
    """Whether that desk holds the home no more; its clients may have started the next one already."""
    lock = Lock(f"{home}/desk.lock")
    free = lock.take()
    lock.close()
    address = find(home)
    return free or (address is not None and address.pid != pid)


def _state(home: str, welcome: Welcome) -> dict[str, Any]:
    address = find(home)
    where = described(address) if address else {}
    return {"pid": welcome.pid, "version": welcome.version, "schema": welcome.schema, **where, **welcome.state}
