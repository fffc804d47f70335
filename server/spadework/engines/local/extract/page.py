"""What an HTML page says about itself: title, date, language, and whether it is an article or documentation."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, cast

from spadework.engines.local.extract.decode import nfc

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATE_NAMES = (
    "article:published_time",
    "datepublished",
    "date",
    "dc.date",
    "dc.date.issued",
    "dcterms.date",
    "dcterms.created",
    "citation_publication_date",
    "citation_date",
    "parsely-pub-date",
    "sailthru.date",
    "pubdate",
)
_ARTICLES = frozenset(
    (
        "Article",
        "NewsArticle",
        "BlogPosting",
        "ReportageNewsArticle",
        "Report",
        "ScholarlyArticle",
        "OpinionNewsArticle",
    )
)
_SCHEMA = re.compile(r"https?://schema\.org/")
_MAKERS = re.compile(
    r"sphinx|mkdocs|docusaurus|docutils|javadoc|doxygen|vuepress|vitepress|jekyll docs|hugo docs|gitbook|antora|"
    r"asciidoctor|rustdoc|docbook|mediawiki|pdoc|docfx|starlight|mdbook",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Facts:
    """A page's own words on itself; `heading` is its only h1, if there is just one."""

    title: str
    heading: str
    published: str | None
    lang: str | None
    article: bool
    documentation: bool


def facts(root: Any) -> Facts:
    """Read a page's head (before it is pruned)."""
    metas = _metas(root)
    linked = _linked_data(root)
    headings = [_line(node.xpath("string()")) for node in root.iter("h1")]
    return Facts(
        title=metas.get("og:title") or _line(root.findtext(".//title")) or metas.get("twitter:title", ""),
        heading=headings[0].rstrip("¶#§").rstrip() if len(headings) == 1 else "",
        published=_published(root, metas, linked),
        lang=(root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or "").strip()[:35] or None,
        article=_article(root, metas, linked),
        documentation=bool(_MAKERS.search(metas.get("generator", "")[:200])),
    )


def _article(root: Any, metas: dict[str, str], linked: list[dict[str, Any]]) -> bool:
    """Whether a page says of itself, in meta tags, JSON-LD or microdata, that it is one article."""
    if metas.get("og:type", "").lower() == "article" or "article:published_time" in metas:
        return True
    if any(not _ARTICLES.isdisjoint(_names(item.get("@type"))) for item in linked):
        return True
    # A list of teasers marks each as an article; the page of an article marks one.
    marked = (_SCHEMA.sub("", kind) for kind in root.xpath("//@itemtype"))
    return sum(1 for kinds in marked if not _ARTICLES.isdisjoint(kinds.split())) == 1


def _names(kinds: Any) -> list[str]:
    """A JSON-LD `@type`, which is one name or a list of them."""
    return [str(kind) for kind in (cast("list[Any]", kinds) if isinstance(kinds, list) else [kinds])]


def _metas(root: Any) -> dict[str, str]:
    metas: dict[str, str] = {}
    for node in root.iter("meta"):
        name = node.get("property") or node.get("name") or node.get("itemprop")
        content = _line(node.get("content"))
        if name and content:
            metas.setdefault(name.strip().lower(), content)
    return metas


def _linked_data(root: Any) -> list[dict[str, Any]]:
    """The objects of a page's JSON-LD, a `@graph`'s members included; what does not parse is left out."""
    found: list[dict[str, Any]] = []
    for node in root.iterfind(".//script[@type='application/ld+json']"):
        try:
            # Not strict: a raw line break within a string is the commonest mistake of these.
            data = json.loads(node.text or "null", strict=False)
        except (ValueError, RecursionError):
            continue
        found.extend(_objects(data))
    return found


def _objects(data: Any) -> list[dict[str, Any]]:
    items = cast("list[Any]", data) if isinstance(data, list) else [data]
    objects = [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
    graphs = [item["@graph"] for item in objects if isinstance(item.get("@graph"), list)]
    inner = [cast("dict[str, Any]", item) for graph in graphs for item in graph if isinstance(item, dict)]
    return objects + inner


def _published(root: Any, metas: dict[str, str], linked: list[dict[str, Any]]) -> str | None:
    """The first date (YYYY-MM-DD) among JSON-LD, meta tags and time elements that are marked as publication."""
    said = [str(item.get("datePublished") or "") for item in linked]
    said += [metas.get(name, "") for name in _DATE_NAMES]
    said += [node.get("datetime") or "" for node in root.iterfind(".//time[@pubdate]")]
    said += [node.get("datetime") or "" for node in root.iterfind(".//article//time")][:1]
    for text in said:
        match = _DATE.match(text.strip().replace("/", "-"))
        if match:
            return match[0]
    return None


def _line(text: str | None) -> str:
    return nfc(" ".join((text or "").split()))[:300]
