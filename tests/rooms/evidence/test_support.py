"""The support check says what is missing when it is sure, and says so when it is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.support import measure
from hypothesis import given, settings
from hypothesis import strategies as st

from spadework.evidence.language import language
from spadework.evidence.support import Rarity, judge, plain

BRIDGE = (
    "The Harrow Bridge crosses the River Senn at Oldport. It was opened in 1931 by the mayor, Clara Voss. "
    "The main span is 640 metres long and carries two lanes of road traffic and a tramway. "
    "Repairs in 1988 replaced the timber deck with steel."
)
SUPPORTED = (
    "The Harrow Bridge was opened in 1931 by the mayor, Clara Voss.",
    "The main span of the Harrow Bridge is 640 metres long and carries two lanes of road traffic.",
    "Repairs in 1988 replaced the timber deck with steel [c3].",
)
UNSUPPORTED = (
    "The festival in Lisbon drew 45,000 visitors during its opening weekend in June.",
    "Analysts at Morwen Capital expect a loss of 12 percent after the merger with Tellin.",
    "Insulin was first given to patients in Toronto by Banting in January 1922.",
)


@pytest.mark.parametrize("claim", SUPPORTED)
def test_a_claim_in_the_words_of_its_page_is_supported(claim: str) -> None:
    assert judge(claim, [BRIDGE]).verdict == "lexically_supported"


@pytest.mark.parametrize("claim", UNSUPPORTED)
def test_a_claim_that_its_page_does_not_speak_of_is_not(claim: str) -> None:
    assert judge(claim, [BRIDGE]).verdict == "lexically_unsupported"


def test_what_is_missing_is_named() -> None:
    found = judge("Morwen Capital lost 12 percent in 1988.", [BRIDGE])
    assert found.missing_numbers == ("12",)
    assert found.missing_names == ("Capital",)
    assert found.told().detail["missing_numbers"] == ["12"]
    assert found.told().method == "lexical-v1"


def test_a_missing_number_keeps_a_claim_from_being_supported() -> None:
    claim = "The main span of the Harrow Bridge is 460 metres long and carries two lanes of road traffic and a tramway."
    found = judge(claim, [BRIDGE])
    assert found.missing_numbers == ("460",)
    assert found.verdict != "lexically_supported"


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("It has 1,200 rooms.", "There are 1200 rooms in it."),
        ("It came 3rd in the race.", "The race was run and it came in at place 3."),
        ("It has three wheels.", "The cart rolls on 3 wheels."),
        ("It cost $40 in all.", "In all it was sold for 40 dollars."),
        ("It has 3 wheels.", "It is a cart with three wheels."),
    ],
)
def test_a_number_spelled_another_way_is_no_missing_number(claim: str, text: str) -> None:
    assert judge(claim, [text]).missing_numbers == ()


def test_two_texts_are_judged_together() -> None:
    one, two = BRIDGE.split(" It was opened", 1)
    claim = "The Harrow Bridge crosses the River Senn and was opened in 1931 by the mayor, Clara Voss."
    together = judge(claim, [one, f"It was opened{two}"]).probability
    assert together > max(judge(claim, [one]).probability, judge(claim, [f"It was opened{two}"]).probability)


def test_another_language_is_left_undecided() -> None:
    german = "Die Brücke über den Senn wurde im Jahr 1931 von der Bürgermeisterin eröffnet und ist nicht aus Holz."
    assert judge(german, [BRIDGE]).verdict == "uncertain"
    assert judge("この橋は1931年に市長によって開通した。", [BRIDGE]).verdict == "uncertain"


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (BRIDGE, "en"),
        ("Die Brücke wurde von der Stadt gebaut und ist nicht mit dem Auto zu befahren.", "de"),
        ("Le pont est dans la ville et une rivière passe sur le côté des rues.", "fr"),
        ("この橋は長い", "cjk"),
        ("Мост через реку", "cyrillic"),
        ("Xylo qux", None),
    ],
)
def test_a_language_is_told_only_where_it_can_be(text: str, known: str | None) -> None:
    assert language(text.lower().split()) == known


def test_a_claim_in_a_script_without_spaces_is_judged_by_its_characters() -> None:
    page = "東京タワーは1958年に完成した電波塔である。高さは333メートルで、港区にある。"
    assert judge("東京タワーは1958年に完成した。", [page]).verdict == "lexically_supported"
    assert judge("富士山の初登頂は大正時代であり四千人が参加した。", [page]).verdict != "lexically_supported"


def test_a_long_page_is_judged_by_its_best_passage() -> None:
    filler = " ".join(f"Paragraph {n} speaks of gardening, soil and the weather in spring." for n in range(1_500))
    page = f"{filler}\n\n{BRIDGE}\n\n{filler}"
    assert len(page) > 100_000
    assert judge(SUPPORTED[0], [page]).verdict == "lexically_supported"
    assert judge(UNSUPPORTED[1], [page]).verdict == "lexically_unsupported"


def test_marks_and_markdown_are_no_words_of_a_claim() -> None:
    assert plain("**Opened** in 1931 [c1][c12], see [the page](https://a.example/x).") == (
        "Opened in 1931 , see the page ."
    )


@pytest.mark.parametrize("claim", ["", "   ", "[c1]", "the of and", "!!!"])
def test_a_claim_without_words_is_left_undecided(claim: str) -> None:
    assert judge(claim, [BRIDGE]).verdict == "uncertain"


def test_no_text_leaves_a_claim_undecided() -> None:
    assert judge(SUPPORTED[0], ["", "  "]).verdict == "uncertain"


def test_rarer_words_weigh_more() -> None:
    rarity = Rarity(["the bridge is old", "the bridge is new", "the tram is new"])
    assert rarity.of("tram") > rarity.of("bridg")


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300), st.lists(st.text(max_size=500), max_size=3))
def test_any_text_is_judged_without_a_fault(claim: str, texts: list[str]) -> None:
    found = judge(claim, texts)
    assert 0.0 <= found.probability <= 1.0
    assert 0.0 <= found.coverage <= 1.0 + 1e-9
    json.dumps(found.told().model_dump())


def test_the_benchmark_tells_right_verdicts_from_wrong_ones(tmp_path: Path) -> None:
    pairs = [{"claim": claim, "references": [BRIDGE], "label": 1} for claim in SUPPORTED]
    pairs += [{"claim": claim, "references": [BRIDGE], "label": 0} for claim in UNSUPPORTED]
    found = measure(pairs)
    assert (found["macro_f1"], found["unsupported_right"], found["supported_right"]) == (100.0, 100.0, 100.0)
    flipped = measure([{**pair, "label": 1 - int(str(pair["label"]))} for pair in pairs])
    assert (flipped["macro_f1"], flipped["unsupported_right"]) == (0.0, 0.0)
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(map(json.dumps, pairs)), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "benchmarks/support.py", str(file)], capture_output=True, text=True, timeout=60,
        cwd=Path(__file__).parents[3], env={"PYTHONPATH": "server:tools"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["macro_f1"] == 100.0
