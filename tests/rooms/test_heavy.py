"""A desk that is just starting loads nothing that its first answer does not need."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "lxml",
    "readability",
    "pypdfium2",
    "httpcore2",
    "jsonschema",
    "markdown_it",
    "spadework.engines.local.research",
}


def test_a_starting_desk_waits_for_no_library_of_a_later_hour() -> None:
    code = "import sys, spadework.host; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert set(run.stdout.split()) & HEAVY == set()
