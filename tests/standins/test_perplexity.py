"""The Perplexity stand-in, judged by the vendor's own SDK (perplexityai 0.46.1) and by raw requests."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import httpx2
import perplexity
import pytest
from perplexity.generated.api import (
    FetchUrlResultsOutputItemOutput,
    MessageOutputItemOutput,
    SearchResultsOutputItemOutput,
)
from tests.standins.answers import MULTIBYTE, huge
from tests.standins.perplexity import PRICES, Perplexity
from tests.standins.script import Script
from tests.standins.standin import KEY

ASK = {"input": "How large is the market for heat pumps?", "effort": "medium", "background": True}


@contextmanager
def desk(standin: Perplexity, retries: int = 0, key: str = KEY) -> Iterator[perplexity.Perplexity]:
    with standin.serving() as url, perplexity.Perplexity(api_key=key, base_url=url, max_retries=retries) as client:
        yield client


@contextmanager
def raw(standin: Perplexity) -> Iterator[httpx2.Client]:
    with (
        standin.serving() as url,
        httpx2.Client(base_url=url, headers={"authorization": f"Bearer {KEY}"}, timeout=10) as client,
    ):
        yield client


def submit(client: perplexity.Perplexity, **more: Any) -> Any:
    return client.responses.create(**{**ASK, **more})


def test_a_background_run_goes_from_queued_to_completed_in_the_sdks_own_types() -> None:
    standin = Perplexity()
    with desk(standin) as client:
        first = submit(client)
        middle = client.responses.retrieve(first.id)
        last = client.responses.retrieve(first.id)
    assert (first.status, first.output, first.usage, first.model) == ("queued", [], None, "medium")
    assert first.id.startswith("resp_") and first.background is True and first.store is True
    assert (middle.status, middle.output, middle.usage) == ("in_progress", [], None)
    assert last.status == "completed" and "/" in last.model and last.error is None
    searches = [item for item in last.output if isinstance(item, SearchResultsOutputItemOutput)]
    fetched = [item for item in last.output if isinstance(item, FetchUrlResultsOutputItemOutput)]
    messages = [item for item in last.output if isinstance(item, MessageOutputItemOutput)]
    assert (len(searches), len(fetched), len(messages)) == (3, 1, 1)
    ids = [result.id for item in searches for result in item.results]
    assert ids == list(range(1, 13))
    assert all(result.url and result.title and result.snippet and result.date for result in searches[0].results)
    assert searches[0].queries and searches[0].results[0].source == "web"
    assert last.output_text.startswith("# How large is the market")
    assert last.usage is not None and last.usage.cost is not None
    assert last.usage.cost.total_cost == PRICES["medium"] and last.usage.cost.currency == "USD"
    assert last.usage.tool_calls_details is not None
    assert last.usage.tool_calls_details["search_web"].invocation == 3
    assert len(standin.ledger) == 1 and standin.ledger.billed == {first.id: PRICES["medium"]}


def test_the_asynchronous_sdk_reads_the_same_answers() -> None:
    standin = Perplexity()

    async def ride() -> str:
        async with standin.serve() as url, perplexity.AsyncPerplexity(api_key=KEY, base_url=url) as client:
            with anyio.fail_after(20):
                run = await client.responses.create(**ASK)
                await client.responses.retrieve(run.id)
                return (await client.responses.retrieve(run.id)).status

    assert anyio.run(ride) == "completed"


def test_progress_shows_more_search_results_at_every_look() -> None:
    standin = Perplexity()
    standin.script = Script(polls=5, searches=3)
    with desk(standin) as client:
        run = submit(client)
        seen = [len(client.responses.retrieve(run.id).output) for _ in range(5)]
    assert seen == [0, 1, 2, 3, 5]


def test_a_short_look_carries_the_message_alone() -> None:
    standin = Perplexity()
    standin.script = Script(polls=0)
    with desk(standin) as client:
        run = submit(client)
        assert [item.type for item in client.responses.retrieve(run.id, format="short").output] == ["message"]


def test_a_cancel_is_accepted_shows_later_and_leaves_the_partial_output() -> None:
    standin = Perplexity()
    standin.script = Script(fate="never")
    with desk(standin) as client:
        run = submit(client)
        client.responses.retrieve(run.id)
        client.responses.retrieve(run.id)
        assert client.responses.cancel(run.id).status == "cancelling"
        between = client.responses.retrieve(run.id)
        after = client.responses.retrieve(run.id)
    assert between.status == "in_progress"
    assert (after.status, after.usage) == ("cancelled", None)
    assert after.error is not None and after.error.code == "cancelled"
    assert {item.type for item in after.output} == {"search_results"}


def test_cancelling_an_ended_run_and_an_unknown_one_reads_the_same() -> None:
    standin = Perplexity()
    standin.script = Script(polls=0)
    with desk(standin) as client:
        run = submit(client)
        with pytest.raises(perplexity.BadRequestError) as ended:
            client.responses.cancel(run.id)
        with pytest.raises(perplexity.BadRequestError) as unknown:
            client.responses.cancel("resp_00000000")
    assert ended.value.body == unknown.value.body


def test_a_cancel_that_races_with_completion_finds_the_result() -> None:
    standin = Perplexity()
    standin.script = Script(fate="never", on_cancel="finishes")
    with desk(standin) as client:
        run = submit(client)
        with pytest.raises(perplexity.BadRequestError):
            client.responses.cancel(run.id)
        assert client.responses.retrieve(run.id).status == "completed"


def test_a_failed_run_is_http_200_with_its_error() -> None:
    standin = Perplexity()
    standin.script = Script(polls=1, fate="failed", error=("server_error", "The model gave up."))
    with desk(standin) as client:
        run = submit(client)
        look = client.responses.retrieve(run.id)
    assert look.status == "failed" and look.error is not None
    assert (look.error.code, look.error.message) == ("server_error", "The model gave up.")
    assert standin.ledger.billed == {}


def test_a_stream_ends_with_completed_and_can_be_taken_up_again() -> None:
    standin = Perplexity()
    with desk(standin) as client:
        events = list(client.responses.create(**ASK, stream=True))
        run_id = events[0].response.id
        again = list(client.responses.retrieve(run_id, stream=True, starting_after=1))
    assert [event.type for event in events][:2] == ["response.created", "response.in_progress"]
    assert events[-1].type == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.sequence_number for event in again] == [event.sequence_number for event in events[2:]]


def test_an_expired_cursor_is_refused_and_a_plain_look_still_works() -> None:
    standin = Perplexity()
    standin.expired_cursors = True
    with desk(standin) as client:
        run = submit(client)
        with pytest.raises(perplexity.BadRequestError):
            list(client.responses.retrieve(run.id, stream=True, starting_after=3))
        assert client.responses.retrieve(run.id).status == "in_progress"


def test_structured_output_is_json_in_the_last_message_by_the_schema() -> None:
    schema = {"type": "object", "properties": {"size": {"type": "integer"}, "names": {"type": "array"}}}
    form = {"type": "json_schema", "json_schema": {"name": "market", "schema": schema}}
    standin = Perplexity()
    standin.script = Script(polls=0)
    with desk(standin) as client:
        run = submit(client, response_format=form)
        data = json.loads(client.responses.retrieve(run.id).output_text)
    assert isinstance(data["size"], int) and isinstance(data["names"], list)


def test_domain_filters_decide_where_results_come_from() -> None:
    standin = Perplexity()
    standin.script = Script(polls=0)
    only = [{"type": "web_search", "filters": {"search_domain_filter": ["iea.org"]}}]
    without = [{"type": "web_search", "filters": {"search_domain_filter": ["-example.org"]}}]
    with desk(standin) as client:
        inside = client.responses.retrieve(submit(client, tools=only).id)
        outside = client.responses.retrieve(submit(client, tools=without).id)
    hosts = [
        {result.url.split("/")[2] for item in run.output[:-1] for result in item.results} for run in (inside, outside)
    ]
    assert hosts[0] == {"iea.org"}
    assert hosts[1] and "example.org" not in hosts[1]


def test_fetching_alone_and_a_bare_model_search_nothing() -> None:
    standin = Perplexity()
    standin.script = Script(polls=0)
    with desk(standin) as client:
        fetch = client.responses.retrieve(submit(client, tools=[{"type": "fetch_url"}]).id)
        bare = client.responses.create(input="q", model="perplexity/sonar", background=True)
        bare = client.responses.retrieve(bare.id)
    assert [item.type for item in fetch.output] == ["message"]
    assert [item.type for item in bare.output] == ["message"]


def test_a_follow_up_needs_a_completed_run() -> None:
    standin = Perplexity()
    with desk(standin) as client:
        first = submit(client)
        with pytest.raises(perplexity.BadRequestError, match="invalid request"):
            submit(client, previous_response_id=first.id)
        client.responses.retrieve(first.id)
        client.responses.retrieve(first.id)
        assert submit(client, previous_response_id=first.id).previous_response_id == first.id
    assert len(standin.ledger) == 2


def test_a_run_that_is_not_stored_cannot_be_looked_at_and_files_are_listed() -> None:
    standin = Perplexity()
    with desk(standin) as client:
        hidden = submit(client, store=False)
        with pytest.raises(perplexity.NotFoundError):
            client.responses.retrieve(hidden.id)
        with pytest.raises(perplexity.NotFoundError):
            client.responses.retrieve("resp_unknown")
        assert client.responses.files.list(submit(client).id).data == []


@pytest.mark.parametrize(
    ("body", "kind", "param"),
    [
        ({**ASK, "webhook": {"url": "https://x.example"}}, "invalid_request", "webhook"),
        ({**ASK, "idempotency_key": "k"}, "invalid_request", "idempotency_key"),
        ({**ASK, "tools": [{"type": "web_search", "domains": []}]}, "invalid_request", "domains"),
        ({**ASK, "input": ""}, "invalid_request", "input"),
        ({"input": "q"}, "invalid_request", "model"),
        ({**ASK, "effort": "heroic"}, "invalid_parameter", "effort"),
        ({"input": "q", "model": "sonar-deep-research"}, "invalid_model", "model"),
        ({"input": "q", "model": "anthropic/claude-opus-5"}, "invalid_parameter", "max_output_tokens"),
        ({"input": "q", "models": ["a/b"] * 6}, "invalid_parameter", "models"),
        ({**ASK, "metadata": {"k": "v" * 513}}, "invalid_parameter", "metadata"),
        (
            {**ASK, "tools": [{"type": "web_search", "filters": {"search_domain_filter": ["https://iea.org"]}}]},
            "invalid_parameter",
            "search_domain_filter",
        ),
        (
            {**ASK, "tools": [{"type": "web_search", "filters": {"search_domain_filter": ["a.org"] * 21}}]},
            "invalid_parameter",
            "search_domain_filter",
        ),
        (
            {**ASK, "tools": [{"type": "web_search", "filters": {"search_after_date_filter": "last week"}}]},
            "invalid_parameter",
            "search_after_date_filter",
        ),
        ({**ASK, "background": "yes"}, "invalid_request", "background"),
    ],
)
def test_a_body_the_vendor_would_refuse_is_refused_and_buys_nothing(body: Any, kind: str, param: str) -> None:
    standin = Perplexity()
    with raw(standin) as client:
        answer = client.post("/v1/agent", json=body)
    assert answer.status_code == 400
    assert (answer.json()["error"]["type"], answer.json()["error"]["param"]) == (kind, param)
    assert len(standin.ledger) == 0


def test_an_unknown_field_is_named_in_the_recorded_words() -> None:
    with raw(Perplexity()) as client:
        answer = client.post("/v1/responses", json={**ASK, "depth": 3}).json()
    assert answer == {
        "error": {
            "message": 'invalid request body: json: unknown field "depth"',
            "type": "invalid_request",
            "code": 400,
            "param": "depth",
        }
    }


def test_both_doors_open_on_the_same_room() -> None:
    standin = Perplexity()
    with raw(standin) as client:
        made = client.post("/v1/agent", json=ASK).json()
        assert client.get(f"/v1/responses/{made['id']}").json()["status"] == "in_progress"
        assert client.get(f"/v1/agent/{made['id']}").json()["status"] == "completed"
        assert client.post("/v1/models", json=ASK).status_code == 404
    assert len(standin.ledger) == 1


def test_a_wrong_key_and_a_key_in_another_header_are_refused() -> None:
    standin = Perplexity()
    with desk(standin, key="pplx-wrong") as client, pytest.raises(perplexity.AuthenticationError) as refused:
        submit(client)
    assert refused.value.body["error"]["type"] == "invalid_api_key"
    with raw(standin) as client:
        assert client.post("/v1/agent", json=ASK, headers={"authorization": KEY}).status_code == 401
    assert len(standin.ledger) == 0


def test_a_huge_report_of_many_alphabets_comes_whole() -> None:
    text = huge()
    standin = Perplexity()
    standin.scripts["epic"] = Script(polls=0, text=text)
    with desk(standin) as client:
        run = client.responses.create(**{**ASK, "input": "an epic question"})
        got = client.responses.retrieve(run.id).output_text
    assert len(got.encode()) >= 5 * 1024 * 1024 and got == text and MULTIBYTE in got


def test_an_unknown_word_for_running_never_ends_when_told_so() -> None:
    standin = Perplexity()
    standin.script = Script(fate="never", running_as="dreaming")
    with raw(standin) as client:
        made = client.post("/v1/agent", json=ASK).json()
        words = [client.get(f"/v1/agent/{made['id']}").json()["status"] for _ in range(4)]
    assert words == ["dreaming"] * 4


def test_the_clock_can_be_virtual() -> None:
    now = [1_000_000.0]
    standin = Perplexity(clock=lambda: now[0])
    standin.script = Script(seconds=600)
    with desk(standin) as client:
        run = submit(client)
        assert client.responses.retrieve(run.id).status == "in_progress"
        now[0] += 601
        look = client.responses.retrieve(run.id)
    assert (look.status, look.created_at) == ("completed", 1_000_601)


def test_a_body_that_is_no_json_or_too_large_is_refused() -> None:
    with raw(Perplexity()) as client:
        assert client.post("/v1/agent", content=b"{").status_code == 400
        big = json.dumps({**ASK, "input": "x" * (32 * 1024 * 1024)}).encode()
        assert client.post("/v1/agent", content=big).status_code == 413


def test_incomplete_and_waiting_runs_have_their_own_words() -> None:
    standin = Perplexity()
    standin.scripts = {"half": Script(polls=0, fate="incomplete"), "stuck": Script(fate="needs_input")}
    with raw(standin) as client:
        half = client.post("/v1/agent", json={**ASK, "input": "half of it"}).json()
        stuck = client.post("/v1/agent", json={**ASK, "input": "stuck"}).json()
        part = client.get(f"/v1/agent/{half['id']}").json()
        client.get(f"/v1/agent/{stuck['id']}")
        asking = client.get(f"/v1/agent/{stuck['id']}").json()["status"]
    assert part["status"] == "incomplete" and part["output"][-1]["content"][0]["text"] and asking == "requires_action"


def test_an_old_preset_name_is_still_understood() -> None:
    standin = Perplexity()
    with raw(standin) as client:
        made = client.post("/v1/agent", json={"input": "q", "preset": "fast-search", "background": True}).json()
    assert made["model"] == "fast-search" and standin.ledger.total_usd == PRICES["fast"]


def test_the_sdk_warns_of_no_deprecation_for_what_we_send() -> None:
    with warnings.catch_warnings(record=True) as caught, desk(Perplexity()) as client:
        warnings.simplefilter("always")
        submit(client)
    assert [str(one.message) for one in caught if issubclass(one.category, DeprecationWarning)] == []
