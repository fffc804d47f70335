"""`auto` picks an engine by what is configured, wanted and allowed, and says why."""

from __future__ import annotations

import pytest

from spadework.engines.auto import choose
from spadework.engines.cloro import Cloro
from spadework.engines.facts import Facts
from spadework.engines.parallel import Parallel
from spadework.engines.perplexity import Perplexity
from spadework_tools.errors import BadRequest, BudgetExceeded, MissingKey
from spadework_tools.models import Request

LOCAL = Facts(name="local", title="Local", free=True, folders=True, domains=50, follow_up=True)
ALL = (LOCAL, Perplexity.facts, Parallel.facts, Cloro.facts)
VENDORS = ALL[1:]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def request(**fields: object) -> Request:
    return Request.model_validate({"question": "What is new?", **fields})


@pytest.mark.parametrize(
    ("fields", "keys", "engine", "tier"),
    [
        ({}, set(), "local", None),
        ({}, {"cloro"}, "local", None),
        ({}, {"perplexity", "parallel"}, "perplexity", "medium"),
        ({"effort": "low"}, {"perplexity", "parallel"}, "perplexity", "low"),
        ({"effort": "high"}, {"perplexity", "parallel"}, "parallel", "ultra"),
        ({"effort": "high"}, {"perplexity"}, "perplexity", "high"),
        ({"output_schema": SCHEMA}, {"perplexity", "parallel"}, "parallel", "pro"),
        ({"output_schema": SCHEMA}, {"perplexity"}, "perplexity", "medium"),
        ({"output_schema": SCHEMA, "records": [{"a": 1}]}, {"perplexity", "parallel"}, "parallel", "base"),
        ({"folders": ("/tmp/notes",)}, {"perplexity", "parallel"}, "local", None),
        ({"published_before": "2026-01-01"}, {"perplexity", "parallel"}, "perplexity", "medium"),
        ({"effort": "high", "max_cost_usd": 0.2}, {"parallel"}, "parallel", "pro"),
    ],
)
def test_the_choice_follows_from_the_request_and_the_keys(fields, keys, engine, tier):
    choice = choose(request(**fields), ALL, keys)
    assert (choice.engine, choice.tier) == (engine, tier)
    assert choice.why.startswith(f"{engine}:{tier} for" if tier else f"{engine} for")


def test_the_reason_names_a_lower_tier_and_the_missing_keys():
    choice = choose(request(effort="high", max_cost_usd=0.2), ALL, {"parallel"})
    assert "because of the budget" in choice.why
    assert "no key for perplexity" in choice.why
    assert choice.others == ("local",)


def test_the_next_capable_engine_takes_over_and_the_reason_says_what_happened():
    choice = choose(request(), ALL, {"perplexity", "parallel"}, tried=[("perplexity", "endpoint_retired")])
    assert choice.engine == "parallel"
    assert choice.why.endswith("; before it perplexity refused (endpoint_retired), at no cost")


def test_the_days_money_counts_too():
    assert choose(request(), VENDORS, {"parallel"}, left_usd=0.03).tier == "core"
    with pytest.raises(BudgetExceeded, match=r"\$0.001"):
        choose(request(), VENDORS, {"parallel", "perplexity"}, left_usd=0.001)


def test_records_count_each():
    rows = [{"a": n} for n in range(100)]
    assert choose(request(records=rows, output_schema=SCHEMA, max_cost_usd=0.6), ALL, {"parallel"}).tier == "lite"
    with pytest.raises(BudgetExceeded, match=r"\$0.50"):
        choose(request(records=rows, output_schema=SCHEMA, max_cost_usd=0.4), ALL, {"parallel"})


def test_what_cannot_be_done_is_told_with_what_is_missing():
    with pytest.raises(MissingKey, match="PARALLEL_API_KEY"):
        choose(request(records=[{"a": 1}], output_schema=SCHEMA), ALL, set())
    with pytest.raises(BadRequest, match="folders"):
        choose(request(folders=("/tmp",)), VENDORS, {"perplexity"})
    with pytest.raises(BadRequest, match="refused"):
        choose(request(), (LOCAL,), set(), tried=[("local", "vendor_down")])
