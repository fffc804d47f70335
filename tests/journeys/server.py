"""The server as a client's configuration starts it, and an agent's calls to it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types import CallToolResult, TextContent

#: The environment that the tests were started in; their own processes are started from it.
AROUND: Mapping[str, str] = os.environ  # noqa: TID251
COMMAND = (sys.executable, "-m", "spadework", "serve", "--no-desk")


def environment(home: Path, **settings: object) -> dict[str, str]:
    """A client's environment, without any setting or key of whoever runs the tests, and with these settings.

    A name in capitals is a variable as it stands, such as a vendor's key.
    """
    kept = {name: AROUND[name] for name in ("PATH", "HOME", "LANG", "TERM", "USER") if name in AROUND}
    kept |= {"SPADEWORK_HOME": str(home)}
    # A desk that a test starts in the background goes soon after the test.
    for name, value in ({"idle_s": 3} | settings).items():
        shown = os.pathsep.join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        kept[name if name.isupper() else f"SPADEWORK_{name.upper()}"] = shown
    return kept


def powerless() -> tuple[str, ...]:
    """What to put before a command so that it obeys permission bits even where root runs the tests."""
    return ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()


@asynccontextmanager
async def connected(era: str, home: Path, place: Path, **settings: object) -> AsyncGenerator[Client]:
    """The SDK's client on a fresh server process that works in `place`."""
    parameters = StdioServerParameters(
        command=COMMAND[0], args=list(COMMAND[1:]), env=environment(home, **settings), cwd=place
    )
    mode = "auto" if era == "2026-07-28" else "legacy"
    with Path(place, "server.log").open("a", encoding="utf-8") as log, alone(), anyio.fail_after(120):
        async with Client(stdio_client(parameters, errlog=log), mode=mode) as client:
            assert client.protocol_version == era
            yield client


@contextmanager
def alone() -> Generator[None]:
    """An error that came alone, without the groups that the client's task groups wrap it in."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool answers, which must be no error and the same in both channels."""
    result = await raw(client, tool, **arguments)
    assert not result.is_error, texts(result)
    assert result.structured_content is not None
    (text,) = texts(result)
    assert json.loads(text) == result.structured_content
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """The sentence a tool refuses with."""
    result = await raw(client, tool, **arguments)
    assert result.is_error, texts(result)
    assert result.structured_content is None
    (text,) = texts(result)
    return text


async def raw(client: Client, tool: str, **arguments: Any) -> CallToolResult:
    """A tool's answer as it comes."""
    with anyio.fail_after(60):
        result = await client.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    return result


def texts(result: CallToolResult) -> list[str]:
    """The text blocks of an answer; there is nothing else in ours."""
    assert all(isinstance(block, TextContent) for block in result.content)
    return [block.text for block in result.content if isinstance(block, TextContent)]


async def ended(client: Client, job_id: str, *, within: float = 60) -> dict[str, Any]:
    """The job's standing once it has ended, by long polls."""
    with anyio.fail_after(within):
        while True:
            found = await call(client, "check_research", job_ids=[job_id], wait_s=20)
            if found["jobs"] and found["jobs"][0]["status"] in ("completed", "failed", "cancelled"):
                return found["jobs"][0]


async def page(client: Client, job_id: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    """One page of a report: its text, and where it lies."""
    result = await raw(client, "get_result", job_id=job_id, **arguments)
    assert not result.is_error, texts(result)
    assert result.structured_content is None
    assert result.meta is not None
    body, line = texts(result)
    place = result.meta["spadework/page"]
    assert place["sha256"] in line
    assert f"{place['start']}-{place['end']} of {place['total']}" in line
    assert place["end"] - place["start"] == len(body)
    return body, place


async def whole(client: Client, job_id: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    """A view read page by page to its end, joined, and its last page's place."""
    text, place = await page(client, job_id, **arguments)
    while place["cursor"] is not None:
        assert place["end"] == len(text)
        more, place = await page(client, job_id, **{**arguments, "cursor": place["cursor"]})
        text += more
    assert len(text) == place["total"]
    return text, place


async def exported(home: Path, job_id: str, place: Path) -> dict[str, Any]:
    """The whole report as `spadework export` writes it."""
    target = place / f"{job_id}.json"
    run = await anyio.run_process(
        [*COMMAND[:3], "export", job_id, "-o", str(target)], env=environment(home), check=False
    )
    assert run.returncode == 0, run.stderr.decode()
    document = json.loads(target.read_text(encoding="utf-8"))
    return document.get("report", document)
