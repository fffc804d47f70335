"""Makers of real sample files: PDF, encrypted and scanned PDF, DOCX, and a zip bomb, byte by byte."""

import hashlib
import io
import zipfile

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_PAD = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def pdf(pages, *, title="", password=None):
    """A PDF with one text line per string of each page (an empty page holds no text at all).

    With a password it is encrypted by the standard handler, revision 2 (RC4, 40 bits; PDF 1.7, 7.6.3).
    """
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, lines in enumerate(pages):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(_content(lines))
    trailer = b""
    if title:
        objects.append(f"<< /Title ({title}) /CreationDate (D:20240229120000Z) >>".encode())
        trailer = f" /Info {len(objects)} 0 R".encode()
    if password is not None:
        objects, extra = _encrypted(objects, password.encode())
        trailer += extra
    return _joined(objects, trailer)


def torn(columns):
    """A PDF page of columns of text lines, drawn line by line across all of them, as some typesetters do."""
    places = [
        (40 + 185 * number, 740 - 12 * row, line)
        for row in range(max(map(len, columns)))
        for number, column in enumerate(columns)
        for line in column[row : row + 1]
    ]
    shown = "".join(f"1 0 0 1 {x} {y} Tm ({_escaped(line)}) Tj " for x, y, line in places)
    stream = f"BT /F1 8 Tf {shown}ET".encode("cp1252")
    fonts = b"/Resources << /Font << /F1 3 0 R >> >>"
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R %s >>" % fonts
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        page,
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    ]
    return _joined(objects, b"")


def _content(lines):
    shown = "".join(f"({_escaped(line)}) Tj 0 -14 Td " for line in lines)
    stream = f"BT /F1 11 Tf 60 740 Td {shown}ET".encode("cp1252") if lines else b"0 0 100 100 re f"
    return b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream)


def _escaped(line):
    return line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def _joined(objects, trailer):
    out = io.BytesIO(b"%PDF-1.4\n")
    out.seek(0, io.SEEK_END)
    places = []
    for number, body in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % place for place in places)
    out.write(b"trailer\n<< /Size %d /Root 1 0 R%s >>\n" % (len(objects) + 1, trailer))
    out.write(b"startxref\n%d\n%%%%EOF\n" % start)
    return out.getvalue()


def _encrypted(objects, password):
    padded, ident, rights = (password + _PAD)[:32], b"0123456789abcdef", (-4).to_bytes(4, "little", signed=True)
    owner = _rc4(hashlib.md5(padded).digest()[:5], padded)
    key = hashlib.md5(padded + owner + rights + ident).digest()[:5]
    locked = []
    for number, body in enumerate(objects, 1):
        head, mark, rest = body.partition(b"stream\n")
        if mark:
            inner = rest.removesuffix(b"\nendstream")
            own = hashlib.md5(key + number.to_bytes(3, "little") + b"\0\0").digest()[:10]
            body = head + mark + _rc4(own, inner) + b"\nendstream"
        locked.append(body)
    rule = b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>" % (
        owner.hex().encode(),
        _rc4(key, _PAD).hex().encode(),
    )
    locked.append(rule)
    return locked, b" /Encrypt %d 0 R /ID [<%s> <%s>]" % (len(locked), ident.hex().encode(), ident.hex().encode())


def _rc4(key, data):
    box = list(range(256))
    other = 0
    for index in range(256):
        other = (other + box[index] + key[index % len(key)]) % 256
        box[index], box[other] = box[other], box[index]
    out, index, other = bytearray(), 0, 0
    for byte in data:
        index = (index + 1) % 256
        other = (other + box[index]) % 256
        box[index], box[other] = box[other], box[index]
        out.append(byte ^ box[(box[index] + box[other]) % 256])
    return bytes(out)


def paragraph(text, *, style="", outline=None):
    """One w:p, with a style or an outline level."""
    properties = f'<w:pStyle w:val="{style}"/>' if style else ""
    properties += f'<w:outlineLvl w:val="{outline}"/>' if outline is not None else ""
    runs = "".join(f'<w:r><w:t xml:space="preserve">{part}</w:t></w:r>' for part in text.split("|"))
    return f"<w:p><w:pPr>{properties}</w:pPr>{runs}</w:p>"


def table(rows):
    """A w:tbl with one paragraph a cell."""
    cells = ["".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) for row in rows]
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in cells)}</w:tbl>"


def docx(*body, title="", doctype="", extra=None):
    """A DOCX of these paragraphs and tables, with styles Heading1 and Berschrift2 ("heading 2" in German Word)."""
    styles = (
        f'<w:styles {_W}><w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/></w:style>'
        '<w:style w:type="paragraph" w:styleId="Berschrift2"><w:name w:val="heading 2"/></w:style>'
        '<w:style w:type="paragraph" w:styleId="Mine"><w:name w:val="Mine"/><w:basedOn w:val="Berschrift2"/></w:style>'
        "</w:styles>"
    )
    core = (
        '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/">'
        f"<dc:title>{title}</dc:title><dcterms:created>2023-05-06T07:08:09Z</dcterms:created></cp:coreProperties>"
    )
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "word/document.xml": f"{doctype}<w:document {_W}><w:body>{''.join(body)}</w:body></w:document>",
        "word/styles.xml": styles,
        "docProps/core.xml": core,
        **(extra or {}),
    }
    return zipped(parts)


def zipped(parts):
    """A zip archive of these parts."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def bomb(megabytes=200):
    """A DOCX of some kilobytes whose main part unpacks to many megabytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("word/document.xml", "w") as part:
        part.write(f"<w:document {_W}><w:body>".encode())
        for _ in range(megabytes):
            part.write(b" " * 1024 * 1024)
        part.write(b"</w:body></w:document>")
    return out.getvalue()
