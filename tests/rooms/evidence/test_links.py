"""The url axis judges a page by its status alone, and asks an archive only about pages that are gone."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import anyio
import pytest
from tests.standins.server import Receive, Scope, Send, serve

from spadework.egress import Egress
from spadework.evidence.links import look
from spadework_tools.models import Verdict

pytestmark = pytest.mark.anyio

PAGE = b"<html><body><p>Here it is.</p></body></html>"


@dataclass
class Site:
    """Pages by status, and an archive that knows one of them; counts what it was asked."""

    asked: list[str] = field(default_factory=list)
    archive: bytes | None = None
    archive_status: int = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.asked.append(path)
        if path == "/available":
            wanted = parse_qs(scope["query_string"].decode())["url"][0]
            copy = {
                "available": True,
                "url": f"http://web.archive.org/web/2020/{wanted}",
                "timestamp": "20200102030405",
            }
            held = {"archived_snapshots": {"closest": copy} if wanted.endswith("/gone/known") else {}}
            body = json.dumps(held).encode() if self.archive is None else self.archive
            await answer(send, self.archive_status, body, "application/json")
        elif path.startswith("/gone"):
            await answer(send, 410 if "410" in path else 404)
        elif path.startswith("/status/"):
            await answer(send, int(path.rpartition("/")[2]))
        elif path == "/moved":
            await answer(send, 301, location="/page")
        elif path == "/page-slash":
            await answer(send, 301, location="/page-slash/")
        elif path == "/loop":
            await answer(send, 302, location="/loop")
        elif path == "/slow":
            await anyio.sleep_forever()
        else:
            await answer(send, 200, PAGE)


async def answer(send: Send, status: int, body: bytes = b"", kind: str = "text/html", location: str = "") -> None:
    headers = [(b"content-type", kind.encode())] + ([(b"location", location.encode())] if location else [])
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def place(site: Site) -> AsyncGenerator[tuple[Egress, str]]:
    with anyio.fail_after(30):
        async with serve(site) as base:
            http = Egress(allow_private=[base.partition("//")[2]])
            yield http, base
            await http.aclose()


async def judged(path: str, site: Site | None = None, timeout_s: float = 10.0) -> Verdict:
    async with place(site or Site()) as (http, base):
        seen = await look(http, f"{base}{path}", timeout_s, archive=f"{base}/available?url=")
        assert (seen.reply is not None) == (seen.verdict.verdict in ("resolves", "redirected"))
        return seen.verdict


@pytest.mark.parametrize(
    ("path", "verdict"),
    [
        ("/page", "resolves"),
        ("/page#part", "resolves"),
        ("/page-slash", "resolves"),
        ("/moved", "redirected"),
        ("/gone/known", "dead_archived"),
        ("/gone/never", "not_found"),
        ("/gone/410", "not_found"),
        ("/status/401", "blocked"),
        ("/status/403", "blocked"),
        ("/status/429", "blocked"),
        ("/status/451", "blocked"),
        ("/status/500", "not_checked"),
        ("/status/503", "not_checked"),
        ("/loop", "not_checked"),
    ],
)
async def test_each_status_has_its_verdict(path: str, verdict: str) -> None:
    assert (await judged(path)).verdict == verdict


async def test_a_verdict_tells_what_it_rests_on() -> None:
    moved = await judged("/moved")
    assert moved.method == "http-v1"
    assert moved.detail["status"] == 200
    assert moved.detail["final_url"].endswith("/page")
    dead = await judged("/gone/known")
    assert (dead.detail["status"], dead.detail["archived_at"]) == (404, "20200102030405")
    assert dead.detail["archived_url"].startswith("http://web.archive.org/web/2020/http://127.0.0.1")


@pytest.mark.parametrize("path", ["/page", "/status/403", "/status/500", "/moved"])
async def test_the_archive_is_asked_about_pages_that_are_gone_and_no_others(path: str) -> None:
    site = Site()
    await judged(path, site)
    assert "/available" not in site.asked
    await judged("/gone/never", site)
    assert site.asked[-1] == "/available"


@pytest.mark.parametrize(
    "body",
    [b"<html>busy</html>", b"[]", b"null", b'{"archived_snapshots": []}', b"",
     b'{"archived_snapshots": {"closest": {"url": "javascript:alert(1)", "available": true}}}',
     b'{"archived_snapshots": {"closest": {"url": 7}}}', b"\xff\xfe"],
)  # fmt: skip
async def test_an_archive_that_answers_nonsense_archives_nothing(body: bytes) -> None:
    found = await judged("/gone/known", Site(archive=body))
    assert found.verdict == "not_found"
    assert "archived_url" not in found.detail


async def test_an_archive_in_trouble_is_said_so() -> None:
    found = await judged("/gone/known", Site(archive_status=503))
    assert (found.verdict, found.detail["archive"]) == ("not_found", "answered with status 503")


async def test_a_page_that_never_answers_is_not_checked() -> None:
    found = await judged("/slow", timeout_s=0.3)
    assert found.verdict == "not_checked"
    assert "0.3 s" in found.detail["why"]


async def test_what_the_guard_refuses_is_blocked_and_never_asked() -> None:
    site = Site()
    async with place(site) as (_, base):
        guarded = Egress()
        seen = await look(guarded, f"{base}/page", archive=f"{base}/available?url=")
        await guarded.aclose()
    assert seen.verdict.verdict == "blocked"
    assert site.asked == []
