"""Whether a cited address answers: by its HTTP status alone, and where it is gone, whether an archive has it.

Only a 404 or 410 goes on to the Wayback Machine's availability API: any other failure (a refusal, a limit, a server in
trouble) says nothing about the page, and the verdict says that it was blocked or not checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast
from urllib.parse import quote, urlsplit

from pydantic_core import from_json

from spadework.egress import Call, Reply
from spadework.evidence.fragments import address
from spadework_tools.errors import BadReply, EgressRefused, Trouble, Unreachable
from spadework_tools.models import Verdict

METHOD: Final = "http-v1"
WAYBACK: Final = "https://archive.org/wayback/available?url="
#: What one page may take in seconds and decoded bytes, and how many redirects are followed.
PAGE_S, PAGE_BYTES, HOPS = 15.0, 4 * 1024 * 1024, 5
_GONE: Final = frozenset({404, 410})
_KINDS: Final = "text/html,application/xhtml+xml,application/pdf,text/plain,text/markdown;q=0.9,*/*;q=0.1"


class Door(Protocol):
    """The guarded way out."""

    async def request(self, call: Call) -> Reply:
        """See `Egress.request`."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """What an address gave: its verdict, the answer where a page came, and whether the host could be reached."""

    verdict: Verdict
    reply: Reply | None = None
    reached: bool = True


async def look(http: Door, url: str, timeout_s: float = PAGE_S, archive: str = WAYBACK) -> Look:
    """Fetch an address once and judge it by its status.

    Args:
        http: the guarded client.
        url: the cited address; its fragment takes no part.
        timeout_s: how long it may take in all.
        archive: the availability API that a missing page's address is appended to.

    Returns:
        The look; `reply` only where the page itself came (2xx). Nothing is raised: what fails is a verdict.
    """
    wanted = address(url)
    headers = {"accept": _KINDS}
    try:
        reply = await http.request(Call("GET", wanted, headers, timeout_s=timeout_s, max_bytes=PAGE_BYTES, hops=HOPS))
    except EgressRefused as refusal:
        return Look(_said("blocked", why=refusal.message))
    except Unreachable as trouble:
        return Look(_said("not_checked", why=trouble.message), reached=False)
    except BadReply as trouble:
        return Look(_said("not_checked", why=trouble.message))
    if reply.status in _GONE:
        return Look(await _missing(http, wanted, reply.status, archive))
    if not 200 <= reply.status < 300:
        word = "blocked" if reply.status in (401, 402, 403, 405, 406, 407, 429, 451) else "not_checked"
        return Look(_said(word, status=reply.status))
    if _same(wanted, reply.url):
        return Look(_said("resolves", status=reply.status), reply)
    return Look(_said("redirected", status=reply.status, final_url=reply.url), reply)


async def _missing(http: Door, url: str, status: int, archive: str) -> Verdict:
    """The verdict on a page that is gone: whether the archive has ever seen it."""
    call = Call("GET", f"{archive}{quote(url, safe='')}", timeout_s=10.0, max_bytes=256 * 1024, hops=2)
    try:
        reply = await http.request(call)
        closest = _closest(reply) if reply.status == 200 else None
    except (Trouble, ValueError) as trouble:
        return _said("not_found", status=status, archive=f"could not be asked ({type(trouble).__name__})")
    if closest is None:
        known = "has no copy" if reply.status == 200 else f"answered with status {reply.status}"
        return _said("not_found", status=status, archive=known)
    return _said("dead_archived", status=status, **closest)


def _closest(reply: Reply) -> dict[str, str] | None:
    """The archive's nearest copy. Raises ValueError for an answer that is no such JSON."""
    answer: object = from_json(reply.body)
    held: object = answer
    for name in ("archived_snapshots", "closest"):
        held = cast("Mapping[str, object]", held).get(name) if isinstance(held, dict) else None
    if not isinstance(held, dict):
        return None
    copy = cast("Mapping[str, object]", held)
    url, stamp = copy.get("url"), copy.get("timestamp")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")) or copy.get("available") is False:
        return None
    return {"archived_url": url[:2_000], **({"archived_at": stamp[:14]} if isinstance(stamp, str) else {})}


def _same(wanted: str, final: str) -> bool:
    """Whether a redirect only changed the spelling: the scheme made safe, a slash at the end, `www.`."""
    one, two = urlsplit(wanted), urlsplit(final)
    return (_host(one.hostname), one.path.rstrip("/"), one.query) == (
        _host(two.hostname),
        two.path.rstrip("/"),
        two.query,
    )


def _host(name: str | None) -> str:
    return (name or "").lower().removeprefix("www.")


def _said(verdict: str, **detail: Any) -> Verdict:
    return Verdict(verdict=verdict, method=METHOD, detail=detail)
