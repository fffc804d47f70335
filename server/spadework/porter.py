"""The porter: what a desk process does before it can think. It takes the lock, opens the door and says so.

Why apart from `host.py`: the desk takes a second to import. Callers who come meanwhile find an open door and wait at
it, and one that cannot open tells each of them why. Standard library alone; run as `python -m spadework.porter`.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
import time

from spadework.door import Forbidden, Lock, Shut, call, listen, publish

#: How long the desk before this one may take to put its things away, seconds.
SUCCESSION_S = 30.0


def main(home: str, ready: int | None) -> None:
    """Become the desk of this home, unless there is one."""
    try:
        lock = Lock(f"{home}/desk.lock")
        if not _succeeded(lock, home):
            _tell(ready, "busy another desk serves this home")
            return
        lock.sign(f"{os.getpid()}\n")
        line, address = listen(home)
        publish(home, address)
    except (Forbidden, OSError) as error:
        _tell(ready, f"forbidden {error}")
        return
    _tell(ready, "listening")
    # Half a million objects are made and none of them dies: looking for garbage would take a tenth of the time.
    gc.disable()
    # Everything heavy comes behind this import.
    from spadework.host import run

    gc.freeze()
    gc.enable()
    sys.exit(run(home, line, address))


def _succeeded(lock: Lock, home: str) -> bool:
    """Take the lock, waiting for a desk that is on its way out; False: one that answers holds it."""
    until = time.monotonic() + SUCCESSION_S
    while not lock.take():
        if _answers(home) or time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _answers(home: str) -> bool:
    try:
        line: socket.socket = call(home)[0]
    except (Shut, Forbidden):
        return False
    line.close()
    return True


def _tell(ready: int | None, word: str) -> None:
    """Say to whoever started us how it went; they may be gone."""
    if ready is None:
        return
    try:
        os.write(ready, word.encode() + b"\n")
        os.close(ready)
    except OSError:
        return


if __name__ == "__main__":
    main(sys.argv[1], None if sys.argv[2] == "-" else int(sys.argv[2]))
