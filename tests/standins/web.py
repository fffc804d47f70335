"""A small web on one loopback port: a few hundred pages, six search back-ends in their documented forms, and traps.

Pages are made from their number, so that what stands on them is known; every request is counted by its path.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import anyio
from tests.standins.server import Receive, Scope, Send

PAGES = 300
_WORD = re.compile(r"\w+")
_STOP = frozenset(["how", "many", "has", "have", "the", "of", "which", "what", "a", "in", "is", "do", "to", "at"])


class Reply:
    """What to send: status, headers, and the body whole or as chunks that may never end."""

    def __init__(self, body: bytes = b"", kind: str = "text/html; charset=utf-8", status: int = 200, **headers: str):
        self.body, self.status = body, status
        self.headers = {"content-type": kind, **{name.replace("_", "-"): text for name, text in headers.items()}}


def harbour(n: int) -> tuple[str, str]:
    """The title and the HTML of one page: a made-up harbour, with links to two others and one for its pilots."""
    name = f"Qel{n:03d}"
    near = [f'<p>See also <a href="/wiki/Qel{m:03d}">the harbour of Qel{m:03d}</a>.</p>' for m in (n + 1, n + 2)]
    page = (
        f"<!doctype html><html lang=en><head><title>Harbour {name}</title>"
        f'<meta property="article:published_time" content="20{10 + n % 16:02d}-03-0{1 + n % 9}"></head><body><main>'
        f"<h1>Harbour {name}</h1><p>The harbour of {name} has {n + 3} berths for fishing boats and one for a ferry.</p>"
        f"<p>Its breakwater was finished in {1850 + n % 100} after two storms had destroyed the first one.</p>"
        f'<h2>Pilots</h2><p>The <a href="/pilots/{n}">pilotage rules of {name}</a> are a document of their own.</p>'
        f"{near[0]}{near[1]}</main></body></html>"
    )
    return f"Harbour {name}", page


def pilots(n: int) -> str:
    """A page that no search finds; only a harbour's page leads to it."""
    return (
        f"<html><head><title>Pilotage rules</title></head><body><main><h1>Pilotage rules of Qel{n:03d}</h1>"
        f"<p>Pilots of Qel{n:03d} board ships {n + 1} miles west of the outer buoy, by day and by night.</p>"
        "</main></body></html>"
    )


class Web:
    """The ASGI app. `seen` counts the requests by path; `traps` adds or replaces answers by path.

    `robots` is the text of robots.txt, `slow_s` how long each page takes, `found` which pages a search gives (by
    default those that share the most words with the query).
    """

    def __init__(self, *, robots: str = "", slow_s: float = 0.0) -> None:
        self.robots, self.slow_s = robots, slow_s
        self.seen: Counter[str] = Counter()
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.traps: dict[str, Callable[[dict[str, str]], Reply] | str] = {}
        self.found: Callable[[str, int], list[str]] | None = None
        self.fetched = threading.Semaphore(0)
        self._titles = {f"/wiki/Qel{n:03d}": harbour(n)[0] for n in range(PAGES)}

    @property
    def fetches(self) -> int:
        """How many pages were asked for; searches and robots.txt are none."""
        return sum(count for path, count in self.seen.items() if path.startswith(("/wiki/", "/pilots/", "/trap/")))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, query = scope["path"], scope["query_string"].decode()
        headers = {name.decode().lower(): text.decode("latin-1") for name, text in scope["headers"]}
        self.seen[path] += 1
        self.asked.append((path, query, headers))
        if path.startswith(("/wiki/", "/pilots/", "/trap/")):
            self.fetched.release()
            await anyio.sleep(self.slow_s)
        trap = self.traps.get(path)
        if isinstance(trap, str):
            await getattr(self, f"_{trap}")(scope, receive, send)
            return
        await _send(trap(headers) if trap else self._answer(path, parse_qs(query), headers, _base(headers)), send)

    def _answer(self, path: str, query: dict[str, list[str]], headers: dict[str, str], base: str) -> Reply:
        if path == "/robots.txt":
            return Reply(self.robots.encode(), "text/plain") if self.robots else Reply(status=404)
        searches = {
            "/search": self._searxng, "/w/rest.php/v1/search/page": self._wikipedia, "/api/query": self._arxiv,
            "/works": self._crossref, "/api/v1/search": self._hackernews, "/2.3/search/advanced": self._stackexchange,
        }  # fmt: skip
        if path in searches:
            return searches[path](query, base)
        number = re.fullmatch(r"/(wiki/Qel|pilots/)(\d+)", path)
        if number is None or int(number[2]) >= PAGES:
            return Reply(b"<html><body>Not here</body></html>", status=404)
        text = harbour(int(number[2]))[1] if number[1] == "wiki/Qel" else pilots(int(number[2]))
        etag = f'"{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}"'
        if headers.get("if-none-match") == etag:
            return Reply(status=304, etag=etag)
        return Reply(text.encode(), etag=etag)

    def best(self, query: str, page: int = 0, most: int = 10) -> list[str]:
        """The paths of the pages that share the most words with a query; none where none does."""
        if self.found is not None:
            return self.found(query, page)
        words = {word.lower() for word in _WORD.findall(query)} - _STOP
        scores = {path: len(words & set(title.lower().split())) for path, title in self._titles.items()}
        order = sorted((path for path, score in scores.items() if score), key=lambda path: (-scores[path], path))
        return order[page * most : (page + 1) * most]

    def _searxng(self, query: dict[str, list[str]], base: str) -> Reply:
        if query.get("format") != ["json"]:
            return Reply(b"<html>results</html>")
        page = int(query.get("pageno", ["1"])[0]) - 1
        rows = [
            {"url": base + path + "?utm_source=searx#top", "title": self._titles.get(path, path), "engine": "made-up",
             "content": "A harbour.", "score": 1.0, "publishedDate": None}
            for path in self.best(query["q"][0], page)
        ]  # fmt: skip
        return _json({"query": query["q"][0], "results": rows, "answers": [], "unresponsive_engines": []})

    def _wikipedia(self, query: dict[str, list[str]], base: str) -> Reply:
        rows = [
            {"id": 1, "key": path.removeprefix("/wiki/"), "title": self._titles[path],
             "excerpt": '<span class="searchmatch">harbour</span> of the coast', "description": "Harbour"}
            for path in self.best(query["q"][0]) if path in self._titles
        ]  # fmt: skip
        return _json({"pages": rows[: int(query["limit"][0])]})

    def _arxiv(self, query: dict[str, list[str]], _base: str) -> Reply:
        title, said = "Wave loads on harbour breakwaters", "We measure wave loads on the breakwaters of harbour Qel017."
        entry = (
            f"<entry><id>http://arxiv.org/abs/2101.00001v1</id><title>{escape(title)}</title>"
            f"<published>2021-01-01T00:00:00Z</published><summary>{escape(said)}</summary></entry>"
        )
        feed = f'<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom">{entry}</feed>'
        return Reply(feed.encode(), "application/atom+xml")

    def _crossref(self, query: dict[str, list[str]], _base: str) -> Reply:
        abstract = "<jats:p>Berths of the harbour of Qel017 were counted twice, in spring and in autumn.</jats:p>"
        item = {"DOI": "10.5555/qel.17", "title": ["Berths of harbour Qel017"], "abstract": abstract,
                "issued": {"date-parts": [[2019, 5, 4]]}, "URL": "https://doi.org/10.5555/qel.17"}  # fmt: skip
        return _json({"status": "ok", "message": {"items": [item]}})

    def _hackernews(self, query: dict[str, list[str]], base: str) -> Reply:
        hits = [
            {"objectID": "1", "title": self._titles[path], "url": base + path, "created_at": "2020-01-01T00:00:00Z"}
            for path in self.best(query["query"][0])[:3] if path in self._titles
        ]  # fmt: skip
        return _json({"hits": hits, "page": 0})

    def _stackexchange(self, query: dict[str, list[str]], base: str) -> Reply:
        return Reply(gzip.compress(json.dumps({"items": [], "has_more": False, "quota_remaining": 299}).encode()),
                     "application/json; charset=utf-8", content_encoding="gzip")  # fmt: skip

    # Traps that are no single answer

    async def _drip(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A byte now and then, for ever."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        while not await _gone(receive, 0.2):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async def _endless(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A body without end, as fast as it is read."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        while not await _gone(receive, 0.0001):
            await send({"type": "http.response.body", "body": b"<p>more " * 8_192, "more_body": True})

    async def _cut(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The connection is cut without a byte."""
        await scope["extensions"]["drop"]()


async def _gone(receive: Receive, seconds: float) -> bool:
    with anyio.move_on_after(seconds):
        while (await receive())["type"] != "http.disconnect":
            pass
        return True
    return False


async def _send(reply: Reply, send: Send) -> None:
    headers = [(name.encode(), text.encode("latin-1")) for name, text in reply.headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def _json(value: Any) -> Reply:
    return Reply(json.dumps(value).encode(), "application/json")


def _base(headers: dict[str, str]) -> str:
    return f"http://{headers['host']}"
