"""cloro's payloads: what an answer engine showed, as the vendor hands it on."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from tests.standins import answers
from tests.standins.script import Run

SEARCHES = ("GOOGLE", "GOOGLE_NEWS")


def answer(run: Run) -> dict[str, Any]:
    """The response of a task that has ended."""
    if run.fate not in ("completed", "incomplete"):
        code, message = run.script.error
        return {"error": {"code": code, "message": message}}
    asked = run.body["payload"]
    subject = asked.get("prompt") or asked.get("query")
    found = answers.pages(subject, 5)
    return _results(found) if run.body["taskType"] in SEARCHES else _engine(run, asked, subject, found)


def _engine(run: Run, asked: dict[str, Any], subject: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    markdown = run.script.text if run.script.text is not None else answers.report(subject, found)
    wants = asked.get("include") or {}
    extras = {
        "markdown": markdown,
        "html": f"https://storage.cloro.dev/results/{run.id}/page-1.html",
        "searchQueries": [subject, f"{subject} 2026"],
        "rawResponse": [{"type": "answer", "text": markdown}],
    }
    made: dict[str, Any] = {
        "text": markdown.replace("#", "").replace("*", "").strip(),
        "sources": [
            {"position": place, "url": page["url"], "label": page["title"], "description": page["snippet"]}
            for place, page in enumerate(found, 1)
        ],
        "citationPills": [
            {
                "citationPillId": place,
                "label": page["title"],
                "url": page["url"],
                "domain": urlsplit(page["url"]).hostname,
                "position": place,
            }
            for place, page in enumerate(found[:3], 1)
        ],
        "model": "as-shown",
    }
    if run.body["taskType"] == "PERPLEXITY":
        made["related_queries"] = [f"Why is it so: {subject[:80]}?"]
    return made | {name: held for name, held in extras.items() if wants.get(name)}


def _results(found: list[dict[str, Any]]) -> dict[str, Any]:
    """A result page; the names of its fields are a guess."""
    rows = [
        {"position": place, "title": page["title"], "link": page["url"], "snippet": page["snippet"]}
        for place, page in enumerate(found, 1)
    ]
    return {"organicResults": rows, "relatedSearches": []}
