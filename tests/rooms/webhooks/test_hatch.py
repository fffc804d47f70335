"""The hatch's answers where no vendor's message would ever lead: a busy store, an endless body, a sender who goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from tests.contracts.jobs import within
from tests.rooms.webhooks.test_hints import Desk, desk

from spadework import hatch
from spadework.settings import Settings

pytestmark = pytest.mark.anyio
GONE = {"type": "http.disconnect"}


def piece(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def knock(here: Desk, *messages: dict[str, Any], headers: dict[str, str] | None = None) -> tuple[Any, int]:
    """Send a body piece by piece, and maybe go; the answer, with its headers, and how many pieces were taken."""
    settings = Settings(home=Path("/nowhere"), public_url="https://desk.example.org")
    app = Starlette(routes=hatch.routes(settings, here.hints))
    left, sent = list(messages), list[Any]()

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": "POST", "path": "/webhooks/parallel", "query_string": b"", "headers": raw}
    await app(scope, receive, send)
    body = json.loads(b"".join(message.get("body", b"") for message in sent[1:]))
    return {**body, "code": sent[0]["status"], "headers": dict(sent[0]["headers"])}, len(messages) - len(left)


@within(20)
async def test_a_busy_store_asks_the_vendor_to_come_again(home: Path) -> None:
    async with desk(home) as here:
        job = await here.job()
        body, headers = here.message(job)
        here.kit.store.refuse = 1  # type: ignore[attr-defined]
        answer, _ = await knock(here, piece(body, more=False), headers=headers)
        assert (answer["code"], answer["headers"][b"retry-after"]) == (503, b"30")
        assert answer["error"] == {
            "code": "registry_busy",
            "message": "the jobs cannot be read now. Send it again later.",
        }
        assert here.woken == []
        answer, _ = await knock(here, piece(body[:10]), piece(body[10:], more=False), headers=headers)
        assert (answer["code"], here.woken) == (200, [job.id])


@within(20)
async def test_what_is_too_large_is_read_on_for_a_while_and_not_for_ever(home: Path) -> None:
    async with desk(home) as here:
        large = piece(bytes(1 << 20))
        answer, taken = await knock(here, *[large] * 3, piece(b"", more=False))
        assert (answer["code"], taken) == (413, 4)
        answer, taken = await knock(here, *[large] * 100)
        assert (answer["code"], taken) == (413, 9)


@within(20)
async def test_a_sender_who_goes_halfway_is_no_defect(home: Path) -> None:
    async with desk(home) as here:
        body, headers = here.message(await here.job())
        answer, _ = await knock(here, piece(body[:20]), GONE, headers=headers)
        assert answer["code"] == 413
        assert here.woken == []
