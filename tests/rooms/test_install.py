"""Plugging into clients: their files keep every byte that is not ours, and come back as they were."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.journeys.server import environment, powerless

from spadework import jsonc
from spadework.install import command, place
from spadework_tools.errors import BadRequest

FILES = {
    "claude": ".claude.json",
    "codex": ".codex/config.toml",
    "vscode": ".config/Code/User/mcp.json",
    "cursor": ".cursor/mcp.json",
}
COMMENTED = """\
// my servers
{
    /* mine */ "inputs": [ {"id": "key", "type": "promptString"}, ],
    "servers": {
        "github": { "url": "https://api.githubcopilot.com/mcp/" }, // keep
    },
    "last": "a // b /* c */ \\" }",
}
"""
CODEX = """\
model = "gpt-5" # best

[mcp_servers.docs]
command = "docs"
args = [
  "a",
]

[mcp_servers."spadework".env]
PARALLEL_API_KEY = "secret-1"

[mcp_servers.spadework] # old
command = "old"
startup_timeout_sec = 90

# about the profile
[profiles.fast]
model = "mini"
"""


def run(home: Path, *arguments: str, code: int = 0, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """The command, for a user whose home this is."""
    env = {**environment(home / "spadework"), "HOME": str(home)}
    ran = subprocess.run(
        [*before, sys.executable, "-m", "spadework", "install", *arguments],
        env=env, cwd=home, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == code, ran
    assert "Traceback" not in ran.stderr
    return ran


def put(home: Path, client: str, text: str) -> Path:
    path = home / FILES[client]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def entry(client: str, path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    if client == "codex":
        return tomllib.loads(text)["mcp_servers"]["spadework"]
    return jsonc.parse(text).plain["servers" if client == "vscode" else "mcpServers"]["spadework"]


def started(found: dict[str, Any]) -> list[str]:
    return [found["command"], *found["args"]]


@pytest.mark.parametrize("client", FILES)
def test_each_client_gets_a_command_that_starts_from_anywhere(tmp_path: Path, client: str) -> None:
    run(tmp_path, client)
    found = entry(client, tmp_path / FILES[client])
    assert started(found) == command()
    assert Path(found["command"]).is_absolute()
    ran = subprocess.run([*started(found)[:-1], "--help"], capture_output=True, text=True, cwd="/", env={}, timeout=60)
    assert ran.returncode == 0
    assert "research" in ran.stdout
    again = run(tmp_path, client)
    assert "nothing to do" in again.stdout
    run(tmp_path, client, "--undo")
    assert not (tmp_path / FILES[client]).exists()
    assert list((tmp_path / FILES[client]).parent.glob("*before-spadework*")) == []


def test_comments_commas_and_other_servers_stay_byte_for_byte(tmp_path: Path) -> None:
    path = put(tmp_path, "vscode", COMMENTED)
    path.chmod(0o640)
    run(tmp_path, "vscode")
    text = path.read_text(encoding="utf-8")
    assert started(entry("vscode", path)) == command()
    kept = [line for line in COMMENTED.splitlines() if line in text.splitlines()]
    assert kept == COMMENTED.splitlines()
    assert jsonc.parse(text).plain["servers"]["github"] == {"url": "https://api.githubcopilot.com/mcp/"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    (copy,) = path.parent.glob("mcp.json.before-spadework-*")
    assert copy.read_text(encoding="utf-8") == COMMENTED
    run(tmp_path, "vscode", "--undo")
    assert path.read_text(encoding="utf-8") == COMMENTED
    assert not copy.exists()


def test_codex_keeps_its_other_tables_and_what_the_user_added_to_ours(tmp_path: Path) -> None:
    path = put(tmp_path, "codex", CODEX)
    run(tmp_path, "codex")
    text = path.read_text(encoding="utf-8")
    before, after = tomllib.loads(CODEX), tomllib.loads(text)
    ours = after["mcp_servers"].pop("spadework")
    before["mcp_servers"].pop("spadework")
    assert before == after
    assert started(ours) == command()
    assert ours["env"] == {"PARALLEL_API_KEY": "secret-1"}
    assert (ours["required"], ours["startup_timeout_sec"], ours["tool_timeout_sec"]) == (True, 90, 120)
    for line in ('model = "gpt-5" # best', "# about the profile", '  "a",'):
        assert line in text.splitlines()
    run(tmp_path, "codex", "--undo")
    assert path.read_text(encoding="utf-8") == CODEX


def test_what_others_wrote_after_us_stays_when_we_go(tmp_path: Path) -> None:
    path = put(tmp_path, "claude", '{"numStartups": 3, "mcpServers": {"a": {"command": "a"}}}')
    run(tmp_path, "claude")
    whole = json.loads(path.read_text(encoding="utf-8"))
    whole["numStartups"] = 4
    whole["mcpServers"]["b"] = {"command": "b"}
    path.write_text(json.dumps(whole), encoding="utf-8")
    run(tmp_path, "claude", "--undo")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found == {"numStartups": 4, "mcpServers": {"a": {"command": "a"}, "b": {"command": "b"}}}


def test_an_older_entry_of_ours_comes_back(tmp_path: Path) -> None:
    old = {"type": "http", "url": "http://127.0.0.1:1/mcp"}
    path = put(tmp_path, "cursor", json.dumps({"mcpServers": {"spadework": old, "z": {"command": "z"}}}, indent=4))
    run(tmp_path, "cursor")
    assert "url" not in entry("cursor", path)
    run(tmp_path, "cursor", "--undo")
    assert entry("cursor", path) == old


@pytest.mark.parametrize("client", FILES)
def test_what_was_undone_is_not_undone_again(tmp_path: Path, client: str) -> None:
    file = tmp_path / FILES[client]
    file.parent.mkdir(parents=True, exist_ok=True)
    key = "servers" if client == "vscode" else "mcpServers"
    own = {"codex": '[mcp_servers.spadework]\ncommand = "my-own"\n'}.get(
        client, json.dumps({key: {"spadework": {"command": "my-own"}}})
    )
    file.write_text(own, encoding="utf-8")
    run(tmp_path, client)
    assert file.read_text(encoding="utf-8") != own
    for _ in range(2):
        run(tmp_path, client, "--undo")
        assert file.read_text(encoding="utf-8") == own


def test_a_dry_run_says_what_it_would_do_and_shows_no_key(tmp_path: Path) -> None:
    path = put(tmp_path, "codex", CODEX)
    said = run(tmp_path, "codex", "--dry-run").stdout
    assert str(path) in said
    assert command()[0] in said
    assert "secret-1" not in said
    assert path.read_text(encoding="utf-8") == CODEX
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("client", "text"),
    [
        ("claude", '{"mcpServers": {'),
        ("claude", "[]"),
        ("claude", '{"mcpServers": []}'),
        ("claude", '{"mcpServers": {"spadework": "serve"}}'),
        ("cursor", '{"a": 1} tail'),
        ("vscode", "{" * 5_000),
        ("codex", "model = "),
        ("codex", "mcp_servers = 3"),
        ("codex", '[mcp_servers]\nspadework = { command = "x" }\n'),
        ("codex", 'mcp_servers.spadework.command = "x"\n'),
        ("codex", '[mcp_servers.spadework]\ncommand = "x"\nsince = 2026-11-21\n'),
        ("codex", '[mcp_servers.spadework]\ncommand = "x"\nargs = [\n[ 1 ],\n]\n'),
    ],
)
def test_a_file_that_cannot_be_edited_safely_is_left_alone_and_the_entry_is_shown(
    tmp_path: Path, client: str, text: str
) -> None:
    path = put(tmp_path, client, text)
    ran = run(tmp_path, client, code=1)
    assert "unwritable" in ran.stderr
    assert str(path) in ran.stderr
    assert '"spadework"' in ran.stderr
    assert path.read_text(encoding="utf-8") == text
    assert list(path.parent.glob(f"{path.name}?*")) == []


def test_a_link_stays_a_link_and_windows_line_ends_stay_too(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "mcp.json"
    real.parent.mkdir()
    real.write_bytes(b'{\r\n\t"mcpServers": {\r\n\t}\r\n}\r\n')
    link = tmp_path / FILES["cursor"]
    link.parent.mkdir()
    link.symlink_to(real)
    run(tmp_path, "cursor")
    assert link.is_symlink()
    data = real.read_bytes()
    assert data.count(b"\n") == data.count(b"\r\n")
    assert started(entry("cursor", real)) == command()


def test_a_project_gets_its_own_file_and_codex_has_none(tmp_path: Path) -> None:
    run(tmp_path, "claude", "--project")
    assert started(json.loads((tmp_path / ".mcp.json").read_text())["mcpServers"]["spadework"]) == command()
    assert "no servers from a project" in run(tmp_path, "codex", "--project", code=2).stderr


def test_a_folder_that_cannot_be_written_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / ".cursor").mkdir(mode=0o500)
    assert "cannot be written" in run(tmp_path, "cursor", code=1, before=powerless()).stderr


def test_each_platform_has_its_own_folder() -> None:
    home = Path("/h")
    assert place("vscode", home, None, "darwin", {}) == home / "Library/Application Support/Code/User/mcp.json"
    assert place("vscode", home, None, "win32", {"APPDATA": "/r"}) == Path("/r/Code/User/mcp.json")
    assert place("vscode", home, None, "linux", {"XDG_CONFIG_HOME": "/c"}) == Path("/c/Code/User/mcp.json")
    assert place("codex", home, None, "linux", {"CODEX_HOME": "/x"}) == Path("/x/config.toml")
    assert place("claude", home, None, "linux", {"CLAUDE_CONFIG_DIR": "/y"}) == Path("/y/.claude.json")
    with pytest.raises(BadRequest):
        place("codex", home, Path("/p"), "linux", {})


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), PLAIN, max_size=4), PLAIN, st.sampled_from([None, 1, 2, 4, "\t"]))
def test_setting_and_taking_out_a_member_leaves_any_json_as_it_was(
    whole: dict[str, Any], new: Any, indent: int | str | None
) -> None:
    whole.pop("s", None)
    text = json.dumps(whole, indent=indent, ensure_ascii=False)
    assert jsonc.parse(text).plain == whole
    added = jsonc.put(text, ("s", "ours"), new)
    assert json.loads(added) == {**whole, "s": {"ours": new}}
    assert json.loads(jsonc.drop(added, ("s", "ours"))) == {**whole, "s": {}}
    assert json.loads(jsonc.drop(added, ("s",))) == whole
    changed = jsonc.put(added, ("s", "ours"), "other")
    assert json.loads(changed)["s"] == {"ours": "other"}


@given(st.text(alphabet='{}[]":,/*\\ \n1atx', max_size=30))
def test_any_text_is_read_as_json_reads_it_or_refused(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        try:
            jsonc.parse(text)
        except ValueError:
            return
        return
    assert jsonc.parse(text).plain == expected
