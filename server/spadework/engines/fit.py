"""Whether a request fits what an engine takes: found out before anything is stored or spent."""

from __future__ import annotations

import json
import math
import re
from datetime import date

from spadework.engines.data import depth, sound
from spadework.engines.facts import Facts
from spadework_tools.errors import BadRequest
from spadework_tools.models import Request

_DOMAIN = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)+")
#: What a vendor's form adds around a schema and what is asked, characters.
_AROUND = 200


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
    _size(request, facts)


def day(text: str, name: str) -> date:
    """A date argument as a day; raises BadRequest for anything but `YYYY-MM-DD`, with or without a time behind."""
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError:
        raise BadRequest(
            f"{name} {text[:40]!r} is no date, so nothing was started. Write it like 2026-03-01."
        ) from None


def bare(domain: str) -> str:
    """A domain argument as vendors take it: in lower case, its letters of other scripts in their ASCII form.

    Raises BadRequest for what is none; a leading dash above all, by which a vendor would take it for its opposite.
    """
    try:
        name = domain.removesuffix(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        name = ""
    if not _DOMAIN.fullmatch(name):
        raise BadRequest(
            f"{domain[:80]!r} is not a bare domain, so nothing was started. Write it like `example.com`, without "
            "scheme, port or path."
        )
    return name


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
        bare(domain)
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
    nested = depth(request.output_schema) if facts.schema_depth else 0
    if facts.schema_object and request.output_schema and request.output_schema.get("type") != "object":
        raise BadRequest(
            f"{facts.name} takes an output_schema of type object, so nothing was started. Put yours under a property "
            "of an object."
        )
    if facts.schema_depth and nested > facts.schema_depth:
        levels = "without end" if math.isinf(nested) else f"{nested} levels"
        raise BadRequest(
            f"output_schema nests {levels} and {facts.name} takes at most {facts.schema_depth}, so nothing was "
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


def _size(request: Request, facts: Facts) -> None:
    if not facts.largest:
        return
    common = _AROUND + len(request.question) + len(json.dumps(request.output_schema, ensure_ascii=False))
    for place, asked in enumerate(request.records or ("",)):
        size = common + len(json.dumps(asked, ensure_ascii=False))
        if size > facts.largest:
            what = f"record {place}" if request.records else "the question"
            raise BadRequest(
                f"{what} and the output schema have {size:,} characters and {facts.name} takes {facts.largest:,}, so "
                "nothing was started. Shorten them."
            )


def _cannot(facts: Facts, argument: str) -> BadRequest:
    return BadRequest(
        f"engine {facts.name} cannot use {argument}, so nothing was started. Leave it out, or use engine auto."
    )
