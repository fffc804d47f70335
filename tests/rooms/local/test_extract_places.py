"""Whatever is read: blocks, chunks and sentences are exact spans of one text, in order, apart, and lose nothing."""

import html

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.rooms.local import samples

from spadework.engines.local.chunk import chunks
from spadework.engines.local.document import Unreadable
from spadework.engines.local.extract import extract
from spadework.engines.local.sentences import sentences

quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

line = st.text(
    alphabet=st.one_of(
        st.sampled_from("abc Ab. !?-*#>|`=~_[]()<&;:'\"\t0123éß漢字。\u0301"),
        st.characters(exclude_categories=["Cs", "Cc"]),
    ),
    max_size=60,
)
marked = st.builds(
    "{}{}".format, st.sampled_from(["", "# ", "## ", "- ", "  - ", "> ", "    ", "```", "1. ", ".. ", "| "]), line
)
under = st.sampled_from(["", "", "===", "---", "~~~~~~", "|---|---|", "```", "::"])
plain = st.lists(st.one_of(marked, under), max_size=30).map("\n".join)


def tag(name):
    return lambda inner: f"<{name}>{inner}</{name}>"


leaf = line.map(html.escape)
nested = st.recursive(
    leaf,
    lambda inner: st.one_of(
        *(
            st.lists(inner, max_size=4).map("".join).map(tag(name))
            for name in ("p", "div", "li", "ul", "td", "h2", "pre", "b", "aside", "dd")
        ),
        inner.map(lambda text: f'<a href="x.html">{text}</a>'),
    ),
    max_leaves=25,
)


def read(name, data):
    try:
        return extract(name, data)
    except Unreadable:
        return None


def hold(document):
    """All the promises about places, checked on one document."""
    text, position = document.text, 0
    for block in document.blocks:
        assert position <= block.start < block.end <= len(text)
        assert text[block.start : block.end].strip()
        assert 0 <= block.level <= 6
        position = block.end
    for link in document.links:
        assert 0 <= link.start < link.end <= len(text)
    for size in (60, 1200):
        hold_chunks(document, chunks(document, size), size)
    hold_sentences(text, 0, len(text))


def hold_chunks(document, cut, size):
    text, position = document.text, 0
    owner = [-1] * len(text)
    for number, chunk in enumerate(cut):
        assert position <= chunk.start < chunk.end <= len(text)
        assert chunk.heading.startswith(document.title)
        owner[chunk.start : chunk.end] = [number] * (chunk.end - chunk.start)
        position = chunk.end
        hold_sentences(text, chunk.start, chunk.end)
    for block in document.blocks:
        assert all(owner[at] >= 0 for at in range(block.start, block.end) if not text[at].isspace())
    starts = {chunk.start for chunk in cut}
    if len(cut) > 1:
        assert {block.start for block in document.blocks if block.level} <= starts


def hold_sentences(text, start, end):
    position = start
    for first, last in sentences(text, start, end):
        assert position <= first < last <= end
        assert not text[position:first].strip(), "nothing but white space lies between two sentences"
        assert text[first:last] == text[first:last].strip()
        position = last
    assert not text[position:end].strip()


@pytest.mark.parametrize("name", ["a.md", "a.rst", "a.txt", "a.py", "a.csv"])
@quick
@given(text=plain)
def test_every_place_in_a_text_file_is_exact(name, text):
    document = read(name, text.encode())
    if document:
        hold(document)


@quick
@given(
    body=nested,
    frame=st.sampled_from(["{}", "<main>{}</main>", "<article><h1>T</h1>{}</article>", "<title>t</title>{}"]),
)
def test_every_place_in_a_page_is_exact(body, frame):
    document = read("a.html", frame.format(body).encode())
    if document:
        hold(document)
        inside = [document.text[block.start : block.end] for block in document.blocks]
        assert document.text == "\n".join(inside)


@quick
@given(paragraphs=st.lists(st.tuples(line, st.sampled_from(["", "Heading1", "Berschrift2"])), max_size=12))
def test_every_place_in_a_word_file_is_exact(paragraphs):
    body = (samples.paragraph(html.escape(text).replace("|", " "), style=style) for text, style in paragraphs)
    document = read("a.docx", samples.docx(*body))
    if document:
        hold(document)


@settings(max_examples=40, deadline=None)
@given(pages=st.lists(st.lists(st.text("abc XY.,-()", min_size=1, max_size=70), max_size=12), min_size=1, max_size=4))
def test_every_place_in_a_pdf_is_exact_and_each_block_lies_on_one_page(pages):
    document = read("a.pdf", samples.pdf(pages))
    if document:
        hold(document)
        assert len(document.pages) == len(pages)
        for block in document.blocks:
            assert document.page_at(block.start) == document.page_at(block.end - 1)


def test_a_chunk_knows_the_way_of_headings_down_to_it():
    body = "# Guide\nintro " + "a. " * 900 + "\n## Setup\n" + "b. " * 900 + "\n### Linux\nc\n## Use\nd\n"
    document = extract("a.md", body.encode())
    ways = [(chunk.heading, chunk.level) for chunk in chunks(document)]
    assert list(dict.fromkeys(ways)) == [
        ("Guide", 1),
        ("Guide › Setup", 2),
        ("Guide › Setup › Linux", 3),
        ("Guide › Use", 2),
    ]


def test_a_short_document_is_one_chunk_and_a_long_paragraph_many_of_the_size():
    assert len(chunks(extract("a.md", b"# T\n\n" + b"Words here.\n\n" * 150))) == 1
    long = extract("a.txt", b"This is a sentence of some words. " * 300)
    cut = chunks(long)
    assert len(cut) == 9
    assert all(long.text[chunk.start : chunk.end].endswith("words.") for chunk in cut)
    assert max(chunk.end - chunk.start for chunk in cut) <= 1200
    assert all(chunk.end - chunk.start <= 1200 for chunk in chunks(extract("b.txt", b"x" * 10_000)))


def test_code_is_cut_between_lines_and_rather_at_a_blank_one():
    source = "def f():\n" + ("    " + "x = 1\n" * 1 + "    y = 2\n\n") * 200
    document = extract("a.py", source.encode())
    for chunk in chunks(document)[:-1]:
        assert source[chunk.end : chunk.end + 2] == "\n\n"


@pytest.mark.parametrize(
    "marked",
    [
        "One.¦ Two!¦ Three?¦ Four",
        "Dr. J. K. Smith paid $3.50 at 3.5 p.m. in the U.S.¦ He left.",
        "Use Python 3.11.¦ See e.g. Fig. 3 and No. 5 for v1.2.3.¦ Done.",
        "As Lee et al. (2020) say.¦ Foo Inc. was sold.",
        'He said "Stop."¦ Then (it ended.)¦ So.',
        "Wait...¦ What?¦ Go to http://x.org/a.b?c=d.¦ Now.",
        "今日は晴れ。¦明日は雨！¦そう？¦「はい。」¦終",
        "1. First thing\n¦2. Second thing\n¦- third\n\n¦Para",
        "def f():\n    ¦return 1\n¦x = f()",
        "This paragraph was wrapped by an editor at some sixty\ncolumns and goes on until it is at an end.\n¦One more.",
        "A Heading\n¦The paragraph below it is a sentence of its own, as it should be.",
    ],
)
def test_sentences_end_where_a_reader_would_end_them(marked):
    """A broken bar stands where one sentence ends and the next begins."""
    text, expected = marked.replace("¦", ""), [part.strip() for part in marked.split("¦")]
    assert [text[start:end] for start, end in sentences(text, 0, len(text))] == expected
