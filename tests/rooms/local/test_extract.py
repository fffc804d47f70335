"""Each format gives its text, blocks, title, links and date, with every place exact."""

import pytest
from tests.rooms.local import samples

from spadework.engines.local.extract import extract


def blocks(document):
    """(kind or level, text) of each block."""
    return [(block.level or block.kind, document.text[block.start : block.end]) for block in document.blocks]


def links(document):
    return [(link.href, document.text[link.start : link.end]) for link in document.links]


MARKDOWN = """---
title: "Front"
date: 2024-01-02
---
<!-- a note
over lines -->
# Head one #

A para that is [linked](other.md#x) and wrapped
over two lines.
- item one
  goes on
- [ ] item two
  1. nested

Setext
------
| a | b |
|---|:-:|
| 1 | 2 |

> quoted text

```python
# no heading
def f(): pass
```

    indented code

***
## C#
Last [[Wiki|label]] and <https://x.org/a>.
"""


def test_markdown_keeps_its_text_and_marks_every_block():
    document = extract("a.md", MARKDOWN.encode())
    assert document.text == MARKDOWN
    assert (document.title, document.published, document.extractor) == ("Front", "2024-01-02", "markdown@1")
    assert blocks(document) == [
        (1, "Head one"),
        ("text", "A para that is [linked](other.md#x) and wrapped\nover two lines."),
        ("item", "item one\n  goes on"),
        ("item", "item two"),
        ("item", "nested"),
        (2, "Setext"),
        ("table", "a | b"),
        ("table", "1 | 2"),
        ("quote", "quoted text"),
        ("code", "# no heading\ndef f(): pass"),
        ("code", "indented code"),
        (2, "C#"),
        ("text", "Last [[Wiki|label]] and <https://x.org/a>."),
    ]
    assert links(document) == [("other.md#x", "linked"), ("Wiki", "label"), ("https://x.org/a", "https://x.org/a")]
    assert document.line_at(document.text.index("def f")) == 26


RST = """.. _label:

=====
Title
=====

Intro with `link <http://x.org>`_ and :doc:`other`.

Section
-------

* item one
  goes on
* item two

.. note::
   A note text.

.. code-block:: python
   :linenos:

   def f():
       pass

Example::

    literal

Sub
~~~
.. a comment
   goes on

Section 2
---------
End.
"""


def test_restructuredtext_takes_levels_from_the_order_of_its_underlines():
    document = extract("a.rst", RST.encode())
    assert document.text == RST
    assert document.title == "Title"
    assert blocks(document) == [
        (1, "Title"),
        ("text", "Intro with `link <http://x.org>`_ and :doc:`other`."),
        (2, "Section"),
        ("item", "item one\n  goes on"),
        ("item", "item two"),
        ("text", "A note text."),
        ("code", "def f():\n       pass"),
        ("text", "Example::"),
        ("code", "literal"),
        (3, "Sub"),
        (2, "Section 2"),
        ("text", "End."),
    ]
    assert links(document) == [("http://x.org", "link"), ("other", "other")]


def test_source_code_is_cut_at_its_top_level_definitions():
    source = (
        '"""Doc."""\nimport os\n\n# why\n@deco\ndef f():\n    """Doc f."""\n\n    return 1\n\n\nclass A:\n    x = 1\n'
    )
    document = extract("pkg/mod.py", source.encode())
    assert document.title == "mod.py"
    assert [text for _, text in blocks(document)] == [
        '"""Doc."""\nimport os',
        '# why\n@deco\ndef f():\n    """Doc f."""\n\n    return 1',
        "class A:\n    x = 1",
    ]
    body = "int f() {\n  a();\n\n  b();\n\n}\n\nint g() { }\n"
    assert len(extract("a.c", body.encode()).blocks) == 2, "a closing brace goes on with its function"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("README", "text"), ("LICENSE-MIT", "text"), ("a.TXT", "text"), ("a.log", "table"), ("a.csv", "table")],
)
def test_plain_text_is_cut_at_blank_lines(name, kind):
    document = extract(name, b"\n one\ntwo \n \n\n  three\n\n")
    assert blocks(document) == [(kind, "one\ntwo"), (kind, "three")]
    assert document.title == name


def test_a_notebook_gives_its_cells_without_their_outputs():
    cells = (
        '[{"cell_type":"markdown","source":["# NB\\n","text"]},{"cell_type":"code","source":"f(1)","outputs":["no"]}]'
    )
    document = extract("a.ipynb", f'{{"cells":{cells}}}'.encode())
    assert (document.title, document.text) == ("NB", "# NB\ntext\n\nf(1)")
    assert blocks(document) == [(1, "NB"), ("text", "text"), ("code", "f(1)")]


PAGE = """<!doctype html><html lang="en-GB"><head><title>Things — Site 1.0</title>
<script type="application/ld+json">{"@graph": [{"@type": "TechArticle", "datePublished": "2023-04-05T06:00Z"}]}</script>
</head><body>
<nav><a href="/">Home</a></nav><header>Site name</header>
<div class="sphinxsidebar">Table of contents</div>
<div class="body" role="main">
<h1>Things<a class="headerlink" href="#things">¶</a></h1>
<p>A <b>bold</b>&nbsp;word and <a href="other.html#x">
 the  other</a>: see it.</p>
<ul><li>One <ul><li>Nested</li></ul> after</li><li><p>Two</p><p>more</p></li></ul>
<dl><dt>term</dt><dd>meaning</dd></dl>
<pre><span class="linenos">1</span><span>def</span> f():
    return 1
</pre>
<table><tr><th>a</th><td>1 &lt; 2</td></tr></table>
<blockquote><p>Said.</p></blockquote>
<h2>Sub</h2>Bare text<br>here
<aside class="footnote">A note.</aside><aside>Related pages</aside>
<p hidden>secret</p><script>var x = "<p>no</p>";</script><style>p {}</style><form><p>Search</p></form>
</div><footer>© nobody</footer></body></html>"""


def test_a_documentation_page_is_read_block_by_block_without_its_furniture():
    document = extract("d/things.html", PAGE.encode())
    assert (document.title, document.lang, document.published) == ("Things", "en-GB", "2023-04-05")
    assert blocks(document) == [
        (1, "Things"),
        ("text", "A bold word and the other: see it."),
        ("item", "One"),
        ("item", "Nested"),
        ("item", "after"),
        ("item", "Two"),
        ("item", "more"),
        ("item", "term"),
        ("text", "meaning"),
        ("code", "def f():\n    return 1"),
        ("cell", "a"),
        ("cell", "1 < 2"),
        ("quote", "Said."),
        (2, "Sub"),
        ("text", "Bare text here"),
        ("text", "A note."),
    ]
    assert links(document) == [("other.html#x", "the other")]
    assert document.text == "\n".join(text for _, text in blocks(document))


def test_an_article_is_found_between_the_teasers_around_it():
    prose = "".join(
        f"<p>The harbour opened in {1900 + n}, and in that year {n} ships came, said the clerk.</p>" for n in range(20)
    )
    teasers = "".join(
        f'<div><a href="/t{n}">Another story that you must read today, number {n}</a></div>' for n in range(60)
    )
    page = (
        '<html><head><meta property="og:type" content="article"><meta property="og:title" content="The Harbour">'
        '<meta property="article:published_time" content="2020-02-03T10:00"><title>The Harbour | Daily</title></head>'
        f"<body><div class=top>{teasers}</div><div class=story>{prose}</div><div>{teasers}</div></body></html>"
    )
    document = extract("harbour.html", page.encode())
    assert (document.title, document.published) == ("The Harbour", "2020-02-03")
    assert "19 ships came" in document.text
    assert "must read" not in document.text


def test_a_plain_page_without_any_frame_keeps_lists_and_tables():
    document = extract("a.html", b"<title>T</title><p>One.<ul><li>Two</ul><table><tr><td>Three</table>Four")
    assert document.text.split("\n") == ["One.", "Two", "Three", "Four"]
    assert document.title == "T"


def test_a_pdf_gives_joined_paragraphs_pages_title_and_date():
    lines = ["The first paragraph runs over two lines of nearly the", "same width. It ends here.", "Next paragraph."]
    document = extract("a.pdf", samples.pdf([lines, [], ["Page three."]], title="On Lines"))
    assert (document.title, document.published, document.extractor) == ("On Lines", "2024-02-29", "pdf@2")
    assert [text for _, text in blocks(document)] == [" ".join(lines[:2]), lines[2], "Page three."]
    assert len(document.pages) == 3
    assert document.page_at(0) == 1
    assert document.page_at(document.text.index("Page three")) == 3
    assert document.warnings == ("Pages without a text layer were not read: 2.",)


def test_a_pdf_page_drawn_line_by_line_across_its_columns_is_read_column_by_column():
    tells = [[f"In the year {1900 + 20 * column + row} the harbour took" for row in range(16)] for column in range(3)]
    tells[1][4:6] = ["and every ship that was counted in inter-", "national waters had paid its dues before."]
    text = extract("a.pdf", samples.torn(tells)).text
    assert "counted in international waters had paid its dues before." in text
    assert text.index("1915 the harbour") < text.index("1920 the harbour") < text.index("1940 the harbour")


def test_a_pdf_table_is_read_row_by_row():
    cells = [[f"{name} {row}" for row in range(16)] for name in ("Harbour", "Ships", "Dues paid")]
    text = extract("a.pdf", samples.torn(cells)).text
    assert " ".join(text.split()).startswith("Harbour 0 Ships 0 Dues paid 0 Harbour 1")


def test_a_pdf_opened_by_an_empty_password_is_read():
    assert extract("a.pdf", samples.pdf([["open to all"]], password="")).text == "open to all"


def test_a_word_file_gives_headings_cells_and_its_title():
    body = (
        samples.paragraph("Intro", style="Heading1"),
        samples.paragraph("One |run after| another"),
        samples.table([["a", "b"], ["c", "d"]]),
        samples.paragraph("German heading", style="Berschrift2"),
        samples.paragraph("Inherits", style="Mine"),
        samples.paragraph("Outline", outline=2),
        "<w:p><w:r><w:delText>deleted</w:delText><w:t>kept</w:t><w:tab/><w:t>tab</w:t><w:br/><w:t>line</w:t></w:r></w:p>",
    )
    document = extract("a.docx", samples.docx(*body, title="Of Words"))
    assert (document.title, document.published) == ("Of Words", "2023-05-06")
    assert blocks(document) == [
        (1, "Intro"),
        ("text", "One run after another"),
        ("cell", "a"),
        ("cell", "b"),
        ("cell", "c"),
        ("cell", "d"),
        (2, "German heading"),
        (2, "Inherits"),
        (3, "Outline"),
        ("text", "kept tab\nline"),
    ]
    assert extract("b.docx", samples.docx(*body)).title == "Intro"


@pytest.mark.parametrize(
    ("data", "text", "warned"),
    [
        ("\ufeffcafé".encode(), "café", False),
        ("café".encode("utf-16"), "café", False),
        ("café".encode("utf-32"), "café", False),
        ("café naïve".encode("cp1252"), "café naïve", True),
        ("# coding: koi8-r\nпривет".encode("koi8-r"), "# coding: koi8-r\nпривет", False),
        ("übermäßig schön".encode() + b"\xff", "übermäßig schön\ufffd", True),
        ("cafe\u0301\r\nx\ry".encode(), "café\nx\ny", False),
    ],
)
def test_any_character_set_becomes_composed_text_with_one_kind_of_line_end(data, text, warned):
    document = extract("a.txt", data)
    assert document.text == text
    assert bool(document.warnings) is warned


def test_a_page_is_read_in_the_character_set_it_names():
    assert extract("a.html", '<meta charset="shift_jis"><p>日本語です。'.encode("shift_jis")).text == "日本語です。"
    assert extract("a.html", '<meta charset="iso-8859-1"><p>“café”'.encode("cp1252")).text == "“café”"
