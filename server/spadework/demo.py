"""`spadework demo`: an agent's turns, played by a real MCP client against a real server process, without any key."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import CallToolResult, TextContent

from spadework.screen import Screen

_QUESTION = "How long does a tide table stay valid, and who corrects it?"
_NOTES = {
    "tides.md": (
        "# Tide tables\n\nA tide table stays valid for one calendar year. The harbour office publishes it in November."
        "\n\n## Corrections\n\nThe harbour office corrects a tide table when a gauge has drifted by more than 5 cm.\n"
    ),
    "gauges.md": (
        "# Tide gauges\n\nA tide gauge is read every six minutes. Two gauges stand in the harbour.\n\n"
        "A gauge that drifted is corrected against the tide table of the neighbouring harbour.\n"
    ),
}


async def play(screen: Screen) -> None:
    """Play the demonstration. Raises whatever the server answers with, since then something is wrong."""
    with tempfile.TemporaryDirectory(prefix="spadework-demo-") as place:
        folder = await anyio.Path(place, "notes").absolute()
        await folder.mkdir()
        for name, text in _NOTES.items():
            await (folder / name).write_text(text, encoding="utf-8")
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "spadework", "serve", "--no-desk"],
            env={"SPADEWORK_HOME": str(Path(place, "home")), "SPADEWORK_ROOTS": str(folder)},
            cwd=place,
        )
        with anyio.fail_after(120):
            async with Client(server) as client:
                await _turns(client, str(folder), screen)


async def _turns(client: Client, folder: str, screen: Screen) -> None:
    screen.text(f"Turn 1. The user asks: {_QUESTION}\n")
    arguments: dict[str, Any] = {"question": _QUESTION, "folders": [folder], "engine": "local"}
    ticket = await _call(client, screen, "start_research", arguments)
    job_id = ticket["job_id"]
    screen.text("Turn 2. The agent answers a mail, fixes a test, and has not waited for anything.\n")
    screen.text("Turn 3. It looks in.\n")
    checked = await _call(client, screen, "check_research", {"job_ids": [job_id], "wait_s": 20})
    while checked["jobs"][0]["status"] in ("queued", "running"):
        checked = await _call(client, screen, "check_research", {"job_ids": [job_id], "wait_s": 20})
    screen.text("Turn 4. It reads the answer.\n")
    await _call(client, screen, "get_result", {"job_id": job_id})
    screen.text("Turn 5. The user doubts a sentence; the agent shows where it stands.\n")
    await _call(client, screen, "get_result", {"job_id": job_id, "view": "citations"})


async def _call(client: Client, screen: Screen, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    screen.text(f"> {tool} {json.dumps(arguments, ensure_ascii=False)}")
    result = await client.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    for block in result.content:
        if isinstance(block, TextContent):
            screen.text(block.text + "\n")
    return result.structured_content or {}
