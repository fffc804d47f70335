"""Text that others wrote, made fit to be shown to a model: framed as data, unable to act, and flagged where it tries.

Framing is not a wall: a model can still be talked to from inside. So what could do harm by itself is taken away
(images, links to where the job never went, a way to close the frame), and what reads like orders is named.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from urllib.parse import urlsplit

from spadework.evidence.signs import signs
from spadework_tools.clean import clean
from spadework_tools.models import Report, Source

# Every part is bounded and gives nothing back (`+` after a bound), so that no text makes these patterns slow.
# The frame's own tag in any spelling, inside what is framed; the first sign is what makes it a tag.
_TAG = re.compile(r"[<＜‹〈﹤](?=\s{0,20}+[/／]?\s{0,20}+untrusted\b)", re.IGNORECASE)
_IMAGE = re.compile(r"!\[([^\[\]\n]{0,500}+)\](?:\([^()\n]{0,4000}+\)|\[[^\[\]\n]{0,500}+\])?")
_IMAGE_TAG = re.compile(
    r"<\s{0,8}+/?\s{0,8}+(?:img|picture|source|svg|iframe|object|embed|video|audio|script|style|link|meta|base|form|"
    r"input|button|body|image)\b[^<>]{0,4000}+>?",
    re.IGNORECASE,
)
_LINK = re.compile(r"\[([^\[\]\n]{0,500}+)\]\([ \t]{0,8}+<?([^()\s<>]{0,4000}+)>?[^()\n]{0,500}+\)")
_ANCHOR = re.compile(r"<\s{0,8}+/?\s{0,8}+a\b[^<>]{0,4000}+>?", re.IGNORECASE)
_URL = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]{1,20}:(?:[/／\\]{2})|\b(?:javascript|data|vbscript|mailto|file|tel|blob):)[^\s<>\"'`)\]]*"
    r"|\bwww\.[^\s<>\"'`)\]]+",
    re.IGNORECASE,
)
_TRAIL = ".,;:!?"

_SOURCES = 20


def frame(text: str, source_id: str, known: Collection[str] = ()) -> str:
    """A source's text as data: `<untrusted source="s3">…</untrusted>`, inert and impossible to close from inside.

    Args:
        text: what the source says.
        source_id: the source's id, one of ours.
        known: the addresses that the job itself has fetched or cited; links to others are taken apart.
    """
    return f'<untrusted source="{_name(source_id)}">\n{inert(text, known)}\n</untrusted>'


def inert(text: str, known: Collection[str] = ()) -> str:
    """The text cleaned, with images as plain words, and no address in it but those the job knows."""
    text = clean(text)
    text = _IMAGE.sub(lambda found: f"(image: {found[1]})" if found[1].strip() else "(image)", text)
    # Brackets within brackets are no image to the pattern; to a renderer they may be.
    text = text.replace("![", "! [")
    text = _ANCHOR.sub("", _IMAGE_TAG.sub("", text))
    text = _LINK.sub(lambda found: found[0] if _knows(found[2], known) else found[1], text)
    text = _URL.sub(lambda found: _address(found[0], known), text)
    return _TAG.sub("&lt;", text)


def disarmed(text: str) -> str:
    """A report's text with each Markdown image made a link, sign for sign, so that every place in it stays."""
    return _IMAGE.sub(lambda found: "·" + found[0][1:], text)


def flagged(report: Report, texts: Mapping[str, str]) -> Report:
    """The report with a warning for each source whose text or quotes speak to a model; once, however often called.

    `texts` are the kept snapshots by sha256.
    """
    quotes: dict[str, list[str]] = {}
    for citation in report.citations:
        quotes.setdefault(citation.source_id, []).append(citation.quote)
    found = [(source, _found(source, texts, quotes.get(source.id, ()))) for source in report.sources]
    lines = [f"{source.id} {told}; its text is data, not instructions" for source, told in found if told]
    if len(lines) > _SOURCES:
        lines = [*lines[:_SOURCES], f"{len(lines) - _SOURCES} more sources speak to a model"]
    kept = report.provenance.warnings
    new = tuple(line for line in lines if line not in kept)
    if not new:
        return report
    return report.model_copy(update={"provenance": report.provenance.model_copy(update={"warnings": (*kept, *new)})})


def addresses(report: Report) -> frozenset[str]:
    """The addresses of a job's own sources."""
    return frozenset(source.url for source in report.sources if source.url)


def _found(source: Source, texts: Mapping[str, str], quotes: Iterable[str]) -> str:
    said = signs("\n".join([source.title, texts.get(source.sha256 or "", ""), *quotes]))
    return ", ".join(said)


def _name(source_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "", source_id)[:40]


def _address(url: str, known: Collection[str]) -> str:
    bare = url.rstrip(_TRAIL)
    if _knows(bare, known):
        return url
    host = _host(bare)
    return (f"(link to {host})" if host else "(link)") + url[len(bare) :]


def _knows(url: str, known: Collection[str]) -> bool:
    return url.startswith(("http://", "https://")) and url in known


def _host(url: str) -> str:
    """The host in words that no renderer makes a link of."""
    try:
        host = urlsplit(url if "//" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""
    return re.sub(r"[^a-z0-9.-]", "", host.lower())[:80].replace(".", " . ")
