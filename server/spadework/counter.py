"""The counter: where the desk answers the commands of people on this machine; `remote.py` is the other side of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import TypeAdapter

from spadework.desk import Desk
from spadework.job import Job
from spadework.remote import DELIVERIES, ENDPOINT, WEBHOOKS
from spadework.transports import Lines
from spadework_tools.errors import BadRequest, MissingKey, Trouble
from spadework_tools.models import Report, Request

_VERDICT = TypeAdapter(tuple[Job, Report])


async def serve_port(desk: Desk, lines: Lines) -> None:
    """Answer one command's questions until it hangs up."""
    async for line in lines:
        await lines.write(json.dumps(await _answer(desk, line)) + "\n")


async def _answer(desk: Desk, line: str) -> dict[str, Any]:
    try:
        asked = json.loads(line)
        return {"ok": await _DOINGS[asked["do"]](desk, asked["with"])}
    except Trouble as trouble:
        kind = next((kind.__name__ for kind in (MissingKey, BadRequest) if isinstance(trouble, kind)), "Trouble")
        return {"trouble": {"kind": kind, "code": trouble.code, "message": trouble.message}}
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        message = f"the desk does not understand this command ({type(error).__name__}). Use the desk's own version."
        return {"trouble": {"kind": "Trouble", "code": "garbled", "message": message}}


async def _start(desk: Desk, given: Mapping[str, Any]) -> Any:
    return (await desk.start(Request.model_validate(given["request"]))).model_dump(mode="json")


async def _check(desk: Desk, given: Mapping[str, Any]) -> Any:
    return (await desk.check(**given)).model_dump(mode="json")


async def _collect(desk: Desk, given: Mapping[str, Any]) -> Any:
    return (await desk.collect(**given)).model_dump(mode="json")


async def _cancel(desk: Desk, given: Mapping[str, Any]) -> Any:
    return (await desk.cancel(**given)).model_dump(mode="json")


async def _report(desk: Desk, given: Mapping[str, Any]) -> Any:
    return _VERDICT.dump_python(await desk.report(**given), mode="json")


async def _snapshot(desk: Desk, given: Mapping[str, Any]) -> Any:
    return await desk.snapshot(**given)


async def _webhooks(desk: Desk, given: Mapping[str, Any]) -> Any:
    return WEBHOOKS.dump_python(await desk.webhooks(**given), mode="json")


async def _redeliver(desk: Desk, given: Mapping[str, Any]) -> Any:
    return DELIVERIES.dump_python(await desk.redeliver(**given), mode="json")


async def _rotate(desk: Desk, given: Mapping[str, Any]) -> Any:
    return ENDPOINT.dump_python(await desk.rotate(**given), mode="json")


_DOINGS: dict[str, Callable[[Desk, Mapping[str, Any]], Awaitable[Any]]] = {
    "start": _start,
    "check": _check,
    "collect": _collect,
    "cancel": _cancel,
    "report": _report,
    "snapshot": _snapshot,
    "webhooks": _webhooks,
    "redeliver": _redeliver,
    "rotate": _rotate,
}
