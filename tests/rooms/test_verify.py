"""Verification as a step of its own: durable, bounded, and never at the cost of a report."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from tests.rooms.house import Rig, rig
from tests.standins.model import Model
from tests.standins.server import Receive, Scope, Send, serve

from spadework import verify
from spadework.bench import Kit
from spadework.egress import Egress, Reply
from spadework.engines import Bench, Later
from spadework.engines.scripted import Scripted
from spadework.evidence.reread import replay
from spadework.evidence.verdicts import compare
from spadework.job import Job
from spadework.reading import page_of
from spadework.registry.latest import newest
from spadework.reports.packed import unpack
from spadework.runner import Runner
from spadework_tools.models import Citation, Provenance, Report, Source, Status, Target

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "trio"


Limits = verify.Limits
QUOTE = "The bridge was opened in 1931 by Clara Voss."


class Site:
    """Pages by number; `/hang` never answers, `/huge` never ends, `/bomb` is broken, `/away` is elsewhere.

    Counts what it is asked; `robots` is the status and the text of its robots.txt.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.robots: tuple[int, str] = (404, "")
        self.elsewhere = ""
        self.rules_asked = 0
        self._news = threading.Condition()

    async def until(self, count: int) -> None:
        """Wait until `/hang` was asked so often; the site runs in a thread of its own."""
        await anyio.to_thread.run_sync(self._hung, count)

    def _hung(self, count: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self.asked.count("/hang") >= count, 30)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/robots.txt":
            self.rules_asked += 1
            await send({"type": "http.response.start", "status": self.robots[0], "headers": []})
            await send({"type": "http.response.body", "body": self.robots[1].encode()})
            return
        with self._news:
            self.asked.append(path)
            self._news.notify_all()
        if path == "/hang":
            await anyio.sleep_forever()
        if path == "/away":
            place = [(b"location", self.elsewhere.encode())]
            await send({"type": "http.response.start", "status": 302, "headers": place})
            await send({"type": "http.response.body", "body": b""})
            return
        headers = [(b"content-type", b"image/png" if path == "/picture" else b"text/html")]
        headers += [(b"content-encoding", b"gzip")] if path == "/bomb" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        body = f"<html><body><main><h1>Page</h1><p>{path} says.</p><p>{QUOTE}</p></main></body></html>".encode()
        if path == "/huge":
            body = b"x" * 5_000_000
        await send({"type": "http.response.body", "body": b"\x1f\x8bno" if path == "/bomb" else body})


class Citing(Scripted):
    """An engine whose report cites these addresses, with one quote and one claim each; counts its work."""

    def __init__(self, *urls: str, quote: str = QUOTE) -> None:
        self.urls, self.quote = urls, quote
        self.worked = 0

    async def work(self, job: Job, bench: Bench) -> Report | Later:
        self.worked += 1
        sources = tuple(Source(id=f"s{n}", url=url, seen_as="cited") for n, url in enumerate(self.urls))
        text, citations = "", []
        for n in range(len(self.urls)):
            claim = f"The bridge was opened by Clara Voss in the year 1931, says page {n}"
            target = Target(kind="span", start=len(text), end=len(text) + len(claim))
            text += f"{claim} [c{n}].\n\n"
            citations.append(Citation(id=f"c{n}", source_id=f"s{n}", target=target, quote=self.quote))
        made = Provenance(engine="scripted")
        return Report(text=text, sources=sources, citations=tuple(citations), provenance=made)


@asynccontextmanager
async def web(home: Path) -> AsyncGenerator[tuple[Rig, Kit, Site, str]]:
    """A rig whose guard lets the site through."""
    site = Site()
    with anyio.fail_after(90):
        async with serve(site) as base, rig(home) as place:
            http = Egress(allow_private=[base.partition("//")[2]])
            yield place, replace(place.kit, http=http), site, base
            await http.aclose()


@asynccontextmanager
async def running(runner: Runner) -> AsyncGenerator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(runner.run)
        yield
        group.cancel_scope.cancel()


async def finished(place: Rig, kit: Kit, engine: Citing) -> tuple[Job, Report]:
    job = await place.add("report")
    async with running(Runner(kit, {"scripted": engine})):
        job = await place.ended(job, within_s=80)
    assert job.status is Status.COMPLETED
    return job, unpack(await newest(place.store, job) or b"")


def urls(report: Report) -> list[str]:
    return [citation.verdicts.url.verdict for citation in report.citations]


async def test_a_report_is_stored_as_it_came_and_then_with_its_verdicts(home: Path) -> None:
    async with web(home) as (place, kit, site, base):
        job, report = await finished(place, kit, Citing(f"{base}/1", f"{base}/2#part"))
        assert site.asked == ["/1", "/2"]
        before = unpack(await place.store.payload(job.result_key) or b"")
        assert urls(before) == ["not_checked", "not_checked"]
        assert urls(report) == ["resolves", "resolves"]
        assert before.text == report.text
        for citation, source in zip(report.citations, report.sources, strict=True):
            text = (await place.store.payload(f"src/{source.sha256}") or b"").decode()
            assert hashlib.sha256(text.encode()).hexdigest() == source.sha256
            assert text[citation.start : citation.end] == citation.quote == QUOTE
            assert citation.verdicts.quote.verdict == "verbatim"
            assert citation.section == "Page"


async def test_the_same_page_is_kept_once_for_all_that_cite_it(home: Path) -> None:
    async with web(home) as (place, kit, _, base):
        _, one = await finished(place, kit, Citing(f"{base}/1"))
        _, two = await finished(place, kit, Citing(f"{base}/1"))
        assert one.sources[0].sha256 == two.sources[0].sha256


async def test_a_stored_report_is_readable_while_it_is_checked(home: Path) -> None:
    async with web(home) as (place, kit, site, base):
        job = await place.add("report")
        async with running(Runner(kit, {"scripted": Citing(f"{base}/hang")})):
            await place.until(job, Status.RUNNING, "verifying")
            await site.until(1)
            stored = await newest(place.store, job)
            assert stored is not None
            assert urls(unpack(stored)) == ["not_checked"]


async def test_a_checking_runner_that_is_stopped_buys_and_fetches_nothing_twice(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "Limits", lambda: Limits(seconds=5.0))
    async with web(home) as (place, kit, site, base):
        engine = Citing(f"{base}/1", f"{base}/2", f"{base}/hang")
        job = await place.add("report")
        async with running(Runner(kit, {"scripted": engine})):
            await site.until(1)
        engine.urls = (f"{base}/other",)
        async with running(Runner(kit, {"scripted": engine})):
            job = await place.ended(job, within_s=60)
        assert (job.status, engine.worked) == (Status.COMPLETED, 1)
        assert [site.asked.count(path) for path in ("/1", "/2", "/hang", "/other")] == [1, 1, 2, 0]
        report = unpack(await newest(place.store, job) or b"")
        assert urls(report) == ["resolves", "resolves", "not_checked"]


async def test_a_check_that_never_comes_back_is_tried_twice_and_then_left(home: Path) -> None:
    async with web(home) as (place, kit, site, base):
        engine = Citing(f"{base}/hang")
        job = await place.add("report")
        for turn in (1, 2):
            async with running(Runner(kit, {"scripted": engine})):
                await site.until(turn)
        async with running(Runner(kit, {"scripted": engine})):
            job = await place.ended(job, within_s=20)
        assert (job.status, engine.worked, len(site.asked)) == (Status.COMPLETED, 1, 2)


async def test_a_cancel_while_checking_gives_the_stored_report(home: Path) -> None:
    async with web(home) as (place, kit, site, base):
        job = await place.add("report")
        async with running(Runner(kit, {"scripted": Citing(f"{base}/hang")})):
            await site.until(1)
            await place.store.cancel(job.id)
            job = await place.ended(job, within_s=20)
        assert job.status is Status.COMPLETED
        assert await newest(place.store, job) is not None


@pytest.mark.parametrize(
    ("path", "url", "quote"),
    [("/picture", "resolves", "not_checked"), ("/huge", "not_checked", "not_checked"),
     ("/bomb", "not_checked", "not_checked")],
)  # fmt: skip
async def test_a_page_that_cannot_be_read_leaves_its_citation_unchecked(
    home: Path, path: str, url: str, quote: str
) -> None:
    async with web(home) as (place, kit, _, base):
        _, report = await finished(place, kit, Citing(f"{base}{path}", f"{base}/1"))
        assert [(c.verdicts.url.verdict, c.verdicts.quote.verdict) for c in report.citations] == [
            (url, quote), ("resolves", "verbatim"),
        ]  # fmt: skip


async def test_without_a_network_the_report_comes_as_it_is_and_soon(home: Path) -> None:
    async with rig(home) as place:
        hosts = [f"http://127.0.0.{n}:9/x" for n in range(2, 12)]
        kit = replace(place.kit, http=Egress(allow_private=[host.split("/")[2] for host in hosts]))
        with anyio.fail_after(30):
            _, report = await finished(place, kit, Citing(*hosts))
        assert set(urls(report)) == {"not_checked"}
        # An excerpt of the vendor's own can show that a claim is covered by it, and nothing worse.
        assert {c.verdicts.support.verdict for c in report.citations} <= {"lexically_supported", "uncertain"}


async def test_no_page_is_fetched_where_the_web_is_switched_off(home: Path) -> None:
    async with web(home) as (place, kit, site, base):
        kit = replace(kit, settings=kit.settings.model_copy(update={"web": "off"}))
        _, report = await finished(place, kit, Citing(f"{base}/1"))
        assert site.asked == []
        assert urls(report) == ["not_checked"]


async def test_a_defect_in_a_check_costs_no_report(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a defect in the check")

    monkeypatch.setattr(verify, "flagged", broken)
    async with web(home) as (place, kit, _, base):
        job, report = await finished(place, kit, Citing(f"{base}/1"))
        assert job.outcome is not None
        assert urls(report) == ["not_checked"]
        assert "a defect in the check" in caplog.text


async def test_the_limits_hold(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "Limits", lambda: Limits(pages=2, citations=3, gap_s=0.0))
    async with web(home) as (place, kit, site, base):
        _, report = await finished(place, kit, Citing(*(f"{base}/{n}" for n in range(5))))
        assert len(site.asked) == 2
        assert urls(report) == ["resolves", "resolves", "not_checked", "not_checked", "not_checked"]


def agrees(asked: str) -> str:
    names = re.findall(r'<claim id="(k\d+)">', asked)
    rows = [{"claim": name, "verdict": "entailed", "evidence": ["e1"], "quote": QUOTE} for name in names]
    return json.dumps({"verdicts": rows})


def thinking(kit: Kit, base: str) -> Kit:
    """The kit of a user with a model."""
    model = {"llm_base_url": f"{base}/v1", "llm_model": "small"}
    return replace(kit, settings=kit.settings.model_copy(update=model))


async def test_a_model_is_asked_about_so_many_claims_and_the_rest_is_counted(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "Limits", lambda: Limits(claims=2, batch=1, gap_s=0.0))
    model = Model(agrees)
    async with serve(model) as mind, web(home) as (place, kit, _, base):
        job, report = await finished(place, thinking(kit, mind), Citing(*(f"{base}/{n}" for n in range(3))))
        before = unpack(await place.store.payload(job.result_key) or b"")
    assert [one.verdicts.support.method for one in report.citations] == ["model:small"] * 2 + ["lexical-v1"]
    assert len(model.asked) == 2
    assert "each of the 3 claims: at most 2 are put to it" in "\n".join(report.provenance.warnings)
    assert [one.verdicts.support.verdict for one in before.citations] == ["not_checked"] * 3, "it was stored before"


async def test_a_model_that_never_answers_costs_its_time_and_no_verdict_of_the_count(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "Limits", lambda: Limits(model_s=0.5))

    class Mute(Model):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await anyio.sleep_forever()

    async with serve(Mute(agrees)) as mind, web(home) as (place, kit, _, base):
        _, report = await finished(place, thinking(kit, mind), Citing(f"{base}/1"))
    assert urls(report) == ["resolves"]
    assert report.citations[0].verdicts.support.method == "lexical-v1"
    assert "its time was over" in "\n".join(report.provenance.warnings)


async def test_a_report_out_of_time_comes_as_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "Limits", lambda: Limits(seconds=1.0))
    async with web(home) as (place, kit, _, base):
        _, report = await finished(place, kit, Citing(f"{base}/1", f"{base}/hang"))
        assert urls(report) == ["resolves", "not_checked"]


async def test_a_replay_gives_the_same_verdicts_and_sees_what_got_worse(home: Path) -> None:
    async with web(home) as (place, kit, _, base):
        _, report = await finished(place, kit, Citing(f"{base}/1", quote=f"“{QUOTE.replace(' was', '  was')}”"))
        sha256 = report.sources[0].sha256 or ""
        text = (await place.store.payload(f"src/{sha256}") or b"").decode()
    assert report.citations[0].verdicts.quote.verdict == "verbatim_normalised"
    assert report.citations[0].quote == QUOTE
    again = replay(report, {sha256: text})
    assert compare(report, again) == ()
    assert again.citations[0].verdicts.quote == report.citations[0].verdicts.quote
    worse = compare(report, replay(report, {sha256: text.replace("1931", "1913")}))
    assert [(one.axis, one.after, one.worse) for one in worse if one.axis == "quote"] == [("quote", "altered", True)]
    missing = compare(report, replay(report, {}))
    assert not [one for one in missing if one.worse]


def test_a_quote_from_what_extraction_leaves_out_is_still_found() -> None:
    body = (
        "<html><body><article><h1>Title</h1>" + "<p>Long prose of the article goes on here, with commas.</p>" * 30
        + "</article><div class=infobox><p>Opened: 4 May 1931 by Clara Voss</p></div></body></html>"
    )  # fmt: skip
    reply = Reply(200, {"content-type": "text/html; charset=utf-8"}, body.encode(), "https://a.example/x")
    page = page_of(reply, ["Opened: 4 May 1931 by Clara Voss"])
    assert page is not None
    assert "Opened: 4 May 1931 by Clara Voss" in page.text


def test_what_is_no_text_is_no_page() -> None:
    assert page_of(Reply(200, {"content-type": "image/png"}, b"\x89PNG", "https://a.example/x.png")) is None
    assert page_of(Reply(200, {"content-type": "application/pdf"}, b"%PDF-1.4 broken", "https://a.example/x")) is None
    assert page_of(Reply(200, {"content-type": "text/html"}, b"", "https://a.example/x")) is None
