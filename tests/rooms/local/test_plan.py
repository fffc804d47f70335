"""Cutting a question into its parts: where it is plain, and nowhere else."""

from __future__ import annotations

import pytest

from spadework.engines.local.plan import MOST, parts


def texts(question: str) -> list[str]:
    return [part.text for part in parts(question)]


@pytest.mark.parametrize(
    "question",
    [
        "How does the lease work?",
        "What are the defaults of A1, B2 and C3?",
        "How do I configure retries and timeouts?",
        "Which Canadian rock band released a song called Counterparts and had a drummer who was inducted?",
        "What is the city where Alice was born and where Bob died?",
        "What film came out first, All the Marbles or What Ever Happened to Baby Jane?",
        'What genre is the author of the story behind "Act of War; Direct Action" associated with?',
        "Should I use a lock or a queue for work sharing?",
        "Explain how vs code extensions load",
        "what is a lease; why",
        "compare rust",
        "Which engines need a key and which do not?",
        "See section 2. It says more",
        "???",
        "北京の天気は?",
    ],
)
def test_a_question_that_could_be_cut_only_clumsily_stays_whole(question: str) -> None:
    assert texts(question) == [question]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is a lease? How long is a heartbeat?", ["What is a lease?", "How long is a heartbeat?"]),
        ("what is a lease; how long is a heartbeat", ["what is a lease", "how long is a heartbeat"]),
        ("What is a lease and how long is a heartbeat?", ["What is a lease", "how long is a heartbeat?"]),
        ("- the price of tea\n- the date of launch", ["the price of tea", "the date of launch"]),
        ("1. the price of tea\n2. the date of launch", ["the price of tea", "the date of launch"]),
        ("Find (1) the price of tea (2) the date of launch", ["the price of tea", "the date of launch"]),
        (
            "Compare asyncio and threading in terms of cancellation",
            ["asyncio: cancellation", "threading: cancellation"],
        ),
        ("Compare tea, coffee and cocoa with respect to price", ["tea: price", "coffee: price", "cocoa: price"]),
        ("asyncio vs threading", ["asyncio vs threading", "asyncio", "threading"]),
        (
            "What is the difference between a Lock and an RLock?",
            ["What is the difference between a Lock and an RLock?", "Lock", "RLock"],
        ),
    ],
)
def test_questions_that_are_plainly_several_are_cut(question: str, expected: list[str]) -> None:
    assert texts(question) == expected


def test_a_part_that_points_back_is_searched_with_the_words_before_it() -> None:
    first, second = parts("What is the buoy scheduler? How does it retry after a failed run?")
    assert second.text == "How does it retry after a failed run?"
    assert "buoy scheduler" in second.query
    assert first.query == first.text


def test_items_of_a_list_are_searched_with_the_words_above_it() -> None:
    found = parts("About the harbour registry:\n- who writes entries\n- who may delete entries")
    assert [part.text for part in found] == ["who writes entries", "who may delete entries"]
    assert all("harbour registry" in part.query for part in found)


def test_the_same_question_asked_twice_is_one_and_nothing_of_a_long_list_is_lost() -> None:
    assert len(parts("What is a lease? What is a  LEASE?")) == 1
    items = [f"the height of mast{n} in metres" for n in range(30)]
    found = parts("\n".join(f"- {item}" for item in items))
    assert len(found) == MOST
    assert all(any(item in part.text for part in found) for item in items)


def test_a_question_of_twenty_thousand_characters_is_cut_at_once() -> None:
    assert parts("why and how " * 1_600)
    assert parts("a, " * 6_000)
    assert parts("1. x 2. y " * 1_900)
