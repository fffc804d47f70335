"""Choosing quotes: what is evidence, what is none, and that every quote is the slice it says it is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from tests.rooms.local.desk import page, plain, put, wiki

from spadework.engines.local.extract import extract
from spadework.engines.local.figures import conflicts
from spadework.engines.local.index import Index
from spadework.engines.local.plan import Part
from spadework.engines.local.select import Finding, find

MANUAL = """\
# Gull manual

- [Setup](setup.md)
- [Limits](limits.md)
- [Frequently asked questions about limits](faq.md)

## Limits

Limits ........................ 4

The `max_gulls` limit is 40 birds by default. It can be raised to 900 in the settings file, but a raise beyond 500 slows
the feeder down on small machines.

What is the limit of gulls?

| setting | default | meaning |
|---|---|---|
| max_gulls | 40 | how many gulls one feeder serves |

## Feeding

A feeder wakes up every 15 minutes, counts the gulls on the roof and throws one herring for each. When the herrings are
used up it sleeps until the next delivery.
"""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with Index(tmp_path / "corpus.db") as opened:
        put(opened, extract("/gull/manual.md", MANUAL.encode()))
        for file in sorted(wiki(tmp_path / "wiki", 40).iterdir()):
            put(opened, extract(str(file), file.read_bytes()))
        yield opened


def ask(index: Index, question: str) -> Finding:
    return find(index, Part(question, question), "medium")


def test_the_answer_to_a_question_about_a_default_comes_first(index: Index) -> None:
    finding = ask(index, "What is the default of max_gulls?")
    assert finding.judgement == "found"
    assert finding.quotes[0].text == "The `max_gulls` limit is 40 birds by default."
    assert finding.quotes[0].heading == "Limits"
    assert finding.quotes[0].line == 11


def test_every_quote_is_an_exact_slice_of_forty_to_four_hundred_characters(index: Index, tmp_path: Path) -> None:
    for question in ("How does the feeder work?", "How many berths has the harbour of Qel017?", "gulls limits herring"):
        for quote in ask(index, question).quotes:
            text = MANUAL if quote.path.startswith("/gull") else Path(quote.path).read_text(encoding="utf-8")
            assert text[quote.start : quote.end] == quote.text
            assert 40 <= len(quote.text) <= 400
            assert quote.line == text.count("\n", 0, quote.start) + 1


def test_a_sentence_that_goes_over_a_line_end_is_quoted_whole(index: Index) -> None:
    quotes = ask(index, "How does the feeder work?").quotes
    assert any(
        quote.text.startswith("A feeder wakes up") and quote.text.endswith("one herring for each.") for quote in quotes
    )


def test_headings_link_lists_and_lines_of_contents_are_no_quotes(index: Index) -> None:
    quotes = ask(index, "What are the limits of gulls?").quotes
    assert quotes
    assert not any("](" in quote.text or "....." in quote.text or quote.text.startswith("#") for quote in quotes)


@pytest.mark.parametrize(
    "question",
    [
        "What is the tensile strength of titanium alloys?",
        "Who painted the default portrait of Rembrandt in Amsterdam?",
        "How does quantum chromodynamics settle lattice spacing?",
        "Which harbour tax law did Parliament pass in Denmark?",
    ],
)
def test_a_question_the_files_do_not_answer_has_no_quotes(index: Index, question: str) -> None:
    finding = ask(index, question)
    assert (finding.judgement, finding.quotes) == ("not found", ())
    assert finding.open


def test_a_word_that_no_file_holds_makes_the_finding_partial_and_is_named(index: Index) -> None:
    finding = ask(index, "What is the default of max_gulls on Zanzibar?")
    assert finding.judgement == "partial"
    assert finding.open == ("zanzibar",)


def test_quotes_differ_from_one_another_and_no_passage_gives_more_than_three(index: Index) -> None:
    finding = ask(index, "How many berths for fishing boats has a harbour and where do pilots board ships?")
    assert 1 <= len(finding.quotes) <= 8
    for one, other in combinations(finding.quotes, 2):
        assert one.path != other.path or one.end <= other.start or other.end <= one.start
    text = " ".join(f"The signal lamp of the pier shows colour {n} to ships at night." for n in range(30))
    put(index, page("/lamp.md", "Lamp", text))
    lamps = [
        quote for quote in ask(index, "What does the signal lamp of the pier show?").quotes if quote.path == "/lamp.md"
    ]
    assert 1 <= len(lamps) <= 3


def test_the_same_text_in_two_files_is_quoted_once(index: Index) -> None:
    for path in ("/v1/notes.md", "/v2/notes.md"):
        put(index, plain(path, "Notes", "The ferry to Murn leaves at 06:40 from the eastern quay every weekday."))
    texts = [quote.text for quote in ask(index, "When does the ferry to Murn leave the quay?").quotes]
    assert len([text for text in texts if "06:40" in text]) == 1


def test_a_bridge_document_is_quoted_with_the_one_that_names_it(index: Index) -> None:
    put(
        index,
        plain(
            "/tower", "Heron Tower", "Heron Tower is a silent film that was directed by Olga Brandt in the year 1924."
        ),
        plain("/olga", "Olga Brandt", "Olga Brandt grew up as the daughter of a baker in the town of Ventspils."),
    )
    finding = ask(index, "In which town did the director of the silent film Heron Tower grow up?")
    assert {"/tower", "/olga"} <= {quote.path for quote in finding.quotes}


def test_a_long_sentence_is_cut_between_words_around_what_was_asked(index: Index) -> None:
    ballast = ", ".join(f"item number{n} of the long inventory" for n in range(60))
    put(
        index,
        plain("/inventory", "Inventory", f"The store holds {ballast}, and the xylophone costs 12 crowns, {ballast}."),
    )
    quote = ask(index, "What does the xylophone cost?").quotes[0]
    assert "the xylophone costs 12 crowns" in quote.text
    assert len(quote.text) <= 400
    assert (
        quote.text.split()[0] in f"The store holds {ballast}, and the xylophone".replace(",", " ").split()
        or quote.start == 0
    )


def test_chinese_questions_are_answered_with_exact_slices(index: Index) -> None:
    text = "图书馆每天上午九点开门，晚上八点关门。借书期限为三十天，逾期每天罚款一元。馆内禁止饮食和大声喧哗。"
    put(index, plain("/lib", "图书馆规则", text))
    finding = ask(index, "借书期限是多少天")
    assert any("三十天" in quote.text for quote in finding.quotes)
    assert all(text[quote.start : quote.end] == quote.text for quote in finding.quotes)


def test_numbers_that_differ_between_sources_are_found_and_only_those(index: Index) -> None:
    put(
        index,
        plain("/old.md", "Old", "The heron client waits 30 seconds before it gives up on the remote kiln."),
        plain("/new.md", "New", "The heron client waits 45 seconds before it gives up on the remote kiln."),
        plain("/far.md", "Far", "The remote kiln of the heron client was fired 12 times during 45 days of rain."),
    )
    quotes = ask(index, "How long does the heron client wait for the remote kiln?").quotes
    found = conflicts(quotes)
    assert [{quotes[one.left].path, quotes[one.right].path} for one in found] == [{"/old.md", "/new.md"}]
    assert sorted(found[0].figures) == ["30 seconds", "45 seconds"]


def test_a_sentence_that_repeats_the_question_is_no_answer(tmp_path: Path) -> None:
    """A README that shows the question as an example must not be quoted as its answer."""
    question = "How does the ferry keep a passenger from being lost in fog?"
    example = f'# Ferry\n\nTry: ferry ask "{question}" today.\n'
    answer = "# Fog\n\nIn fog the ferry counts every passenger twice, so that none of them is lost.\n"
    with Index(tmp_path / "corpus.db") as opened:
        put(opened, extract("/ferry/readme.md", example.encode()))
        put(opened, extract("/ferry/fog.md", answer.encode()))
        finding = ask(opened, question)
    assert [quote.path for quote in finding.quotes] == ["/ferry/fog.md"]
