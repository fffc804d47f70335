"""The vendors' stand-ins as a market that an agent's server buys from, and what leads a client there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any

import anyio
from tests.journeys.desks import Agent
from tests.standins.cloro import Cloro
from tests.standins.parallel import Parallel
from tests.standins.perplexity import Perplexity
from tests.standins.script import Script
from tests.standins.standin import KEY, Standin

KINDS: dict[str, Callable[..., Standin]] = {"perplexity": Perplexity, "parallel": Parallel, "cloro": Cloro}
#: The quickest tier of each, and its worst case in dollars.
QUICK = {"perplexity": ("fast", 0.01), "parallel": ("lite-fast", 0.005), "cloro": ("google", 0.0072)}
COMPANY = {
    "type": "object",
    "properties": {
        "company_name": {"type": "string"},
        "industry": {"type": "string"},
        "employees": {"type": "integer"},
    },
    "required": ["company_name"],
}


def setting(standin: Standin, url: str) -> dict[str, object]:
    """What a client's configuration needs for a vendor."""
    return {f"{standin.vendor.upper()}_API_KEY": KEY, f"{standin.vendor}_base_url": url}


@asynccontextmanager
async def market(*names: str) -> AsyncIterator[tuple[list[Any], dict[str, object]]]:
    """Stand-ins while the block runs, and the settings that lead to them."""
    standins, settings = [KINDS[name]() for name in names], dict[str, object]()
    async with anyio.create_task_group() as group:
        closing, opened = anyio.Event(), [anyio.Event() for _ in names]

        async def keep(standin: Standin, ready: anyio.Event) -> None:
            async with standin.serve() as url:
                settings.update(setting(standin, url))
                ready.set()
                await closing.wait()

        for standin, ready in zip(standins, opened, strict=True):
            group.start_soon(keep, standin, ready)
        for ready in opened:
            await ready.wait()
        try:
            yield standins, settings
        finally:
            closing.set()


def quick(name: str) -> str:
    return f"{name}:{QUICK[name][0]}"


@contextmanager
def town() -> Iterator[tuple[list[Standin], dict[str, object]]]:
    """All stand-ins for a synchronous test, with runs of two looks, and the settings that lead to them."""
    with ExitStack() as stack:
        standins, settings = [kind() for kind in KINDS.values()], dict[str, object]()
        for standin in standins:
            standin.script = Script(polls=2)
            settings |= setting(standin, stack.enter_context(standin.serving()))
        yield standins, settings


def bought(agent: Agent) -> list[str]:
    """A job of each vendor, just started."""
    asked = "How are heat pumps sold?"
    return [agent.ask("start_research", question=asked, engine=quick(name))["job_id"] for name in KINDS]
