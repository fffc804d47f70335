"""Prompts: what a person picks from a client's menu, its blanks, and what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import PromptReference
from tests.conftest import Connect
from tests.journeys.server import call
from tests.promises.tokens import tokens

pytestmark = pytest.mark.anyio

FILLED = {
    "deep_research": {"question": "Why do tides differ?", "effort": "high", "folders": "/srv/papers"},
    "compare": {"subjects": "brass, bronze, steel", "criteria": "price"},
    "resume_my_research": {"topic": "tides"},
    "verify_citations": {"job_id": "r_" + "0" * 36},
}
TOOLS = {
    "deep_research": ("start_research", "get_result"),
    "compare": (),
    "resume_my_research": ("check_research",),
    "verify_citations": ("get_result",),
}


async def written(agent: Any, name: str, **blanks: str) -> str:
    found = await agent.get_prompt(name, blanks)
    (message,) = found.messages
    assert message.role == "user"
    return message.content.text


async def test_every_prompt_has_words_and_says_which_blanks_it_needs(client: Connect, era: str) -> None:
    async with client(era) as agent:
        found = (await agent.list_prompts()).prompts
    assert [prompt.name for prompt in found] == list(FILLED)
    assert all(prompt.title and prompt.description for prompt in found)
    assert {prompt.name: [blank.name for blank in prompt.arguments] for prompt in found} == {
        name: list(blanks) for name, blanks in FILLED.items()
    }
    assert [blank.name for prompt in found for blank in prompt.arguments if blank.required] == [
        "question",
        "subjects",
        "job_id",
    ]


async def test_a_filled_prompt_holds_what_was_filled_in_and_names_only_tools_there_are(
    client: Connect, era: str
) -> None:
    async with client(era) as agent:
        for name, blanks in FILLED.items():
            text = await written(agent, name, **blanks)
            assert all(said in text for said in blanks.values()), text
            assert all(tool in text for tool in TOOLS[name]), text
            assert tokens(text) <= 250
        for name, blank in (("deep_research", "question"), ("compare", "subjects"), ("verify_citations", "job_id")):
            assert await written(agent, name, **{blank: FILLED[name][blank]})
        assert await written(agent, "resume_my_research")


@pytest.mark.parametrize(
    ("name", "blanks", "why"),
    [
        ("deep_research", {}, "question"),
        ("deep_research", {"question": "  "}, "question"),
        ("deep_research", {"question": "Why?", "depth": "9"}, "depth"),
        ("deep_research", {"question": "x" * 8_001}, "8000"),
        ("no_such_prompt", {}, "no_such_prompt"),
    ],
)
async def test_a_prompt_that_cannot_be_written_is_the_callers_error(
    client: Connect, era: str, name: str, blanks: dict[str, str], why: str
) -> None:
    async with client(era) as agent:
        with pytest.raises(MCPError) as caught:
            await agent.get_prompt(name, blanks)
    assert caught.value.error.code == -32602
    assert why in caught.value.error.message


async def test_what_is_filled_in_cannot_hide_text_from_the_person(client: Connect) -> None:
    async with client() as agent:
        text = await written(agent, "deep_research", question="Why\u202e do\u200b tides\x1b[31m differ?")
    assert "Why do tides differ?" in text


async def test_blanks_are_completed_where_there_is_a_choice(client: Connect, era: str) -> None:
    async with client(era) as agent:
        ticket = await call(agent, "start_research", question="[script: report]", engine="scripted")

        async def offered(name: str, blank: str, begun: str) -> list[str]:
            ref = PromptReference(name=name)
            return (await agent.complete(ref, {"name": blank, "value": begun})).completion.values

        assert await offered("deep_research", "effort", "") == ["low", "medium", "high"]
        assert await offered("deep_research", "effort", "m") == ["medium"]
        assert await offered("deep_research", "question", "Why") == []
        assert await offered("verify_citations", "job_id", "r_") == [ticket["job_id"]]
        assert await offered("no_such_prompt", "job_id", "") == []
