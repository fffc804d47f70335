"""`spadework install`: writes this server into a client's configuration, and takes it out again.

Only our own entry is touched. A file that cannot be read as what it should be is refused; each edit is checked before
it is written, leaves a copy of the file beside it, and appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from spadework import jsonc
from spadework.screen import Screen
from spadework_tools.errors import BadRequest, Trouble

NAME = "spadework"
Client = Literal["claude", "codex", "vscode", "cursor"]
_TABLE = re.compile(rf"^\s*\[\s*mcp_servers\s*\.\s*[\"']?{NAME}[\"']?\s*(?:\..*)?\]", re.MULTILINE)
_HEADER = re.compile(r"^\s*\[", re.MULTILINE)
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Unwritable(Trouble):
    """A client's configuration cannot be edited as it stands; it was left alone."""

    code = "unwritable"


@dataclass(frozen=True)
class Format:
    """How a kind of file holds our entry: found, set, and taken out of the file's text."""

    read: Callable[[str], Mapping[str, Any]]
    key: str
    put: Callable[[str, Mapping[str, Any]], str]
    drop: Callable[[str], str]
    more: Mapping[str, Any]

    def entry(self, text: str) -> dict[str, Any] | None:
        """Our entry in a text. Raises ValueError where the text cannot be read."""
        servers: Any = self.read(text).get(self.key, {})
        if not isinstance(servers, dict):
            raise ValueError(f"{self.key} is no table of servers")
        found: Any = cast("dict[str, Any]", servers).get(NAME)
        if not isinstance(found, dict | None):
            raise ValueError(f"{self.key}.{NAME} is no table")
        return cast("dict[str, Any] | None", found)

    def rest(self, text: str) -> dict[str, Any]:
        """Everything but our entry."""
        whole = dict(self.read(text))
        servers = {name: entry for name, entry in dict(whole.pop(self.key, {})).items() if name != NAME}
        return {**whole, **({self.key: servers} if servers else {})}


def _json(key: str, **more: Any) -> Format:
    def read(text: str) -> Mapping[str, Any]:
        found = jsonc.parse(text).plain
        if not isinstance(found, dict):
            raise ValueError("it holds no object")
        return cast("dict[str, Any]", found)

    path = (key, NAME)
    return Format(
        read, key, lambda text, entry: jsonc.put(text, path, entry), lambda text: jsonc.drop(text, path), more
    )


def _put_toml(text: str, entry: Mapping[str, Any]) -> str:
    kept = _drop_toml(text)
    gap = "" if not kept else "\n" if kept.endswith("\n") else "\n\n"
    return f"{kept}{gap}[mcp_servers.{NAME}]\n" + "".join(f"{_key(k)} = {_toml(v)}\n" for k, v in entry.items())


def _drop_toml(text: str) -> str:
    """Without our tables; the comments above the table that follows one of them stay."""
    while (found := _TABLE.search(text)) is not None:
        after = _HEADER.search(text, found.end())
        end = after.start() if after else len(text)
        lines = text[found.start() : end].splitlines(keepends=True)
        while after and lines and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
            end -= len(lines.pop())
        text = text[: found.start()].rstrip("\n") + ("\n" if text[: found.start()].strip() else "") + text[end:]
    return text


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)


def _toml(value: Any) -> str:
    """A value as TOML writes it. Raises ValueError for one that no such entry has."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        # A basic string of TOML has JSON's escapes; the one character that only JSON lets through is DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(_toml(one) for one in cast('list[Any]', value))}]"
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return f"{{ {', '.join(f'{_key(name)} = {_toml(one)}' for name, one in pairs)} }}" if pairs else "{}"
    raise ValueError(f"our entry holds a {type(value).__name__}")


_TOML = Format(
    tomllib.loads,
    "mcp_servers",
    _put_toml,
    _drop_toml,
    # Codex waits about a second for a server that is not required, and cuts a call off whatever it reports (0.169.0).
    {"required": True, "startup_timeout_sec": 30, "tool_timeout_sec": 120},
)
_FORMATS: dict[Client, Format] = {
    "claude": _json("mcpServers", type="stdio"),
    "cursor": _json("mcpServers", type="stdio"),
    "vscode": _json("servers", type="stdio"),
    "codex": _TOML,
}


def place(client: Client, home: Path, project: Path | None, platform: str, environ: Mapping[str, str]) -> Path:
    """Where a client looks for its servers: of one project, or of the user. Raises BadRequest where it has no such."""
    if project is not None:
        names = {"claude": ".mcp.json", "cursor": ".cursor/mcp.json", "vscode": ".vscode/mcp.json"}
        if client not in names:
            raise BadRequest("Codex reads no servers from a project, so nothing was written. Leave --project out.")
        return project / names[client]
    if client == "claude":
        return (
            Path(environ["CLAUDE_CONFIG_DIR"]) / ".claude.json"
            if environ.get("CLAUDE_CONFIG_DIR")
            else (home / ".claude.json")
        )
    if client == "codex":
        return Path(environ.get("CODEX_HOME") or home / ".codex") / "config.toml"
    if client == "cursor":
        return home / ".cursor" / "mcp.json"
    folders = {
        "darwin": home / "Library" / "Application Support",
        "win32": Path(environ.get("APPDATA") or home / "AppData" / "Roaming"),
    }
    return (
        folders.get(platform, Path(environ.get("XDG_CONFIG_HOME") or home / ".config")) / "Code" / "User" / "mcp.json"
    )


def command() -> list[str]:
    """How this very installation is started, as absolute paths: a client does not see the shell's PATH."""
    script = Path(sys.executable).parent / ("spadework.exe" if sys.platform == "win32" else "spadework")
    return [str(script), "serve"] if script.is_file() else [sys.executable, "-m", NAME, "serve"]


def ours(client: Client, old: Mapping[str, Any] | None) -> dict[str, Any]:
    """Our entry: what it must say, and what a user has added to the one that is there."""
    program, *arguments = command()
    kept = {name: value for name, value in (old or {}).items() if name not in ("url", "headers")}
    return {**_FORMATS[client].more, **kept, "command": program, "args": arguments}


def written(client: Client, text: str, entry: Mapping[str, Any] | None) -> str:
    """A client's configuration with our entry set, or without it. Raises ValueError where others would be touched."""
    form = _FORMATS[client]
    text = text or ("" if form is _TOML else "{}\n")
    before = form.rest(text)
    new = form.put(text, entry) if entry is not None else form.drop(text)
    if form.rest(new) != before or form.entry(new) != entry:
        raise ValueError("our entry is written in a way that cannot be edited without touching others")
    return new


def install(
    client: Annotated[Client, typer.Argument(help="The client to plug into.")],
    project: Annotated[bool, typer.Option("--project", help="For this folder alone, not for the user.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Put back what was there before.")] = False,
) -> None:
    """Plug spadework into an agent's client: edits its configuration, and keeps a copy of the file beside it."""
    # A program's own settings are in settings.py; these are the clients', who have no other place for them.
    path = place(client, Path.home(), Path.cwd() if project else None, sys.platform, os.environ)  # noqa: TID251
    path = path.resolve()
    screen = Screen()
    before = _read(path)
    try:
        old = _FORMATS[client].entry(before) if before else None
        after = _undone(client, path, before) if undo else written(client, before, ours(client, old))
        entry = _FORMATS[client].entry(after) if after else None
    except (ValueError, RecursionError) as error:
        raise Unwritable(
            f"{path} cannot be edited ({error}), so it was left alone. Correct it, or add this yourself: "
            f"{json.dumps({NAME: ours(client, None)})}"
        ) from None
    if entry == old:
        screen.text(f"{path} {'has no other spadework' if undo else 'has it already'}; nothing to do.")
    elif dry_run:
        screen.text(f"Would {'take spadework out of' if entry is None else 'write to'} {path}:")
        screen.text(json.dumps({NAME: _masked(entry)}, indent=2, ensure_ascii=False) if entry is not None else "")
    else:
        _replace(path, before, after, undo=undo)
        screen.text(f"{'Restored' if undo else 'Wrote'} {path}. Restart {client} to {'let go' if undo else 'see it'}.")


def _masked(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as people may see it: what its environment holds stays there."""
    env: Any = entry.get("env")
    return {**entry, **({"env": dict.fromkeys(cast("dict[str, Any]", env), "…")} if isinstance(env, dict) else {})}


def _read(path: Path) -> str:
    try:
        # The line ends stay as they are.
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise Unwritable(f"{path} cannot be read ({error}), so it was left alone. Correct it and try again.") from None


def _copies(path: Path) -> list[Path]:
    """The copies of earlier versions, the oldest first."""
    return sorted(path.parent.glob(f"{path.name}.before-spadework-*"))


def _undone(client: Client, path: Path, before: str) -> str:
    """A configuration as it was before the last installation, but for what others changed since.

    Empty where the file was ours alone. Raises ValueError.
    """
    copies, form = _copies(path), _FORMATS[client]
    copy = _read(copies[-1]) if copies else ""
    current = form.entry(before) if before else None
    if copy and current is not None and written(client, copy, current) == before:
        return copy
    if not copies and current is not None and ours(client, current) != current:
        # Nobody's but the user's: what we had put there is undone already.
        return before
    after = written(client, before, form.entry(copy) if copy else None)
    return after if copies or form.rest(after) else ""


def _replace(path: Path, before: str, after: str, *, undo: bool) -> None:
    """Write the file whole, its mode kept, or remove an empty one; a copy is made or used up. Raises Unwritable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists()
        if not after:
            path.unlink()
            return
        if not fresh and not undo:
            stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + f"-{time.time_ns() % 10**9:09}"
            shutil.copy2(path, path.with_name(f"{path.name}.before-spadework-{stamp}"))
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        if not fresh:
            shutil.copymode(path, temporary)
        if _read(path) != before:
            Path(temporary).unlink()
            raise Unwritable(f"{path} was changed by another program meanwhile, so it was left alone. Try again.")
        Path(temporary).replace(path)
        if undo and (copies := _copies(path)):
            copies[-1].unlink()
    except OSError as error:
        raise Unwritable(
            f"{path} cannot be written ({error}), so it was left alone. Correct that and try again."
        ) from None
