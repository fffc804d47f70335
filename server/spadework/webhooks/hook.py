"""The command of the settings, run when a job has ended: its arguments are a list, and no shell reads them."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from contextlib import suppress

import anyio
import anyio.abc

from spadework.delivery import Tried
from spadework.environ import inherited
from spadework.job import Job
from spadework.settings import Settings
from spadework.webhooks.letter import body

log = logging.getLogger(__name__)

#: How long the command may take, seconds.
LIMIT_S = 30.0


async def run_hook(settings: Settings, job: Job, limit_s: float = LIMIT_S) -> Tried:
    """Run `on_finish` once, with the job's letter on its stdin and `SPADEWORK_JOB_ID` in its environment.

    It gets no provider key. Whatever goes wrong is logged, and changes nothing about the job.
    """
    if not settings.on_finish:
        return Tried("no command is set any more")
    environ = {**inherited(str(settings.home)), "SPADEWORK_JOB_ID": job.id}
    note = f"did not end within {limit_s:g} s"
    try:
        with anyio.move_on_after(limit_s):
            process = await anyio.open_process(
                list(settings.on_finish), env=environ, cwd=settings.home, start_new_session=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            code = await _ran(process, body(job))
            note = f"ended with code {code}" if code else ""
    except (OSError, ValueError, anyio.BrokenResourceError) as error:
        note = f"cannot be run ({type(error).__name__}: {error})"
    if note:
        log.warning("the command on_finish for %s %s", job.id, note)
    return Tried(note, ok=not note)


async def _ran(process: anyio.abc.Process, text: bytes) -> int:
    """Give a process its text, and wait; its exit code. One that is given up goes with all that it has started."""
    async with process:
        try:
            if process.stdin is not None:
                # It need not read.
                with suppress(anyio.BrokenResourceError):
                    await process.stdin.send(text)
                await process.stdin.aclose()
            return await process.wait()
        except anyio.get_cancelled_exc_class():
            if sys.platform != "win32":
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            raise
