r"""Mends a client's lines before they are parsed.

A lone surrogate in JSON (`"\ud83d"`, what JavaScript writes for an emoji cut in two) is no text. The SDK's parser
refuses the whole line and nobody answers, so the client waits until its time-out (mcp 2.3.0, `server/stdio.py`).
"""

from __future__ import annotations

import re

#: An escaped backslash and a whole pair are passed over, so that only an escape without its partner is left.
_ESCAPE = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def mend(line: str) -> str:
    """The line with every lone surrogate escape replaced by U+FFFD; any other line as it is."""
    if "\\ud" not in line and "\\uD" not in line:
        return line
    return _ESCAPE.sub(lambda found: "\\ufffd" if found[1] else found[0], line)
