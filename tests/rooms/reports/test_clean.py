"""The cleaner: nothing that leaves us can break a pipe, drive a terminal or hide from the reader."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spadework_tools.clean import clean, clean_json

NASTY = "ab1;m\x1b[]\x07\\\x00\x9b\x85\r\n\u200b\u200d\ufe0f\u202e\ud800\u0301\u2028"
NASTY += "🏴\U000e0067\U000e0062\U000e007f❤👍🏽क\u094d"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\ud800b", "ab"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b1;31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdevice\x1b\\text", "text"),
        ("a\x00b\x08c\x7f\x9f", "abc"),
        ("pay\u202efdp.exe", "payfdp.exe"),
        ("a\u200bb\u2060c\ufeffd\u00ade", "abcde"),
        ("x" + "".join(chr(0xE0000 + ord(char)) for char in "obey me") + "y", "xy"),
        ("a\u3164b\u115fc\u2800d", "abcd"),
        ("z" + "\u0301" * 40, "z" + "\u0301" * 4),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("a\u200db", "ab"),
        ("a\ufe0fb", "ab"),
        ("\ue000\U000f0000text", "text"),
    ],
)
def test_what_acts_or_hides_is_taken_away(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "Plain text,\n\twith a tab — and “quotes”.",
        "नमस्ते, क्षेत्र क्\u200dष",
        "می\u200cخواهم",
        "שָׁלוֹם עֲלֵיכֶם",
        "ภาษาไทยที่มีวรรณยุกต์",
        "Tiếng Việt có dấu e\u0302\u0301",
        "か\u3099 日本語 中文 한국어",
        "👨‍👩‍👧 ❤️ ❤️‍🔥 1️⃣ 👍🏽 🇩🇪 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🏳️‍🌈",
        "x² ≤ 10⁻³ €5 ½ ™",
    ],
)
def test_ordinary_text_of_any_script_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet=NASTY, max_size=30) | st.text(alphabet=st.characters(), max_size=30), st.integers(0, 20))
def test_cleaning_twice_changes_nothing_and_always_encodes(text: str, limit: int) -> None:
    once = clean(text)
    assert clean(once) == once
    once.encode("utf-8")
    assert "\x1b" not in once
    cut = clean(text, limit)
    assert len(cut) <= limit
    assert clean(cut, limit) == cut


def test_a_long_text_is_cut_with_a_mark_and_not_inside_a_character() -> None:
    assert clean("abcdef", 4) == "abc…"
    assert clean("abcdef", 6) == "abcdef"
    assert clean("abe\u0301xyz", 4) == "ab…"


def test_json_is_cleaned_all_the_way_down() -> None:
    dirty = {"a\ud800": ["\x1b[1mb", float("nan"), float("inf"), 1, True, None, {"c": ("d\u200b",)}]}
    assert clean_json(dirty) == {"a": ["b", None, None, 1, True, None, {"c": ["d"]}]}
    json.dumps(clean_json(dirty), allow_nan=False)


def test_json_nested_without_end_stops() -> None:
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    assert "…" in json.dumps(clean_json(deep), ensure_ascii=False)


@pytest.mark.parametrize("piece", ["\x1b[", "a\u200b", "\x1b]x", "\u0301", "🏴\U000e0067", "\x1b\u200b[", "👍\u200d"])
def test_hostile_text_takes_linear_time(piece: str) -> None:
    began = time.perf_counter()
    clean(piece * 100_000)
    assert time.perf_counter() - began < 5
