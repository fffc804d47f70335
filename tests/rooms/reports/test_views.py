"""Reading a finished report: a short brief, sections by id, pages that join to the whole, evidence, exports."""

from __future__ import annotations

import hashlib
import json
import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.promises.tokens import tokens

from spadework.job import Job
from spadework.reports import export, pages
from spadework.reports.outline import outline
from spadework.reports.search import evidence
from spadework.reports.views import Asked, Shelf, page, render
from spadework_tools.errors import BadRequest
from spadework_tools.models import Citation, Cost, Page, Provenance, Report, Request, Source, Verdict, Verdicts, View

NOUNS = """
river bridge committee report measured effect pressure county school farming physician mountain temperature album
drummer band hundred career surprise mountain census capital
"""
WORDS = NOUNS.split()


def prose(rng: random.Random, size: int) -> str:
    words: list[str] = []
    while sum(map(len, words)) + len(words) < size:
        words.append(rng.choice(WORDS) + (f" [c{rng.randint(1, 100)}]." if rng.random() < 0.1 else ""))
    return " ".join(words)


def snapshot(number: int) -> str:
    return f"Page {number}.\nThe bridge number {number} was built in {1800 + number}. It crosses the river."


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def large(headings: int = 60, size: int = 60_000, citations: int = 100, **more: Any) -> Report:
    rng = random.Random(7)
    body = "\n\n".join(
        "#" * rng.choice((2, 2, 3, 4)) + f" {' '.join(rng.sample(WORDS, 6))}\n\n{prose(rng, size // headings)}"
        for _ in range(headings)
    )
    sources = tuple(
        Source(id=f"s{n}", url=f"https://example.org/{n}", title=f"Page {n}", sha256=sha(snapshot(n)))
        for n in range(40)
    )
    cited = tuple(
        Citation(
            id=f"c{n}",
            source_id=f"s{n % 40}",
            quote=f"The bridge number {n % 40} was built in {1800 + n % 40}.",
            start=len(f"Page {n % 40}.\n"),
            end=len(f"Page {n % 40}.\n") + len(f"The bridge number {n % 40} was built in {1800 + n % 40}."),
            page=2,
            verdicts=Verdicts(
                quote=Verdict(verdict=rng.choice(("verbatim", "verbatim_normalised", "altered")), method="quotes-v1"),
                support=Verdict(verdict=rng.choice(("lexically_supported", "uncertain")), method="lexical-v1"),
            ),
        )
        for n in range(1, citations + 1)
    )
    fields: dict[str, Any] = {
        "sources": sources,
        "citations": cited,
        "cost": Cost(amount=0.1234, kind="computed"),
        "provenance": Provenance(engine="local", mode="extractive", warnings=("One page was not readable.",) * 30),
    }
    return Report(text=prose(rng, 1500) + "\n\n" + body, **{**fields, **more})


def read_all(report: Report, view: View, max_chars: int, **asked: Any) -> list[Page]:
    found = [page(report, Asked("r_1", view, **asked), max_chars=max_chars)]
    while found[-1].cursor:
        found.append(page(report, Asked("r_1", view, **asked), cursor=found[-1].cursor, max_chars=max_chars))
    return found


@pytest.mark.parametrize(
    ("headings", "size", "alphabet"),
    [(60, 60_000, ""), (2_000, 200_000, ""), (60, 60_000, "中文研究报告的内容很长"), (1, 500, "")],
)
def test_a_brief_is_at_most_2000_tokens_whatever_the_report(headings: int, size: int, alphabet: str) -> None:
    """The contract's figure is for 60 kB, 60 headings and 100 citations; larger and denser reports stay within it."""
    report = large(headings, size)
    if alphabet:
        rng = random.Random(1)
        dense = "".join(rng.choice(alphabet) for _ in range(4000))
        report = report.model_copy(update={"text": dense + "\n\n" + report.text.replace("river", alphabet)})
    text = render(report, "r_0123456789abcdef0123456789", "brief", question="How many bridges? " * 200)
    assert tokens(text) <= 2000
    assert "research://jobs/r_0123456789abcdef0123456789/report.md" in text
    assert "citations: 100" in text
    assert "$0.1234 (computed)" in text


def test_a_brief_tallies_each_axis_and_counts_what_it_leaves_out() -> None:
    report = large(2_000, 200_000)
    text = render(report, "r_1", "brief")
    assert "url: not_checked 100" in text
    assert "quote: verbatim" in text
    assert "more (view=outline)" in text
    assert "more in the JSON export" in text


def test_a_short_report_is_whole_in_its_brief() -> None:
    report = Report(text="# Answer\n\nIt is so [c1].", provenance=Provenance(engine="local"))
    assert "# Answer\n\nIt is so [c1]." in render(report, "r_1", "brief")


def test_headings_become_sections_with_stable_ids_and_code_is_no_heading() -> None:
    text = "Opening.\n\n# One\na\n## Two ##\n```sh\n# no heading\n```\n### Three\n## Four\n"
    text += "# Five\n~~~\n# open to the end\n"
    found = [(section.id, section.title, section.depth) for section in outline(text)]
    assert found == [
        ("s0", "", 1), ("s1", "One", 1), ("s1.1", "Two", 2), ("s1.1.1", "Three", 3), ("s1.2", "Four", 2),
        ("s2", "Five", 1),
    ]  # fmt: skip
    outermost = [section for section in outline(text) if section.depth == 1]
    assert "".join(text[section.start : section.end] for section in outermost) == text


@pytest.mark.parametrize("text", ["", "no heading at all", "#no heading either\n#######\n"])
def test_a_text_without_headings_is_one_section(text: str) -> None:
    assert [(section.id, section.start, section.end) for section in outline(text)] == [("s1", 0, len(text))]


def test_a_section_is_read_by_id_or_by_its_exact_heading() -> None:
    report = Report(text="# One\na\n## Two\nb\n# Five\nc\n", provenance=Provenance(engine="local"))
    assert render(report, "r_1", "section", section="s1.1") == "## Two\nb\n"
    assert render(report, "r_1", "section", section="two") == "## Two\nb\n"
    assert render(report, "r_1", "section", section="1") == "# One\na\n## Two\nb\n"


@pytest.mark.parametrize(
    ("section", "says"),
    [("s1.9", "s1.1"), ("Fife", "s2 (Five)"), (None, "view=section needs a section"), ("zzz", "s1")],
)
def test_an_unknown_section_is_refused_with_the_nearest_ids(section: str | None, says: str) -> None:
    report = Report(text="# One\na\n## Two\nb\n# Five\nc\n", provenance=Provenance(engine="local"))
    with pytest.raises(BadRequest, match=says.replace("(", r"\(").replace(")", r"\)")):
        render(report, "r_1", "section", section=section)


@pytest.mark.parametrize("view", ["full", "citations", "outline"])
@pytest.mark.parametrize("max_chars", [500, 12_000])
def test_pages_join_to_exactly_the_whole(view: View, max_chars: int) -> None:
    report = large()
    found = read_all(report, view, max_chars)
    whole = "".join(one.text for one in found)
    assert whole == render(report, "r_1", view)
    assert {one.sha256 for one in found} == {sha(whole)}
    assert all(len(one.text) <= max_chars and one.text == whole[one.start : one.end] for one in found)
    assert found[-1].end == found[-1].total == len(whole)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab .\n`~#é\u0301👩🏽\u200d🔬🇩🇪\r中", max_size=400), st.integers(1, 60))
def test_any_text_is_cut_into_pages_that_fit_and_join(text: str, max_chars: int) -> None:
    parts, start = [], 0
    while start < len(text):
        end = pages.cut(text, start, max_chars)
        assert start < end <= start + max_chars
        parts.append(text[start:end])
        start = end
    assert "".join(parts) == text


def test_fenced_code_stays_on_one_page_where_it_fits() -> None:
    code = "```python\n" + "x = 1\n\n" * 20 + "```"
    text = "A paragraph of words. " * 10 + "\n\n" + code + "\n\n" + "More words follow here. " * 20
    start, found = 0, []
    while start < len(text):
        end = pages.cut(text, start, 300)
        found.append(text[start:end])
        start = end
    assert any(code in part for part in found)


def test_an_emoji_or_an_accented_letter_is_never_cut() -> None:
    for whole in ("👩🏽‍🔬", "e\u0301", "🇩🇪"):
        text = "x" * 97 + whole + "y" * 50
        end = pages.cut(text, 0, 98)
        assert end == 97


def test_a_cursor_of_another_job_view_or_report_is_refused() -> None:
    report = large()
    cursor = page(report, Asked("r_1", "full"), max_chars=500).cursor
    other = report.model_copy(update={"text": report.text + "more"})
    asked = [
        (report, Asked("r_2", "full")), (report, Asked("r_1", "citations")), (other, Asked("r_1", "full")),
    ]  # fmt: skip
    for which, question in asked:
        with pytest.raises(BadRequest, match="belongs to another job, view or version"):
            page(which, question, cursor=cursor, max_chars=500)


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "!!!!", "W10", "é", "WyJhIl0AAAAA", "a" * 400])
def test_a_mangled_cursor_is_refused_in_words(cursor: str) -> None:
    with pytest.raises(BadRequest, match="cursor"):
        pages.read(cursor)


def test_a_cursor_alone_reads_on_in_its_own_view_and_section() -> None:
    report = large()
    first = page(report, Asked("r_1", "section", section="s1"), max_chars=200)
    assert first.cursor is not None and len(first.cursor) <= 400
    second = page(report, Asked("r_1"), cursor=first.cursor, max_chars=200)
    assert second.view == "section"
    assert second.start == first.end


def test_citations_show_quote_source_place_and_every_check() -> None:
    text = render(large(), "r_1", "citations")
    block = text.split("\n\n")[2]
    assert block.splitlines()[0] == "[c3] “The bridge number 3 was built in 1803.”"
    assert block.splitlines()[1] == "  Page 3 (s3), https://example.org/3, page 2, characters 8–46"
    assert block.splitlines()[2].startswith("  checks: url not_checked · quote ")
    assert len(text.split("\n\n")) == 100


def test_data_is_pretty_json_and_its_absence_is_told() -> None:
    report = Report(text="", data={"b": [1, float("nan")], "a": "é"}, provenance=Provenance(engine="local"))
    assert json.loads(render(report, "r_1", "data")) == {"b": [1, None], "a": "é"}
    with pytest.raises(BadRequest, match="output_schema"):
        render(report.model_copy(update={"data": None}), "r_1", "data")


def test_evidence_gives_verbatim_slices_best_first_with_their_citation() -> None:
    report = large()
    texts = {sha(snapshot(n)): snapshot(n) for n in range(40)}
    hits = evidence(report, texts, "When was bridge number 17 built?", 5)
    assert hits[0].text == "The bridge number 17 was built in 1817."
    assert hits[0].citation is not None and hits[0].citation.source_id == "s17"
    for hit in hits:
        assert texts[hit.source.sha256 or ""][hit.start : hit.end] == hit.text
    shown = render(report, "r_1", "evidence", query="When was bridge number 17 built?", texts=texts)
    assert "> The bridge number 17 was built in 1817." in shown
    assert "Page 17 (s17), https://example.org/17" in shown


def test_evidence_is_found_in_quotes_whose_source_was_not_kept() -> None:
    hits = evidence(large(), {}, "bridge 23 built", 3)
    assert hits[0].text == "The bridge number 23 was built in 1823."


def test_evidence_finds_words_of_scripts_without_spaces() -> None:
    text = "これは前書きです。富士山の高さは三千七百メートルです。おわり。"
    report = Report(
        text="", sources=(Source(id="s1", path="a.txt", sha256=sha(text)),), provenance=Provenance(engine="local")
    )
    assert evidence(report, {sha(text): text}, "富士山の高さ")[0].text == "富士山の高さは三千七百メートルです。"


@pytest.mark.parametrize("query", [None, "", "   ", "of the", "?!"])
def test_evidence_without_a_query_says_to_give_one(query: str | None) -> None:
    with pytest.raises(BadRequest, match="query"):
        evidence(large(), {}, query)


def test_evidence_pages_hold_on_to_their_query() -> None:
    report = large()
    texts = {sha(snapshot(n)): snapshot(n) for n in range(40)}
    first = page(report, Asked("r_1", "evidence", query="bridge built", texts=texts), max_chars=300)
    again = page(report, Asked("r_1", "evidence", query="bridge built", texts=texts), cursor=first.cursor)
    assert again.start == first.end
    with pytest.raises(BadRequest, match="query it was made with"):
        page(report, Asked("r_1", "evidence", query="river", texts=texts), cursor=first.cursor)


def test_evidence_in_a_megabyte_takes_no_time_to_speak_of() -> None:
    rng = random.Random(3)
    texts = {}
    for _ in range(10):
        text = ". ".join(prose(rng, 90).capitalize() for _ in range(1_100))
        texts[sha(text)] = text
    sources = tuple(Source(id=f"s{n}", url="https://example.org", sha256=key) for n, key in enumerate(texts))
    report = Report(text="", sources=sources, provenance=Provenance(engine="local"))
    began = time.perf_counter()
    assert evidence(report, texts, "census of the physician's mountain school, by committee", 8)
    assert time.perf_counter() - began < 1.0


def test_an_export_holds_the_text_sources_and_citations() -> None:
    report = large(3, 3_000, 5, data={"a": "``` fence"})
    text = export.FORMATS[".md"]("r_1", "How many bridges?", report)
    assert text.startswith("# How many bridges?\n\nJob r_1 · outcome full · engine local · cost $0.1234 (computed)")
    assert report.text.strip() in text
    assert "- s3: Page 3, https://example.org/3, sha256 " in text
    assert "- [c5] “The bridge number 5 was built in 1805.”" in text
    assert "````json" in text


def test_a_json_export_is_complete_and_always_the_same() -> None:
    report = large(3, 3_000, 5)
    text = export.FORMATS[".json"]("r_1", "How many?", report)
    body = json.loads(text)
    assert (body.pop("job_id"), body.pop("question")) == ("r_1", "How many?")
    assert Report.model_validate(body) == report
    assert export.FORMATS[".json"]("r_1", "How many?", Report.model_validate_json(report.model_dump_json())) == text


def test_the_shelf_shows_a_job_its_question() -> None:
    request = Request(question="How many bridges are there?")
    job = Job(id="r_1", owner="local", request=request, fingerprint="f", engine="local", created_at=0.0)
    shown = Shelf().page(job, large(), "brief", max_chars=12_000)
    assert shown.text.startswith("Question: How many bridges are there?")
    assert shown.cursor is None


def test_a_heading_full_of_blanks_takes_no_time() -> None:
    begun = time.monotonic()
    sections = outline("# x" + " " * 200_000 + "y\n\n## B #\n\n## C#\n")
    assert time.monotonic() - begun < 2
    assert [section.title for section in sections[1:]] == ["B", "C#"]
