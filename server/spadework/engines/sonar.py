"""Perplexity's asynchronous Sonar API as it was until 2026-09-27: its bodies, words and answers.

The vendor answers it with 403 `chat_completions_not_available` since then, which is reported as a retired endpoint;
gateways that still speak it are reached with SPADEWORK_PERPLEXITY_BASE_URL.
"""

from __future__ import annotations

import re
from typing import Any

from spadework.engines.payload import Payload, plain, readable
from spadework.engines.sheet import Sheet
from spadework.job import Job

TIER = "sonar-async"
PATH = "/async/chat/completions"
_THOUGHT = re.compile(r"^\s*<think>.*?</think>\s*", re.DOTALL)


def body(job: Job, question: str, filters: dict[str, Any]) -> dict[str, Any]:
    """The request of a job in these words; the key lets a gateway that knows it drop a repetition."""
    request: dict[str, Any] = {
        "model": "sonar-deep-research",
        "messages": [{"role": "user", "content": question}],
        "reasoning_effort": job.request.effort,
        **filters,
    }
    if job.request.output_schema is not None:
        request["response_format"] = {"type": "json_schema", "json_schema": {"schema": job.request.output_schema}}
    return {"request": request, "idempotency_key": job.id}


def path(run_id: str) -> str:
    """Where a run is looked at."""
    return f"{PATH}/{run_id}"


class Reading:
    """What a finished Sonar job says; its `[n]` is the n-th of its citations."""

    def __init__(self, result: Payload) -> None:
        answer = result.at("response")
        first = next(answer.at("choices").items(), Payload())
        self.sheet = Sheet()
        self.numbered: dict[int, tuple[str, str]] = {}
        # The model thinks aloud before its report; that is no part of it.
        self.text = _THOUGHT.sub("", first.at("message").at("content").text())
        self.model = plain(answer.at("model").text() or result.at("model").text(), 100)
        usage = answer.at("usage")
        self.cost = usage.at("cost").at("total_cost").money()
        self.usage: dict[str, Any] = {
            name: value for name, value in usage.fields().items() if type(value) in (int, float)
        }
        self.partial = not self.text
        snippets = self._searched(answer)
        for place, cited in enumerate(answer.at("citations").items(), start=1):
            source = self.sheet.source(cited.text(), seen_as="searched")
            if source is not None:
                self.numbered[place] = (source, snippets.get(source, ""))

    def _searched(self, answer: Payload) -> dict[str, str]:
        snippets: dict[str, str] = {}
        for page in answer.at("search_results").items():
            published = page.at("date").text() or page.at("last_updated").text()
            source = self.sheet.source(page.at("url").text(), page.at("title").text(), "searched", published)
            if source is not None:
                snippets.setdefault(source, readable(page.at("snippet").text()))
        return snippets
