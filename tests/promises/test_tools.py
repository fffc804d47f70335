"""What an agent is shown: four tools, cheap in tokens, strict, true to their schemas, the same for everyone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.conftest import Connect
from tests.journeys.server import call, ended, page, raw, refused, texts
from tests.promises.tokens import tokens

pytestmark = pytest.mark.anyio

NAMES = ["start_research", "check_research", "get_result", "cancel_research"]


async def listed(agent: Any) -> list[dict[str, Any]]:
    """The tools as they come over the wire."""
    found = await agent.list_tools()
    assert found.next_cursor is None
    return [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in found.tools]


@pytest.mark.parametrize("separators", [(",", ":"), None], ids=["compact", "spaced"])
async def test_the_four_tools_cost_at_most_a_thousand_tokens(
    client: Connect, era: str, separators: tuple[str, str] | None
) -> None:
    async with client(era) as agent:
        tools = await listed(agent)
    assert [tool["name"] for tool in tools] == NAMES
    shown = [{key: tool[key] for key in ("name", "description", "inputSchema")} for tool in tools]
    costs = {tool["name"]: tokens(tool, separators) for tool in shown}
    assert tokens(shown, separators) <= 1_000, costs
    assert sum(costs.values()) <= 1_000, costs


async def test_the_instructions_fit_where_clients_cut_them(client: Connect, era: str) -> None:
    """Claude Code cuts server instructions at 2,048 characters (2.1.330, 2026-11)."""
    async with client(era) as agent:
        assert agent.instructions
        assert len(agent.instructions) <= 2_000
        for name in NAMES[:3]:
            assert name in agent.instructions


async def test_every_hint_is_explicit_and_true(client: Connect, era: str) -> None:
    async with client(era) as agent:
        hints = {tool["name"]: tool["annotations"] for tool in await listed(agent)}
    asked = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
    assert {name: tuple(hint[key] for key in asked) for name, hint in hints.items()} == {
        "start_research": (False, False, True, True),
        "check_research": (True, False, True, False),
        "get_result": (True, False, True, False),
        "cancel_research": (False, True, True, True),
    }


async def test_the_schemas_are_closed_and_their_descriptions_state_bounds_and_defaults(
    client: Connect, era: str
) -> None:
    """Codex strips default, minimum, maximum and pattern from what it shows a model (0.169.0, 2026-11)."""
    async with client(era) as agent:
        for tool in await listed(agent):
            schema = tool["inputSchema"]
            jsonschema.Draft202012Validator.check_schema(schema)
            assert schema["type"] == "object"
            assert schema["additionalProperties"] is False
            assert "$ref" not in json.dumps(schema)
            for name, value in schema["properties"].items():
                said = value.get("description", "")
                for bound in ("minimum", "maximum", "maxItems"):
                    if bound in value and f"{tool['name']}.{name}" not in FREE:
                        number = f"{value[bound]:g}"
                        assert number in said.replace(",", ""), f"{tool['name']}.{name} hides its {bound} {number}"
                if value.get("default") not in (None, "", [], 0, "auto"):
                    assert str(value["default"]) in said, f"{tool['name']}.{name} hides its default"


#: Bounds that no agent meets before it has erred, and whose error then states them.
FREE = {
    "start_research.include_domains", "start_research.exclude_domains", "start_research.folders",
    "start_research.records", "start_research.max_cost_usd", "check_research.job_ids",
}  # fmt: skip


async def test_the_list_of_tools_is_the_same_for_every_connection_and_era(client: Connect) -> None:
    seen: list[str] = []
    for era in ("2026-07-28", "2025-11-25", "2026-07-28"):
        async with client(era) as agent:
            for _ in range(2):
                seen.append(json.dumps(await listed(agent), sort_keys=True))
    assert len(set(seen)) == 1


async def test_every_structured_answer_fits_its_output_schema_and_the_text_says_the_same(
    client: Connect, era: str
) -> None:
    async with client(era, inline_s=0) as agent:
        schemas = {tool["name"]: tool.get("outputSchema") for tool in await listed(agent)}
        assert schemas["get_result"] is None
        answers: list[tuple[str, dict[str, Any]]] = []

        async def ask(tool: str, **arguments: Any) -> dict[str, Any]:
            answers.append((tool, await call(agent, tool, **arguments)))
            return answers[-1][1]

        for script in ("report", "none", "fail odd It broke. Leave it.", "crash", "hang", "read 2 0; park 300"):
            asked = {"question": f"{script} [script: {script}]", "engine": "scripted", "label": f"öäü “{script}”"}
            job_id = (await ask("start_research", **asked))["job_id"]
            await ask("start_research", **asked)
            found = await ask("check_research", job_ids=[job_id], wait_s=1)
            await ask("check_research", job_ids=[job_id], since=found["since"])
        for listing in (await ask("check_research"))["jobs"]:
            await ask("cancel_research", job_id=listing["job_id"])
        await ask("check_research")
        for tool, answer in answers:
            jsonschema.Draft202012Validator(schemas[tool]).validate(answer)


async def test_a_running_job_costs_few_tokens_to_look_at_and_an_unchanged_one_fewer(client: Connect, era: str) -> None:
    async with client(era, inline_s=0) as agent:
        question = "x [script: read 12 0.05; hang]"
        ticket = await raw(agent, "start_research", question=question, engine="scripted", label="A label of mine")
        assert tokens(texts(ticket)[0]) <= 120, texts(ticket)
        job_id = json.loads(texts(ticket)[0])["job_id"]
        found = await raw(agent, "check_research", job_ids=[job_id], wait_s=2)
        for _ in range(3):
            assert tokens(texts(found)[0]) <= 120, texts(found)
            found = await raw(agent, "check_research", job_ids=[job_id], wait_s=1)
        standing = json.loads(texts(found)[0])
        assert standing["jobs"][0]["status"] == "running"
        assert standing["poll_after_s"] >= 1
        quiet = await raw(agent, "check_research", job_ids=[job_id], since=standing["since"])
        assert json.loads(texts(quiet)[0])["unchanged"] is True
        assert tokens(texts(quiet)[0]) <= 40, texts(quiet)


async def test_a_listed_job_costs_at_most_eighty_tokens_a_row(client: Connect) -> None:
    async with client() as agent:
        for number in range(10):
            asked = f"number {number} [script: report]"
            await call(agent, "start_research", question=asked, engine="scripted", label=f"label {number}")
        (text,) = texts(await raw(agent, "check_research"))
        assert tokens(text) <= 10 * 80 + 60, tokens(text)


async def test_the_brief_of_a_60_kilobyte_report_costs_at_most_2000_tokens(client: Connect, era: str) -> None:
    async with client(era) as agent:
        ticket = await call(agent, "start_research", question="[script: report 60000]", engine="scripted")
        await ended(agent, ticket["job_id"])
        _, place = await page(agent, ticket["job_id"], view="full")
        assert place["total"] >= 60_000
        result = await raw(agent, "get_result", job_id=ticket["job_id"])
        assert tokens("\n".join(texts(result))) <= 2_000, tokens("\n".join(texts(result)))
        brief = texts(result)[0]
        assert ticket["job_id"] in "\n".join(texts(result))
        assert f"research://jobs/{ticket['job_id']}" in brief


async def test_a_default_page_stays_below_the_clients_limits(client: Connect) -> None:
    async with client() as agent:
        ticket = await call(agent, "start_research", question="[script: report 60000]", engine="scripted")
        body, place = await page(agent, ticket["job_id"], view="full")
        assert len(body) <= 12_000
        assert place["cursor"] is not None
        assert tokens(body) <= 4_000 * 1.3


async def test_every_error_is_short_and_has_a_code(client: Connect) -> None:
    async with client(inline_s=0) as agent:
        ticket = await call(agent, "start_research", question="[script: hang]", engine="scripted", idempotency_key="a")
        for said in (
            await refused(agent, "get_result", job_id=ticket["job_id"]),
            await refused(agent, "start_research", question="Other", engine="scripted", idempotency_key="a"),
            await refused(agent, "get_result", job_id="r_" + "0" * 36),
            await refused(agent, "start_research", question="What?", engine="x" * 80),
            await refused(agent, "start_research", question="What?", engine="local", folders=["/" + "x" * 3_000]),
        ):
            assert re.match(r"[a-z_]+: ", said), said
            assert tokens(said) <= 120, (tokens(said), said)


async def test_every_answer_that_leaves_a_job_unfinished_says_when_to_look_again(client: Connect) -> None:
    async with client(inline_s=0) as agent:
        ticket = await call(agent, "start_research", question="[script: hang]", engine="scripted")
        assert ticket["poll_after_s"] >= 5
        found = await call(agent, "check_research", job_ids=[ticket["job_id"]])
        assert found["poll_after_s"] >= 5
        quiet = await call(agent, "check_research", job_ids=[ticket["job_id"]], since=found["since"])
        assert quiet["poll_after_s"] >= 5


async def test_the_titles_are_for_people_and_the_server_names_itself(client: Connect, tmp_path: Path) -> None:
    async with client() as agent:
        assert agent.server_info.name == "spadework"
        for tool in await listed(agent):
            assert tool["title"]
            assert tool["title"] != tool["name"]
