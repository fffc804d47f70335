"""What an agent gets wrong: each mistake has its sentence, nothing is started, and the server goes on."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from tests.conftest import Connect
from tests.journeys.server import call, raw, refused, texts
from tests.promises.tokens import tokens

pytestmark = pytest.mark.anyio

Q = "What is new? [script: report]"


def start(**arguments: Any) -> tuple[str, dict[str, Any]]:
    return "start_research", {"question": Q, "engine": "scripted"} | arguments


#: Each mistake, with the words the refusal must hold.
MISTAKES: dict[str, tuple[tuple[str, dict[str, Any]], tuple[str, ...]]] = {
    "empty question": (start(question=""), ("question", "3 characters")),
    "blank question": (start(question="   \n\t "), ("question", "white space")),
    "question of 30,000 characters": (start(question="why? " * 6_000), ("question", "20000")),
    "no question": (("start_research", {}), ("question", "missing")),
    "question that is no text": (start(question=7), ("question", "text")),
    "misspelt name": (start(folder=["/tmp"]), ("'folder'", "'folders'")),
    "camel case name": (start(outputSchema={}), ("'outputSchema'", "'output_schema'")),
    "name of another tool's argument": (start(job_id="r_x"), ("'job_id'",)),
    "unknown name of 10,000 characters": (start(**{"x" * 10_000: 1}), ("xxx", "question")),
    "effort that is none": (start(effort="extreme"), ("effort", "low", "medium", "high")),
    "engine that nobody serves": (start(engine="oracle"), ("unknown_engine", "'oracle'", "local")),
    "tier that nobody serves": (start(engine="scripted:ultra"), ("tier", "ultra")),
    "script that cannot be followed": (start(question="[script: dance 3]"), ("dance",)),
    "schema that is no schema": (start(output_schema={"type": 7}), ("output_schema", "type")),
    "schema with a broken part": (
        start(output_schema={"type": "object", "properties": {"a": {"minimum": "low"}}}),
        ("output_schema", "properties/a/minimum"),
    ),
    "schema that is a list": (start(output_schema=[]), ("output_schema", "object")),
    "schema whose reference leads nowhere": (start(output_schema={"$ref": "#/$defs/gone"}), ("output_schema", "$defs")),
    "schema with a broken pattern": (start(output_schema={"pattern": "("}), ("output_schema", "pattern")),
    "records without a schema": (start(records=[{"a": 1}]), ("records", "output_schema")),
    "day that is none": (start(published_after="2026-02-30"), ("published_after",)),
    "day in words": (start(published_after="last week"), ("published_after", "2026-11-21")),
    "days the wrong way round": (
        start(published_after="2026-02-01", published_before="2026-01-01"), ("published_after", "published_before"),
    ),
    "cap of nothing": (start(max_cost_usd=0), ("max_cost_usd",)),
    "cap below nothing": (start(max_cost_usd=-1), ("max_cost_usd",)),
    "domain with a scheme": (start(include_domains=["https://example.org/a"]), ("include_domains", "example.org")),
    "key without a sign": (start(idempotency_key=""), ("idempotency_key",)),
    "key of 300 signs": (start(idempotency_key="k" * 300), ("idempotency_key", "255")),
    "label of 200 signs": (start(label="l" * 200), ("label", "80")),
    "follow up to nobody's job": (start(follow_up_to="r_" + "0" * 36), ("unknown_job",)),
    "21 folders": (start(folders=["/tmp"] * 21), ("folders", "20")),
    "check nobody's job": (("check_research", {"job_ids": ["r_" + "0" * 36]}), ("unknown_job", "check_research")),
    "check with no id": (("check_research", {"job_ids": [""]}), ("job_ids",)),
    "wait for a minute": (("check_research", {"wait_s": 60}), ("wait_s", "45")),
    "wait below nothing": (("check_research", {"wait_s": -1}), ("wait_s", "0")),
    "wait for ever": (("check_research", {"wait_s": "forever"}), ("wait_s",)),
    "since of somebody else": (("check_research", {"since": "yesterday"}), ("since",)),
    "since of a huge number": (("check_research", {"since": "v" + "9" * 39}), ("since",)),
    "list that is no list": (("check_research", {"job_ids": "[not json"}), ("job_ids",)),
    "list within lists without end": (("check_research", {"job_ids": "[" * 5_000}), ("job_ids",)),
    "list of a number": (("check_research", {"job_ids": 7}), ("job_ids", "list")),
    "result of nobody's job": (("get_result", {"job_id": "r_" + "0" * 36}), ("unknown_job",)),
    "result without an id": (("get_result", {}), ("job_id", "missing")),
    "result in 499 characters": (("get_result", {"job_id": "r_x", "max_chars": 499}), ("max_chars", "500")),
    "result in 20,001 characters": (("get_result", {"job_id": "r_x", "max_chars": 20_001}), ("max_chars", "20000")),
    "view that is none": (("get_result", {"job_id": "r_x", "view": "summary"}), ("view", "brief", "full")),
    "misspelt view": (("get_result", {"job_id": "r_x", "veiw": "full"}), ("'veiw'", "'view'")),
    "cancel nobody's job": (("cancel_research", {"job_id": "r_" + "0" * 36}), ("unknown_job",)),
    "cancel a list": (("cancel_research", {"job_id": ["r_x"]}), ("job_id", "text")),
    "id with a NUL": (("get_result", {"job_id": "r_\0"}), ("unknown_job",)),
    "id of 200 signs": (("get_result", {"job_id": "r" * 200}), ("unknown_job",)),
    "id like a path": (("get_result", {"job_id": "../../etc/passwd"}), ("unknown_job",)),
}  # fmt: skip


async def test_every_mistake_is_refused_in_words_that_say_what_to_do_and_nothing_is_started(client: Connect) -> None:
    wrong: list[str] = []
    async with client() as agent:
        for name, ((tool, arguments), words) in MISTAKES.items():
            result = await raw(agent, tool, **arguments)
            (said,) = texts(result)
            if not result.is_error:
                wrong.append(f"{name}: taken: {said}")
                continue
            wrong += [f"{name}: no {word!r} in: {said}" for word in words if word not in said]
            wrong += faults(name, said)
        assert not wrong, "\n".join(wrong)
        assert (await call(agent, "check_research"))["jobs"] == []
        assert (await call(agent, "start_research", question=Q, engine="scripted"))["created"] is True


def faults(name: str, said: str) -> list[str]:
    """What is wrong with an error's text, whatever the error."""
    found: list[str] = []
    if tokens(said) > 120:
        found.append(f"{name}: {tokens(said)} tokens: {said}")
    for word in ("pydantic", "Traceback", "validation error", "input_value", "internal", "Error executing"):
        if word in said:
            found.append(f"{name}: {word!r} in: {said}")
    code, _, message = said.partition(": ")
    if not code.isascii() or not code.replace("_", "").islower() or " " in code:
        found.append(f"{name}: no code before: {said}")
    if not message.rstrip().endswith((".", "?")):
        found.append(f"{name}: no sentence: {said}")
    return found


async def test_a_job_of_nobody_and_a_wrong_id_read_the_same(client: Connect) -> None:
    async with client() as agent:
        said = {
            (await refused(agent, tool, **{key: value})).replace(job_id, "ID")
            for job_id in ("r_" + "0" * 36, "nonsense")
            for tool, key, value in (
                ("get_result", "job_id", job_id),
                ("cancel_research", "job_id", job_id),
                ("check_research", "job_ids", [job_id]),
            )
        }
        assert len(said) == 1


async def test_one_bare_id_is_taken_for_a_list_of_one(client: Connect) -> None:
    async with client() as agent:
        job_id = (await call(agent, "start_research", question=Q, engine="scripted"))["job_id"]
        for form in (job_id, f'["{job_id}"]', [job_id]):
            found = await call(agent, "check_research", job_ids=form)
            assert [job["job_id"] for job in found["jobs"]] == [job_id]


async def test_the_longest_question_is_taken_whole(client: Connect) -> None:
    question = ("Why is the harbour wall of Skerry wet? " * 600)[
        : 20_000 - len("[script: report]")
    ] + "[script: report]"
    async with client() as agent:
        ticket = await call(agent, "start_research", question=question, engine="scripted")
        assert ticket["created"] is True
        assert (await call(agent, "start_research", question=question, engine="scripted"))["job_id"] == ticket["job_id"]


async def test_a_flood_of_mixed_calls_loses_none(client: Connect) -> None:
    async with client() as agent:
        answers: list[str] = []

        async def one(number: int) -> None:
            name, ((tool, arguments), _) = list(MISTAKES.items())[number % len(MISTAKES)]
            result = await raw(agent, tool, **arguments)
            assert result.is_error, name
            answers.extend(texts(result))

        async with anyio.create_task_group() as group:
            for number in range(300):
                group.start_soon(one, number)
        assert len(answers) == 300
