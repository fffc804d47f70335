"""Inside a network namespace of its own, where every address leads here: what the door out reaches, as JSON.

Run as `unshare --net --mount python -m tests.promises.netns`. All of IPv4 and IPv6 is local to the namespace (Linux
AnyIP), a name server answers with what the name says, and listeners write down on which address each connection came.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import tempfile
import threading
from collections import defaultdict
from ipaddress import ip_address

import anyio

from spadework.egress import Call, Egress
from spadework_tools.errors import BadReply, EgressRefused, Unreachable

PUBLIC = {"93.184.216.34", "2606:4700::1111"}
PORTS = (80, 443, 22, 6379, 8080)
_FOUR = (
    "127.0.0.1 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 100.100.100.200 168.63.129.16 192.0.0.192 "
    "198.18.0.1 192.0.2.1 0.0.0.0 255.255.255.255 224.0.0.1 240.0.0.1"
)
_SIX = (
    "::1 :: ::ffff:127.0.0.1 ::ffff:a9fe:a9fe 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 2002:7f00:1:: 2002:a00:1:: fe80::1 "
    "fec0::1 fd00:ec2::254 ff02::1 2001:db8::1"
)
INSIDE = (*_FOUR.split(), *_SIX.split())
#: A name is answered with these addresses: the first time one, from then on the next.
NAMES = {
    "public.example": ["93.184.216.34"], "other.example": ["93.184.216.34"], "six.example": ["2606:4700::1111"],
    "rebinds.example": ["93.184.216.34", "127.0.0.1"], "returns.example": ["127.0.0.1", "93.184.216.34"],
    "metadata.example": ["169.254.169.254"], "mapped.example": ["::ffff:127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"], "azure.example": ["168.63.129.16"], "site.example": ["fec0::1"],
    "both.example": ["93.184.216.34+10.0.0.1"],
}  # fmt: skip
SPELLED = [
    "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://0/", "http://localhost/",
    "http://①②⑦.⓪.⓪.①/", "http://127.0.0.1./", "http://user@127.0.0.1/", "http://93.184.216.34@127.0.0.1/",
    "http://93.184.216.34:22/", "http://93.184.216.34:6379/", "http://93.184.216.34:8080/",
    "http://user:pass@93.184.216.34/", "file:///etc/passwd", "gopher://127.0.0.1/", "http://[fe80::1%25lo]/",
]  # fmt: skip
HONEST = ["http://public.example/", "http://93.184.216.34/", "http://six.example/", "http://public.example/hop"]


def hostile() -> list[str]:
    """Each inner address directly and behind a redirect, each hostile name, each odd spelling."""
    spelled = [f"http://[{one}]/" if ":" in one else f"http://{one}/" for one in INSIDE]
    names = [f"http://{name}/" for name in NAMES if name not in ("public.example", "other.example", "six.example")]
    return [*spelled, *SPELLED, *names, *(f"http://public.example/to/{url}" for url in (*spelled, *names))]


class Listeners:
    """Answers on every address and port; `came` are the addresses and ports at which connections came."""

    def __init__(self) -> None:
        self.came: list[tuple[str, int]] = []
        self.noted = threading.Semaphore(0)
        for port in PORTS:
            line = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
            threading.Thread(target=self._accept, args=(line,), daemon=True).start()

    def _accept(self, line: socket.socket) -> None:
        while True:
            connection, _ = line.accept()
            host, port = connection.getsockname()[:2]
            mapped = getattr(ip_address(host), "ipv4_mapped", None)
            self.came.append((str(mapped or host), port))
            self.noted.release()
            threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection:
        connection.settimeout(5)
        path = connection.recv(65_536).split(b" ")[1].decode()
        place = path.removeprefix("/to/") if path.startswith("/to/") else "http://other.example/"
        moved = path.startswith("/to/") or path == "/hop"
        head = f"HTTP/1.1 302 Found\r\nlocation: {place}\r\n" if moved else "HTTP/1.1 200 OK\r\n"
        connection.sendall(f"{head}content-length: 2\r\nconnection: close\r\n\r\nok".encode())


def name_server() -> None:
    """A DNS server on port 53 whose answers change with each question after the first; it gives no time to live."""
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind(("127.0.0.53", 53))
    turns: dict[tuple[str, int], int] = defaultdict(int)

    def serve() -> None:
        while True:
            data, peer = line.recvfrom(512)
            line.sendto(_dns(data, turns), peer)

    threading.Thread(target=serve, daemon=True).start()


def _dns(data: bytes, turns: dict[tuple[str, int], int]) -> bytes:
    at, labels = 12, []
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode())
        at += 1 + data[at]
    name, (kind,) = ".".join(labels).lower(), struct.unpack(">H", data[at + 1 : at + 3])
    steps = NAMES.get(name, [])
    step = steps[min(turns[name, kind], len(steps) - 1)] if steps else ""
    turns[name, kind] += 1
    found = [ip_address(one) for one in step.split("+") if one]
    records = [one.packed for one in found if (one.version == 4) == (kind == 1) and kind in (1, 28)]
    head = data[:2] + struct.pack(">HHHHH", 0x8180 if steps else 0x8183, 1, len(records), 0, 0)
    rows = [b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(packed)) + packed for packed in records]
    return head + data[12 : at + 5] + b"".join(rows)


def settle() -> None:
    """Bring the namespace up: every address is ours, and names are asked of our server."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf", delete=False) as file:
        file.write("nameserver 127.0.0.53\noptions timeout:1 attempts:1\n")
    for command in (
        "ip link set lo up", "ip route add local 0.0.0.0/0 dev lo", "ip -6 route add local ::/0 dev lo",
        "mount --make-rprivate /", f"mount --bind {file.name} /etc/resolv.conf",
    ):  # fmt: skip
        subprocess.run(command.split(), check=True, capture_output=True)


async def reached(door: Egress, listeners: Listeners, url: str) -> dict[str, object]:
    """What became of one address, and where connections came while it was asked."""
    before = len(listeners.came)
    try:
        with anyio.fail_after(10):
            reply = await door.request(Call("GET", url, timeout_s=3, hops=5))
        outcome = str(reply.status)
    except (EgressRefused, Unreachable, BadReply) as refusal:
        outcome = type(refusal).__name__
    came = listeners.came[before:]
    return {
        "url": url,
        "outcome": outcome,
        "came": came,
        "leaks": [p for p in came if p[0] not in PUBLIC or p[1] != 80],
    }


async def main() -> None:
    settle()
    listeners = Listeners()
    name_server()
    # The rig must be able to see a leak: a plain connection to an inner address has to come here.
    for inner in ("169.254.169.254", "fd00:ec2::254"):
        socket.create_connection((inner, 80), 3).close()
        listeners.noted.acquire(timeout=5)
    seen = {host for host, _ in listeners.came} == {"169.254.169.254", "fd00:ec2::254"}
    door = Egress()
    bad = [await reached(door, listeners, url) for url in hostile()]
    good = [await reached(door, listeners, url) for url in HONEST]
    await door.aclose()
    print(json.dumps({"seen": seen, "hostile": bad, "honest": good}))  # noqa: T201


if __name__ == "__main__":
    anyio.run(main)
