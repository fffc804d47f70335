"""Claude Code on someone's machine, set up as if its first run were over, with a model of the test's."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.clients.errands import PROMPT
from tests.clients.messages import Messages
from tests.clients.model import KEY
from tests.clients.package import Package
from tests.clients.person import Person
from tests.clients.terminal import Terminal
from tests.standins.server import serving

CLAUDE = Package("@anthropic-ai/claude-code", "2.1.330", "@anthropic-ai/claude-code-*/claude")
#: The tools are the user's to allow, and root may not switch that question off.
_OPTIONS = ("--permission-mode", "default", "--allowedTools", "mcp__spadework")
_QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1", "CLAUDE_CODE_MAX_RETRIES": "0",
}  # fmt: skip


class Claude:
    """The client, as this person uses it."""

    def __init__(self, program: Path, person: Person) -> None:
        self.program, self.person = program, person
        state = {
            "hasCompletedOnboarding": True,
            "theme": "dark",
            "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
            "projects": {str(person.work): {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}},
        }
        person.writes(".claude.json", json.dumps(state))

    def plug(self, url: str | None) -> None:
        """Add our server: over stdio by our own command, over HTTP by the client's."""
        if url is None:
            self.person.spadework("install", "claude")
        else:
            self.person.types(self.program, "mcp", "add", "--scope", "user", "--transport", "http", "spadework", url)

    @contextmanager
    def thinking(self, model: Messages) -> Generator[None]:
        """The model is there while the block runs."""
        with serving(model) as url:
            self.person.env |= {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": KEY, **_QUIET}
            yield

    def print(self) -> str:
        """What `claude -p` answers to the prompt."""
        out = self.person.types(self.program, "-p", PROMPT, *_OPTIONS, "--output-format", "json")
        said = json.loads(out)
        assert said["is_error"] is False, said
        return said["result"]

    def opened(self, *more: str) -> Terminal:
        """The interactive client, with these words after its options."""
        return Terminal((str(self.program), *_OPTIONS, *more), self.person.env, self.person.work)

    def keeps(self, words: str) -> bool:
        """Whether the talk that it keeps on disk has come to these words."""
        talks = (self.person.home / ".claude" / "projects").glob("*/*.jsonl")
        return any(words in talk.read_text(encoding="utf-8") for talk in talks)
