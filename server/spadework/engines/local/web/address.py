"""Web addresses: one spelling for each page, and whether a request wants its site."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, quote, unquote, urlencode, urljoin, urlsplit, urlunsplit

LONGEST = 2_000
#: What campaigns and sharing buttons add to an address; it names no other page.
_TRACKING = re.compile(r"(?:utm_\w+|gclid|dclid|fbclid|msclkid|yclid|igshid|mc_[ce]id|_hs\w+|ref_src|cmpid)", re.I)
_PORTS = {"http": 80, "https": 443}
_WORDS = re.compile(r"[^\W_]+")


def canonical(url: str, base: str = "") -> str | None:
    """The address in its one spelling (RFC 3986, 6.2, without fragment and tracking), or None for no web page's."""
    try:
        parts = urlsplit(urljoin(base, url.strip()))
        port = parts.port
    except ValueError:
        return None
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower().rstrip(".")
    if scheme not in _PORTS or not host or parts.username is not None:
        return None
    if ":" in host:
        host = f"[{host}]"
    place = host if port in (None, _PORTS[scheme]) else f"{host}:{port}"
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    found = urlunsplit((scheme, place, path, _query(parts.query), ""))
    return found if len(found) <= LONGEST else None


def _query(query: str) -> str:
    if not _TRACKING.search(query):
        return quote(query, safe="/%:@!$&'()*+,;=~-._?[]")
    return urlencode([pair for pair in parse_qsl(query, keep_blank_values=True) if not _TRACKING.fullmatch(pair[0])])


def site(url: str) -> str:
    """The host and port of an address."""
    return urlsplit(url).netloc


def wanted(url: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether a page's site is among those asked for and not among those left out; a domain stands for all below it."""
    host = (urlsplit(url).hostname or "").lower()

    def below(domain: str) -> bool:
        bare = domain.lower().strip(".")
        return host == bare or host.endswith(f".{bare}")

    return (not include or any(map(below, include))) and not any(map(below, exclude))


def spoken(url: str) -> str:
    """The words of an address's path, for judging where a link leads."""
    return " ".join(_WORDS.findall(unquote(urlsplit(url).path)))
