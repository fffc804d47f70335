"""How far the local engine may go: which search back-ends, where they are, and for which requests at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from spadework.egress import AGENT
from spadework.engines.local.web.address import wanted
from spadework_tools.models import Request

Mode = Literal["on", "off", "auto"]

#: Where the public back-ends are, as their own documentation says (2026-11-21).
HOMES = {
    "wikipedia": "https://en.wikipedia.org",
    "arxiv": "https://export.arxiv.org",
    "crossref": "https://api.crossref.org",
    "hackernews": "https://hn.algolia.com",
    "stackexchange": "https://api.stackexchange.com",
    "duckduckgo": "https://html.duckduckgo.com",
}

#: The back-ends that lead to one site alone.
OWN = {"arxiv": "https://arxiv.org", "stackexchange": "https://stackoverflow.com"}


@dataclass(frozen=True, slots=True)
class Reach:
    """The web as one caller's settings allow it.

    `places` are the search back-ends in the order they are asked, each with its base URL. `chosen` says that the user
    pointed at one of them, by a SearXNG of their own or another base URL.
    """

    mode: Mode = "off"
    places: tuple[tuple[str, str], ...] = ()
    chosen: bool = False
    contact: str | None = None

    @classmethod
    def of(cls, setting: Callable[[str], str | None]) -> Reach:
        """The reach that these settings allow, each asked for by its variable's name."""
        mode = cast("Mode", setting("SPADEWORK_WEB") or "off")
        names = [name for name in (setting("SPADEWORK_WEB_BACKENDS") or "").split(",") if name]
        places: list[tuple[str, str]] = []
        chosen = False
        for name in names:
            variable = "SPADEWORK_SEARXNG_URL" if name == "searxng" else f"SPADEWORK_{name.upper()}_BASE_URL"
            own = setting(variable)
            chosen = chosen or own is not None
            base = own or HOMES.get(name)
            if base is not None:
                places.append((name, base.rstrip("/")))
        return cls(mode, tuple(places), chosen, setting("SPADEWORK_WEB_CONTACT"))

    @property
    def open(self) -> bool:
        """Whether any request at all may go to the web."""
        return self.mode != "off" and bool(self.places)

    def takes(self, request: Request) -> bool:
        """Whether a request goes to the web; one that names folders never does, whatever the settings.

        Left to itself (`auto`), one without folders goes there when it names sites, or when the user chose a back-end.
        """
        if not self.open or request.folders:
            return False
        return self.mode == "on" or bool(request.include_domains) or self.chosen

    def towards(self, domains: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """The back-ends that can lead to these sites: all where none is named."""
        return tuple((name, base) for name, base in self.places if _leads(name, base, domains))

    @property
    def agent(self) -> str:
        """Who we say we are; sites ask for a way to reach whoever sends the requests."""
        return f"{AGENT[:-1]}; mailto:{self.contact})" if self.contact else AGENT


def _leads(name: str, base: str, domains: Sequence[str]) -> bool:
    home = base if name == "wikipedia" else OWN.get(name)
    return home is None or wanted(home, domains, ())
