"""Detours: a job that `auto` placed goes to another engine after a refusal that cost nothing.

Never after money was spent: an engine that has its vendor's id on record has bought, and its job stays with it.
"""

from __future__ import annotations

from collections.abc import Mapping

from spadework.bench import JobBench, Kit
from spadework.engines import Engine
from spadework.engines.auto import choose
from spadework.engines.facts import Facts
from spadework.engines.refusal import ELSEWHERE
from spadework.environ import VENDOR_KEYS
from spadework.job import Event, Job
from spadework.ledger import Ledger
from spadework.registry import Change
from spadework_tools.errors import BadRequest, BudgetExceeded, MissingKey, Trouble


def facts(engines: Mapping[str, Engine]) -> list[Facts]:
    """What is known of each engine."""
    return [engine.facts for engine in engines.values()]


async def detour(job: Job, bench: JobBench, kit: Kit, engines: Mapping[str, Engine], trouble: Trouble) -> Change | None:
    """The change that hands a job to the next capable engine, or None where there is none or money was spent."""
    if not job.placed or trouble.code not in ELSEWHERE or await bench.recall("upstream") is not None:
        return None
    tried = (*job.tried, (job.engine, trouble.code))
    keys = [vendor for vendor in VENDOR_KEYS if _has_key(kit, job, vendor)]
    try:
        choice = choose(job.request, facts(engines), keys, await left(kit.ledger), tried)
        estimate = await engines[choice.engine].admit(job.request, choice.tier)
    except (BadRequest, BudgetExceeded, MissingKey):
        # Nobody else can: the refusal that brought us here says more than this one would.
        return None
    fields = {
        "engine": choice.engine, "tier": choice.tier, "tried": tried, "phase": f"moved to {choice.engine}",
        "eta_s": estimate.eta_s, "cost_estimate_usd": estimate.cost_usd, "why": choice.why, "error": None,
    }  # fmt: skip
    event = Event(at=kit.clock.wall(), kind="moved", text=choice.why)
    return Change(fields=fields, events=(event,), due=kit.clock.boot())


async def left(ledger: Ledger) -> float | None:
    """What the day's cap still allows in dollars; None without a cap."""
    day = await ledger.totals()
    return None if day.cap_usd is None else max(0.0, day.cap_usd - day.spent_usd - day.reserved_usd)


def _has_key(kit: Kit, job: Job, vendor: str) -> bool:
    try:
        return bool(kit.key(job, vendor))
    except MissingKey:
        return False
