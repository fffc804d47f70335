"""`spadework engines`: who can do the research here, what each gives and costs, and how old that knowledge is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

import typer

from spadework.engines.cloro import Cloro
from spadework.engines.facts import Facts
from spadework.engines.local.engine import FACTS as LOCAL
from spadework.engines.parallel import Parallel
from spadework.engines.perplexity import Perplexity
from spadework.ledger import micros, usd
from spadework.screen import Screen
from spadework.settings import Settings

#: The engines that research with, in the order they are shown.
ROSTER: tuple[Facts, ...] = (LOCAL, Perplexity.facts, Parallel.facts, Cloro.facts)


def engines(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the engines: which are usable here, their tiers, prices and limits, and when that was verified."""
    keys = Settings.load().vendor_keys
    screen = Screen()
    if as_json:
        screen.data([described(facts, keys) for facts in ROSTER])
        return
    screen.table(
        ("engine", "usable", "gives", "at most a run", "verified on", "prices of"),
        [
            (
                facts.name, _usable(facts, keys), gives(facts), span(facts),
                facts.verified_on or "-", facts.prices_on or "-",
            )
            for facts in ROSTER
        ],
    )  # fmt: skip
    screen.text("")
    screen.table(
        ("tier", "usually", "at most", "takes", "note"),
        [
            (
                f"{facts.name}:{tier}", usd(micros(price.usual)), usd(micros(price.worst)),
                f"{_time(price.soon_s)} to {_time(price.long_s)}", price.note,
            )
            for facts in ROSTER
            for tier, price in facts.tiers.items()
        ],
    )  # fmt: skip


def described(facts: Facts, keys: Collection[str]) -> dict[str, Any]:
    """An engine as JSON; `keys` are the names of those whose key is set."""
    return {
        "engine": facts.name,
        "title": facts.title,
        "usable": facts.free or facts.name in keys,
        "key_variables": list(facts.keys),
        "kind": facts.kind,
        "gives": gives(facts),
        "cannot": cannot(facts),
        "limits": {
            "domains": facts.domains,
            "records": facts.most_records if facts.records else 0,
            "schema_depth": facts.schema_depth or None,
        },
        "cancels": facts.cancels,
        "keeps": facts.keeps or None,
        "verified_on": facts.verified_on or None,
        "prices_on": facts.prices_on or None,
        "tiers": [
            {
                "tier": f"{facts.name}:{tier}",
                "usual_usd": price.usual,
                "worst_usd": price.worst,
                "usual_s": price.soon_s,
                "long_s": price.long_s,
                "efforts": sorted(effort for effort, name in facts.by_effort.items() if name == tier),
                "note": price.note or None,
            }
            for tier, price in facts.tiers.items()
        ],
    }


def row(facts: Facts) -> str:
    """An engine as a row of the documents' table."""
    cells = (
        f"`{facts.name}`", gives(facts), span(facts), facts.keeps, facts.cancels,
        ", ".join(f"`{name}`" for name in cannot(facts)) or "-", facts.verified_on or "-", facts.prices_on or "-",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def gives(facts: Facts) -> str:
    """What comes back from an engine, in a few words."""
    if facts.kind == "snapshot":
        return "an answer engine's own answer and its sources"
    able = [
        ("data by schema", facts.schema),
        (f"up to {facts.most_records:,} records", facts.records),
        ("follow-ups", facts.follow_up),
        ("local folders", facts.folders),
    ]
    return ", ".join(["a cited report", *(words for words, true in able if true)])


def cannot(facts: Facts) -> list[str]:
    """The arguments of `start_research` that an engine refuses."""
    able = {
        "include_domains": facts.domains > 0,
        "published_after": "published_after" in facts.dates,
        "published_before": "published_before" in facts.dates,
        "output_schema": facts.schema,
        "records": facts.records,
        "folders": facts.folders,
        "follow_up_to": facts.follow_up,
    }
    return [name for name, true in able.items() if not true]


def span(facts: Facts) -> str:
    """The worst cases of an engine's tiers, from the cheapest to the dearest."""
    if facts.free or not facts.tiers:
        return "free"
    worst = [micros(price.worst) for price in facts.tiers.values()]
    return f"{usd(min(worst))} to {usd(max(worst))}"


def _usable(facts: Facts, keys: Collection[str]) -> str:
    if facts.free or facts.name in keys:
        return "yes"
    return f"no: set {' or '.join(facts.keys)}"


def _time(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds / 60:g} min"
