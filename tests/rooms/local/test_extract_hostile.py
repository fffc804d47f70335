"""Broken, hostile and huge files are refused by their reason, or read in time; nothing else ever escapes."""

import random
import threading
import time
import tracemalloc

import pytest
from tests.rooms.local import samples

from spadework.engines.local.chunk import chunks
from spadework.engines.local.document import Unreadable
from spadework.engines.local.extract import extract
from spadework.engines.local.sentences import sentences

ENTITIES = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.pdf", b"%PDF-1.7 not at all", "corrupt"),
        ("a.pdf", b"hello", "corrupt"),
        ("a.pdf", samples.pdf([["secret"]], password="s3cret"), "encrypted"),
        ("a.pdf", samples.pdf([[], []]), "no_text_layer"),
        ("a.docx", b"PK\x03\x04 not a zip", "corrupt"),
        ("a.docx", samples.zipped({"other.txt": "x"}), "corrupt"),
        ("a.docx", samples.zipped({"word/document.xml": "<w:document>"}), "corrupt"),
        ("a.docx", samples.docx(samples.paragraph("x"), doctype=ENTITIES), "corrupt"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "encrypted"),
        ("a.docx", samples.docx(), "empty"),
        ("a.docx", samples.bomb(), "too_large"),
        ("a.ipynb", b"{}", "corrupt"),
        ("a.ipynb", b"[" * 100_000, "corrupt"),
        ("a.ipynb", b'{"cells": []}', "empty"),
        ("a.md", b"", "empty"),
        ("a.txt", b" \n\t\n", "empty"),
        ("a.html", b"<html><body><script>x</script></body></html>", "empty"),
        ("a.html", b"<!-- nothing -->", "empty"),
        ("a.txt", b"\x00\x01\x02\x03", "binary"),
        ("a.py", bytes(range(1, 32)) * 10, "binary"),
        ("a.zzz", b"text", "unknown_type"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_reason(name, data, reason):
    with pytest.raises(Unreadable) as caught:
        extract(name, data)
    assert caught.value.reason == reason
    assert caught.value.detail.endswith(".")


def test_a_pdf_under_another_name_is_still_read_as_a_pdf():
    assert extract("paper.txt", samples.pdf([["as a pdf"]])).extractor == "pdf@2"


def test_a_zip_bomb_costs_neither_its_memory_nor_its_time():
    bomb = samples.bomb(400)
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable):
            extract("a.docx", bomb)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_page_nested_beyond_any_depth_keeps_its_text():
    page = "<h1>Top</h1>" + "<div>" * 50_000 + "deep &amp; down" + "</div>" * 50_000 + "<script>no</script><p>after</p>"
    document = extract("a.html", page.encode())
    assert document.text == "Top\ndeep & down\nafter"
    assert document.title == "Top"
    assert len(document.warnings) == 1


UNITS = (
    " ", "\n", "- ", ">", "[", "[a](", "[[a", "`", "```\n", "<", "<a ", "<div>", "<!--", "<script>", "&", ".", ". ",
    "#", "# a\n", "a\n===\n", "| a |\n|---|\n", ".. a::\n", ":doc:`", "* ", "\t", "<p>a", "<li>", "</div>",
    "e\u0301", "。", "A. ", "a\n b\n  c\n", "::\n ", '"', "(", "\n\n\n a", "<pre>\n", "x" * 999 + " ",
)  # fmt: skip


@pytest.mark.parametrize("name", ["a.md", "a.rst", "a.txt", "a.py", "a.html", "a.csv"])
def test_no_repetition_makes_reading_slow(name):
    """Time grows with the length only: 40 kB of any of these, read, cut and split, takes far below a second."""
    for unit in UNITS:
        data = ("x\n\n" + unit * (40_000 // len(unit.encode())) + " end").encode()
        before = time.thread_time()
        try:
            document = extract(name, data)
        except Unreadable:
            continue
        for chunk in chunks(document):
            sentences(document.text, chunk.start, chunk.end)
        sentences(document.text, 0, len(document.text))
        assert time.thread_time() - before < 2, f"{unit!r} repeated in {name}"


def test_ten_megabytes_of_html_take_seconds():
    part = '<p>Hello <b>world</b>, this is <a href="x.html">a link</a> and some more prose, number {}.</p>\n'
    page = "<main>" + "".join(part.format(number) for number in range(105_000)) + "</main>"
    assert len(page) > 10_000_000
    before = time.thread_time()
    document = extract("big.html", page.encode())
    assert time.thread_time() - before < 15
    assert len(document.blocks) == len(document.links) == 105_000


SEEDS = {
    "a.pdf": samples.pdf([["Hello world", "two"], ["three"]], title="T"),
    "a.docx": samples.docx(samples.paragraph("Hi", style="Heading1"), samples.table([["a", "b"]]), title="x"),
    "a.html": b"<main><h1>A<a href=x>b</a></h1><ul><li>c<ul><li>d</ul></ul><pre>e\n f</pre><table><tr><td>g</table>",
    "a.md": b"# A\n\ntext [a](b)\n- x\n\n```\ncode\n```\n| a |\n|--|\n| c |\n> q\n<!-- c -->\nT\n---\n",
    "a.rst": b"T\n=\n\nabc\n\nT\n===\n\n.. note:: x\n\n  y::\n\n   z\n* i\n",
    "a.ipynb": b'{"cells":[{"cell_type":"markdown","source":["# NB\\n","text"]},{"cell_type":"code","source":"f()"}]}',
}


@pytest.mark.parametrize("name", SEEDS)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(name):
    """Bytes are flipped, cut out and doubled, 300 times, from a fixed seed."""
    chance = random.Random(name)
    for _ in range(300):
        data = bytearray(SEEDS[name])
        for _ in range(chance.choice((1, 2, 5, 20))):
            place = chance.randrange(len(data))
            if chance.random() < 0.4:
                data[place] = chance.randrange(256)
            elif chance.random() < 0.5 and len(data) > 40:
                del data[place : place + chance.randrange(1, 20)]
            else:
                other = chance.randrange(len(data))
                data[place:place] = data[other : other + chance.randrange(1, 60)]
        try:
            document = extract(name, bytes(data))
        except Unreadable:
            continue
        assert all(0 <= block.start < block.end <= len(document.text) for block in document.blocks)


def test_pdfs_read_by_many_threads_at_once_are_each_read_right():
    files = {f"page of file {number}": samples.pdf([[f"page of file {number}"]] * 5) for number in range(8)}
    wrong: list[str] = []

    def work(text, data):
        for _ in range(10):
            if extract("a.pdf", data).text != "\n".join([text] * 5):
                wrong.append(text)

    threads = [threading.Thread(target=work, args=pair) for pair in files.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert wrong == []
