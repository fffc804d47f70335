"""A lead: a page that a search or another page points to, before it is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lead:
    """An address with what is said of it; `backend` says by whom (`link`: by a page that was read).

    `text` is a source's own words where its back-end hands out the whole of what is public (an abstract): such a
    lead is not fetched.
    """

    url: str
    title: str = ""
    snippet: str = ""
    backend: str = ""
    published: str | None = None
    text: str = ""
