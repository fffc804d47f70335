"""Memory that goes back: a large report's blocks return to the system when they are freed, and not some day.

The GNU C library raises the size from which a block gets pages of its own each time that such a block is freed, up to
32 MiB; what lies below it then stays with the process in pieces. A desk reads a large report once in a while and lives
for days, so the size is held where it starts. Measured with a report of 5 MB: 39 instead of 53 MiB while it is kept.
"""

from __future__ import annotations

import ctypes

#: `M_MMAP_THRESHOLD` of malloc.h, and the block size in bytes from which a block gets pages of its own.
_M_MMAP_THRESHOLD, LARGE = -3, 256 * 1024


def thrifty() -> bool:
    """Hold the size for this process; False where the C library has no such setting, and nothing is changed."""
    try:
        # Other libraries have no mallopt, or one that knows no such name and answers 0.
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE))
    except (AttributeError, OSError, TypeError):
        return False
