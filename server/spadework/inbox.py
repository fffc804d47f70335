"""The inbox of a project folder: a line for each job that was started from there and has ended.

An agent's hook prints it at the start of a session or with the user's next message, so that a finished job re-enters
the conversation. Standard library alone, since a hook runs before every message of the user.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from spadework.environ import find_home

#: An inbox that nobody reads is cut to its newest half at this size, bytes.
LARGEST = 256 * 1024
#: So many lines are printed for an agent.
SHOWN = 20


def place(home: str, folder: str) -> str:
    """The inbox file of a folder, whatever way leads to it."""
    name = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:32]
    return os.path.join(home, "inbox", f"{name}.jsonl")


def append(home: str, folder: str, row: dict[str, Any]) -> None:
    """Add a line, whole or not at all for every reader. Raises OSError."""
    path = place(home, folder)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    line = json.dumps(row, separators=(",", ":")).encode("ascii") + b"\n"
    with _held(path, os.O_CREAT) as fd:
        if os.fstat(fd).st_size + len(line) > LARGEST:
            _shorten(fd, LARGEST // 2)
        size = os.lseek(fd, 0, os.SEEK_END)
        if os.write(fd, line) < len(line):
            # The disk is full, and half a line would spoil the next one too.
            os.ftruncate(fd, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read(home: str, folder: str) -> tuple[list[dict[str, Any]], int]:
    """The lines of a folder, each job's end once, and how many bytes they are. Raises OSError."""
    try:
        with _held(place(home, folder)) as fd:
            data = os.read(fd, 2 * LARGEST)
    except FileNotFoundError:
        return [], 0
    rows: dict[str, dict[str, Any]] = {}
    for line in data.splitlines():
        row = json.loads(line)
        rows.setdefault(row["id"], row)
    return list(rows.values()), len(data)


def clear(home: str, folder: str, size: int) -> None:
    """Forget the first `size` bytes, which were read; what has come since stays. Raises OSError."""
    if size:
        with _held(place(home, folder)) as fd:
            _shorten(fd, max(0, os.fstat(fd).st_size - size))


def _shorten(fd: int, keep: int) -> None:
    """Keep the last whole lines of at most `keep` bytes."""
    size = os.fstat(fd).st_size
    os.lseek(fd, max(0, size - keep - 1), os.SEEK_SET)
    rest = os.read(fd, keep + 1).partition(b"\n")[2] if size > keep else os.read(fd, keep)
    os.lseek(fd, 0, os.SEEK_SET)
    os.ftruncate(fd, os.write(fd, rest))


@contextmanager
def _held(path: str, flags: int = 0) -> Generator[int]:
    """The open file, for one process alone."""
    # Only here: Windows has none, and everything else of this module works there.
    import fcntl

    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def sentence(row: dict[str, Any]) -> str:
    """A line as an agent reads it: what ended, how, and the call that reads it."""
    data = row["data"]
    named = f" ({data['label']})" if data.get("label") else ""
    how = f", outcome {data['outcome']}" if data.get("outcome") else ""
    call = "get_result" if data["status"] == "completed" else "check_research"
    argument = f'job_id="{data["job_id"]}"' if call == "get_result" else f'job_ids=["{data["job_id"]}"]'
    return f"Research {data['job_id']}{named} {data['status']}{how}. Read it with spadework's {call}({argument})."


def sentences(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The newest lines; clients cut a hook's output at some thousand characters."""
    older = len(rows) - SHOWN
    more = [f"Before these {older} more ended; see them with: spadework jobs."] if older > 0 else []
    return more + [sentence(row) for row in rows[-SHOWN:]]


def main(arguments: Sequence[str]) -> int:
    """Print what has ended for a folder; the exit code."""
    asked = argparse.ArgumentParser("spadework inbox", description=_HELP)
    asked.add_argument("--json", action="store_true", help="Print JSON.")
    asked.add_argument("--clear", action="store_true", help="Forget what was printed.")
    asked.add_argument("--folder", default=os.curdir, help="Another folder than the current one.")
    given = asked.parse_args(arguments)
    home = find_home()
    try:
        rows, size = read(home, given.folder)
        shown = [json.dumps(rows)] if given.json else sentences(rows)
        sys.stdout.write("".join(f"{line}\n" for line in shown))
        sys.stdout.flush()
        if given.clear:
            clear(home, given.folder, size)
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"spadework: the inbox {place(home, given.folder)} cannot be read ({error}). Remove it.\n")
        return 1
    return 0


_HELP = "Print the research that was started from this folder and has ended."
