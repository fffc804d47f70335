"""Research on the web: where it searches, what it may read, when it stops, and what it says of what went wrong."""

from __future__ import annotations

import gzip
import time
from functools import partial
from pathlib import Path
from urllib.parse import quote

import anyio
import anyio.to_thread
import pytest
from tests.rooms.local.online import BACKENDS, Desk, asking, engine
from tests.standins.server import serve
from tests.standins.web import Reply, Web

from spadework.engines import Partial
from spadework.engines.local.web.address import canonical, wanted
from spadework.engines.local.web.budget import Budget
from spadework.settings import Settings
from spadework_tools.errors import EngineFailed
from spadework_tools.models import Outcome, Report

pytestmark = pytest.mark.anyio
QUESTION = "How many berths has the harbour of Qel017?"
ANSWER = "The harbour of Qel017 has 20 berths for fishing boats and one for a ferry."
LIKE = "<main><h1>Qel017</h1><p>All 20 berths in the harbour of Qel017 were kept when the steamers left.</p>"
SMALL = Budget(rounds=1, pages=10, seconds=60, size=20 << 20)
TRAPPED = "Which traps does the harbour of Qel017 have?"


async def answered(web: Web, tmp_path: Path, question: str = QUESTION, **options: object) -> Report:
    """One job's report over a loopback web."""
    settings = options.pop("settings", {})
    budget, before = options.pop("budget", SMALL), options.pop("before", None)
    async with serve(web) as base:
        desk = Desk(tmp_path / "job", base, **settings)
        desk.before = before
        with anyio.fail_after(90):
            report = await engine(tmp_path / "home", desk, budget).work(asking(question, **options), desk)
        await desk.http.aclose()
    assert isinstance(report, Report)
    return report


def warned(report: Report) -> str:
    return "\n".join(report.provenance.warnings)


async def test_every_back_end_is_asked_in_its_own_form_and_its_answer_is_used(tmp_path: Path) -> None:
    web = Web()
    report = await answered(web, tmp_path, settings={"backends": ",".join(("searxng", *BACKENDS))})
    assert ANSWER in {citation.quote for citation in report.citations}
    assert {source.url.rsplit("/", 1)[0].partition("://")[2] for source in report.sources} >= {"doi.org/10.5555"}
    assert not [line for line in report.provenance.warnings if "failed" in line]
    for path in (
        "/search",
        "/w/rest.php/v1/search/page",
        "/api/query",
        "/works",
        "/api/v1/search",
        "/2.3/search/advanced",
    ):
        assert web.seen[path] == 1, path
    assert all("spadework" in headers["user-agent"] for _, _, headers in web.asked)


async def test_a_contact_is_given_where_sites_ask_for_one(tmp_path: Path) -> None:
    web = Web()
    await answered(web, tmp_path, settings={"backends": "crossref", "web_contact": "me@example.org"})
    (query,) = [query for path, query, _ in web.asked if path == "/works"]
    assert "mailto=me%40example.org" in query
    assert "mailto:me@example.org" in web.asked[0][2]["user-agent"]


async def test_a_back_end_that_fails_is_named_with_its_reason_and_the_others_answer(tmp_path: Path) -> None:
    web = Web()
    web.traps |= {
        "/search": lambda _: Reply(b"<html>Please enable JSON</html>"),
        "/works": lambda _: Reply(b"slow down", status=429, retry_after="120"),
        "/api/query": lambda _: Reply(b"not xml at all"),
        "/api/v1/search": lambda _: Reply(b"[" * 200_000, "application/json"),
        "/2.3/search/advanced": "cut",
    }
    report = await answered(web, tmp_path, settings={"backends": ",".join(("searxng", *BACKENDS))})
    assert report.citations[0].quote == ANSWER
    said = {line.split()[2]: line for line in report.provenance.warnings if line.startswith("search by")}
    assert set(said) == {"searxng", "crossref", "arxiv", "hackernews", "stackexchange"}
    assert "a web page instead of JSON" in said["searxng"]
    assert "429" in said["crossref"]


def duck(*rows: str, marked: str = "") -> bytes:
    """A page of results as DuckDuckGo gives it to browsers without scripts."""
    return f"<html><body><div id=links class='results {marked}'>{''.join(rows)}</div></body></html>".encode()


def result(href: str, title: str, said: str = "A harbour.") -> str:
    return (
        f'<div class="result results_links"><div class="links_main result__body"><h2 class="result__title">'
        f'<a class="result__a" href="{href}">{title}</a></h2><a class="result__snippet" href="{href}">{said}</a>'
        "</div></div>"
    )


async def test_duckduckgo_is_asked_where_it_is_named_and_its_redirects_are_seen_through(tmp_path: Path) -> None:
    web = Web()
    async with serve(web) as base:
        behind = quote(f"{base}/wiki/Qel017", safe="")
        rows = (
            result("//duckduckgo.com/y.js?ad_domain=evil.example&u3=x", "Buy harbours"),
            result(f"//duckduckgo.com/l/?uddg={behind}&amp;rut=abc", "Harbour <b>Qel017</b>"),
            result(f"{base}/wiki/Qel018", "Harbour Qel018"),
            result("javascript:alert(1)", "Harbour Qel017 berths"), "<div class=result__body>nothing</div>",
            result("http://[not", "Harbour Qel017 berths"), result("//duckduckgo.com/l/?uddg=", "Harbour Qel017"),
        )  # fmt: skip
        web.traps["/html/"] = lambda _: Reply(duck(*rows))
        desk = Desk(tmp_path / "job", base, "duckduckgo", duckduckgo_base_url=base)
        with anyio.fail_after(60):
            report = await engine(tmp_path / "home", desk, SMALL).work(asking(QUESTION), desk)
        await desk.http.aclose()
    assert isinstance(report, Report)
    assert report.citations[0].quote == ANSWER
    assert "duckduckgo" not in warned(report)
    (query,) = [query for path, query, _ in web.asked if path == "/html/"]
    assert query.startswith("q=How+many+berths")
    assert not any("evil" in path for path in web.seen)


@pytest.mark.parametrize(("reply", "why"), [
    (Reply(b"<html>Select all squares with a duck</html>", status=202), "wants proof of a human being"),
    (Reply(b"<html>Select all squares with a duck</html>"), "holds no results"),
    (Reply(b'{"results": []}', "application/json"), "holds no results"), (Reply(b""), "no web page"),
    (Reply(b"\x00" * 1_000), "no"), (Reply(b"<div>" * 50_000), "no results"), (Reply(b"", status=403), "403"),
])  # fmt: skip
async def test_duckduckgo_turning_us_away_is_said_and_the_others_answer(tmp_path: Path, reply: Reply, why: str) -> None:
    web = Web()
    web.traps["/html/"] = lambda _: reply
    async with serve(web) as base:
        desk = Desk(tmp_path / "job", base, "searxng,duckduckgo", duckduckgo_base_url=base)
        report = await engine(tmp_path / "home", desk, SMALL).work(asking(QUESTION), desk)
        await desk.http.aclose()
    assert isinstance(report, Report)
    assert report.citations[0].quote == ANSWER
    (said,) = [line for line in report.provenance.warnings if line.startswith("search by")]
    assert said.startswith("search by duckduckgo failed: ")
    assert why in said


async def test_no_results_of_duckduckgo_are_an_answer_like_another(tmp_path: Path) -> None:
    web = Web()
    web.traps["/html/"] = lambda _: Reply(duck("<div class='no-results'>No results.</div>"))
    async with serve(web) as base:
        desk = Desk(tmp_path / "job", base, "searxng,duckduckgo", duckduckgo_base_url=base)
        report = await engine(tmp_path / "home", desk, SMALL).work(asking(QUESTION), desk)
        await desk.http.aclose()
    assert isinstance(report, Report)
    assert "failed" not in warned(report)


def test_duckduckgo_is_not_asked_by_default() -> None:
    assert "duckduckgo" not in (Settings(home=Path("/nowhere")).text("SPADEWORK_WEB_BACKENDS") or "")


async def test_a_wait_that_a_back_end_asks_for_is_kept_and_it_is_asked_again(tmp_path: Path) -> None:
    web = Web()
    times: list[float] = []

    def busy(_: dict[str, str]) -> Reply:
        times.append(time.monotonic())
        if len(times) == 1:
            return Reply(b"", status=429, retry_after="1")
        del web.traps["/search"]
        return Reply(b'{"results": []}', "application/json")

    web.traps["/search"] = busy
    report = await answered(web, tmp_path)
    assert times[1] - times[0] >= 1
    assert "failed" not in warned(report)


async def test_robots_txt_is_obeyed_and_what_it_forbids_is_listed(tmp_path: Path) -> None:
    web = Web(robots="User-agent: spadework\nDisallow: /wiki/Qel017\n")
    report = await answered(web, tmp_path)
    assert web.seen["/wiki/Qel017"] == 0
    assert "/wiki/Qel017 was not read: robots" in warned(report)
    assert web.seen["/robots.txt"] == 1


async def test_a_site_whose_robots_txt_fails_is_not_read(tmp_path: Path) -> None:
    web = Web()
    web.traps["/robots.txt"] = lambda _: Reply(status=503)
    report = await answered(web, tmp_path)
    assert (web.fetches, report.outcome) == (0, Outcome.NO_EVIDENCE)


async def test_an_old_page_is_asked_for_again_on_condition_and_a_fresh_one_not_at_all(tmp_path: Path) -> None:
    web = Web()
    async with serve(web) as base:
        desk = Desk(tmp_path / "one", base)
        first = await engine(tmp_path / "home", desk, SMALL).work(asking(QUESTION), desk)
        sent = web.fetches
        online = engine(tmp_path / "home", desk, SMALL)
        shelf = online._online.shelf
        page = shelf.page(f"{base}/wiki/Qel017")
        assert page is not None
        shelf.put(
            type(page)(page.url, page.final, time.time() - 86_400, page.etag, None, page.size, None, page.document)
        )
        later = Desk(tmp_path / "two", base)
        again = await online.work(asking(QUESTION, at=time.time()), later)
        await desk.http.aclose()
        await later.http.aclose()
    assert isinstance(first, Report)
    assert isinstance(again, Report)
    assert web.fetches == sent + 1
    assert web.asked[-1][2].get("if-none-match") == page.etag
    assert again.citations == first.citations


async def test_the_link_that_covers_what_is_open_is_followed(tmp_path: Path) -> None:
    web = Web()
    web.found = lambda _query, page: ["/wiki/Qel017"] if page == 0 else []
    question = "How many miles west of the outer buoy do the pilots of Qel017 board ships?"
    report = await answered(web, tmp_path, question, budget=Budget(rounds=3, pages=12, seconds=60, size=1 << 20))
    assert web.seen["/pilots/17"] == 1
    assert report.citations[0].quote.startswith("Pilots of Qel017 board ships 18 miles west")


async def test_sites_and_dates_that_were_asked_for_are_kept_to(tmp_path: Path) -> None:
    web = Web()
    report = await answered(web, tmp_path, exclude_domains=("127.0.0.1",))
    assert (web.fetches, report.outcome) == (0, Outcome.NO_EVIDENCE)
    dated = await answered(web, tmp_path / "dated", published_after="2011-01-01")
    assert dated.citations
    for source in dated.sources:
        assert (source.published or "") >= "2011-01-01"
    assert "too_old" in warned(dated)


async def test_a_follow_up_reads_what_its_parent_cites_and_searches_only_if_that_is_not_enough(tmp_path: Path) -> None:
    web = Web()
    web.found = lambda _query, _page: ["/wiki/Qel017", "/wiki/Qel018"]
    web.traps["/wiki/Qel018"] = lambda _: Reply(LIKE.encode())
    first = await answered(web, tmp_path)
    assert len(first.sources) == 2
    sent = len(web.asked)
    async with serve(web) as base:
        # The stand-in is on another port now, and the parent's pages are known by the old one.
        desk = Desk(tmp_path / "two", base)
        desk.before = first
        report = await engine(tmp_path / "home", desk, SMALL).work(asking(QUESTION, follow_up_to="r_1"), desk)
        await desk.http.aclose()
    assert isinstance(report, Report)
    assert report.citations[0].quote == first.citations[0].quote
    assert len(web.asked) == sent


BOMB = gzip.compress(bytes(64 << 20), 6)
HOSTILE = {
    "drip": ("drip", "out_of_time"),
    "endless": ("endless", "bad_reply"),
    "bomb": (lambda _: Reply(BOMB, content_encoding="gzip"), "bad_reply"),
    "double bomb": (
        lambda _: Reply(gzip.compress(BOMB), content_encoding="gzip, gzip"), "bad_reply",
    ),
    "brotli": (lambda _: Reply(b"\x0b\x02\x80", content_encoding="br"), "bad_reply"),
    "loop": (lambda _: Reply(status=302, location="/trap/loop"), "too_many_redirects"),
    "inward": (lambda _: Reply(status=302, location="http://169.254.169.254/latest/meta-data/"), "forbidden_address"),
    "scheme": (lambda _: Reply(status=302, location="file:///etc/passwd"), "bad_redirect"),
    "cut": ("cut", "unreachable"),
    "image": (lambda _: Reply(b"\x89PNG", "image/png"), "unknown_type"),
    "binary": (lambda _: Reply(bytes(range(256)) * 64), "binary"),
    "empty": (lambda _: Reply(b""), "empty"),
    "gone": (lambda _: Reply(b"", status=410), "http_410"),
    "fake pdf": (lambda _: Reply(b"%PDF-1.7 nothing", "application/pdf"), "corrupt"),
}  # fmt: skip


async def test_each_hostile_page_costs_its_own_seconds_and_is_listed_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The page's whole time is a constant of ours; at its true 20 s this test would take that long.
    monkeypatch.setattr("spadework.engines.local.web.pages.WHOLE_S", 3.0)
    web = Web()
    paths = {name: f"/trap/{name.replace(' ', '-')}" for name in HOSTILE}
    web.traps |= {paths[name]: trap for name, (trap, _) in HOSTILE.items()}
    # A good page between every two keeps the site from being left alone for its failures.
    good = [f"/wiki/Qel{n:03d}" for n in range(17, 17 + len(HOSTILE))]
    web.found = lambda _query, page: (
        [path for pair in zip(good, paths.values(), strict=True) for path in pair] * (not page)
    )
    monkeypatch.setattr("spadework.engines.local.web.backends.PAGE", 100)
    budget = Budget(rounds=1, pages=60, seconds=60, size=200 << 20, at_once=1)
    began = time.monotonic()
    report = await answered(web, tmp_path, budget=budget)
    assert time.monotonic() - began < 45
    assert report.citations[0].quote == ANSWER
    for name, (_, reason) in HOSTILE.items():
        assert f"{paths[name]} was not read: {reason}" in warned(report), warned(report)


async def test_a_site_that_keeps_failing_is_left_alone(tmp_path: Path) -> None:
    web = Web()
    for n in range(40):
        web.traps[f"/wiki/Qel{n:03d}"] = lambda _: Reply(status=503)
    report = await answered(web, tmp_path, "Which harbour has the most berths?", budget=SMALL)
    assert web.fetches < 8
    assert "site_failing" in warned(report)


@pytest.mark.parametrize(("header", "charset"), [
    ("text/html; charset=iso-8859-1", "iso-8859-1"), ("text/html; charset=koi8-r", "koi8-r"),
    ("text/html; charset=utf-8", "iso-8859-1"), ("text/html; charset=nonsense", "utf-8"),
    ("text/html; charset=utf-16", "utf-8"),
])  # fmt: skip
async def test_a_wrong_charset_spoils_no_other_words(tmp_path: Path, header: str, charset: str) -> None:
    web = Web()
    said = "Порт Qel017" if charset == "koi8-r" else "Port Qel017 café"
    page = f"<html><body><main><h1>Harbour Qel017</h1><p>{ANSWER} {said}.</p></main></body></html>"
    web.found = lambda _query, page: ["/wiki/Qel017"] if page == 0 else []
    web.traps["/wiki/Qel017"] = lambda _: Reply(page.encode(charset, "replace"), header)
    report = await answered(web, tmp_path)
    assert any(ANSWER in citation.quote for citation in report.citations)


async def test_the_budget_of_pages_and_the_time_are_kept(tmp_path: Path) -> None:
    web = Web(slow_s=0.3)
    budget = Budget(rounds=1, pages=40, seconds=3, size=1 << 20)
    began = time.monotonic()
    report = await answered(web, tmp_path, "Which harbour has 20 berths?", budget=budget)
    assert time.monotonic() - began < 15
    assert 0 < web.fetches <= 10, "a search brings ten"
    assert report.usage["pages"] <= 10


async def test_a_job_that_began_on_the_web_never_turns_to_the_files(tmp_path: Path) -> None:
    web = Web()
    async with serve(web) as base:
        desk = Desk(tmp_path / "job", base)
        await engine(tmp_path / "home", desk, SMALL).work(asking(QUESTION), desk)
        desk.settings["SPADEWORK_WEB"] = "off"
        (desk.folder / "evidence").unlink()
        with pytest.raises(EngineFailed, match="SPADEWORK_WEB"):
            await engine(tmp_path / "home", desk, SMALL).work(asking(QUESTION), desk)
        await desk.http.aclose()


async def test_what_was_found_before_a_job_was_ended_can_be_read(tmp_path: Path) -> None:
    web = Web()
    web.found = lambda _query, page: ["/wiki/Qel017"] if page == 0 else ["/trap/drip"]
    web.traps["/trap/drip"] = "drip"
    async with serve(web) as base:
        desk = Desk(tmp_path / "job", base)
        local = engine(tmp_path / "home", desk, Budget(rounds=2, pages=10, seconds=60, size=1 << 20))
        work = asking("How many berths has the harbour of Qel017, and who paid for its lighthouse?")
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(local.work, work, desk)
                for _ in ("/wiki/Qel017", "/trap/drip"):
                    assert await anyio.to_thread.run_sync(partial(web.fetched.acquire, timeout=30))
                group.cancel_scope.cancel()
            ended = await local.stop(work, desk)
        await desk.http.aclose()
    assert isinstance(ended, Partial)
    assert ANSWER in {citation.quote for citation in ended.report.citations}
    assert [path.name for path in (tmp_path / "home").iterdir() if path.name.startswith("web-")] == []


@pytest.mark.parametrize(("given", "spelled"), [
    ("HTTP://Example.ORG:80", "http://example.org/"),
    ("https://example.org:443/a?utm_source=x&b=1#part", "https://example.org/a?b=1"),
    ("https://example.org/a b?q=ü", "https://example.org/a%20b?q=%C3%BC"),
    ("https://example.org:8443/", "https://example.org:8443/"),
    ("https://user@example.org/", None), ("file:///etc/passwd", None), ("javascript:alert(1)", None),
    ("https://[::1", None), ("https:///x", None), ("https://example.org:99999/", None),
    ("https://example.org/" + "a" * 3_000, None),
])  # fmt: skip
def test_a_page_has_one_spelling(given: str, spelled: str | None) -> None:
    assert canonical(given) == spelled


def test_a_domain_stands_for_all_below_it_and_no_other() -> None:
    assert wanted("https://docs.example.org/x", ("example.org",), ())
    assert not wanted("https://badexample.org/", ("example.org",), ())
    assert not wanted("https://docs.example.org/", (), ("example.org",))
