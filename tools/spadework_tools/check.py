"""`check_research`: where jobs stand, now or as soon as something changes."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import from_json

from spadework_tools.desk import Desk
from spadework_tools.models import Frozen, Standings
from spadework_tools.tool import Answer, Hints, Tool, shown


def _listed(value: object) -> object:
    """One bare id, or a list that a client sent as JSON text, is what the model meant by a list."""
    if not isinstance(value, str):
        return value
    return from_json(value) if value.startswith("[") else [value]


class Check(Frozen):
    """`check_research`'s arguments."""

    job_ids: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=200)], ...],
        Field(max_length=20, description="Omit to list your recent jobs"),
        BeforeValidator(_listed),
    ] = ()
    wait_s: float = Field(0, ge=0, le=45, description="0-45 (default 0): wait this long for a change")
    since: str | None = Field(None, max_length=40, description="since of your last check: only what is new")
    cursor: str | None = Field(None, max_length=200, description="Next page of the list")


async def check(arguments: Check, desk: Desk) -> Answer:
    """The standing of each job; of an unchanged one, only that it is unchanged."""
    standings = await desk.check(
        arguments.job_ids, wait_s=arguments.wait_s, since=arguments.since, cursor=arguments.cursor
    )
    return Answer.of(standings)


CHECK = Tool(
    name="check_research",
    title="Check research",
    description=(
        "See where research jobs stand. While one runs, do other work and check again after poll_after_s, never in a "
        "loop. When status is completed, call get_result; when needs_input, do what asks says."
    ),
    arguments=Check,
    run=check,
    hints=Hints(read_only=True, destructive=False, idempotent=True, open_world=False),
    output=Standings,
    meta=shown("status and progress of research jobs, list my research, resume"),
)
