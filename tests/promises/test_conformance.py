"""The official conformance suite, every scenario of both revisions, with no list of failures that are forgiven.

The suite demands tools, resources and prompts of its own: `tests/conformance_server.py` adds them to the product's
server and app. What needs none of them runs against `spadework serve --http` as it is.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from tests.journeys import inspector
from tests.journeys.inspector import NODE, Unreachable
from tests.journeys.server import AROUND
from tests.promises.served import Served

VERSION = "0.2.0-alpha.12"
PACKAGE = "@modelcontextprotocol/conformance"
REVISIONS = ("2026-07-28", "2025-11-25")
#: The tool that the scenarios of the Tasks extension begin with; the suite runs them whether it is there or not.
TASK_TOOL = "slow_compute"
#: Scenarios of the suite that need no fixture.
BARE = {
    "2026-07-28": {
        "tools-list", "server-sse-multiple-streams", "resources-list", "sep-2164-resource-not-found", "prompts-list",
        "dns-rebinding-protection", "caching", "http-header-validation",
    },
    "2025-11-25": {
        "server-initialize", "ping", "tools-list", "server-sse-multiple-streams", "resources-list", "prompts-list",
        "dns-rebinding-protection", "server-session-lifecycle",
    },
}  # fmt: skip


def installed() -> Path:
    """The suite's entry script; brings it on first use, one process at a time. Raises Unreachable."""
    place = Path(platformdirs.user_cache_dir("spadework-tests")) / f"conformance-{VERSION}"
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / ".complete").exists():
            shutil.rmtree(place / "node_modules", ignore_errors=True)
            (place / "package.json").write_text("{}")
            inspector.npm("install", "--ignore-scripts", "--no-audit", "--no-fund", f"{PACKAGE}@{VERSION}", place=place)
            (place / ".complete").touch()
    return place / "node_modules" / PACKAGE / "dist" / "index.js"


@pytest.fixture(scope="module")
def entry() -> Path:
    """The suite; without the npm registry there is none, which CI does not accept."""
    try:
        return installed()
    except Unreachable as reason:
        if AROUND.get("CI") == "true":
            raise
        pytest.skip(f"the npm registry cannot be reached: {reason}")


@dataclass(frozen=True)
class Check:
    """One thing that a scenario looked at."""

    scenario: str
    id: str
    status: str
    why: str


def run(entry: Path, url: str, revision: str, place: Path) -> list[Check]:
    """Every check of every scenario of a revision, those that are not scored included."""
    results = place / f"results-{revision}"
    ran = subprocess.run(
        [str(NODE), str(entry), "server", "--url", url, "--requirements", revision, "-o", str(results)],
        cwd=place, env=inspector._environment(), capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    found: list[Check] = []
    for file in sorted(results.glob("server-*/checks.json")):
        scenario = re.sub(r"^server-|-\d{4}-\d\d-\d\dT.*$", "", file.parent.name)
        rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        found += [Check(scenario, row["id"], row["status"], row.get("errorMessage", "")) for row in rows]
    assert found, ran.stdout[-2000:] + ran.stderr[-2000:]
    return found


def wanted(revision: str, entry: Path) -> set[str]:
    """The scenarios that a revision requires of a server, as the suite itself lists them."""
    text = (entry.parents[1] / "requirements" / f"{revision}.yaml").read_text(encoding="utf-8")
    section = text.split("\nserver:\n")[1].split("\nclient:")[0]
    return set(re.findall(r"^  - (\S+)$", section, re.M))


def failures(checks: list[Check]) -> list[str]:
    return [f"{one.scenario} {one.id}: {one.why}" for one in checks if one.status == "FAILURE"]


@pytest.fixture(scope="module")
def fixtures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("conformance")
    root = Path(__file__).parents[2]
    with Served(
        place / "home", root, ("-m", "tests.conformance_server"), log=place, calls_per_minute=100_000
    ) as process:
        yield process


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("product")
    with Served(place / "home", place, calls_per_minute=100_000) as process:
        yield process


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_scenario_passes_with_the_fixtures(entry: Path, fixtures: Served, revision: str, tmp_path: Path) -> None:
    checks = run(entry, f"{fixtures.url}/mcp", revision, tmp_path)
    if TASK_TOOL not in {tool["name"] for tool in fixtures.post("tools/list").json["result"]["tools"]}:
        checks = [one for one in checks if not one.scenario.startswith("tasks-")]
    assert failures(checks) == []
    ran = {one.scenario for one in checks if one.status == "SUCCESS"}
    assert wanted(revision, entry) <= ran
    assert len(wanted(revision, entry)) >= 30


@pytest.mark.parametrize("revision", REVISIONS)
def test_what_needs_no_fixture_passes_on_the_product_as_it_is(
    entry: Path, product: Served, revision: str, tmp_path: Path
) -> None:
    checks = run(entry, f"{product.url}/mcp", revision, tmp_path)
    assert failures([one for one in checks if one.scenario in BARE[revision]]) == []
    assert {one.scenario for one in checks if one.status == "SUCCESS"} >= BARE[revision]
    stateless = [one for one in checks if one.scenario == "server-stateless"]
    assert all("diagnostic" in line for line in failures(stateless)), failures(stateless)
