"""A stored report comes back as it was, whatever its text, and whichever way an earlier version stored it."""

from __future__ import annotations

import pytest
from tests.rooms.reports.sample import example

from spadework.reports.packed import pack, unpack


@pytest.mark.parametrize("text", ["", "one line", "two\nlines\n", "\r\n\0\t", "naïve 研究 🧪" * 5, '{"text":"x"}\n\n'])
def test_a_report_comes_back_as_it_was(text: str) -> None:
    report = example().model_copy(update={"text": text})
    assert unpack(pack(report)) == report


def test_a_report_that_an_earlier_version_stored_is_read_too() -> None:
    report = example()
    assert unpack(report.model_dump_json(exclude_defaults=True).encode()) == report
