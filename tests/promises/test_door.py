"""Nothing but `egress.py` opens a connection to anywhere else; a guard that one module walks around guards nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOOR = ROOT / "server" / "spadework" / "egress.py"
#: Modules that open connections by themselves.
_CLIENTS = (
    "http.client urllib.request urllib3 httpx httpx2 httpcore httpcore2 requests aiohttp websockets websocket ftplib "
    "smtplib poplib imaplib telnetlib xmlrpc.client asyncio pycurl paramiko"
)
CLIENTS = frozenset(_CLIENTS.split())
#: Calls by which a socket leaves the machine. `sqlite3.connect` and its like open files.
_CALLS = (
    "connect connect_ex create_connection sendto connect_tcp connect_udp create_connected_udp_socket open_connection "
    "create_udp_socket urlopen urlretrieve"
)
CALLS = frozenset(_CALLS.split())
DATABASES = frozenset({"sqlite3", "psycopg", "AsyncConnection", "Connection"})
SOURCES = sorted(path for root in ("server", "tools") for path in (ROOT / root).rglob("*.py") if path != DOOR)


def offences(tree: ast.Module) -> Iterator[str]:
    """The imports and calls that would open a way out."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (f"import {name}" for name in names if CLIENTS & {name, name.partition(".")[0]})
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
            owner = ast.unparse(node.func.value).partition(".")[0]
            if owner not in DATABASES and not _stays(node):
                yield ast.unparse(node)


def _stays(call: ast.Call) -> bool:
    """Whether a connection stays on this machine: to a unix socket, or to loopback as it is written there."""
    told = "".join(ast.unparse(argument) for argument in call.args)
    return "unix" in told or "'127.0.0.1'" in told


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_opens_a_connection(path: Path) -> None:
    assert list(offences(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize("code", [
    "import httpx", "from urllib.request import urlopen", "import urllib.request", "from http import client",
    "import socket\nsocket.create_connection(('example.org', 80))", "import anyio\nanyio.connect_tcp('a', 80)",
    "line.connect((host, 80))", "from asyncio import open_connection",
])  # fmt: skip
def test_the_test_sees_a_way_out(code: str) -> None:
    assert list(offences(ast.parse(code)))


def test_the_door_itself_would_be_seen() -> None:
    assert list(offences(ast.parse(DOOR.read_text(encoding="utf-8"))))
