"""What people paste into their clients: `mcp.json.example` and the README's Codex block, started as they stand."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from tests.journeys.server import AROUND
from tests.promises.test_tools import NAMES

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
EXAMPLE = json.loads((ROOT / "mcp.json.example").read_text(encoding="utf-8"))
#: Under which key each client looks: Claude Code and Cursor, VS Code (2026-11).
KEYS = {"Claude Code and Cursor": "mcpServers", "VS Code": "servers"}


def codex() -> dict[str, Any]:
    """The README's block for Codex's `config.toml`."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)]
    (block,) = [block for block in blocks if "mcp_servers" in block]
    return block["mcp_servers"]["spadework"]


async def tools_of(entry: dict[str, Any], tmp_path: Path) -> list[str]:
    """The tools of the server an entry starts, in the environment a client gives it."""
    # What `pip install` or `uv tool install` does for a user: the command is on the path.
    path = f"{Path(sys.executable).parent}{os.pathsep}{AROUND['PATH']}"
    env = {**entry.get("env", {}), "PATH": path, "SPADEWORK_HOME": str(tmp_path / "home"), "SPADEWORK_IDLE_S": "3"}
    server = StdioServerParameters(command=entry["command"], args=entry["args"], env=env, cwd=tmp_path)
    with anyio.fail_after(60):
        async with Client(server) as client:
            found = await client.list_tools()
            result = await client.call_tool("check_research", {})
            assert result.structured_content is not None
    return [tool.name for tool in found.tools]


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
async def test_the_example_starts_the_four_tools_in_the_clients_that_read_mcp_json(key: str, tmp_path: Path) -> None:
    assert await tools_of(EXAMPLE[key]["spadework"], tmp_path) == NAMES


async def test_the_example_says_the_same_to_every_client() -> None:
    assert EXAMPLE["mcpServers"] == EXAMPLE["servers"]
    assert set(EXAMPLE) == {"mcpServers", "servers"}
    assert EXAMPLE["servers"]["spadework"] == {
        "type": "stdio", "command": "spadework", "args": ["serve"], "env": {}
    }  # fmt: skip


async def test_the_readmes_codex_block_starts_the_four_tools(tmp_path: Path) -> None:
    """Codex waits for a server before the first turn only with `required`, and cuts calls by its own time limit."""
    entry = codex()
    assert await tools_of(entry, tmp_path) == NAMES
    assert entry["required"] is True
    assert entry["startup_timeout_sec"] >= 10
    assert entry["tool_timeout_sec"] > 45
