"""The cloro stand-in, judged by the vendor's own SDK (cloro 0.2.0) and by raw requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cloro
import httpx2
import pytest
from tests.standins.cloro import CREDITS, Cloro
from tests.standins.faults import Kind
from tests.standins.inbox import Inbox, sealed
from tests.standins.script import Script
from tests.standins.standin import KEY

ASK = {"prompt": "What is cloro?", "country": "US"}
TASK = {"taskType": "CHATGPT", "payload": ASK}


@contextmanager
def desk(standin: Cloro, retries: int = 0, key: str = KEY) -> Iterator[cloro.Cloro]:
    with standin.serving() as url, cloro.Cloro(api_key=key, base_url=url, max_retries=retries) as client:
        yield client


@contextmanager
def raw(standin: Cloro) -> Iterator[httpx2.Client]:
    headers = {"authorization": f"Bearer {KEY}"}
    with standin.serving() as url, httpx2.Client(base_url=url, headers=headers, timeout=10) as client:
        yield client


def test_a_task_goes_from_queued_to_completed_in_the_sdks_own_types() -> None:
    standin = Cloro()
    with desk(standin) as client:
        task = client.async_tasks.create(
            "CHATGPT", {**ASK, "include": {"markdown": True}}, priority=5, idempotency_key="job-1"
        )
        first = client.async_tasks.retrieve(task)
        done = client.async_tasks.wait(task, poll_interval=0.01)
    assert (task.status, task.task_type, task.priority) == ("QUEUED", "CHATGPT", 5)
    assert task.created_at is not None and task.raw["idempotencyKey"] == "job-1"
    assert first["task"]["status"] == "PROCESSING" and "response" not in first
    assert first["credits"] == {"creditsToCharge": 7, "creditsCharged": None}
    assert done["task"]["status"] == "COMPLETED" and done["task"]["latencyMs"] >= 0
    assert done["credits"] == {"creditsToCharge": 7, "creditsCharged": 7}
    response = done["response"]
    assert response["markdown"].startswith("# What is cloro?") and "#" not in response["text"]
    assert set(response["sources"][0]) == {"position", "url", "label", "description"}
    assert set(response["citationPills"][0]) == {"citationPillId", "label", "url", "domain", "position"}
    assert "html" not in response and "searchQueries" not in response
    assert [(one.key, one.credits) for one in standin.ledger.purchases] == [("job-1", 7)]


@pytest.mark.parametrize("kind", sorted(CREDITS))
def test_every_engine_can_be_asked_by_both_doors(kind: str) -> None:
    google = kind.startswith("GOOGLE")
    payload = {"query": "heat pumps", "country": "GB"} if google else {"prompt": "heat pumps", "country": "GB"}
    standin = Cloro()
    standin.script = Script(polls=0)
    with desk(standin) as client:
        done = client.async_tasks.run(kind, payload, poll_interval=0.01)
        live = getattr(client.monitor, kind.lower())(**payload)
    assert done["credits"]["creditsCharged"] == CREDITS[kind]
    assert live["success"] and live["result"].keys() == done["response"].keys()
    assert [one.credits for one in standin.ledger.purchases] == [CREDITS[kind], CREDITS[kind] + 2]


def test_extras_come_only_when_they_are_asked_for() -> None:
    wants = {"markdown": True, "html": True, "searchQueries": True, "rawResponse": True}
    with desk(Cloro()) as client:
        result = client.monitor.perplexity(**ASK, include=wants)["result"]
    assert wants.keys() <= result.keys() and result["related_queries"]


def test_a_used_key_is_a_conflict_that_hides_the_task() -> None:
    standin = Cloro()
    with desk(standin) as client:
        task = client.async_tasks.create("CHATGPT", ASK, idempotency_key="job-1")
        with pytest.raises(cloro.ConflictError) as conflict:
            client.async_tasks.create("CHATGPT", ASK, idempotency_key="job-1")
    said = conflict.value.body["error"]
    assert said["code"] == "RESOURCE_ALREADY_EXISTS"
    assert said["details"] == {"field": "idempotencyKey", "value": "job-1"}
    assert task.id not in str(conflict.value.body) and len(standin.ledger) == 1


def test_a_failed_task_says_so_and_costs_nothing() -> None:
    standin = Cloro()
    standin.script = Script(polls=1, fate="failed", error=("PROVIDER_ERROR", "The page did not load."))
    with desk(standin) as client:
        task = client.async_tasks.create("GEMINI", ASK)
        with pytest.raises(cloro.TaskFailedError) as failed:
            client.async_tasks.wait(task, poll_interval=0.01)
    assert failed.value.response is not None
    assert failed.value.response["response"]["error"]["message"] == "The page did not load."
    assert failed.value.response["credits"]["creditsCharged"] is None
    assert standin.ledger.billed == {}


def test_only_so_many_tasks_are_worked_on_and_the_dearest_priority_goes_first() -> None:
    standin = Cloro()
    standin.concurrency = 1
    standin.script = Script(polls=1)
    with desk(standin) as client:
        tasks = [client.async_tasks.create("COPILOT", ASK, priority=place) for place in (1, 1, 9)]
        status = client.async_tasks.status()
        order = []
        for _ in range(9):
            for task in tasks:
                if client.async_tasks.retrieve(task)["task"]["status"] == "COMPLETED" and task.id not in order:
                    order.append(task.id)
    assert status == {
        "queuedTasks": 2,
        "processingTasks": 1,
        "priorityBreakdown": {"1": 1, "9": 1},
        "concurrency": {"used": 1, "max": 1},
    }
    assert order == [tasks[0].id, tasks[2].id, tasks[1].id]


def test_the_queue_has_an_end_and_can_be_emptied() -> None:
    standin = Cloro()
    standin.concurrency, standin.queue_limit = 0, 2
    with raw(standin) as client:
        for _ in range(2):
            assert client.post("/v1/async/task", json=TASK).status_code == 200
        full = client.post("/v1/async/task", json=TASK)
        live = client.post("/v1/monitor/chatgpt", json=ASK)
        assert client.delete("/v1/async/queue").json()["success"]
        assert client.get("/v1/async/status").json()["queuedTasks"] == 0
    assert (full.status_code, full.json()["error"]["code"]) == (429, "QUEUE_LIMIT_EXCEEDED")
    assert (live.status_code, live.json()["error"]["code"]) == (429, "CONCURRENT_LIMIT_EXCEEDED")
    assert "retry-after" not in full.headers and len(standin.ledger) == 2


def test_a_finished_task_is_kept_for_a_day_and_no_longer() -> None:
    now = [0.0]
    standin = Cloro(clock=lambda: now[0])
    standin.script = Script(polls=0)
    with desk(standin) as client:
        task = client.async_tasks.create("CHATGPT", ASK)
        assert client.async_tasks.retrieve(task)["task"]["status"] == "COMPLETED"
        now[0] = 24 * 3600.0
        assert client.async_tasks.retrieve(task)["response"]
        now[0] += 1
        with pytest.raises(cloro.NotFoundError):
            client.async_tasks.retrieve(task)


def test_a_batch_reports_each_task_by_its_place() -> None:
    standin = Cloro()
    tasks: list[dict[str, Any]] = [
        {"task_type": "CHATGPT", "payload": ASK, "idempotency_key": "a"},
        {"task_type": "GROK", "payload": ASK},
        {"task_type": "CHATGPT", "payload": ASK, "idempotency_key": "a"},
        {"task_type": "GOOGLE", "payload": {"query": "q", "country": "GB"}},
    ]
    with desk(standin) as client:
        results = client.async_tasks.create_batch(tasks)
        with pytest.raises(cloro.BadRequestError):
            client.async_tasks.create_batch(tasks * 126)
    assert [(one["index"], one["success"]) for one in results] == [(0, True), (1, False), (2, False), (3, True)]
    assert results[1]["error"]["code"] == "VALIDATION_ERROR"
    assert results[2]["error"]["code"] == "RESOURCE_ALREADY_EXISTS"
    assert results[0]["task"]["status"] == "QUEUED" and results[3]["credits"]["creditsToCharge"] == 3
    assert len(standin.ledger) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**TASK, "depth": 1}, "depth"),
        ({**TASK, "taskType": "GROK"}, "taskType"),
        ({**TASK, "priority": 11}, "priority"),
        ({**TASK, "webhook": {"url": "https://x.example", "secret": "s"}}, "webhook.secret"),
        ({"taskType": "CHATGPT", "payload": {"prompt": "", "country": "US"}}, "prompt"),
        ({"taskType": "CHATGPT", "payload": {"prompt": "x" * 10_001, "country": "US"}}, "prompt"),
        ({"taskType": "CHATGPT", "payload": {"prompt": "q", "country": "us"}}, "country"),
        ({"taskType": "CHATGPT", "payload": {"prompt": "q"}}, "country"),
        ({"taskType": "CHATGPT", "payload": {"query": "q", "country": "US"}}, "query"),
        ({"taskType": "GOOGLE", "payload": {"prompt": "q", "country": "US"}}, "prompt"),
        ({"payload": ASK}, "taskType"),
    ],
)
def test_a_body_the_vendor_would_refuse_is_refused_and_buys_nothing(body: Any, field: str) -> None:
    standin = Cloro()
    with raw(standin) as client:
        answer = client.post("/v1/async/task", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"] == "Request validation failed" and answer.json()["details"][0]["field"] == field
    assert len(standin.ledger) == 0


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({}, "MISSING_API_KEY"),
        ({"authorization": "Bearer pk_1"}, "INVALID_API_KEY_FORMAT"),
        ({"authorization": "Bearer sk_live_wrong"}, "INVALID_OR_EXPIRED_API_KEY"),
        ({"x-api-key": KEY}, "MISSING_API_KEY"),
    ],
)
def test_each_kind_of_bad_key_has_its_code(header: dict[str, str], code: str) -> None:
    with Cloro().serving() as url:
        answer = httpx2.post(f"{url}/v1/async/task", json=TASK, headers=header)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)


def test_credits_run_out_by_what_succeeded() -> None:
    standin = Cloro()
    standin.credits = 8
    standin.script = Script(polls=0)
    with desk(standin) as client:
        client.async_tasks.run("CHATGPT", ASK, poll_interval=0.01)
        with pytest.raises(cloro.PermissionDeniedError) as poor:
            client.async_tasks.create("CHATGPT", ASK)
    assert poor.value.body["error"]["code"] == "INSUFFICIENT_CREDITS"
    assert standin.credits == 1 and len(standin.ledger) == 1


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (Kind.BAD_KEY, 401),
        (Kind.NO_CREDIT, 403),
        (Kind.RETIRED_MODEL, 400),
        (Kind.RETIRED_ENDPOINT, 410),
        (Kind.RATE_LIMIT, 429),
        (Kind.SERVER_ERROR, 503),
    ],
)
def test_each_refusal_has_the_vendors_shape_and_buys_nothing(kind: Kind, status: int) -> None:
    standin = Cloro()
    standin.faults.add(kind, "submit")
    with raw(standin) as client:
        answer = client.post("/v1/async/task", json=TASK)
    assert answer.status_code == status and answer.json()["error"]["code"] and answer.json()["error"]["timestamp"]
    assert ("retry-after" in answer.headers) == (kind is Kind.SERVER_ERROR)
    assert len(standin.ledger) == 0


@pytest.mark.parametrize(("kind", "bought", "after"), [(Kind.LOST_BEFORE, 0, 200), (Kind.LOST_AFTER, 1, 409)])
def test_the_same_key_tells_after_a_lost_reply_whether_the_task_was_taken(kind: Kind, bought: int, after: int) -> None:
    standin = Cloro()
    standin.faults.add(kind, "submit")
    with raw(standin) as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            client.post("/v1/async/task", json={**TASK, "idempotencyKey": "k"})
        assert len(standin.ledger) == bought
        assert client.post("/v1/async/task", json={**TASK, "idempotencyKey": "k"}).status_code == after
    assert len(standin.ledger) == 1


def test_the_sdk_itself_buys_twice_when_one_reply_is_lost() -> None:
    standin = Cloro()
    standin.faults.add(Kind.LOST_AFTER, "submit")
    with desk(standin, retries=2) as client:
        client.async_tasks.create("CHATGPT", ASK)
    assert len(standin.ledger) == 2


def test_a_truncated_answer_breaks_the_sdk_and_malformed_json_too() -> None:
    standin = Cloro()
    with desk(standin) as client:
        task = client.async_tasks.create("CHATGPT", ASK)
        standin.faults.add(Kind.TRUNCATED, "look")
        standin.faults.add(Kind.MALFORMED, "look")
        with pytest.raises(cloro.APIConnectionError):
            client.async_tasks.retrieve(task)
        with pytest.raises(ValueError):
            client.async_tasks.retrieve(task)


def test_a_webhook_carries_the_whole_task_signed_and_its_delivery_shows() -> None:
    inbox = Inbox(refuse=1)
    standin = Cloro()
    standin.secret = "whsec_c2VjcmV0"
    standin.script = Script(seconds=0.05)
    with inbox.serving() as there, desk(standin) as client:
        task = client.async_tasks.create("CHATGPT", ASK, idempotency_key="job-1", webhook={"url": f"{there}/hook"})
        inbox.wait(2)
        standin.courier.settled()
        shown = client.async_tasks.retrieve(task)
    for place, letter in enumerate(inbox.letters, 1):
        assert sealed(b"whsec_c2VjcmV0", letter.headers, letter.body)
        assert letter.headers["x-cloro-webhook-id"] == f"{task.id}-{place}"
        assert letter.json["task"]["idempotencyKey"] == "job-1" and letter.json["response"]["text"]
    assert shown["webhook"]["delivered"] is True and shown["webhook"]["deliveredAt"]


def test_a_webhook_is_not_signed_unless_signing_is_on_and_is_given_up_after_five_attempts() -> None:
    inbox = Inbox(refuse=99)
    standin = Cloro()
    standin.courier.scale = 0.00001
    standin.script = Script(seconds=0.0)
    with inbox.serving() as there, desk(standin) as client:
        task = client.async_tasks.create("CHATGPT", ASK, webhook={"url": f"{there}/hook"})
        inbox.wait(5)
        standin.courier.settled()
        shown = client.async_tasks.retrieve(task)
    assert len(inbox.letters) == 5 and "x-cloro-signature" not in inbox.letters[0].headers
    assert shown["webhook"]["delivered"] is False


def test_reference_data_and_unknown_paths_answer_in_the_vendors_shape() -> None:
    with desk(Cloro()) as client:
        assert client.countries("chatgpt")["countries"] and client.states()["states"]
        with pytest.raises(cloro.NotFoundError):
            client.request("GET", "/v1/task")
