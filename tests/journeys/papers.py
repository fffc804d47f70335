"""Real documents in every format the local engine reads, about one made-up harbour, and how to look a quote up.

The PDF and the DOCX are written here byte by byte, so that no library stands between the test and what it knows to be
in them.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

MARKDOWN = """\
# Tide tables

A tide table of Skerry harbour stays valid for one calendar year. The harbour office publishes it every November.

## Corrections

The harbour office corrects the tide table when a gauge has drifted by more than 5 cm. A correction is posted on the
quay within two days.

## Money

Printing the tide table costs 1,200 euros a year, which the town of Skerry pays.
"""

RST = """\
Tide gauges
===========

The tide gauge at the north pier of Skerry harbour is read every six minutes. Its readings are kept for 30 years.

Drift
-----

A gauge drifts because weed grows on its float. Divers clean the float of the north gauge in April and October.
"""

TEXT = """\
Minutes of the harbour board, 3 March

The board heard that the old pilot boat leaks. It was resolved to buy a new pilot boat, named Petrel, for 480,000 euros.
The pilot boat Petrel carries a crew of four and reaches 22 knots.
"""

HTML = """\
<!doctype html><html><head><title>The lighthouse of Skerry</title></head><body>
<nav><a href="/">Home</a> <a href="/news">News</a></nav>
<main><h1>The lighthouse of Skerry</h1>
<p>The lighthouse of Skerry was lit for the first time in 1874. Its lamp is visible for 19 nautical miles.</p>
<h2>Keepers</h2>
<p>Three keepers tended the lighthouse until 1988 &amp; lived beside it. Since then the lighthouse runs by itself.</p>
</main><footer>Copyright the Skerry museum</footer></body></html>
"""

CODE = '''\
"""The harbour's siren: when it sounds, and for how long."""

SIREN_SECONDS = 90  # The siren of Skerry harbour sounds for ninety seconds before a storm surge.


def sounds(level_cm: int) -> bool:
    """Whether the siren sounds: the storm surge level is above 310 cm."""
    return level_cm > 310
'''

PDF_PAGES = (
    ("The breakwater of Skerry", "The breakwater of Skerry is 640 metres long and was built of granite."),
    ("Repairs", "The breakwater was repaired in 1953 after the great storm broke its outer end."),
    ("Inspection", "An engineer inspects the breakwater every fifth year with a diving robot."),
)

DOCX_PARAGRAPHS = (
    ("Heading1", "Berths and fees"),
    (None, "A berth in Skerry harbour costs 14 euros a night for boats up to ten metres."),
    ("Heading1", "Winter"),
    (None, "From November to March a winter berth costs 300 euros and includes electricity."),
)

QUESTION = (
    "How long does a tide table stay valid? How long is the breakwater? What does a berth cost a night? "
    "When was the lighthouse first lit? How often is the tide gauge read?"
)
#: A sentence of each format that answers part of the question, with its file.
ANSWERS = {
    "tides.md": "stays valid for one calendar year",
    "gauges.rst": "is read every six minutes",
    "lighthouse.html": "was lit for the first time in 1874",
    "breakwater.pdf": "is 640 metres long",
    "berths.docx": "costs 14 euros a night",
}


def library(folder: Path) -> Path:
    """Write the documents into a new folder."""
    (folder / "board").mkdir(parents=True)
    for name, text in {
        "tides.md": MARKDOWN, "gauges.rst": RST, "board/minutes.txt": TEXT, "lighthouse.html": HTML, "siren.py": CODE,
    }.items():  # fmt: skip
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "breakwater.pdf").write_bytes(pdf(PDF_PAGES))
    docx(folder / "berths.docx", DOCX_PARAGRAPHS)
    return folder


def pdf(pages: tuple[tuple[str, ...], ...], trailer: str = "") -> bytes:
    """A PDF with a text layer: each page is its lines, one below the other. `trailer` goes into the trailer."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(count))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {count} /Kids [{kids}] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, lines in enumerate(pages):
        shown = " ".join(f"({line}) Tj 0 -40 Td" for line in lines)
        stream = f"BT /F1 11 Tf 60 760 Td {shown} ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    return _filed(objects, trailer)


def scan() -> bytes:
    """A PDF of one page that shows a picture and no text, as a scanner writes it."""
    picture = "BI /W 8 /H 8 /CS /G /BPC 8 /F /AHx ID " + "80" * 64 + "> EI"
    stream = f"q 595 0 0 842 0 0 cm {picture} Q"
    return _filed(
        [
            "<< /Type /Catalog /Pages 2 0 R >>",
            "<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << >> >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    )


def locked() -> bytes:
    """A PDF encrypted with a user password that nobody gives (revision 2; the check value fits no empty password)."""
    secret = "<" + "5a" * 32 + ">"
    encrypt = f"/Encrypt << /Filter /Standard /V 1 /R 2 /O {secret} /U {secret} /P -4 >> /ID [<00> <00>]"
    return pdf((("Secret", "The secret of the breakwater is kept here."),), encrypt)


def _filed(objects: list[str], trailer: str = "") -> bytes:
    out = b"%PDF-1.4\n"
    places: list[int] = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    tail = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\n"
    return out + f"{tail}startxref\n{len(out)}\n%%EOF\n".encode("latin-1")


def docx(path: Path, paragraphs: tuple[tuple[str | None, str], ...]) -> None:
    """A Word document of styled paragraphs."""
    body = "".join(
        "<w:p>"
        + (f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else "")
        + f"<w:r><w:t>{text}</w:t></w:r></w:p>"
        for style, text in paragraphs
    )
    names = "http://schemas.openxmlformats.org"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<?xml version="1.0"?><Types xmlns="{names}/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
            'wordprocessingml.document.main+xml"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<?xml version="1.0"?><Relationships xmlns="{names}/package/2006/relationships"><Relationship Id="r1" '
            f'Type="{names}/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/>'
            "</Relationships>",
        )
        archive.writestr(
            "word/document.xml",
            f'<?xml version="1.0"?><w:document xmlns:w="{names}/wordprocessingml/2006/main"><w:body>{body}</w:body>'
            "</w:document>",
        )


def pages_of(name: str) -> tuple[str, ...]:
    """What a person sees in one of the documents, in one text or one for each page."""
    if name.endswith(".pdf"):
        return tuple("\n".join(lines) for lines in PDF_PAGES)
    if name.endswith(".docx"):
        return ("\n".join(text for _, text in DOCX_PARAGRAPHS),)
    seen = {"tides.md": MARKDOWN, "gauges.rst": RST, "board/minutes.txt": TEXT, "siren.py": CODE}
    return (seen.get(name) or _visible(),)


def _visible() -> str:
    """The lighthouse page's sentences, as its reader sees them."""
    return (
        "The lighthouse of Skerry\n"
        "The lighthouse of Skerry was lit for the first time in 1874. Its lamp is visible for 19 nautical miles.\n"
        "Keepers\n"
        "Three keepers tended the lighthouse until 1988 & lived beside it. Since then the lighthouse runs by itself.\n"
    )


def squeezed(text: str) -> str:
    """A text with every run of white space as one space: how a quote that spans lines is looked up in its source."""
    return " ".join(text.split())
