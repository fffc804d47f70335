"""A program on a terminal of its own; what it shows is kept."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import selectors
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.journeys.desks import Silent

ROWS, COLUMNS = 50, 160
_CONTROL = re.compile(r"\x1b\[[0-9;?<>=]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][A-Z0-9]|\x1b.")


class Terminal:
    """One process; its window is closed at the end."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self._lead, follow = pty.openpty()
        fcntl.ioctl(follow, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            command, stdin=follow, stdout=follow, stderr=follow, env=dict(env), cwd=cwd, start_new_session=True
        )
        os.close(follow)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._lead, selectors.EVENT_READ)
        self._raw = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut()
        self._selector.close()
        os.close(self._lead)

    @property
    def shown(self) -> str:
        """All that it has shown, without the control sequences."""
        return _CONTROL.sub("", self._raw.decode("utf-8", "replace"))

    def until(self, true: Callable[[], Any], within: float, what: str) -> Any:
        """Read on until something is so; what it was. Raises Silent."""
        end = time.monotonic() + within
        while not (found := true()):
            if time.monotonic() > end or self.process.poll() is not None:
                raise Silent(f"{what} did not come about within {within} s; it shows:\n{self.shown[-3000:]}")
            self._drain(0.05)
        return found

    def shut(self) -> None:
        """Close its window, as a person does; it has ten seconds to go."""
        end = time.monotonic() + 10
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGHUP)
        while self.process.poll() is None and time.monotonic() < end:
            self._drain(0.05)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)

    def _drain(self, wait: float) -> None:
        """Take what it shows: a program whose terminal is full stands still."""
        if not self._selector.select(wait):
            return
        try:
            self._raw += os.read(self._lead, 1 << 16)
        except OSError:
            # Linux says EIO once the last program on the terminal has ended; its exit code comes next.
            time.sleep(0.01)
