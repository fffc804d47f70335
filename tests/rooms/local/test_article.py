"""Which pages are read as articles, what is left of them, and what the benchmark of it says."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from spadework.engines.local.extract import extract

ROOT = Path(__file__).parents[3]
PROSE = "".join(
    f"<p>The harbour opened in {1900 + n}, and in that year {n} ships came, said the clerk.</p>" for n in range(20)
)
MENU = "".join(f'<div><a href="/t{n}">Another story that you must read today, number {n}</a></div>' for n in range(4))
NAMED = {
    "meta": '<html><head><meta property="og:type" content="Article"></head>',
    "microdata": '<html itemscope itemtype="https://schema.org/NewsArticle"><head></head>',
    "linked data": (
        '<html><head><script type="application/ld+json">{"@type": ["WebPage", "NewsArticle"], "description": "two\n'
        'lines"}</script></head>'
    ),
}


def page(head: str, body: str) -> str:
    return f"{head}<body><div class=top>{MENU}</div>{body}</body></html>"


def read(text: str) -> str:
    return extract("a.html", text.encode()).text


@pytest.mark.parametrize("way", NAMED)
def test_a_page_that_calls_itself_an_article_is_read_without_what_is_around_it(way: str) -> None:
    text = read(page(NAMED[way], f"<div class=story>{PROSE}</div>"))
    assert "19 ships came" in text
    assert "must read" not in text


def test_a_list_of_teasers_marked_as_articles_is_no_article() -> None:
    teasers = "".join(
        f'<div itemscope itemtype="https://schema.org/Article"><p>Story {n} tells of {n} ships.</p></div>'
        for n in range(30)
    )
    text = read(f"<html><head></head><body>{teasers}</body></html>")
    assert all(f"Story {n} tells" in text for n in range(30))


def test_comments_that_are_many_times_longer_than_the_article_are_left_out() -> None:
    comments = "".join(
        f'<div class="comment"><a href="/u{n}">Visitor {n}</a> I was there too and saw it all, {n} times over.</div>'
        for n in range(600)
    )
    story = f"<div class=story>{PROSE[:900]}</div>"
    text = read(page(NAMED["meta"], f'{story}<div id="comments">{comments}</div>'))
    assert "5 ships came" in text
    assert "saw it all" not in text


def test_a_page_of_tables_under_an_articles_name_is_read_whole() -> None:
    rows = "".join(f"<tr><td>Option {n}</td><td>sets the limit to {n}</td></tr>" for n in range(80))
    prose = "<p>What can be set, and what it does, in the order in which the program asks for it.</p>"
    text = read(f"{NAMED['meta']}<body><div>{prose}</div><table>{rows}</table></body></html>")
    assert all(f"sets the limit to {n}" in text for n in range(80))


def test_a_post_quoted_in_an_article_is_kept() -> None:
    post = '<blockquote class="twitter-tweet"><p>We counted every ship ourselves, and there were nine.</p></blockquote>'
    text = read(page(NAMED["meta"], f"<div class=story>{PROSE}{post}{PROSE}</div>"))
    assert "there were nine" in text


def test_a_caption_that_a_gallery_repeats_on_every_slide_is_kept_once() -> None:
    caption = "<p>The harbour on the day of its opening, seen from the old lighthouse to the north.</p>"
    short = "<p>He said no.</p>"
    text = read(page(NAMED["meta"], f"<div class=story>{caption}{short}{PROSE}{caption}{short}{PROSE[:300]}</div>"))
    assert text.count("seen from the old lighthouse") == 1
    assert text.count("He said no.") == 2


def test_the_benchmark_writes_what_was_read_and_scores_it_by_runs_of_four_words(tmp_path: Path) -> None:
    """The expected figures are counted by hand: 7 runs of 10 words, of which 4 are right where 7 words are."""
    folder = tmp_path / "html"
    folder.mkdir()
    (folder / "whole.html").write_text("<html><body><p>one two three four five six</p></body></html>")
    (folder / "part.html.gz").write_bytes(gzip.compress(b"<html><body><p>a b c d e f g</p><p>x y z</p></body></html>"))
    (folder / "notes.txt").write_text("no page")
    truth = {
        "whole": {"articleBody": "one two three four five six"},
        "part": {"articleBody": "a b c d e f g"},
        "lost": {"articleBody": "never seen"},
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    run = subprocess.run(
        [sys.executable, "benchmarks/extraction.py", str(folder), "-o", str(tmp_path / "said.json"),
         "--truth", str(tmp_path / "truth.json")],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    told = json.loads(run.stdout)
    assert (told["pages"], told["unread"], told["missing"]) == (2, 0, 1)
    assert told["precision"] == round((1 + 4 / 7) / 2, 4)
    assert told["recall"] == round((1 + 1 + 0) / 3, 4)
    assert {"f1", "seconds", "readability", "f1_ratio"} <= told.keys()
    assert json.loads((tmp_path / "said.json").read_text()) == {
        "whole": {"articleBody": "one two three four five six"},
        "part": {"articleBody": "a b c d e f g\nx y z"},
    }
