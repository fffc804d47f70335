"""The packages that spadework is handed out in: the bundle, the registry's entry and the container."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import jsonschema
import platformdirs
import pytest
from tests.journeys import inspector
from tests.journeys.inspector import NODE, Unreachable
from tests.journeys.server import AROUND, environment
from tests.promises.served import Served
from tests.promises.test_tools import NAMES

from spadework.environ import VENDOR_KEYS
from spadework.hello import VERSION
from spadework.settings import Settings

ROOT = Path(__file__).parents[2]
MCPB = "2.1.2"
KEYS = {variable for names in VENDOR_KEYS.values() for variable in names}


def read(name: str) -> dict[str, Any]:
    return json.loads((ROOT / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def mcpb() -> Path:
    """The bundle format's own tool; without the npm registry there is none, which CI does not accept."""
    place = Path(platformdirs.user_cache_dir("spadework-tests")) / f"mcpb-{MCPB}"
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / ".complete").exists():
            shutil.rmtree(place / "node_modules", ignore_errors=True)
            (place / "package.json").write_text("{}")
            package = f"@anthropic-ai/mcpb@{MCPB}"
            try:
                inspector.npm("install", "--ignore-scripts", "--no-audit", "--no-fund", package, place=place)
            except Unreachable as reason:
                if AROUND.get("CI") == "true":
                    raise
                pytest.skip(f"the npm registry cannot be reached: {reason}")
            (place / ".complete").touch()
    return place / "node_modules" / "@anthropic-ai" / "mcpb" / "dist" / "cli" / "cli.js"


def test_every_package_has_the_same_version(project: dict[str, Any]) -> None:
    (package,) = read("server.json")["packages"]
    versions = {project["version"], VERSION, read("manifest.json")["version"], read("server.json")["version"]}
    assert versions == {package["version"]}


def test_the_bundle_is_valid_and_holds_what_it_is_started_from(
    mcpb: Path, tmp_path: Path, project: dict[str, Any]
) -> None:
    bundle = tmp_path / "spadework.mcpb"
    for arguments in (["validate", "manifest.json"], ["pack", ".", str(bundle)]):
        ran = subprocess.run(
            [str(NODE), str(mcpb), *arguments], cwd=ROOT, env=inspector._environment(), capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip
        assert ran.returncode == 0, ran
    names = set(zipfile.ZipFile(bundle).namelist())
    server = read("manifest.json")["server"]
    needed = {"pyproject.toml", "uv.lock", "manifest.json", project["readme"], *project["license-files"]}
    assert needed | {server["entry_point"]} <= names
    for source in (ROOT / "server", ROOT / "tools"):
        kept = {str(PurePosixPath(path.relative_to(ROOT))) for path in source.rglob("*.py")}
        assert kept <= names
    outside = {name.split("/")[0] for name in names} - {"server", "tools", *needed}
    assert not outside, outside
    *_, script, command = server["mcp_config"]["args"]
    assert script in project["scripts"]
    assert command == "serve"


def test_the_bundle_names_our_tools_and_asks_for_keys_as_secrets() -> None:
    manifest = read("manifest.json")
    assert [tool["name"] for tool in manifest["tools"]] == NAMES
    assert manifest["compatibility"]["runtimes"]["python"] == ">=3.11"
    asked = manifest["user_config"]
    for variable, value in manifest["server"]["mcp_config"]["env"].items():
        field = asked[re.fullmatch(r"\$\{user_config\.(\w+)\}", value)[1]]  # type: ignore[index]
        assert variable in KEYS or variable.removeprefix("SPADEWORK_").lower() in Settings.model_fields
        assert field.get("sensitive", False) is (variable in KEYS)
        # Without a default the client hands on the placeholder itself, which would pass for a key.
        assert field["default"] == ""


def test_empty_answers_to_the_bundles_questions_are_no_settings(tmp_path: Path) -> None:
    given = dict.fromkeys(read("manifest.json")["server"]["mcp_config"]["env"], "")
    settings = Settings.load({**given, "SPADEWORK_HOME": str(tmp_path)})
    assert (settings.vendor_keys, settings.roots) == ({}, ())


def test_the_registrys_entry_is_valid_and_says_what_is_true(project: dict[str, Any]) -> None:
    entry = read("server.json")
    schema = json.loads((Path(__file__).parent / "server.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.Draft7Validator(schema).validate(entry)
    (package,) = entry["packages"]
    assert package["identifier"] == project["name"]
    assert [argument["value"] for argument in package["packageArguments"]] == ["serve"]
    for variable in package["environmentVariables"]:
        name = variable["name"]
        assert name in KEYS or name.removeprefix("SPADEWORK_").lower() in Settings.model_fields
        assert variable.get("isSecret", False) is (name in KEYS)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "spadework"},
        {"description": "x" * 101},
        {"version": None},
        {"packages": [{"registryType": "pypi"}]},
        {"packages": []},
        {"homepage": "https://x.example"},
    ],
)
def test_the_schema_of_the_registry_refuses_what_it_must(change: dict[str, Any]) -> None:
    schema = json.loads((Path(__file__).parent / "server.schema.json").read_text(encoding="utf-8"))
    entry = {name: value for name, value in {**read("server.json"), **change}.items() if value is not None}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate(entry)


def steps() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each on one line."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def last(word: str) -> str:
    return [rest for name, rest in steps() if name == word][-1]


def test_the_container_runs_as_nobody_in_particular_and_writes_to_its_volume_alone() -> None:
    user, _, group = last("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert f"SPADEWORK_HOME={last('VOLUME')}" in last("ENV")
    assert "PYTHONDONTWRITEBYTECODE=1" in last("ENV")
    assert f"-o {user} -g {group} -m 0700 {last('VOLUME')}" in last("RUN")
    # Whoever may read the folder it starts in may not read its own files so.
    assert last("WORKDIR") == "/"
    words = [word for word, _ in steps()]
    assert "ADD" not in words
    assert words.index("USER") > len(words) - 1 - words[::-1].index("RUN")
    assert not re.search(r"curl|wget|_KEY|TOKENS", " ".join(rest for _, rest in steps()))


def test_what_the_container_is_built_from_is_there_and_sent_to_the_build(project: dict[str, Any]) -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied: set[str] = set()
    for word, rest in steps():
        if word == "COPY" and not rest.startswith("--from"):
            copied |= set(rest.split()[:-1])
    assert copied == sent
    assert {"pyproject.toml", "uv.lock", project["readme"], *project["license-files"], "server", "tools"} == copied
    assert all((ROOT / name).exists() for name in copied)
    assert all("@" in rest or ":" in rest for word, rest in steps() if word == "FROM"), "a base without a version"


def test_the_container_refuses_to_start_until_it_knows_whom_to_let_in_and_then_is_healthy(tmp_path: Path) -> None:
    _, *arguments = json.loads(last("ENTRYPOINT"))
    assert arguments[:2] == ["serve", "--http"]
    where, port = arguments[2].split(":")
    assert (where, port) == ("0.0.0.0", last("EXPOSE"))
    check = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert f":{port}/" in check[-1]
    command = ("-m", "spadework", "serve", "--http", f"{where}:0")
    env = environment(tmp_path / "home")
    bare = subprocess.run([sys.executable, *command], env=env, capture_output=True, cwd=tmp_path, timeout=60)
    assert bare.returncode == 2
    with Served(tmp_path / "home", tmp_path, command, tokens="me=" + "x" * 30) as served:
        script = check[-1].replace(f":{port}/", f":{served.port}/")
        assert subprocess.run([check[0], "-c", script], timeout=30, check=False).returncode == 0
        served.stop()
        assert subprocess.run([check[0], "-c", script], timeout=30, check=False, stderr=-3).returncode != 0
