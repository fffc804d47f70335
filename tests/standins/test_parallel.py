"""The Parallel stand-in, judged by the vendor's own SDK (parallel-web 1.3.7) and by raw requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import httpx2
import parallel
import pytest
from pydantic import BaseModel
from tests.standins.faults import Kind
from tests.standins.inbox import Inbox, opened
from tests.standins.parallel import Parallel
from tests.standins.script import Script
from tests.standins.standin import KEY

COMPANY = {
    "type": "object",
    "properties": {
        "company": {"type": "string"},
        "employees": {"type": "integer"},
        "products": {"type": "array", "items": {"type": "string"}},
    },
}
ENRICH: dict[str, Any] = {"output_schema": {"type": "json", "json_schema": COMPANY}}
TEXT: dict[str, Any] = {"output_schema": {"type": "text", "description": "A market report"}}
RUN = {"input": "The HVAC market of the USA", "processor": "core", "task_spec": TEXT}


@contextmanager
def desk(standin: Parallel, retries: int = 0, key: str = KEY) -> Iterator[parallel.Parallel]:
    with standin.serving() as url, parallel.Parallel(api_key=key, base_url=url, max_retries=retries) as client:
        yield client


@contextmanager
def raw(standin: Parallel) -> Iterator[httpx2.Client]:
    with standin.serving() as url, httpx2.Client(base_url=url, headers={"x-api-key": KEY}, timeout=10) as client:
        yield client


def test_a_text_run_goes_from_queued_to_a_report_with_one_basis() -> None:
    standin = Parallel()
    with desk(standin) as client:
        first = client.task_run.create(**RUN, metadata={"job": "r_1", "n": 2, "ok": True})
        second = client.task_run.retrieve(first.run_id)
        done = client.task_run.result(first.run_id)
        given = client.task_run.retrieve_input(first.run_id)
    assert (first.status, first.is_active, first.processor) == ("queued", True, "core")
    assert first.run_id.startswith("trun_") and first.interaction_id and first.created_at and first.modified_at
    assert first.metadata == {"job": "r_1", "n": 2, "ok": True} and first.task_group_id is None
    assert (second.status, second.error) == ("running", None)
    assert (done.run.status, done.run.is_active) == ("completed", False)
    assert done.output.type == "text" and done.output.content.startswith("# The HVAC market")
    (basis,) = done.output.basis
    assert basis.field == "output" and basis.reasoning and basis.confidence in ("high", "medium", "low")
    assert basis.citations and all(one.url and one.title and one.excerpts for one in basis.citations)
    assert given.input == RUN["input"] and given.processor == "core"
    assert [(one.price_usd, one.metadata) for one in standin.ledger.purchases] == [
        (0.025, {"job": "r_1", "n": 2, "ok": True})
    ]
    assert standin.ledger.billed == {first.run_id: 0.025}


def test_the_sdk_executes_a_run_into_a_pydantic_model() -> None:
    class Company(BaseModel):
        company: str
        employees: int

    standin = Parallel()
    standin.script = Script(polls=0)
    with desk(standin) as client:
        done = client.task_run.execute(input={"company": "Acme"}, processor="core", output=Company)
    assert done.output.parsed is not None and done.output.parsed.company == "Acme"
    assert isinstance(done.output.parsed.employees, int)


def test_the_asynchronous_sdk_waits_for_a_run_that_takes_its_time() -> None:
    standin = Parallel()
    standin.script = Script(seconds=0.2)
    standin.patience_s = 5.0

    async def ride() -> str:
        async with standin.serve() as url, parallel.AsyncParallel(api_key=KEY, base_url=url) as client:
            with anyio.fail_after(20):
                run = await client.task_run.create(**RUN)
                return (await client.task_run.result(run.run_id, api_timeout=10)).run.status

    assert anyio.run(ride) == "completed"
    assert standin.count("result") == 1


def test_json_output_has_a_basis_for_each_field_and_each_element() -> None:
    standin = Parallel()
    standin.script = Script(polls=0, unverified=frozenset({"employees"}))
    with desk(standin) as client:
        run = client.task_run.create(input={"company": "Acme"}, processor="pro", task_spec=ENRICH)
        output = client.task_run.result(run.run_id).output
    assert output.type == "json" and output.content["company"] == "Acme"
    assert output.content["employees"] is None
    basis = {one.field: one for one in output.basis}
    assert list(basis) == ["company", "employees", "products", "products.0", "products.1"]
    assert "employees" in basis["employees"].reasoning and basis["employees"].citations == []
    assert output.output_schema is None


def test_auto_output_is_json_with_its_schema_and_lite_gives_no_excerpts() -> None:
    standin = Parallel()
    standin.script = Script(polls=0)
    with desk(standin) as client:
        run = client.task_run.create(input="HVAC", processor="lite")
        output = client.task_run.result(run.run_id).output
    assert output.type == "json" and output.output_schema is not None
    assert output.basis[0].confidence == "" and output.basis[0].citations
    assert output.basis[0].citations[0].excerpts == []


def test_a_bare_string_as_output_schema_means_text() -> None:
    standin = Parallel()
    standin.script = Script(polls=0)
    with desk(standin) as client:
        run = client.task_run.create(input="HVAC", processor="base", task_spec={"output_schema": "One paragraph"})
        assert client.task_run.result(run.run_id).output.type == "text"


def test_a_result_asked_too_early_is_408_and_of_a_failed_or_unknown_run_404() -> None:
    standin = Parallel()
    standin.scripts["doomed"] = Script(polls=1, fate="failed", error=("x", "The planner gave up."))
    with desk(standin) as client:
        early = client.task_run.create(**RUN)
        with pytest.raises(parallel.APIStatusError) as active:
            client.task_run.result(early.run_id, api_timeout=1)
        failed = client.task_run.create(input="doomed", processor="lite")
        with pytest.raises(parallel.NotFoundError):
            client.task_run.result(failed.run_id)
        with pytest.raises(parallel.NotFoundError):
            client.task_run.result("trun_nobody")
        look = client.task_run.retrieve(failed.run_id)
    assert active.value.status_code == 408
    assert look.status == "failed" and look.error is not None
    assert look.error.message == "The planner gave up." and look.error.ref_id
    assert standin.ledger.billed == {}


def test_events_replay_the_whole_trace_and_end_with_the_output() -> None:
    standin = Parallel()
    standin.script = Script(polls=2)
    with desk(standin) as client:
        run = client.task_run.create(**RUN, enable_events=True)
        early = list(client.task_run.events(run.run_id))
        late = list(client.task_run.events(run.run_id))
    assert early[0].type == "task_run.progress_msg.plan"
    assert early[-1].type == "task_run.state" and early[-1].output is None
    stats = next(one for one in early if one.type == "task_run.progress_stats")
    assert stats.progress_meter == 50 and stats.source_stats.num_sources_read == 2
    assert [one.type for one in late][: len(early) - 2] == [one.type for one in early][:-2]
    assert late[-1].run.status == "completed" and late[-1].output.content.startswith("# The HVAC")


def test_a_group_is_free_takes_runs_and_lists_them_with_inputs_and_outputs() -> None:
    standin = Parallel()
    rows = [{"company": "Acme"}, {"company": "Northwind"}]
    with desk(standin) as client:
        group = client.task_group.create(metadata={"job": "r_1"})
        assert len(standin.ledger) == 0
        assert list(client.task_group.get_runs(group.task_group_id)) == []
        added = client.task_group.add_runs(
            group.task_group_id,
            inputs=[{"input": row, "processor": "core"} for row in rows],
            default_task_spec=ENRICH,
        )
        first = list(client.task_group.get_runs(group.task_group_id, include_input=True, include_output=True))
        last = list(client.task_group.get_runs(group.task_group_id, include_input=True, include_output=True))
        tail = list(client.task_group.get_runs(group.task_group_id, last_event_id=last[0].event_id))
        failed = list(client.task_group.get_runs(group.task_group_id, status="failed"))
        look = client.task_group.retrieve(group.task_group_id)
        events = list(client.task_group.events(group.task_group_id))
        one = client.task_group.retrieve_run(added.run_ids[1], task_group_id=group.task_group_id)
    assert group.metadata == {"job": "r_1"} and group.status.num_task_runs == 0
    assert added.status.num_task_runs == 2 and added.run_cursor == "" and len(added.run_ids) == 2
    assert [event.run.status for event in first] == ["running", "running"]
    assert [event.output for event in first] == [None, None]
    assert [event.run.run_id for event in last] == added.run_ids
    assert [event.input.input for event in last] == rows and [event.event_id for event in last] == ["1", "2"]
    assert [event.output.content["company"] for event in last] == ["Acme", "Northwind"]
    assert [event.run.run_id for event in tail] == added.run_ids[1:] and failed == []
    assert look.status.task_run_status_counts == {"completed": 2} and not look.status.is_active
    assert [event.type for event in events] == ["task_group_status", "task_run.state", "task_run.state"]
    assert one.run_id == added.run_ids[1] and one.task_group_id == group.task_group_id
    assert [entry.group for entry in standin.ledger.purchases] == [group.task_group_id] * 2
    assert standin.ledger.total_usd == 0.05


def test_a_bad_row_refuses_the_whole_batch_and_a_failing_row_only_itself() -> None:
    standin = Parallel()
    standin.scripts["Doomed"] = Script(polls=0, fate="failed")
    standin.script = Script(polls=0)
    with desk(standin) as client:
        group = client.task_group.create().task_group_id
        bad: list[Any] = [{"input": "a", "processor": "core"}, {"input": "b", "processor": "mega"}]
        with pytest.raises(parallel.PermissionDeniedError):
            client.task_group.add_runs(group, inputs=bad)
        assert len(standin.ledger) == 0
        rows: list[Any] = [{"input": {"company": name}, "processor": "lite"} for name in ("Acme", "Doomed", "Zenith")]
        client.task_group.add_runs(group, inputs=rows, default_task_spec=ENRICH)
        seen = [event.run.status for event in client.task_group.get_runs(group)]
    assert seen == ["completed", "failed", "completed"]


def test_a_thousand_rows_fit_one_call_and_one_more_does_not() -> None:
    standin = Parallel()
    standin.script = Script(polls=0)
    with desk(standin) as client:
        group = client.task_group.create().task_group_id
        rows: list[Any] = [{"input": {"company": f"c{place}"}, "processor": "lite"} for place in range(1001)]
        with pytest.raises(parallel.UnprocessableEntityError):
            client.task_group.add_runs(group, inputs=rows)
        client.task_group.add_runs(group, inputs=rows[:1000], default_task_spec=ENRICH)
        assert sum(1 for _ in client.task_group.get_runs(group, include_output=True)) == 1000
    assert len(standin.ledger) == 1000


def test_a_lagging_group_does_not_show_its_new_runs_at_first() -> None:
    standin = Parallel()
    standin.lag = 2
    with desk(standin) as client:
        group = client.task_group.create().task_group_id
        client.task_group.add_runs(group, inputs=[{"input": "a", "processor": "lite"}])
        assert [len(list(client.task_group.get_runs(group))) for _ in range(3)] == [0, 0, 1]


def test_a_follow_up_uses_the_interaction_of_an_earlier_run() -> None:
    standin = Parallel()
    with desk(standin) as client:
        first = client.task_run.create(**RUN)
        again = client.task_run.create(**RUN, previous_interaction_id=first.interaction_id)
        with pytest.raises(parallel.UnprocessableEntityError):
            client.task_run.create(**RUN, previous_interaction_id="nobody")
    assert again.run_id != first.run_id and len(standin.ledger) == 2


def test_the_source_policy_decides_what_is_cited() -> None:
    standin = Parallel()
    standin.script = Script(polls=0)
    with desk(standin) as client:
        run = client.task_run.create(**RUN, source_policy={"include_domains": ["iea.org"], "after_date": "2026-01-01"})
        basis = client.task_run.result(run.run_id).output.basis[0]
    assert basis.citations and all(one.url.startswith("https://iea.org/") for one in basis.citations)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"processor": "mega"}, 403),
        ({"novel": 1}, 422),
        ({"input": 7}, 422),
        ({"metadata": {"a-key-of-seventeen": "v"}}, 422),
        ({"metadata": {"k": "v" * 513}}, 422),
        ({"source_policy": {"include_domains": ["https://iea.org"]}}, 422),
        ({"source_policy": {"include_domains": ["a.org"] * 101, "exclude_domains": ["b.org"] * 100}}, 422),
        ({"source_policy": {"after_date": "yesterday"}}, 422),
        ({"task_spec": {"output_schema": {"type": "json", "json_schema": {"type": "array"}}}}, 422),
        ({"task_spec": {"output_schema": {"type": "table"}}}, 422),
        ({"task_spec": {}}, 422),
        ({"input": "x" * 25_001}, 422),
        ({"webhook": {"url": "https://x.example", "secret": "s"}}, 422),
        ({"mcp_servers": [{"type": "url", "name": "a", "url": "https://a.example"}] * 11}, 422),
    ],
)
def test_a_body_the_vendor_would_refuse_is_refused_and_buys_nothing(more: dict[str, Any], status: int) -> None:
    standin = Parallel()
    with raw(standin) as client:
        answer = client.post("/v1/tasks/runs", json={**RUN, **more})
    assert answer.status_code == status
    assert answer.json()["type"] == "error" and answer.json()["error"]["ref_id"]
    assert len(standin.ledger) == 0


def test_a_schema_that_nests_too_deep_is_refused() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(4):
        deep = {"type": "object", "properties": {"inner": deep}}
    with raw(Parallel()) as client:
        spec = {"output_schema": {"type": "json", "json_schema": deep}}
        assert client.post("/v1/tasks/runs", json={**RUN, "task_spec": spec}).status_code == 422


def test_the_key_goes_in_its_own_header() -> None:
    standin = Parallel()
    with desk(standin, key="wrong") as client, pytest.raises(parallel.AuthenticationError):
        client.task_run.create(**RUN)
    with standin.serving() as url:
        bearer = {"authorization": f"Bearer {KEY}"}
        assert httpx2.post(f"{url}/v1/tasks/runs", json=RUN, headers=bearer).status_code == 401
    assert len(standin.ledger) == 0


def test_what_is_in_flight_is_reserved_against_the_balance() -> None:
    standin = Parallel()
    standin.balance_usd = 0.05
    standin.scripts["doomed"] = Script(polls=1, fate="failed")
    with raw(standin) as client:
        doomed = client.post("/v1/tasks/runs", json={**RUN, "input": "doomed"}).json()
        assert client.post("/v1/tasks/runs", json=RUN).status_code == 202
        refused = client.post("/v1/tasks/runs", json=RUN)
        client.get(f"/v1/tasks/runs/{doomed['run_id']}")
        assert refused.status_code == 402
        assert client.post("/v1/tasks/runs", json=RUN).status_code == 202


def test_too_many_creates_a_minute_are_refused_until_the_minute_is_over() -> None:
    now = [0.0]
    standin = Parallel(clock=lambda: now[0])
    standin.per_minute = 2
    with raw(standin) as client:
        codes = [client.post("/v1/tasks/runs", json=RUN).status_code for _ in range(3)]
        now[0] = 61.0
        codes.append(client.post("/v1/tasks/runs", json=RUN).status_code)
    assert codes == [202, 202, 429, 202]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (Kind.BAD_KEY, 401),
        (Kind.NO_CREDIT, 402),
        (Kind.RETIRED_MODEL, 403),
        (Kind.RETIRED_ENDPOINT, 410),
        (Kind.RATE_LIMIT, 429),
        (Kind.SERVER_ERROR, 503),
    ],
)
def test_each_refusal_has_the_vendors_shape_and_buys_nothing(kind: Kind, status: int) -> None:
    standin = Parallel()
    standin.faults.add(kind, "submit", retry_after="7")
    with raw(standin) as client:
        answer = client.post("/v1/tasks/runs", json=RUN)
    assert answer.status_code == status
    assert set(answer.json()) == {"type", "error"} and set(answer.json()["error"]) == {"ref_id", "message", "detail"}
    assert (answer.headers.get("retry-after") == "7") == (kind in (Kind.RATE_LIMIT, Kind.SERVER_ERROR))
    assert len(standin.ledger) == 0


@pytest.mark.parametrize(("kind", "bought"), [(Kind.LOST_BEFORE, 0), (Kind.LOST_AFTER, 1), (Kind.ERROR_AFTER, 1)])
def test_a_group_tells_afterwards_whether_a_lost_submit_arrived(kind: Kind, bought: int) -> None:
    standin = Parallel()
    standin.faults.add(kind, "add")
    with desk(standin) as client:
        group = client.task_group.create().task_group_id
        with pytest.raises((parallel.APIConnectionError, parallel.InternalServerError)):
            client.task_group.add_runs(group, inputs=[{"input": "a", "processor": "ultra8x"}])
        assert len(list(client.task_group.get_runs(group, include_input=True))) == bought
    assert len(standin.ledger) == bought


def test_the_sdk_itself_buys_twice_when_one_reply_is_lost() -> None:
    standin = Parallel()
    standin.faults.add(Kind.LOST_AFTER, "submit")
    with desk(standin, retries=2) as client:
        client.task_run.create(input="q", processor="ultra8x")
    assert standin.ledger.total_usd == 4.8


def test_a_truncated_event_stream_breaks_off_in_the_middle() -> None:
    standin = Parallel()
    with raw(standin) as client:
        run = client.post("/v1/tasks/runs", json=RUN).json()["run_id"]
        standin.faults.add(Kind.TRUNCATED, "events")
        with pytest.raises(httpx2.RemoteProtocolError):
            client.get(f"/v1/tasks/runs/{run}/events")


def test_a_webhook_is_signed_over_the_raw_body_and_tried_until_it_is_taken() -> None:
    inbox = Inbox(refuse=2)
    standin = Parallel()
    standin.script = Script(seconds=0.05)
    with inbox.serving() as there, desk(standin) as client:
        run = client.task_run.create(**RUN, webhook={"url": f"{there}/done", "event_types": ["task_run.status"]})
        inbox.wait(3)
    for letter in inbox.letters:
        assert opened(standin.secret.encode(), letter.headers, letter.body)
        assert letter.json["type"] == "task_run.status" and letter.json["data"]["run_id"] == run.run_id
        assert letter.json["data"]["status"] == "completed" and "output" not in letter.json["data"]
    assert len({letter.headers["webhook-id"] for letter in inbox.letters}) == 1
    assert [one.status for one in standin.courier.deliveries] == [503, 503, 200]
    assert not opened(b"other", inbox.letters[0].headers, inbox.letters[0].body)
