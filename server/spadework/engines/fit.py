"""Whether a request fits what an engine takes: found out before anything is stored or spent."""

from __future__ import annotations

from datetime import date

from spadework.engines.data import depth, sound
from spadework.engines.facts import Facts
from spadework_tools.errors import BadRequest
from spadework_tools.models import Request


def fit(request: Request, facts: Facts) -> None:
    """Raises BadRequest for the first thing that the engine cannot do or the vendor would refuse."""
    _content(request, facts)
    _domains(request, facts)
    for name in ("published_after", "published_before"):
        text = getattr(request, name)
        if text is None:
            continue
        day(text, name)
        if name not in facts.dates:
            raise _cannot(facts, name)
    _schema(request, facts)
    _records(request, facts)


def day(text: str, name: str) -> date:
    """A date argument as a day; raises BadRequest for anything but `YYYY-MM-DD`, with or without a time behind."""
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError:
        raise BadRequest(
            f"{name} {text[:40]!r} is no date, so nothing was started. Write it like 2026-03-01."
        ) from None


def _content(request: Request, facts: Facts) -> None:
    if request.folders and not facts.folders:
        raise _cannot(facts, "folders")
    if request.follow_up_to is not None and not facts.follow_up:
        raise _cannot(facts, "follow_up_to")


def _domains(request: Request, facts: Facts) -> None:
    domains = (*request.include_domains, *request.exclude_domains)
    if domains and not facts.domains:
        raise _cannot(facts, "include_domains" if request.include_domains else "exclude_domains")
    for domain in domains:
        bare = domain.strip(".")
        if any(sign in domain for sign in ("/", ":", " ", "@", "*")) or "." not in bare:
            raise BadRequest(
                f"{domain[:80]!r} is not a bare domain, so nothing was started. Write it like `example.com`, without "
                "scheme, port or path."
            )
    if len(domains) > facts.domains:
        raise BadRequest(
            f"{facts.name} takes at most {facts.domains} domains and {len(domains)} were given, so nothing was "
            "started. Leave some out."
        )


def _schema(request: Request, facts: Facts) -> None:
    if request.output_schema is None:
        return
    if not facts.schema:
        raise _cannot(facts, "output_schema")
    sound(request.output_schema)
    nested = depth(request.output_schema)
    if facts.schema_depth and nested > facts.schema_depth:
        raise BadRequest(
            f"output_schema nests {nested} levels and {facts.name} takes at most {facts.schema_depth}, so nothing was "
            "started. Flatten it."
        )


def _records(request: Request, facts: Facts) -> None:
    if not request.records:
        return
    if not facts.records:
        raise _cannot(facts, "records")
    if len(request.records) > facts.most_records:
        raise BadRequest(
            f"{len(request.records):,} records were given and one job takes at most {facts.most_records:,}, so nothing "
            "was started. Split them into several jobs."
        )


def _cannot(facts: Facts, argument: str) -> BadRequest:
    return BadRequest(
        f"engine {facts.name} cannot use {argument}, so nothing was started. Leave it out, or use engine auto."
    )
