"""The desk's door: where it is, who may come through, and the lock that lets only one desk stand behind it.

A unix socket in the home, readable by its owner alone. Where the home's path is too long for a socket address it lies
in the user's runtime folder; where there are no unix sockets (Windows, some sandboxes and file systems) the door is a
loopback port, and both sides prove that they know a secret from a file of the home before a key is sent. The address
stands in `desk.json`, so that every client finds it whatever its environment. Standard library alone.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
import sys
from typing import Any, NamedTuple

#: A socket's path must fit into 108 bytes on Linux and 104 on macOS, its closing zero included.
LONGEST_PATH = 100
#: How long a loopback door may take to prove itself, seconds.
PROOF_S = 5.0
_WAITING = 128


class Shut(Exception):
    """No desk answers here."""


class Forbidden(Exception):
    """The environment allows no background process or no socket."""


class Address(NamedTuple):
    """Where a desk listens: a unix socket's path, or a loopback port with its secret."""

    unix: str = ""
    port: int = 0
    token: str = ""
    pid: int = 0


def _file(home: str) -> str:
    return f"{home}/desk.json"


def find(home: str) -> Address | None:
    """The address that a desk published here; the desk may be gone."""
    try:
        with open(_file(home), encoding="utf-8") as file:
            row = json.load(file)
        address = Address(str(row["unix"]), int(row["port"]), str(row["token"]), int(row["pid"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return address if address.unix or 0 < address.port < 65_536 else None


def call(home: str) -> tuple[socket.socket, Address]:
    """A connection to the desk of this home, proven to be our own user's.

    Raises Shut when there is none, Forbidden where no socket may be made.
    """
    address = find(home)
    if address is None:
        raise Shut("no desk has published an address")
    try:
        line = socket.socket(socket.AF_UNIX if address.unix else socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise Forbidden(f"no socket may be opened here ({error})") from error
    try:
        line.settimeout(PROOF_S)
        line.connect(address.unix or ("127.0.0.1", address.port))
        if address.unix:
            if peer(line) not in (None, os.getuid()):
                raise Shut("another user's process listens there")
        else:
            _demand_proof(line, address.token)
    except PermissionError as error:
        line.close()
        raise Forbidden(f"no connection may be made here ({error})") from error
    except (OSError, Shut) as error:
        line.close()
        raise Shut(str(error)) from error
    return line, address


def listen(home: str) -> tuple[socket.socket, Address]:
    """A listening socket for this home, its owner's alone. For whoever holds the lock. Raises Forbidden."""
    reasons: list[str] = []
    for path in _places(home):
        try:
            return _listen_unix(path), Address(unix=path, pid=os.getpid())
        except OSError as error:
            reasons.append(f"{path}: {error.strerror}")
    try:
        line = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        line.bind(("127.0.0.1", 0))
        line.listen(_WAITING)
    except OSError as error:
        raise Forbidden(f"no socket may be opened here ({'; '.join([*reasons, str(error)])})") from error
    return line, Address(port=line.getsockname()[1], token=os.urandom(32).hex(), pid=os.getpid())


def publish(home: str, address: Address) -> None:
    """Write the address down, complete from its first moment on, for the owner's eyes alone."""
    fresh = f"{_file(home)}.{os.getpid()}"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(address._asdict(), file)
    os.replace(fresh, _file(home))


def retire(home: str, address: Address) -> None:
    """Take the address and the socket away, so that the next caller starts a desk at once.

    Only one's own: where the home was deleted and made anew, another desk's may stand there.
    """
    there = find(home)
    if there is not None and there.pid != address.pid:
        return
    for path in (_file(home), address.unix):
        try:
            os.unlink(path)
        except OSError:
            continue


def peer(line: socket.socket) -> int | None:
    """The user at the other end of a unix socket, as the kernel tells; None where it does not tell."""
    if hasattr(socket, "SO_PEERCRED"):
        return struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
    if sys.platform == "darwin":
        # <sys/un.h>: SOL_LOCAL is 0 and LOCAL_PEERCRED 1; struct xucred begins with its version and the user's id.
        return struct.unpack_from("II", line.getsockopt(0, 1, 76))[1]
    return None


def prove(nonce: str, token: str) -> str:
    """What only a desk that knows the token can answer to a nonce."""
    # Imported here since a unix socket needs no proof, and OpenSSL would double the bridge's start.
    import hmac

    return hmac.new(token.encode(), f"desk {nonce}".encode(), "sha256").hexdigest()


def same(one: bytes, other: bytes) -> bool:
    """Whether two secrets are equal, in a time that does not tell where they differ."""
    import hmac

    return hmac.compare_digest(one, other)


def _demand_proof(line: socket.socket, token: str) -> None:
    """Have the other side prove itself before it is sent a key: after a crash anybody may listen on the port."""
    nonce = os.urandom(16).hex()
    line.sendall(json.dumps({"nonce": nonce}).encode() + b"\n")
    reply = b""
    while not reply.endswith(b"\n") and len(reply) < 200:
        data = line.recv(200)
        if not data:
            break
        reply += data
    if not same(reply.strip(), prove(nonce, token).encode()):
        raise Shut("what listens there is no desk of this home")


class Lock:
    """A lock on a file, held by the open file itself: the kernel drops it with the process, however that ends."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)

    def take(self) -> bool:
        """Take it if nobody has it."""
        try:
            _flock(self._fd)
        except OSError:
            return False
        return True

    def sign(self, text: str) -> None:
        """Write into the file who holds it; for people, since the lock alone decides."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, text.encode(), 0)

    def close(self) -> None:
        """Let go."""
        os.close(self._fd)


def _flock(fd: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        # Far behind the text, since a locked byte cannot be read.
        os.lseek(fd, 1 << 20, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        return
    import fcntl

    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _places(home: str) -> list[str]:
    """Where a unix socket may lie: in the home, else in a folder of the user's own with a short path."""
    if not hasattr(socket, "AF_UNIX") or sys.platform == "win32":
        return []
    import hashlib

    name = hashlib.sha256(os.fsencode(os.path.realpath(home))).hexdigest()[:16]
    places = [f"{home}/desk.sock"]
    for folder in (os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp"):  # noqa: S108, TID251 - made ours alone below
        short = f"{folder}/spadework-{os.getuid()}"
        if folder and _own(short):
            places.append(f"{short}/{name}.sock")
    return [place for place in places if len(os.fsencode(place)) <= LONGEST_PATH]


def _own(folder: str) -> bool:
    """Whether the folder is there, the user's own and nobody else's; it is made where it is missing."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    except OSError:
        return False
    there = os.lstat(folder)
    return stat.S_ISDIR(there.st_mode) and there.st_uid == os.getuid() and not there.st_mode & 0o077


def _listen_unix(path: str) -> socket.socket:
    if os.path.lexists(path):
        os.unlink(path)
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        line.bind(path)
    except BaseException:
        line.close()
        raise
    finally:
        os.umask(before)
    line.listen(_WAITING)
    return line


def described(address: Address) -> dict[str, Any]:
    """An address as shown to people; its secret is not."""
    return {"socket": address.unix} if address.unix else {"port": address.port}
