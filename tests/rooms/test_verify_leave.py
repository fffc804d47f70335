"""Verification with the sites' leave: what robots.txt forbids is not read, not kept, and said to be so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.rooms.test_verify import Citing, Site, finished, urls, web
from tests.standins.server import serve

from spadework.egress import Egress

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "trio"


async def test_a_check_keeps_to_robots_txt_and_says_so(home: Path) -> None:
    async with web(home) as (place, kit, site, base):
        site.robots = (200, "User-agent: *\nDisallow: /private\n")
        _, report = await finished(place, kit, Citing(f"{base}/1", f"{base}/private/2", f"{base}/3"))
        assert site.asked == ["/1", "/3"]
        assert site.rules_asked == 1
        assert urls(report) == ["resolves", "blocked", "resolves"]
        verdicts = report.citations[1].verdicts
        assert (verdicts.url.method, verdicts.url.detail) == (
            "robots.txt", {"why": "the site's robots.txt forbids it"}
        )  # fmt: skip
        assert verdicts.quote.verdict == "not_checked"
        assert report.sources[1].sha256 is None, "nothing of it is kept"
        await finished(place, kit, Citing(f"{base}/4"))
        assert site.rules_asked == 1, "a site's rules are kept for a day, for all jobs"


@pytest.mark.parametrize(("robots", "why"), [
    ((503, ""), "status 503"), ((429, ""), "status 429"),
    ((200, "User-agent: spadework\nCrawl-delay: 60\n"), "asks for 60 s between requests"),
])  # fmt: skip
async def test_a_site_whose_rules_cannot_be_kept_is_not_read(home: Path, robots: tuple[int, str], why: str) -> None:
    async with web(home) as (place, kit, site, base):
        site.robots = robots
        _, report = await finished(place, kit, Citing(f"{base}/1"))
        assert site.asked == []
        assert urls(report) == ["not_checked"]
        assert why in report.citations[0].verdicts.url.detail["why"]


async def test_a_redirect_needs_the_leave_of_where_it_leads(home: Path) -> None:
    other = Site()
    other.robots = (200, "User-agent: *\nDisallow: /\n")
    async with serve(other) as far, web(home) as (place, kit, site, base):
        http = Egress(allow_private=[base.partition("//")[2], far.partition("//")[2]])
        site.elsewhere = f"{far}/1"
        _, report = await finished(place, replace(kit, http=http), Citing(f"{base}/away"))
        await http.aclose()
        assert urls(report) == ["blocked"]
        assert report.sources[0].sha256 is None


async def test_a_host_that_cannot_be_reached_is_said_to_be_so_and_not_to_forbid(home: Path) -> None:
    async with web(home) as (place, kit, _, _base):
        http = Egress(allow_private=["127.0.0.1:9"])
        _, report = await finished(place, replace(kit, http=http), Citing("http://127.0.0.1:9/1"))
        await http.aclose()
        assert urls(report) == ["not_checked"]
        assert "forbid" not in str(report.citations[0].verdicts.url.detail)
