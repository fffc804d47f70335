"""The old asynchronous Sonar API: gone today, alive behind a switch; judged by the SDK that still ships it."""

from __future__ import annotations

import perplexity
import pytest
from tests.standins.perplexity import Perplexity
from tests.standins.script import Script
from tests.standins.test_perplexity import desk, raw


def test_retired_sonar_answers_403_to_a_valid_key_and_401_to_another() -> None:
    standin = Perplexity()
    ask = {"model": "sonar-deep-research", "messages": [{"role": "user", "content": "q"}]}
    with desk(standin) as client:
        with pytest.raises(perplexity.PermissionDeniedError) as gone:
            client.async_.chat.completions.create(request=ask)
        assert gone.value.body == {
            "error": {
                "message": "Sonar is now the Agent API. Use /v1/responses instead of /v1/sonar.",
                "type": "chat_completions_not_available",
                "code": 403,
            }
        }
    with desk(standin, key="wrong") as client, pytest.raises(perplexity.AuthenticationError):
        client.async_.chat.completions.create(request=ask)
    assert len(standin.ledger) == 0


def test_a_gateway_that_still_speaks_sonar_gives_the_whole_old_life() -> None:
    standin = Perplexity(sonar=True)
    ask = {
        "model": "sonar-deep-research",
        "messages": [{"role": "user", "content": "State of voice agents?"}],
        "search_domain_filter": ["livekit.io"],
    }
    with desk(standin) as client:
        jobs = client.async_.chat.completions
        made = jobs.create(request=ask, idempotency_key="once")
        again = jobs.create(request=ask, idempotency_key="once")
        words = [made.status, jobs.get(made.id).status]
        done = jobs.get(made.id)
        listed = jobs.list()
    assert made.id == again.id and len(standin.ledger) == 1
    assert [*words, done.status] == ["CREATED", "IN_PROGRESS", "COMPLETED"]
    assert done.response is not None and done.response.usage is not None and done.response.search_results is not None
    assert done.response.choices[0].message.content.startswith("<think>")
    assert done.response.citations == [result.url for result in done.response.search_results]
    assert all("livekit.io" in url for url in done.response.citations)
    assert done.response.usage.cost.total_cost == 0.4
    assert [one.id for one in listed.requests] == [made.id]


def test_a_failed_sonar_job_says_why() -> None:
    standin = Perplexity(sonar=True)
    standin.script = Script(polls=1, fate="failed", error=("x", "No sources were found."))
    standin.sonar.created_as = "QUEUED"
    with raw(standin) as client:
        ask = {"request": {"model": "sonar", "messages": [{"role": "user", "content": "q"}]}, "webhook": {"url": "x"}}
        made = client.post("/async/chat/completions", json=ask).json()
        look = client.get(f"/async/chat/completions/{made['id']}").json()
    assert made["status"] == "QUEUED"
    assert (look["status"], look["error_message"], look["response"]) == ("FAILED", "No sources were found.", None)
    assert look["failed_at"] > 0
