"""The search back-ends: how each is asked, and what its answers say. Pure: nothing here sends anything.

The forms are those of each one's documentation as of 2026-11-21. An answer of another form reads as no leads.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import parse_qs, quote, urlencode, urljoin, urlsplit

from spadework.engines.local.web.lead import Lead
from spadework.engines.local.words import matter
from spadework.engines.payload import Payload, decode, plain
from spadework_tools.errors import BadReply

#: How many results one answer may bring.
PAGE = 20
_TAG = re.compile(r"<[^>]{0,2000}>")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_ATOM = "{http://www.w3.org/2005/Atom}"


@dataclass(frozen=True, slots=True)
class Question:
    """What one back-end is asked: the words, which page of the answers (0 first), and a contact if there is one."""

    text: str
    page: int = 0
    contact: str | None = None

    def words(self, most: int) -> str:
        """The words that matter, for a back-end that wants all of them to occur."""
        return " ".join(matter(self.text)[:most])


@dataclass(frozen=True, slots=True)
class Backend:
    """One back-end: the path and query it is asked by, how its answer reads, and how to be polite to it.

    `apart_s` is the least time between two requests, `most` how many questions one round may put to it; `accept` is
    what its answers come as.
    """

    ask: Callable[[Question], str]
    read: Callable[[bytes, str], list[Lead]]
    apart_s: float
    most: int
    accept: str = "application/json"


def _searxng(question: Question) -> str:
    return "/search?" + urlencode({"q": question.text[:400], "format": "json", "pageno": question.page + 1})


def _wikipedia(question: Question) -> str:
    # Its search gives the first results only, at most 100 of them; a later page is cut from a longer answer.
    return "/w/rest.php/v1/search/page?" + urlencode({"q": question.text[:300], "limit": 10 * (question.page + 1)})


def _arxiv(question: Question) -> str:
    every = " AND ".join(f"all:{word}" for word in question.words(5).split()) or f"all:{question.text[:60]}"
    given = {"search_query": every, "start": 10 * question.page, "max_results": 10, "sortBy": "relevance"}
    return "/api/query?" + urlencode(given)


def _crossref(question: Question) -> str:
    given = {"query": question.words(12), "rows": 10, "offset": 10 * question.page}
    return "/works?" + urlencode(given | ({"mailto": question.contact} if question.contact else {}))


def _hackernews(question: Question) -> str:
    return "/api/v1/search?" + urlencode(
        {"query": question.words(5), "tags": "story", "hitsPerPage": 10, "page": question.page}
    )


def _stackexchange(question: Question) -> str:
    given = {"order": "desc", "sort": "relevance", "q": question.words(6), "site": "stackoverflow", "pagesize": 10}
    return "/2.3/search/advanced?" + urlencode(given | {"page": question.page + 1, "filter": "withbody"})


def _duckduckgo(question: Question) -> str:
    # Its first page only: what lies behind it is asked for with marks that the first one hands out.
    return "/html/?" + urlencode({"q": question.text[:400]})


def _from_searxng(body: bytes, _base: str) -> list[Lead]:
    rows = _rows(body, "searxng", "results")
    return [
        Lead(
            row.at("url").text(),
            _flat(row.at("title")),
            _flat(row.at("content")),
            "searxng",
            _day(row, "publishedDate"),
        )
        for row in rows
    ]


def _from_wikipedia(body: bytes, base: str) -> list[Lead]:
    leads: list[Lead] = []
    for row in _rows(body, "wikipedia", "pages"):
        key = row.at("key").text()
        said = f"{_flat(row.at('description'))} {_flat(row.at('excerpt'))}"
        if key:
            leads.append(Lead(f"{base}/wiki/{quote(key, safe=':/,()_')}", _flat(row.at("title")), said, "wikipedia"))
    return leads


def _from_arxiv(body: bytes, _base: str) -> list[Lead]:
    # A desk that is just starting needs no XML, and would wait for the library.
    from lxml import etree as _etree  # pyright: ignore

    etree = cast("Any", _etree)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise BadReply("arxiv answered with something that is no Atom feed. Try it later.") from None
    leads: list[Lead] = []
    for entry in root.iter(f"{_ATOM}entry"):

        def say(name: str, entry: Any = entry) -> str:
            return plain(entry.findtext(f"{_ATOM}{name}") or "", 20_000)

        url, title, summary = say("id").replace("http://", "https://", 1), say("title"), say("summary")
        if url and title and summary:
            day = _DAY.match(say("published"))
            text = f"{title}\n\n{summary}"
            leads.append(Lead(url, title, summary, "arxiv", day[0] if day else None, text))
    return leads


def _from_crossref(body: bytes, _base: str) -> list[Lead]:
    leads: list[Lead] = []
    for row in _rows(body, "crossref", "message", "items"):
        doi = row.at("DOI").text()
        title = next((_flat(part) for part in row.at("title").items()), "")
        abstract = _flat(row.at("abstract"))
        if doi and title:
            text = f"{title}\n\n{abstract}" if abstract else ""
            url = f"https://doi.org/{quote(doi, safe='/:;()._-')}"
            leads.append(Lead(url, title, abstract, "crossref", _issued(row), text))
    return leads


def _from_hackernews(body: bytes, _base: str) -> list[Lead]:
    leads: list[Lead] = []
    for row in _rows(body, "hackernews", "hits"):
        url, title, story = row.at("url").text(), _flat(row.at("title")), _flat(row.at("story_text"))
        day = _day(row, "created_at")
        if url:
            leads.append(Lead(url, title, story, "hackernews"))
        elif story and row.at("objectID").text():
            url = f"https://news.ycombinator.com/item?id={quote(row.at('objectID').text())}"
            leads.append(Lead(url, title, story, "hackernews", day, f"{title}\n\n{story}"))
    return leads


def _from_stackexchange(body: bytes, _base: str) -> list[Lead]:
    leads: list[Lead] = []
    for row in _rows(body, "stackexchange", "items"):
        made = row.at("creation_date").number()
        day = datetime.fromtimestamp(made, UTC).strftime("%Y-%m-%d") if made and 0 < made < 4e9 else None
        said = _flat(row.at("body"))
        leads.append(Lead(row.at("link").text(), _flat(row.at("title")), said, "stackexchange", day))
    return leads


def _from_duckduckgo(body: bytes, base: str) -> list[Lead]:
    # As above: only who searches waits for the library.
    from lxml import etree as _etree  # pyright: ignore
    from lxml import html as _html  # pyright: ignore

    etree, library = cast("Any", _etree), cast("Any", _html)
    try:
        root = library.document_fromstring(body, parser=library.HTMLParser(encoding="utf-8", huge_tree=False))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        raise BadReply("duckduckgo answered with something that is no web page. Try it later.") from None
    leads: list[Lead] = []
    for row in root.find_class("result__body"):
        links, said = row.find_class("result__a"), row.find_class("result__snippet")
        url = _behind(links[0].get("href") or "", base) if links else ""
        if url:
            snippet = plain(said[0].text_content(), 4_000) if said else ""
            leads.append(Lead(url, plain(links[0].text_content(), 300), snippet, "duckduckgo"))
    if not leads and not root.find_class("no-results"):
        raise BadReply("duckduckgo answered with a page that holds no results. It turns many programs away.")
    return leads[:PAGE]


def _behind(href: str, base: str) -> str:
    """Where a link of DuckDuckGo's leads, past its own redirect; nothing for an advertisement's."""
    try:
        parts = urlsplit(urljoin(base, href))
    except ValueError:
        return ""
    if parts.path == "/l/":
        return parse_qs(parts.query).get("uddg", [""])[0]
    return "" if (parts.hostname or "").endswith("duckduckgo.com") or parts.path == "/y.js" else href


BACKENDS = {
    "searxng": Backend(_searxng, _from_searxng, 0.2, 8),
    # "Serial requests" and an honest user agent are what its operators ask for.
    "wikipedia": Backend(_wikipedia, _from_wikipedia, 0.2, 4),
    # Its terms of use: one request every three seconds, one connection at a time.
    "arxiv": Backend(_arxiv, _from_arxiv, 3.0, 2, "application/atom+xml"),
    "crossref": Backend(_crossref, _from_crossref, 1.0, 2),
    "hackernews": Backend(_hackernews, _from_hackernews, 0.5, 3),
    "stackexchange": Backend(_stackexchange, _from_stackexchange, 0.5, 3),
    # Its page for browsers without scripts; nothing is documented, so few questions and well apart.
    "duckduckgo": Backend(_duckduckgo, _from_duckduckgo, 3.0, 2, "text/html"),
}


def backoff(body: bytes) -> float | None:
    """The seconds that Stack Exchange asks to be left alone for, in any of its answers."""
    try:
        return decode(body, "stackexchange").at("backoff").number()
    except BadReply:
        return None


def _rows(body: bytes, who: str, *names: str) -> Iterator[Payload]:
    yield from list(decode(body, who).at(*names).items())[:PAGE]


def _flat(payload: Payload) -> str:
    """A text without mark-up, in one line."""
    return plain(html.unescape(_TAG.sub(" ", payload.text()[:20_000])), 4_000)


def _day(row: Payload, name: str) -> str | None:
    match = _DAY.match(row.at(name).text())
    return match[0] if match else None


def _issued(row: Payload) -> str | None:
    """A work's date of issue, where it is given to the day."""
    for parts in row.at("issued", "date-parts").items():
        numbers = [int(part.number() or 0) for part in parts.items()]
        if len(numbers) == 3:
            return "{:04d}-{:02d}-{:02d}".format(*numbers)
    return None
