"""`cancel_research`: end a job that is no longer wanted."""

from __future__ import annotations

from pydantic import Field

from spadework_tools.desk import Desk
from spadework_tools.models import Cancelled, Frozen
from spadework_tools.tool import Answer, Hints, Tool, shown


class Cancel(Frozen):
    """`cancel_research`'s arguments."""

    job_id: str = Field(min_length=1, max_length=200)


async def cancel(arguments: Cancel, desk: Desk) -> Answer:
    """What became of the job, and what still goes on elsewhere."""
    return Answer.of(await desk.cancel(arguments.job_id))


CANCEL = Tool(
    name="cancel_research",
    title="Cancel research",
    description="Stop a job. What was found stays readable; says what the vendor may still bill.",
    arguments=Cancel,
    run=cancel,
    hints=Hints(read_only=False, destructive=True, idempotent=True, open_world=True),
    output=Cancelled,
    meta=shown("stop a research job"),
)
