"""`start_research`: hand in a question, get a ticket at once."""

from __future__ import annotations

from spadework_tools.desk import Desk
from spadework_tools.models import Request, Ticket
from spadework_tools.tool import Answer, Hints, Tool, shown


async def start(request: Request, desk: Desk) -> Answer:
    """The ticket of a job that is durable before this returns."""
    return Answer.of(await desk.start(request))


START = Tool(
    name="start_research",
    title="Start research",
    description=(
        "Start a research job that runs in the background: web or local documents, answered with checkable citations. "
        "For questions that need several sources, not a single fact. Returns a job_id at once; "
        "tell the user, go on with other work, and call check_research no sooner than poll_after_s. "
        "Safe to retry: the same request within a day returns the same job. Reports are kept 7 days or more."
    ),
    arguments=Request,
    run=start,
    hints=Hints(read_only=False, destructive=False, idempotent=True, open_world=True),
    output=Ticket,
    meta=shown("research a question in the background, web or local documents, sources and citations, deep research"),
)
