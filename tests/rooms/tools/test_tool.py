"""The tools' arguments: strict, named in words, never echoing what the caller sent."""

from typing import Any

import pytest

from spadework_tools.cancel import CANCEL
from spadework_tools.check import CHECK
from spadework_tools.errors import BadRequest, UnknownArgument
from spadework_tools.result import RESULT
from spadework_tools.start import START
from spadework_tools.tool import Tool

SECRET = "canary-value-2718"


@pytest.mark.parametrize(
    ("tool", "name", "nearest"),
    [
        (START, "idempotencyKey", "idempotency_key"),
        (START, "include_domain", "include_domains"),
        (START, "max_cost", "max_cost_usd"),
        (CHECK, "job_id", "job_ids"),
        (RESULT, "maxChars", "max_chars"),
        (CANCEL, "jobid", "job_id"),
    ],
)
def test_an_unknown_argument_names_the_nearest_one(tool: Tool[Any], name: str, nearest: str) -> None:
    with pytest.raises(UnknownArgument) as caught:
        tool.judge({name: "x"})
    assert repr(nearest) in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "question is missing"),
        ({"question": ""}, "at least 3 characters"),
        ({"question": " \n\t "}, "fewer than 3 characters"),
        ({"question": "x" * 30_000}, "the limit is 20000"),
        ({"question": 7}, "must be text"),
        ({"question": "What is new?", "effort": SECRET}, "'low', 'medium' or 'high'"),
        ({"question": "What is new?", "max_cost_usd": 0}, "more than 0"),
        ({"question": "What is new?", "include_domains": ["https://example.org/x"]}, "bare domain"),
        ({"question": "What is new?", "published_after": "2026-13-40"}, "month must be in 1..12"),
        ({"question": "What is new?", "published_after": "2026-02-01", "published_before": "2026-01-01"}, "behind"),
        ({"question": "What is new?", "records": [{"name": "x"}]}, "output_schema"),
        ({"question": "What is new?", "records": ["x"], "output_schema": {}}, "must be an object"),
        ({"question": "What is new?", "output_schema": "x"}, "must be an object"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_in_words(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest) as caught:
        START.judge(arguments)
    message = str(caught.value)
    assert says in message
    assert SECRET not in message
    assert "pydantic" not in message
    assert "nothing was done" in message


def test_a_bare_id_and_a_list_sent_as_text_are_lists_of_ids() -> None:
    assert CHECK.judge({"job_ids": "r_1"}).job_ids == ("r_1",)
    assert CHECK.judge({"job_ids": '["r_1","r_2"]'}).job_ids == ("r_1", "r_2")
    with pytest.raises(BadRequest):
        CHECK.judge({"job_ids": "[r_1"})


@pytest.mark.parametrize("chars", [0, 499, 20_001, "many", None])
def test_a_page_size_out_of_range_says_the_range(chars: object) -> None:
    with pytest.raises(BadRequest) as caught:
        RESULT.judge({"job_id": "r_1", "max_chars": chars})
    assert "max_chars" in str(caught.value)


@pytest.mark.parametrize("tool", [START, CHECK, RESULT, CANCEL])
def test_a_schema_is_closed_and_without_noise(tool: Tool[Any]) -> None:
    schema = tool.schema
    text = repr(schema)
    assert schema["additionalProperties"] is False
    assert "$ref" not in text
    assert "'null'" not in text
    assert "'title'" not in text
    for name, field in schema["properties"].items():
        assert "type" in field, name
