"""Codex on someone's machine, with a model of the test's."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.clients.errands import PROMPT
from tests.clients.model import KEY
from tests.clients.package import Package
from tests.clients.person import Person
from tests.clients.responses import Responses
from tests.standins.server import serving

CODEX = Package("@openai/codex", "0.169.0", "@openai/codex-*/vendor/*/bin/codex")
#: A model that Codex knows, so that it defers the tools of servers; it shows them to any other from the first turn on.
MODEL = "gpt-5.5"
_CONFIG = """\
model_provider = "loopback"
check_for_update_on_startup = false

[model_providers.loopback]
name = "Loopback"
base_url = "{url}/v1"
env_key = "LOOPBACK_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0

[analytics]
enabled = false
"""
#: Starting research reaches out of the machine, so Codex asks the user first, and `codex exec` has nobody to ask.
_ALLOWED = ("-c", 'mcp_servers.spadework.default_tools_approval_mode="approve"')


class Codex:
    """The client, as this person uses it."""

    def __init__(self, program: Path, person: Person) -> None:
        self.program, self.person = program, person

    @contextmanager
    def thinking(self, model: Responses) -> Generator[None]:
        """The model is there while the block runs, and the configuration names it."""
        with serving(model) as url:
            self.person.writes(".codex/config.toml", _CONFIG.format(url=url))
            self.person.env["LOOPBACK_KEY"] = KEY
            yield

    def plug(self, url: str | None) -> None:
        """Add our server: over stdio by our own command, over HTTP by the client's."""
        if url is None:
            self.person.spadework("install", "codex")
        else:
            self.person.types(self.program, "mcp", "add", "spadework", "--url", url)

    def exec(self, model: str = MODEL) -> str:
        """The last words of `codex exec` on the prompt."""
        out = self.person.types(self.program, "exec", "--skip-git-repo-check", "--json", "-m", model, *_ALLOWED, PROMPT)
        items = [event["item"] for line in out.splitlines() if (event := json.loads(line))["type"] == "item.completed"]
        return [item["text"] for item in items if item["type"] == "agent_message"][-1]
