"""Strict reading of request bodies: the fields a vendor knows, and what it says to any other."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

DOMAIN = re.compile(r"^-?\.?[a-z0-9-]+(\.[a-z0-9-]+)*$", re.IGNORECASE)
DATE = re.compile(r"^(\d{1,2}/\d{1,2}/\d{4}|\d{4}-\d{2}-\d{2})$")


class Body(BaseModel):
    """Fields a vendor documents; anything else, or another type, is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Flaw:
    """The first thing wrong with a body: `field` its own name, `path` its place, `unknown` if nobody knows it."""

    field: str
    path: str
    text: str
    unknown: bool = False


def parse(raw: bytes) -> Any:
    """A body's JSON, or a Flaw where it is none."""
    try:
        return json.loads(raw)
    except ValueError as error:
        return Flaw("", "", str(error))


def check(model: type[Body], value: Any) -> Flaw | None:
    """What is wrong with a body, unknown fields first; None if nothing is."""
    if isinstance(value, Flaw):
        return value
    try:
        model.model_validate(value)
    except ValidationError as error:
        found = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")[0]
        place = [str(part) for part in found["loc"]]
        unknown = found["type"] == "extra_forbidden"
        return Flaw(place[-1] if place else "", ".".join(place), found["msg"], unknown)
    return None


def bare_domain(name: str) -> bool:
    """Whether a domain comes as vendors want it: no scheme, path or port."""
    return DOMAIN.match(name) is not None
