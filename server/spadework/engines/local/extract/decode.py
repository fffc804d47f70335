"""Bytes into text: which character set, one kind of line end, composed characters (NFC).

This is the only place where a text's characters change; positions count from what it returns.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

from spadework.engines.local.document import Unreadable

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_PRINTABLE = bytes(set(range(256)) - set(range(32)) - {127} | {7, 8, 9, 10, 12, 13, 27})
_META = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""", re.IGNORECASE)
_XML = re.compile(rb"""^\s*<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9_:.-]{2,40})""")
_CODING = re.compile(rb"^(?:.*\n)?[ \t\f]*#.*?coding[:=][ \t]*([A-Za-z0-9_.-]{2,40})")


def decode(data: bytes) -> tuple[str, tuple[str, ...]]:
    """The text of a file's bytes, and warnings on what had to be guessed or replaced.

    A byte order mark decides, then UTF-8, then a charset the file names (HTML meta, XML, a coding line), then
    windows-1252. Raises Unreadable: `empty` (nothing but white space) or `binary`.
    """
    text, warnings = _characters(data)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    text = nfc(text)
    if not text or text.isspace():
        raise Unreadable("empty", "The file holds no text.")
    return text, warnings


def nfc(text: str) -> str:
    """The text with composed characters."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _characters(data: bytes) -> tuple[str, tuple[str, ...]]:
    for bom, charset in _BOMS:
        if data.startswith(bom):
            return _forced(data[len(bom) :], charset)
    _refuse_binary(data[:8192])
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError:
        pass
    named = _named(data[:2048])
    if named is not None:
        return _forced(data, named)
    mended = data.decode("utf-8", "replace")
    bad = mended.count("\ufffd")
    # Mostly sound UTF-8 with a few broken bytes is still UTF-8; otherwise every accent would come out as two.
    if bad * 2 <= sum(1 for character in mended if character > "\x7f"):
        return mended, (_replaced(bad, "utf-8"),)
    text, warnings = _forced(data, "cp1252")
    return text, ("The character set was guessed to be windows-1252.", *warnings)


def _forced(data: bytes, charset: str) -> tuple[str, tuple[str, ...]]:
    text = data.decode(charset, "replace")
    bad = text.count("\ufffd")
    return text, ((_replaced(bad, charset),) if bad else ())


def _replaced(count: int, charset: str) -> str:
    return f"{count} places were no valid {charset} and read as \ufffd."


def _named(head: bytes) -> str | None:
    for pattern in (_META, _XML, _CODING):
        match = pattern.search(head)
        if match is None:
            continue
        try:
            info = codecs.lookup(match[1].decode("ascii"))
        except LookupError:
            continue
        # What browsers do: a page that says Latin-1 means windows-1252. Codecs such as hex or zlib are no charsets.
        name = "cp1252" if info.name in {"iso8859-1", "ascii"} else info.name
        if name != "utf-8" and _is_charset(name):
            return name
    return None


def _is_charset(name: str) -> bool:
    try:
        b"a".decode(name, "replace")
    except (LookupError, UnicodeError):
        return False
    return True


def _refuse_binary(head: bytes) -> None:
    odd = len(head.translate(None, _PRINTABLE))
    if b"\0" in head or odd * 10 > len(head):
        raise Unreadable("binary", "The file holds binary data, not text.")
