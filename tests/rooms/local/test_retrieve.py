"""Ranking: words first, then one hop along titles and hyperlinks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.rooms.local.desk import page, plain, put

from spadework.engines.local.extract import extract
from spadework.engines.local.index import Index
from spadework.engines.local.retrieve import rank
from spadework.engines.local.words import mentions, stem, stems, terms

ROOT = Path(__file__).parents[3]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with Index(tmp_path / "corpus.db") as opened:
        yield opened


def order(index: Index, question: str) -> list[str]:
    return list(dict.fromkeys(hit.passage.path for hit in rank(index, question)))


def crowd(index: Index, count: int = 30) -> None:
    """Passages that speak of films and directors and answer nothing."""
    put(
        index,
        *(
            plain(f"/film{n}", f"Film {n}", f"A film of the year 19{n:02d} whose director was praised.")
            for n in range(count)
        ),
    )


def test_a_passage_that_shares_no_word_is_found_through_the_title_it_is_named_by(index: Index) -> None:
    crowd(index)
    put(index, plain("/heron", "The Heron Tower", "The Heron Tower is a film made by Olga Brandt in Riga."))
    put(index, plain("/olga", "Olga Brandt", "A baker's daughter from Ventspils, she moved abroad in 1931."))
    assert order(index, "From where came the director of the film The Heron Tower?")[:2] == ["/heron", "/olga"]


def test_a_passage_that_shares_no_word_is_found_through_a_hyperlink(index: Index) -> None:
    crowd(index)
    put(
        index,
        page("/docs/setup.md", "Setup", "To rotate the zebra token see there.", links=(("there", "rotation.md"),)),
    )
    put(index, plain("/docs/rotation.md", "", "Run the spindle twice and restart."))
    assert order(index, "How to rotate the zebra token?")[:2] == ["/docs/setup.md", "/docs/rotation.md"]


def test_a_hyperlink_with_a_fragment_leads_to_that_section(index: Index) -> None:
    filler = "Nothing of note stands here. " * 60
    text = "# Manual\n\n" + filler + "\n\n## Cold start\n\nPull the red lever twice.\n"
    put(index, extract("/b.md", text.encode()))
    put(
        index,
        page("/a.md", "Zebra", "The zebra engine is explained elsewhere.", links=(("elsewhere", "b.md#cold-start"),)),
    )
    found = [hit.passage for hit in rank(index, "zebra engine")]
    assert found[1].heading.endswith("Cold start")


def test_a_question_of_nothing_but_common_words_or_signs_finds_nothing_and_breaks_nothing(index: Index) -> None:
    crowd(index)
    for question in ("who was he?", "?!", '" OR * NEAR( film:', "___", "\u200b"):
        rank(index, question)
    assert rank(index, "who was he?") == ()
    assert rank(index, "NOT AND OR") == ()


def test_a_question_of_thousands_of_words_is_answered_by_its_rarest(index: Index) -> None:
    crowd(index)
    put(index, plain("/x", "Quince", "A quince jelly sets at once."))
    question = " ".join(f"word{n}" for n in range(3_000)) + " film director praised year quince"
    assert order(index, question)[0] == "/x"


def test_the_same_question_gives_the_same_order(index: Index) -> None:
    crowd(index)
    assert len({tuple(order(index, "director of a praised film")) for _ in range(5)}) == 1


def test_mentions_are_the_longest_titles_that_begin_with_a_capital_or_a_digit() -> None:
    known = {"new york", "new york city", "york", "7 samurai"}
    assert mentions("In New York City and york, York saw 7 Samurai.", known) == ["new york city", "york", "7 samurai"]


@pytest.mark.parametrize(
    "forms",
    [
        ("lease", "leases", "leased", "leasing"),
        ("retry", "retries"),
        ("stop", "stopped", "stopping"),
        ("process", "processes"),
        ("call", "called", "calls"),
    ],
)
def test_common_forms_of_a_word_have_one_stem(forms: tuple[str, ...]) -> None:
    assert len({stem(form) for form in forms}) == 1


def test_compounds_are_found_by_their_parts_and_framing_stays_out_of_the_terms() -> None:
    assert {"max_siz", "max", "siz"} <= stems("max_size is set")
    assert terms("What is the default of max_size?") == ("default", "max_size")


def test_the_benchmark_ranks_a_set_with_odd_ids_empty_titles_and_missing_gold(tmp_path: Path) -> None:
    corpus = [
        {"id": "ä/1", "title": "Heron Tower", "text": "The Heron Tower was filmed by Olga Brandt."},
        {"id": 2, "title": "Olga Brandt", "text": "She was born in Ventspils."},
        {"id": "empty", "title": "", "text": ""},
        {"id": "long", "title": "Heron Tower", "text": "Herons nest in towers of reed. " * 400},
        *({"id": f"n{n}", "title": None, "text": f"Noise {n} about boats and weather."} for n in range(20)),
    ]
    queries = [
        {"id": "q1", "question": "Where was the maker of Heron Tower born?", "gold": ["ä/1", 2]},
        {"id": "q2", "question": "boats?"},
    ]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "benchmarks/retrieval.py", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    said = json.loads(run.stdout)
    assert said["recall@5"] == 100.0
    assert said["all@8"] == 100.0
    assert {"recall@2", "ndcg@10", "index_s", "query_ms_p50", "query_ms_p95", "rss_mb"} <= said.keys()


def test_the_benchmark_reads_a_set_in_beirs_form_and_asks_only_what_its_test_set_judges(tmp_path: Path) -> None:
    corpus = [{"_id": str(n), "title": f"Noise {n}", "text": f"Boats number {n} and the weather."} for n in range(9)]
    queries = [{"_id": "a", "text": "boats number 4"}, {"_id": "b", "text": "never judged"}]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)) + "\n", encoding="utf-8")
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)) + "\n", encoding="utf-8")
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\na\t4\t1\na\t7\t0\n", encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "benchmarks/retrieval.py", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    said = json.loads(run.stdout)
    assert (said["passages"], said["questions"], said["ndcg@10"]) == (9, 1, 100.0)
