"""`auto`: which engine a request goes to, and why, in words.

A pure function of the request and of what is known of the engines, so that the same question on the same set-up goes
the same way, and the reason can be shown. What it may not do is spend money twice in silence: another engine takes
over only after a refusal that proves nothing was bought (`refusal.ELSEWHERE`), and the reason names the one before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from spadework.engines.facts import Facts
from spadework.engines.fit import fit
from spadework.ledger import micros, usd
from spadework_tools.errors import BadRequest, BudgetExceeded, MissingKey
from spadework_tools.models import Request

#: Who is asked first, by what is wanted: data with a basis for each field, a deep report, or a quick one.
FOR_DATA = ("parallel", "exa", "perplexity", "openai", "gemini", "local")
FOR_DEPTH = ("parallel", "perplexity", "openai", "gemini", "exa", "local")
FOR_SPEED = ("perplexity", "parallel", "exa", "openai", "gemini", "local")


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine and tier a request goes to, the reason in one sentence, and who could take it otherwise."""

    engine: str
    tier: str | None
    why: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Offer:
    facts: Facts
    tier: str | None
    worst_usd: float
    lowered: bool = False


def choose(
    request: Request,
    engines: Sequence[Facts],
    keys: Collection[str],
    left_usd: float | None = None,
    tried: Sequence[tuple[str, str]] = (),
) -> Choice:
    """The engine for a request.

    Args:
        request: what is asked.
        engines: the engines there are.
        keys: the names of the engines whose key is configured; free ones need none.
        left_usd: what the day's cap still allows, or None for no cap.
        tried: engines that refused this job before it cost anything, each with its error code; they are left out.

    Raises:
        MissingKey: no engine that could do it has its key.
        BudgetExceeded: each engine that could do it costs more than is allowed.
        BadRequest: no engine takes such a request; the message is that of the one asked first for its kind.
    """
    gone = {name for name, _ in tried}
    objections: dict[str, BadRequest] = {}
    able: list[Facts] = []
    for facts in engines:
        if facts.kind != "research" or facts.name in gone:
            continue
        try:
            fit(request, facts)
        except BadRequest as error:
            objections[facts.name] = error
        else:
            able.append(facts)
    if not able:
        if objections:
            # Whoever would have been asked first knows best what is wrong with it.
            raise objections[min(objections, key=lambda name: _rank(request, name))]
        raise BadRequest(f"no engine is left for this request{_before(tried)}. Try it later, or name an engine.")
    ready = [facts for facts in able if facts.free or facts.name in keys]
    if not ready:
        names = ", ".join(variable for facts in able for variable in facts.keys[:1])
        raise MissingKey(f"no engine that can do this has a key{_before(tried)}. Set one of {names}.")
    offers = sorted(_offers(request, ready, left_usd), key=lambda offer: _rank(request, offer.facts.name))
    return _told(request, offers, able, keys, tried)


def _offers(request: Request, ready: Sequence[Facts], left_usd: float | None) -> list[_Offer]:
    """What each engine can do for the money; raises BudgetExceeded when that is nothing."""
    caps = [cap for cap in (request.max_cost_usd, left_usd) if cap is not None]
    limit = min(caps) if caps else None
    made = [(facts, _offer(request, facts, limit)) for facts in ready]
    offers = [offer for _, offer in made if offer is not None]
    if offers:
        return offers
    count = max(1, len(request.records))
    cheapest = min(price.worst * count for facts in ready for price in facts.tiers.values())
    raise BudgetExceeded(
        f"the cheapest engine that can do this may cost {usd(micros(cheapest))}, and {usd(micros(limit or 0.0))} is "
        "allowed (the lower of max_cost_usd and what is left of the day's cap), so nothing was started. Raise it, or "
        "ask for less."
    )


def _offer(request: Request, facts: Facts, limit: float | None) -> _Offer | None:
    """The effort's tier, or the deepest cheaper one that fits the limit."""
    if facts.free or not facts.tiers:
        return _Offer(facts, None, 0.0)
    count = max(1, len(request.records))
    wanted = facts.tier(request)
    worst = facts.tiers[wanted].worst * count
    if limit is None or worst <= limit:
        return _Offer(facts, wanted, worst)
    usual = {*facts.by_effort.values(), *facts.by_effort_row.values()}
    fitting = [(price.worst, name) for name, price in facts.tiers.items() if price.worst * count <= limit]
    fitting = [entry for entry in fitting if entry[1] in usual] or fitting
    if not fitting:
        return None
    cost, name = max(fitting)
    return _Offer(facts, name, cost * count, lowered=True)


def _rank(request: Request, name: str) -> int:
    order = FOR_SPEED if request.effort != "high" else FOR_DEPTH
    if request.records or request.output_schema is not None:
        order = FOR_DATA
    if request.folders:
        order = ("local",)
    return order.index(name) if name in order else len(order)


def _told(
    request: Request,
    offers: Sequence[_Offer],
    able: Sequence[Facts],
    keys: Collection[str],
    tried: Sequence[tuple[str, str]],
) -> Choice:
    first = offers[0]
    wish = "data" if request.records or request.output_schema is not None else f"{request.effort} effort"
    wish = "local folders" if request.folders else f"{len(request.records)} records" if request.records else wish
    name = f"{first.facts.name}:{first.tier}" if first.tier else first.facts.name
    price = f"at most {usd(micros(first.worst_usd))}" if first.worst_usd else "free"
    why = f"{name} for {wish} ({price})"
    if first.lowered:
        why += ", a smaller tier than the effort's because of the budget"
    taken = {offer.facts.name for offer in offers}
    dear = [facts.name for facts in able if facts.name in keys and facts.name not in taken]
    if dear:
        why += f"; above the budget: {', '.join(dear)}"
    without = [facts.name for facts in able if not facts.free and facts.name not in keys]
    if without:
        why += f"; no key for {', '.join(without)}"
    others = tuple(offer.facts.name for offer in offers[1:])
    return Choice(first.facts.name, first.tier, why + _before(tried), others)


def _before(tried: Sequence[tuple[str, str]]) -> str:
    if not tried:
        return ""
    return "; before it " + ", ".join(f"{name} refused ({code})" for name, code in tried) + ", at no cost"
