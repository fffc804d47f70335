"""A client's line with half an emoji in it is mended, and nothing else is touched."""

import json

import pytest

from spadework.mend import mend


@pytest.mark.parametrize(
    ("line", "means"),
    [
        (r'"\ud83d"', "\ufffd"),
        (r'"a\uDE00b"', "a\ufffdb"),
        (r'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (r'"\ude00\ud83d"', "\ufffd\ufffd"),
        (r'"\ud83d\ude00"', "\U0001f600"),
        (r'"\\ud83d"', r"\ud83d"),
        (r'"\\\ud83d"', "\\\ufffd"),
        (r'"\u0041 plain"', "A plain"),
    ],
)
def test_only_an_escape_without_its_partner_is_replaced(line: str, means: str) -> None:
    text = json.loads(mend(line))
    assert text == means
    text.encode("utf-8")


def test_a_line_without_surrogates_is_the_same_object() -> None:
    line = '{"question": "What is new?"}'
    assert mend(line) is line
