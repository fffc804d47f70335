"""The HTML report: one file that asks for nothing, runs nothing, shows every verdict, and is clean under axe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.journeys import inspector
from tests.journeys.server import AROUND
from tests.rooms.reports import chromium, sample

from spadework.reports.html import html
from spadework_tools.models import Provenance, Report

SHOT = AROUND.get("SPADEWORK_TEST_SHOT")


class Tree(HTMLParser):
    """Every tag with its attributes, as a browser's parser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_holds_no_tag_that_loads_or_runs_anything() -> None:
    for report in (sample.example(), sample.hostile()):
        tags = Tree(html("r_1", sample.QUESTION, report)).tags
        names = {name for name, _ in tags}
        assert not names & {
            "script",
            "img",
            "iframe",
            "object",
            "embed",
            "link",
            "svg",
            "form",
            "input",
            "base",
            "audio",
        }
        assert not [
            attrs for _, attrs in tags if any(name.startswith("on") or name in ("src", "style") for name in attrs)
        ]
        (policy,) = [attrs for _, attrs in tags if attrs.get("http-equiv") == "Content-Security-Policy"]
        assert str(policy["content"]).startswith("default-src 'none'; style-src 'unsafe-inline'")
        assert [name for name, attrs in tags if "http-equiv" in attrs] == ["meta"]


def test_every_link_leads_to_a_source_of_the_report_or_into_the_page() -> None:
    page = Tree(html("r_1", sample.QUESTION, sample.hostile()))
    hrefs = {str(attrs["href"]) for name, attrs in page.tags if name == "a"}
    known = {source.url for source in sample.hostile().sources}
    assert {href for href in hrefs if not re.fullmatch(r"#c\d+", href)} <= known
    assert not [href for href in hrefs if not href.startswith(("https://known.example/", "#"))]


def test_every_citation_is_shown_with_its_quote_place_and_verdicts() -> None:
    page = html("r_1", sample.QUESTION, sample.example())
    for n, (url, quote, support, words) in enumerate(sample.EXAMPLE, 1):
        (item,) = re.findall(rf'<li id="c{n}">.*?</li>', page, re.DOTALL)
        assert words in item
        for axis, verdict in (("url", url), ("quote", quote), ("support", support)):
            assert f"{axis}: {verdict.replace('_', ' ')}" in item
        assert f'href="#c{n}" aria-label="Citation c{n}"' in page
    assert "<del>1913</del>" in page
    assert "Not on the page, numbers: 1988" in page
    assert "confidence: high" in page
    assert "#:~:text=The%20main%20span%20of,lanes%20and%20a%20tramway." in page


def test_an_unknown_mark_stays_text_and_no_mark_is_taken_for_a_link() -> None:
    page = html("r_1", "", Report(text="See [c9].\n\n[c9]: https://evil.example/x", provenance=Provenance(engine="x")))
    assert "[c9]" in page
    assert "<a " not in page


def test_headings_go_one_down_under_the_question() -> None:
    page = html("r_1", "A question?", sample.example())
    assert page.count("<h1>") == 1
    assert "<h2>The Harrow Bridge</h2>" in page
    assert "<h3>What changed later</h3>" in page


def test_the_same_report_gives_the_same_bytes() -> None:
    assert html("r_1", "Q", sample.example()) == html("r_1", "Q", sample.example())


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    binary = chromium.found()
    if binary is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    with chromium.Chromium(binary, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def axe() -> str:
    try:
        return chromium.axe()
    except inspector.Unreachable as reason:
        if AROUND.get("CI") == "true":
            raise
        pytest.skip(f"the npm registry cannot be reached: {reason}")


def written(tmp_path: Path, report: Report) -> Path:
    file = tmp_path / "report.html"
    file.write_text(html("r_01k9example", sample.QUESTION, report), encoding="utf-8")
    return file


@pytest.mark.parametrize("name", ["example", "hostile"])
@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser_it_asks_for_nothing_and_raises_nothing(
    browser: chromium.Chromium, tmp_path: Path, name: str, dark: bool
) -> None:
    browser.open(written(tmp_path, getattr(sample, name)()), dark=dark)
    assert browser.asked() == []
    assert browser.errors() == []
    assert browser.run("document.title") != "owned"
    assert browser.run("document.scripts.length") == 0


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["example", "hostile"])
def test_axe_finds_nothing_serious(browser: chromium.Chromium, axe: str, tmp_path: Path, name: str, dark: bool) -> None:
    browser.open(written(tmp_path, getattr(sample, name)()), dark=dark)
    found = browser.axe(axe)
    grave = [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in ("serious", "critical")]
    assert grave == []


@pytest.mark.parametrize("width", [1280, 400])
def test_a_card_opens_by_mouse_and_by_keyboard_and_fits_the_window(
    browser: chromium.Chromium, tmp_path: Path, width: int
) -> None:
    browser.open(written(tmp_path, sample.example()), width=width)
    shown = "getComputedStyle(document.querySelector('.card')).display"
    assert browser.run(shown) == "none"
    browser.hover(".mark")
    assert browser.run(shown) == "block"
    box = browser.run("(b => [b.left, b.right])(document.querySelector('.card').getBoundingClientRect())")
    assert 0 <= box[0] < box[1] <= width
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    assert browser.run(shown) == "none"
    browser.run("document.querySelector('.mark').scrollIntoView(); window.scrollTo(0, 0); document.body.focus(); 0")
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "mark"
    assert browser.run(shown) == "block"


def test_on_paper_the_cards_are_gone_and_addresses_are_written_out(browser: chromium.Chromium, tmp_path: Path) -> None:
    browser.open(written(tmp_path, sample.example()))
    browser.send("Emulation.setEmulatedMedia", media="print", features=[])
    assert browser.run("getComputedStyle(document.querySelector('.card')).display") == "none"
    after = browser.run("getComputedStyle(document.querySelector('.citations .place a'), '::after').content")
    assert "https://archive.example" in after


@pytest.mark.skipif(SHOT is None, reason="set SPADEWORK_TEST_SHOT=FILE.png to take the README's picture again")
def test_the_picture_for_the_readme(browser: chromium.Chromium, tmp_path: Path) -> None:
    browser.open(written(tmp_path, sample.example()), width=1040, height=780)
    browser.hover(".mark[href='#c2']")
    browser.run("window.scrollTo(0, 0)")
    browser.hover(".mark[href='#c2']")
    data = browser.picture()
    assert len(data) <= 200_000
    Path(str(SHOT)).write_bytes(data)
