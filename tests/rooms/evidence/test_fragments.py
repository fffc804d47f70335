"""Text-fragment links: which words they name, and how they are written."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spadework.evidence.fragments import WHOLE, address, fragment

TEXT = (
    "Opening lines.\nThe bridge of Oldport was opened in 1931, and its deck - a timber one - was replaced by steel "
    "plates in the spring of 1988 & painted green by the town's own workshop in the following year.\nA last block."
)


def linked(quote: str, text: str = TEXT, url: str = "https://a.example/page") -> str:
    start = text.index(quote)
    link = fragment(url, text, start, start + len(quote))
    assert link is not None
    return link


def test_a_short_quote_is_named_whole_with_three_words_before_it() -> None:
    assert linked("was opened in 1931") == (
        "https://a.example/page#:~:text=bridge%20of%20Oldport-,was%20opened%20in%201931"
    )


def test_a_quote_at_the_start_of_a_block_has_no_words_of_the_block_before() -> None:
    assert linked("The bridge of Oldport") == "https://a.example/page#:~:text=The%20bridge%20of%20Oldport"


def test_a_long_quote_is_named_by_its_first_and_last_four_words() -> None:
    quote = TEXT[TEXT.index("The bridge") : TEXT.index("\nA last")]
    assert len(quote) > WHOLE
    assert linked(quote).endswith("#:~:text=The%20bridge%20of%20Oldport,in%20the%20following%20year.")


def test_dashes_commas_and_ampersands_are_escaped() -> None:
    link = linked("in 1931, and its deck - a timber one - was")
    directive = link.partition(":~:text=")[2]
    quoted = directive.partition("-,")[2]
    assert not {"-", ",", "&"} & set(quoted)
    assert unquote(quoted) == "in 1931, and its deck - a timber one - was"
    assert "%26" in linked("1988 & painted")


def test_a_quote_over_two_blocks_is_named_by_its_ends() -> None:
    link = linked("the following year.\nA last block.")
    assert "," in link.partition("-,")[2]


def test_the_pages_own_fragment_stays_and_an_older_directive_goes() -> None:
    assert "page#part:~:text=" in linked("A last block.", url="https://a.example/page#part")
    again = linked("A last block.", url="https://a.example/page#part:~:text=old")
    assert again == linked("A last block.", url="https://a.example/page#part")


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "javascript:alert(1)", "notes/page.txt", "ftp://a.example/"])
def test_what_is_no_web_address_has_no_link(url: str) -> None:
    assert fragment(url, TEXT, 0, 10) is None


def test_an_address_is_fetched_without_its_fragment() -> None:
    assert address("https://a.example/p?q=1#part:~:text=x") == "https://a.example/p?q=1"


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), min_size=1, max_size=300), st.data())
def test_every_link_is_one_ascii_address_whose_parts_are_words_of_the_text(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    link = fragment("https://a.example/", text, start, end)
    if not text[start:end].split():
        assert link is None
        return
    assert link is not None
    assert link.isascii()
    assert not any(char.isspace() for char in link)
    directive = link.partition(":~:text=")[2]
    whole = " ".join(text.split())
    prefix, dash, rest = directive.rpartition("-,")
    for part in [*rest.split(","), *([prefix] if dash else [])]:
        assert unquote(part) in whole or unquote(part) in " ".join(text[start:end].split())
