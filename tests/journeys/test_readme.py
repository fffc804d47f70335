"""The README, taken at its word: every block in it is run, or parsed and started, as a newcomer would."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from tests.journeys import checkout
from tests.journeys.server import AROUND
from tests.journeys.test_config import tools_of
from tests.promises.test_tools import NAMES
from typer.testing import CliRunner

from spadework.cli import cli
from spadework.environ import HOOKED, VENDOR_KEYS
from spadework.settings import PREFIX, Settings

README = (checkout.ROOT / "README.md").read_text(encoding="utf-8")
#: The JSON blocks that a client's configuration takes.
SERVED = [block for block in checkout.blocks("json") if "mcpServers" in block]
FIRST_SCREEN = "\n".join(README.splitlines()[:40])


def run(command: str, place: Path, env: dict[str, str], within: float = 280) -> subprocess.CompletedProcess[str]:
    """Run a line of the README in a shell, as a person does."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=place, env=env, capture_output=True, text=True, timeout=within, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("newcomer")


@pytest.fixture(scope="module")
def fresh(place: Path) -> Path:
    """A fresh clone in which nothing was run yet but what the tests of this file run."""
    return checkout.clone(place)


@pytest.fixture(scope="module")
def answer(fresh: Path, place: Path) -> subprocess.CompletedProcess[str]:
    """What the README's first command prints in a fresh clone."""
    assert not (fresh / ".venv").exists()
    assert not (fresh / ".uv").exists()
    return run(checkout.blocks("bash")[0], fresh, checkout.newcomer(place))


def test_the_first_screen_shows_two_commands_that_do_their_own_set_up() -> None:
    research, tests = checkout.blocks("bash")[:2]
    for command in (research, tests):
        assert command.strip() in FIRST_SCREEN
        assert len(command.strip().splitlines()) == 1
        assert "pip install" in command
    assert "spadework research" in research
    assert "pytest" in tests


def test_the_first_command_answers_a_question_about_the_checkout_with_correct_citations(
    answer: subprocess.CompletedProcess[str], fresh: Path, place: Path
) -> None:
    assert answer.returncode == 0, answer.stderr[-2000:]
    marks = set(re.findall(r"\[(c\d+)\]", answer.stdout))
    assert len(marks) >= 3, answer.stdout
    report = exported(answer.stderr, fresh, place)
    sources = {source["id"]: Path(source["path"]) for source in report["sources"]}
    checked = 0
    for citation in report["citations"]:
        path = sources[citation["source_id"]]
        text = (path if path.is_absolute() else fresh / path).read_text(encoding="utf-8")
        assert fresh in path.parents or not path.is_absolute()
        assert text[citation["start"] : citation["end"]] == citation["quote"], citation
        assert citation["line"] == text.count("\n", 0, citation["start"]) + 1
        assert citation["id"] in marks
        checked += 1
    assert checked >= 3
    assert any(re.search(r"kill|crash|lost", citation["quote"]) for citation in report["citations"])


def exported(said: str, fresh: Path, place: Path) -> dict[str, Any]:
    """The report behind a printed answer, by the id that the answer's last line gives."""
    (job_id,) = set(re.findall(r"\br_[0-9a-v]{36}\b", said))
    command = f".uv/bin/uv run -q --no-dev spadework export {job_id} -o {place / 'answer.json'}"
    written = run(command, fresh, checkout.newcomer(place))
    assert written.returncode == 0, written.stderr
    document = json.loads((place / "answer.json").read_text(encoding="utf-8"))
    return document.get("report", document)


def test_the_first_command_leaves_the_clone_as_it_was(answer: subprocess.CompletedProcess[str], fresh: Path) -> None:
    """What the command brings lies in ignored folders; it also works a second time."""
    assert answer.returncode == 0
    touched = [line for line in checkout.git(fresh, "status", "--porcelain").splitlines() if ".uv" in line]
    assert touched == []


def test_the_second_command_is_what_the_ci_runs() -> None:
    tests = checkout.blocks("bash")[1].strip()
    script = (checkout.ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (reading,) = [line.partition("=")[2] for line in script.splitlines() if line.startswith("tests=")]
    assert "pytest" not in script.replace(reading, "").replace("# ", "").replace("pytest's summary", "")
    found = run(reading.removeprefix("$(").removesuffix(")"), checkout.ROOT, dict(AROUND))
    assert found.stdout.strip() == tests


def test_the_installed_command_serves_what_the_snippets_say(
    answer: subprocess.CompletedProcess[str], fresh: Path, place: Path
) -> None:
    assert answer.returncode == 0, "the clone has no uv"
    env = checkout.newcomer(place) | {"UV_TOOL_DIR": str(place / "tools"), "UV_TOOL_BIN_DIR": str(place / "bin")}
    (install,) = [block for block in checkout.blocks("bash") if "tool install" in block]
    done = run(install, fresh, env)
    assert done.returncode == 0, done.stderr[-2000:]

    async def list_tools(entry: dict[str, Any]) -> list[str]:
        server = StdioServerParameters(
            command=str(place / "bin" / entry["command"]), args=entry["args"], cwd=place,
            env={**entry.get("env", {}), "HOME": env["HOME"]},
        )  # fmt: skip
        with anyio.fail_after(60):
            async with Client(server) as client:
                return [tool.name for tool in (await client.list_tools()).tools]

    for block in SERVED:
        for servers in json.loads(block).values():
            assert anyio.run(list_tools, servers["spadework"]) == NAMES


@pytest.mark.anyio
@pytest.mark.parametrize("block", SERVED)
async def test_every_json_block_that_names_servers_starts_the_four_tools(block: str, tmp_path: Path) -> None:
    for servers in json.loads(block).values():
        assert await tools_of(servers["spadework"], tmp_path) == NAMES


def test_every_bash_block_is_run_by_some_test_here() -> None:
    """A block that nobody runs would be a promise that nobody keeps."""
    known = ("spadework research", "pytest", "tool install")
    assert [block for block in checkout.blocks("bash") if not any(word in block for word in known)] == []
    assert set(re.findall(r"^```(\w+)$", README, re.MULTILINE)) <= {"bash", "json", "python", "toml", "text"}


COMMANDS = re.findall(r"^\| `spadework ([^`]+)` \|", README, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_in_the_table_exists_with_its_options(command: str) -> None:
    words = command.split()
    helped = CliRunner().invoke(cli, [words[0], "--help"])
    assert helped.exit_code == 0, helped.output
    shown = re.sub(r"\x1b\[[0-9;]*m", "", helped.output)
    for option in [word for word in words if word.startswith("-")]:
        assert option in shown, f"{words[0]} has no {option}"


def test_the_table_of_commands_is_complete() -> None:
    named = {command.split()[0] for command in COMMANDS}
    alone = {command.name or command.callback.__name__ for command in cli.registered_commands}  # type: ignore[union-attr]
    assert named == alone | {group.name for group in cli.registered_groups}


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"`(SPADEWORK_[A-Z_]+)`", README))))
def test_every_setting_that_is_named_exists(variable: str) -> None:
    name = variable.removeprefix(PREFIX).lower()
    # A name that ends so stands for several: SPADEWORK_LLM_BASE_URL, …
    vendors = {f"{vendor}_base_url" for vendor in VENDOR_KEYS} | {f"{vendor}_webhook_secret" for vendor in HOOKED}
    assert name in Settings.model_fields or name in vendors


def test_every_linked_file_is_there() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (checkout.ROOT / target).exists(), target
