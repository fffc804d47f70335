"""The first lines that run: `spadework serve` goes to the bridge before anything heavy is imported."""

from __future__ import annotations

import os
import sys

from spadework.bridge import Unable, serve


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] == ["serve"]:
        try:
            serve()
        except Unable as unable:
            _without_desk(str(unable), unable.read)
    if sys.argv[1:2] == ["inbox"]:
        # A hook runs it before every message of the user; see `inbox.py`.
        from spadework.inbox import main as folder_inbox

        sys.exit(folder_inbox(sys.argv[2:]))
    # The command line's libraries take longer to import than a bridge may take to start.
    from spadework.cli import main as command_line

    command_line()


def _without_desk(why: str, read: bytes) -> None:
    """Serve in this one process, with what the client has already said put back before its pipe."""
    os.write(2, f"spadework: {why}; serving without a desk, so jobs end with this client\n".encode())
    sys.argv[1:] = ["serve", "--no-desk"]
    os.set_blocking(1, True)
    if not read:
        return
    # Only here; a bridge would pay for it.
    import threading

    client = os.dup(0)
    rest, put = os.pipe()
    os.dup2(rest, 0)
    os.close(rest)

    def copy() -> None:
        data = read
        while data:
            while data:
                data = data[os.write(put, data) :]
            data = os.read(client, 65_536)
        os.close(put)

    threading.Thread(target=copy, daemon=True).start()
