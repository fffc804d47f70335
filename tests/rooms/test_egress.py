"""The one door out: what it refuses without a connection, what it bounds, and what it proves about a lost request."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator

import anyio
import httpcore2
import pytest

from spadework.egress import MIB, Call, Egress
from spadework_tools.errors import BadReply, EgressRefused, Unreachable

pytestmark = pytest.mark.anyio

FORBIDDEN = [
    "http://127.0.0.1/",
    "http://localhost/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fec0::1]/",
    "http://[fd00::1]/",
    "http://[ff02::1]/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://100.100.100.200/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/",
    "http://192.0.0.192/",
    "http://168.63.129.16/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://198.18.0.1/",
    "http://192.0.2.1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    "http://127.0.0.1./",
    "http://user@127.0.0.1/",
    "http://8.8.8.8:22/",
    "http://8.8.8.8:6379/",
    "https://8.8.8.8:8443/",
    "http://user:pass@8.8.8.8/",
    "http://8.8.8.8@127.0.0.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "ftp://127.0.0.1/",
    "http:///x",
    "http://",
    "//127.0.0.1/",
    "javascript:alert(1)",
    "http://[::1",
    "http://127.0.0.1%00.example/",
    "http://exa%6dple.org/",
    "http://127.0.0.1:80:80/",
    "http://8.8.8.8:0/",
    "http://8.8.8.8:99999/",
    "http://inside.example/",
    "http://both.example/",
    "http://metadata.example/",
]
NAMES = {
    "inside.example": ["127.0.0.1"],
    "both.example": ["93.184.216.34", "127.0.0.1"],
    "metadata.example": ["169.254.169.254"],
    "localhost": ["127.0.0.1"],
}


def lookup(host: str, port: int, *rest: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    """A resolver that knows our names, and reads addresses as the system's does."""
    found = NAMES.get(host)
    if found is None:
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]


class Server:
    """Answers each connection with the next of its scripted answers, in a thread; keeps the requests it saw."""

    def __init__(self, *answers: bytes | list[bytes] | None, hold: bool = False) -> None:
        self.answers, self.hold = list(answers), hold
        self.seen: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for answer in self.answers:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._open.append(connection)
            self.seen.append(connection.recv(65536))
            try:
                for part in answer if isinstance(answer, list) else [answer or b""]:
                    connection.sendall(part)
            except OSError:
                continue
            if not self.hold:
                connection.close()

    def close(self) -> None:
        self._socket.close()
        for connection in self._open:
            connection.close()


@pytest.fixture
def serve() -> Iterator[object]:
    started: list[Server] = []

    def start(*answers: bytes | list[bytes] | None, hold: bool = False) -> Server:
        started.append(Server(*answers, hold=hold))
        return started[-1]

    yield start
    for server in started:
        server.close()


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def ask(url: str, **options: object) -> object:
    """One GET through a door of its own."""
    door = Egress(lookup=lookup)
    try:
        with anyio.fail_after(20):
            return await door.request(Call("GET", url, **{"timeout_s": 5.0, **options}))
    finally:
        await door.aclose()


@pytest.fixture
def tripwire() -> Iterator[list[int]]:
    """Listens where a leak would arrive, on port 80 of loopback; gives the connections it had."""
    hits: list[int] = []
    try:
        wires = [socket.create_server(("127.0.0.1", 80)), socket.create_server(("::1", 80), family=socket.AF_INET6)]
    except OSError:
        pytest.skip("port 80 of loopback cannot be listened on here")
    for wire in wires:
        wire.settimeout(0)
    yield hits
    for wire in wires:
        try:
            wire.accept()[0].close()
            hits.append(1)
        except BlockingIOError:
            pass
        wire.close()
    assert hits == []


@pytest.mark.parametrize("url", FORBIDDEN)
async def test_a_forbidden_address_is_refused_without_a_single_connection(tripwire, url):
    with pytest.raises(EgressRefused):
        await ask(url)


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://inside.example/", "http://user@8.8.8.8/"])
async def test_a_redirect_is_judged_like_a_first_request(serve, url):
    server = serve(answer(b"", f"location: {url}", status="302 Found"))
    with pytest.raises(EgressRefused):
        await ask(server.url + "/", trust=server.url, hops=3)


async def test_a_redirect_does_not_inherit_the_trust_of_its_origin(serve):
    inner = serve(answer(b"secret"))
    outer = serve(answer(b"", f"location: {inner.url}/", status="302 Found"))
    with pytest.raises(EgressRefused):
        await ask(outer.url + "/", trust=outer.url, hops=3)
    assert inner.seen == []


async def test_a_key_does_not_follow_a_redirect_to_another_origin(serve):
    inner = serve(answer(b"here"))
    outer = serve(answer(b"", f"location: {inner.url}/", status="307 Temporary Redirect"))
    door = Egress(allow_private=["127.0.0.1"])
    headers = {"x-api-key": "sk_secret", "authorization": "Bearer sk_secret", "accept": "text/plain"}
    with anyio.fail_after(10):
        reply = await door.request(Call("POST", outer.url + "/", headers, content=b"sk_secret", hops=2))
    assert reply.body == b"here"
    assert b"sk_secret" in outer.seen[0]
    assert b"sk_secret" not in inner.seen[0]
    assert inner.seen[0].startswith(b"GET / ")
    await door.aclose()


async def test_a_chain_of_redirects_ends(serve):
    server = serve(*[answer(b"", "location: /again", status="302 Found")] * 9)
    door = Egress(allow_private=["127.0.0.1"])
    with pytest.raises(BadReply, match="more than 5 times"):
        await door.request(Call("GET", server.url + "/", hops=5))
    assert len(server.seen) == 6
    await door.aclose()


async def test_a_call_that_follows_no_redirect_gets_it_as_its_answer(serve):
    server = serve(answer(b"", "location: http://169.254.169.254/", status="302 Found"))
    reply = await ask(server.url + "/", trust=server.url)
    assert reply.status == 302


async def test_a_host_that_the_user_lets_through_passes_and_no_other(serve):
    server = serve(answer(b"ok"))
    door = Egress(allow_private=[f"127.0.0.1:{server.port}"])
    with anyio.fail_after(10):
        assert (await door.request(Call("GET", server.url + "/"))).body == b"ok"
        with pytest.raises(EgressRefused):
            await door.request(Call("GET", "http://127.0.0.1:1/"))
    await door.aclose()


class Sockets(httpcore2.AsyncNetworkBackend):
    """Writes down where a connection would go, and makes none: a public address is not for tests to call."""

    def __init__(self) -> None:
        self.went: list[tuple[str, int]] = []

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
        self.went.append((host, port))
        raise httpcore2.ConnectError("no connection from a test")


async def test_a_name_is_resolved_once_and_the_connection_goes_to_the_judged_address():
    asked: list[str] = []

    def rebinding(host: str, port: int, *_rest: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        asked.append(host)
        # A public address first, this machine ever after: a second lookup would be led here.
        address = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    door, sockets = Egress(lookup=rebinding), Sockets()
    door._guard._inner = sockets
    with pytest.raises(Unreachable) as caught:
        await door.request(Call("GET", "http://rebind.example/"))
    assert asked == ["rebind.example"]
    assert sockets.went == [("93.184.216.34", 80)]
    assert caught.value.sent is False
    await door.aclose()


async def test_the_environments_proxies_are_not_used(serve, monkeypatch):
    proxy = serve(answer(b"proxied"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    server = serve(answer(b"direct"))
    reply = await ask(server.url + "/", trust=server.url)
    assert reply.body == b"direct"
    assert proxy.seen == []


async def test_a_body_beyond_the_limit_is_dropped(serve):
    server = serve([b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"] + [b"x" * MIB] * 4)
    with pytest.raises(BadReply, match="more than 1,048,576 bytes"):
        await ask(server.url + "/", trust=server.url, max_bytes=MIB)


@pytest.mark.parametrize("times", [1, 2])
async def test_a_gzip_bomb_stops_at_the_limit(serve, times):
    body = b"\0" * (64 * MIB)
    for _ in range(times):
        body = gzip.compress(body)
    coding = ", ".join(["gzip"] * times)
    server = serve(answer(body, f"content-encoding: {coding}"))
    with pytest.raises(BadReply):
        await ask(server.url + "/", trust=server.url, max_bytes=MIB)


@pytest.mark.parametrize("coding", ["br", "zstd", "deflate", "compress", "x-nonsense"])
async def test_a_coding_that_was_not_offered_is_refused(serve, coding):
    server = serve(answer(b"???", f"content-encoding: {coding}"))
    with pytest.raises(BadReply):
        await ask(server.url + "/", trust=server.url)


@pytest.mark.parametrize("body", [gzip.compress(b"whole")[:-6], b"no gzip at all"], ids=["cut off", "another"])
async def test_a_broken_gzip_body_is_no_answer(serve, body):
    server = serve(answer(body, "content-encoding: gzip"))
    with pytest.raises(BadReply):
        await ask(server.url + "/", trust=server.url)


async def test_gzip_is_decoded(serve):
    server = serve(answer(gzip.compress(b"hello" * 1000), "content-encoding: gzip"))
    assert (await ask(server.url + "/", trust=server.url)).body == b"hello" * 1000


async def test_an_answer_that_drips_ends_at_the_total_time(serve):
    server = serve([b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", b"x"], hold=True)
    started = anyio.current_time()
    with pytest.raises(Unreachable) as caught:
        await ask(server.url + "/", trust=server.url, timeout_s=0.5)
    assert caught.value.sent is True
    assert anyio.current_time() - started < 3


async def test_a_partial_read_gives_what_came_until_the_time_or_the_size_was_over(serve):
    server = serve([b"HTTP/1.1 200 OK\r\n\r\n", b"data: 1\n\n"], hold=True)
    reply = await ask(server.url + "/", trust=server.url, timeout_s=1.0, partial=True)
    assert (reply.body, reply.truncated) == (b"data: 1\n\n", True)
    big = serve(answer(b"y" * 1000))
    reply = await ask(big.url + "/", trust=big.url, max_bytes=10, partial=True)
    assert (reply.body, reply.truncated) == (b"y" * 10, True)


@pytest.mark.parametrize(
    "answers",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"h" * 5 * MIB + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["silence", "cut off", "no http", "headers of 5 MB", "bad chunks"],
)
async def test_an_answer_that_is_no_http_may_have_been_received(serve, answers):
    server = serve(answers)
    with pytest.raises(Unreachable) as caught:
        await ask(server.url + "/", trust=server.url)
    assert caught.value.sent is True


async def test_a_closed_port_proves_that_nothing_was_sent():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(Unreachable) as caught:
        await ask(url + "/", trust=url)
    assert caught.value.sent is False


async def test_a_failed_handshake_proves_that_nothing_was_sent(serve):
    server = serve(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    url = server.url.replace("http:", "https:")
    with pytest.raises(Unreachable) as caught:
        await ask(url + "/", trust=url)
    assert caught.value.sent is False


async def test_a_name_that_does_not_exist_is_no_refusal():
    def nowhere(*_args: object) -> list[object]:
        raise socket.gaierror("unknown")

    door = Egress(lookup=nowhere)
    with pytest.raises(Unreachable) as caught:
        await door.request(Call("GET", "http://nowhere.example/"))
    assert caught.value.sent is False
    await door.aclose()


async def test_a_fresh_call_shares_no_connection(serve):
    server = serve(answer(b"1").replace(b"connection: close\r\n", b""), answer(b"2"), hold=True)
    door = Egress()
    with anyio.fail_after(10):
        for body in (b"1", b"2"):
            reply = await door.request(Call("POST", server.url + "/", content=b"{}", trust=server.url, fresh=True))
            assert reply.body == body
    assert all(b"connection: close" in seen.lower() for seen in server.seen)
    await door.aclose()


async def test_no_message_carries_a_path_or_a_query():
    with pytest.raises(EgressRefused) as caught:
        await ask("http://127.0.0.1/secret?key=sk_secret")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_the_door_works_on_trio_too(serve, anyio_backend):
    server = serve(answer(b"ok"))
    assert (await ask(server.url + "/", trust=server.url)).body == b"ok"
