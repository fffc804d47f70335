"""The switches, each seen at work on the Perplexity stand-in: what a client gets, and what the ledger knows."""

from __future__ import annotations

import httpx2
import pytest
from tests.standins.faults import Kind
from tests.standins.perplexity import Perplexity
from tests.standins.script import Script
from tests.standins.test_perplexity import ASK, desk, raw, submit


@pytest.mark.parametrize(
    ("kind", "status", "word"),
    [
        (Kind.BAD_KEY, 401, "invalid_api_key"),
        (Kind.NO_CREDIT, 402, "insufficient_credits"),
        (Kind.RETIRED_MODEL, 400, "invalid_model"),
        (Kind.RETIRED_ENDPOINT, 403, "chat_completions_not_available"),
        (Kind.RATE_LIMIT, 429, "request_rate_limit_exceeded"),
        (Kind.SERVER_ERROR, 503, "internal_error"),
    ],
)
def test_each_refusal_has_the_vendors_status_and_type_and_buys_nothing(kind: Kind, status: int, word: str) -> None:
    standin = Perplexity()
    standin.faults.add(kind, "submit", retry_after="120")
    with raw(standin) as client:
        answer = client.post("/v1/agent", json=ASK)
        after = client.post("/v1/agent", json=ASK)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, word)
    assert after.status_code == 200 and len(standin.ledger) == 1
    if kind in (Kind.RATE_LIMIT, Kind.SERVER_ERROR):
        assert answer.headers["retry-after"] == "120"
    if kind is Kind.RATE_LIMIT:
        assert answer.headers["x-ratelimit-limit"] == "50"


@pytest.mark.parametrize(("kind", "bought"), [(Kind.LOST_BEFORE, 0), (Kind.LOST_AFTER, 1)])
def test_a_lost_reply_closes_the_connection_and_the_ledger_knows_what_was_bought(kind: Kind, bought: int) -> None:
    standin = Perplexity()
    standin.faults.add(kind, "submit")
    with raw(standin) as client, pytest.raises(httpx2.RemoteProtocolError):
        client.post("/v1/agent", json=ASK)
    assert len(standin.ledger) == bought
    assert standin.log[0].status is None


def test_the_sdk_itself_buys_twice_when_one_reply_is_lost() -> None:
    standin = Perplexity()
    standin.faults.add(Kind.LOST_AFTER, "submit")
    with desk(standin, retries=2) as client:
        submit(client)
    assert len(standin.ledger) == 2


def test_silence_ends_in_the_clients_own_timeout() -> None:
    standin = Perplexity()
    standin.faults.add(Kind.STALL_AFTER, "submit")
    with raw(standin) as client, pytest.raises(httpx2.ReadTimeout):
        client.post("/v1/agent", json=ASK, timeout=0.2)
    assert len(standin.ledger) == 1


@pytest.mark.parametrize(
    ("kind", "look"),
    [
        (Kind.MALFORMED, "broken"),
        (Kind.HTML, "html"),
        (Kind.EMPTY, "broken"),
        (Kind.TRUNCATED, "cut"),
        (Kind.WRONG_TYPES, "types"),
        (Kind.UNKNOWN_FIELD, "novel"),
        (Kind.UNKNOWN_STATUS, "status"),
        (Kind.SURROGATE, "surrogate"),
    ],
)
def test_each_spoiled_answer_is_spoiled_as_named(kind: Kind, look: str) -> None:
    standin = Perplexity()
    standin.script = Script(polls=0)
    with raw(standin) as client:
        made = client.post("/v1/agent", json=ASK).json()
        standin.faults.add(kind, "look", match=ASK["input"])
        if look == "cut":
            with pytest.raises(httpx2.RemoteProtocolError):
                client.get(f"/v1/agent/{made['id']}")
            return
        answer = client.get(f"/v1/agent/{made['id']}")
        good = client.get(f"/v1/agent/{made['id']}").json()
    assert answer.status_code == 200 and good["status"] == "completed"
    if look == "html":
        assert answer.headers["content-type"] == "text/html" and answer.text.startswith("<!DOCTYPE")
    elif look == "broken":
        with pytest.raises(ValueError):
            answer.json()
    elif look == "types":
        assert isinstance(answer.json()["status"], int) and isinstance(answer.json()["output"], dict)
    elif look == "novel":
        assert answer.json()["novel_field"] and answer.json()["output"][0]["novel_field"]
    elif look == "status":
        assert answer.json()["status"] == "pondering"
    else:
        assert b"\\ud83d" in answer.content
        with pytest.raises(UnicodeEncodeError):
            answer.json()["output"][-1]["content"][0]["text"].encode()


def test_a_switch_can_wait_its_turn_and_can_be_meant_for_one_run_alone() -> None:
    standin = Perplexity()
    standin.faults.add(Kind.SERVER_ERROR, "submit", after=1)
    standin.faults.add(Kind.NO_CREDIT, "submit", match="poor", times=None)
    with raw(standin) as client:
        codes = [
            client.post("/v1/agent", json={**ASK, "input": words}).status_code
            for words in ("rich", "rich", "rich", "poor man", "rich", "poor man")
        ]
        standin.faults.clear()
        codes.append(client.post("/v1/agent", json={**ASK, "input": "poor man"}).status_code)
    assert codes == [200, 503, 200, 402, 200, 402, 200]
    assert len(standin.ledger) == 4


def test_a_defect_of_a_stand_in_fails_its_test() -> None:
    standin = Perplexity()
    with pytest.raises(ExceptionGroup, match="raised"), raw(standin) as client:
        standin.script = None  # type: ignore[assignment]
        assert client.post("/v1/agent", json=ASK).status_code == 500
