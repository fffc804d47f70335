"""Resources: a job and its parts as files, for their owner alone, with completions and news."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError
from tests.conftest import Connect
from tests.journeys.desks import LEGACY, Place
from tests.journeys.server import COMMAND, call, ended, page
from tests.journeys.tasking import SUBSCRIPTION, tasker

from spadework.app import House, opened
from spadework.caller import Caller
from spadework.settings import Settings
from spadework_tools.models import Request
from spadework_tools.resources import TEMPLATES, Address

ABSENT = -32602
ROOT = "research://jobs"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with Place(tmp_path) as place:
        yield place


async def researched(agent: Any, script: str = "report 3000") -> str:
    ticket = await call(agent, "start_research", question=f"What is new? [script: {script}]", engine="scripted")
    await ended(agent, ticket["job_id"])
    return ticket["job_id"]


async def text(agent: Any, uri: str) -> tuple[str, str]:
    """A resource's type and text."""
    (contents,) = (await agent.read_resource(uri)).contents
    assert str(contents.uri) == uri
    return contents.mime_type, contents.text


async def refused(agent: Any, uri: str) -> MCPError:
    with pytest.raises(MCPError) as caught:
        await agent.read_resource(uri)
    return caught.value


@pytest.mark.anyio
async def test_a_finished_job_can_be_read_in_all_its_parts(client: Connect, era: str) -> None:
    async with client(era) as agent:
        job_id = await researched(agent)
        mime, card = await text(agent, f"{ROOT}/{job_id}")
        shown = json.loads(card)
        assert mime == "application/json"
        assert (shown["job_id"], shown["status"], shown["outcome"]) == (job_id, "completed", "full")
        assert shown["question"].startswith("What is new?")
        for uri in shown["parts"]:
            await text(agent, uri)
        mime, report = await text(agent, f"{ROOT}/{job_id}/report.md")
        body, _ = await page(agent, job_id, view="full", max_chars=20_000)
        assert mime == "text/markdown"
        assert body.strip() in report
        mime, web = await text(agent, f"{ROOT}/{job_id}/report.html")
        assert mime == "text/html"
        assert web.lower().startswith("<!doctype html>")
        mime, whole = await text(agent, f"{ROOT}/{job_id}/report.json")
        assert mime == "application/json"
        sources = {source["id"]: source for source in json.loads(whole)["sources"]}
        mime, cited = await text(agent, f"{ROOT}/{job_id}/citations.json")
        assert mime == "application/json"
        for citation in json.loads(cited)["citations"]:
            sha256 = sources[citation["source_id"]]["sha256"]
            assert citation["source"]["sha256"] == sha256
            mime, snapshot = await text(agent, f"{ROOT}/{job_id}/sources/{sha256}")
            assert mime == "text/plain"
            assert snapshot[citation["start"] : citation["end"]] == citation["quote"]
            assert hashlib.sha256(snapshot.encode()).hexdigest() == sha256


@pytest.mark.anyio
async def test_every_kind_of_part_has_a_template_with_words(client: Connect, era: str) -> None:
    async with client(era) as agent:
        found = (await agent.list_resource_templates()).resource_templates
    assert [one.uri_template for one in found] == [one.uri for one in TEMPLATES]
    assert all(one.title and one.description and one.mime_type for one in found)
    filled = [one.uri_template.format(job_id="r_" + "0" * 36, sha256="0" * 64) for one in found]
    assert all(Address.of(uri) for uri in filled)


@pytest.mark.anyio
async def test_what_is_not_there_yet_or_at_all_is_not_found_and_says_why(client: Connect) -> None:
    async with client(inline_s=0) as agent:
        job_id = await researched(agent)
        running = (await call(agent, "start_research", question="[script: hang]", engine="scripted"))["job_id"]
        assert json.loads((await text(agent, f"{ROOT}/{running}"))[1])["parts"] == []
        for uri, why in (
            (f"{ROOT}/{running}/report.md", "check_research"),
            (f"{ROOT}/{job_id}/sources/{'0' * 64}", "citations.json"),
            (f"{ROOT}/r_{'0' * 36}", "unknown_job"),
            (f"{ROOT}/{job_id}/report.exe", ""),
            (f"{ROOT}/{job_id}/sources/../../x", ""),
            (f"{ROOT}/{job_id}/", ""),
            (f"{ROOT}/", ""),
            (f"{ROOT}/{job_id}?x=1", ""),
            ("file:///etc/passwd", ""),
        ):
            error = (await refused(agent, uri)).error
            assert error.code == ABSENT, uri
            assert why in error.message


@asynccontextmanager
async def another(home: Path) -> AsyncGenerator[tuple[House, str]]:
    """The same registry, and a finished job of somebody else in it."""
    async with opened(Settings(home=home)) as house, anyio.create_task_group() as group:
        group.start_soon(house.runner.run)
        desk = house.desk(Caller(house.kit.settings, owner="another"))
        ticket = await desk.start(Request(question="Mine [script: report 2000]", engine="scripted"))
        while not (await house.kit.store.get(ticket.job_id)).status.terminal:
            await house.kit.store.changed(await house.kit.store.version(), 1)
        group.cancel_scope.cancel()
    async with opened(Settings(home=home)) as house:
        yield house, ticket.job_id


@pytest.mark.anyio
async def test_a_job_of_someone_else_is_as_if_it_were_not_there(client: Connect, home: Path) -> None:
    async with another(home) as (house, foreign):
        report = await house.desk(Caller(house.kit.settings, owner="another")).report(foreign)
        sha256 = report[1].sources[0].sha256
    async with client() as agent:
        own = await researched(agent)
        never = "r_" + "0" * 36
        for part in ("", "/report.md", "/report.html", "/report.json", "/citations.json", f"/sources/{sha256}"):
            one, other = await refused(agent, f"{ROOT}/{foreign}{part}"), await refused(agent, f"{ROOT}/{never}{part}")
            assert (one.error.code, one.error.message.replace(foreign, never)) == (ABSENT, other.error.message)
        # The scripted engine's pages are the same for every job: what one report cites opens no other's.
        assert await text(agent, f"{ROOT}/{own}/sources/{sha256}")
        listed = await agent.complete(_ref(TEMPLATES[0].uri), {"name": "job_id", "value": "r_"})
        assert listed.completion.values == [own]
        given = await agent.complete(
            _ref(TEMPLATES[-1].uri), {"name": "sha256", "value": ""}, context_arguments={"job_id": foreign}
        )
        assert given.completion.values == []


def _ref(uri: str) -> Any:
    from mcp_types import ResourceTemplateReference

    return ResourceTemplateReference(uri=uri)


@pytest.mark.anyio
async def test_job_ids_and_hashes_are_completed_from_what_is_there(client: Connect, era: str) -> None:
    async with client(era) as agent:
        ids = [await researched(agent, f"report {size}") for size in (1000, 2000, 3000)]
        for template in TEMPLATES:
            found = await agent.complete(_ref(template.uri), {"name": "job_id", "value": ""})
            assert found.completion.values == ids[::-1]
            assert not found.completion.has_more
        found = await agent.complete(_ref(TEMPLATES[0].uri), {"name": "job_id", "value": ids[1][:-1]})
        assert found.completion.values == [ids[1]]
        cited = json.loads((await text(agent, f"{ROOT}/{ids[0]}/report.json"))[1])["sources"]
        found = await agent.complete(
            _ref(TEMPLATES[-1].uri), {"name": "sha256", "value": ""}, context_arguments={"job_id": ids[0]}
        )
        assert found.completion.values == [source["sha256"] for source in cited][:100]
        for ref, argument in ((_ref("file:///{path}"), "path"), (_ref(TEMPLATES[0].uri), "other")):
            assert (await agent.complete(ref, {"name": argument, "value": ""})).completion.values == []


@pytest.mark.anyio
async def test_the_callers_jobs_are_listed_newest_first_a_page_at_a_time(client: Connect, era: str) -> None:
    async with client(era) as agent:
        ids = [await researched(agent, f"report {1000 + size}") for size in range(12)]
        going = await call(
            agent,
            "start_research",
            question="Still\nrunning? [script: read 99 1]",
            engine="scripted",
            label="A slow one",
        )
        found, cursor = [], None
        while True:
            listed = await agent.list_resources(cursor=cursor)
            found += listed.resources
            if (cursor := listed.next_cursor) is None:
                break
        first, *reports = found
        assert (first.uri, first.title, first.mime_type) == (
            f"{ROOT}/{going['job_id']}",
            "A slow one",
            "application/json",
        )
        assert [str(one.uri) for one in reports] == [f"{ROOT}/{job_id}/report.md" for job_id in ids[::-1]]
        for one in found:
            assert (await text(agent, str(one.uri)))[0] == one.mime_type
        assert reports[0].title == "What is new? [script: report 1011]"
        assert "completed (full)" in reports[0].description
        with pytest.raises(MCPError) as caught:
            await agent.list_resources(cursor="page 7")
        assert caught.value.code == ABSENT
        await call(agent, "cancel_research", job_id=going["job_id"])


def test_what_a_client_may_keep_and_for_whom_is_said(place: Place) -> None:
    client = tasker(place, {}, inline_s=5)
    job_id = client.start("report")
    read = client.result("resources/read", uri=f"{ROOT}/{job_id}")
    assert (read["cacheScope"], read["ttlMs"]) == ("private", 5_000)
    for method in ("tools/list", "prompts/list", "resources/templates/list"):
        listed = client.result(method)
        assert listed["cacheScope"] == "public", "the same for everyone"
        assert listed["ttlMs"] > 0
    assert client.result("resources/list")["cacheScope"] == "private"


def test_a_stream_tells_of_changed_resources_by_the_address_they_were_asked_by(place: Place) -> None:
    client = tasker(place, {})
    job_id = client.start("read 3 1.1; report")
    uris = [f"{ROOT}/{job_id}", f"{ROOT}/{job_id}/report.md", f"{ROOT}/r_{'0' * 36}"]
    listen = client.send("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})
    told = client.notified()
    assert told["method"] == "notifications/subscriptions/acknowledged"
    assert told["params"]["notifications"] == {"resourceSubscriptions": uris}
    heard: list[str] = []
    while uris[1] not in heard:
        message = client.notified()
        assert message["method"] == "notifications/resources/updated"
        assert message["params"]["_meta"] == {SUBSCRIPTION: listen}
        heard.append(message["params"]["uri"])
    assert heard.count(uris[1]) == 1, "the report changes once, when it is there"
    assert heard.count(uris[0]) >= 3
    assert uris[2] not in heard
    assert client.result("resources/read", uri=uris[1])["contents"]


def test_a_legacy_client_reads_resources_too_and_is_told_of_no_tasks(place: Place) -> None:
    agent = place.agent(LEGACY, command=COMMAND, inline_s=5)
    job_id = agent.start("report")
    answer = agent.request("resources/read", {"uri": f"{ROOT}/{job_id}/report.md"})["result"]
    assert answer["contents"][0]["mimeType"] == "text/markdown"
    assert agent.request("subscriptions/listen", {"notifications": {}})["error"]["code"] == -32601
