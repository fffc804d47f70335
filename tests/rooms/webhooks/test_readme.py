"""What the README shows of webhooks and hooks is what the tests here run."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", ["receiver.py", "claude.json", "codex.json"])
def test_the_readme_shows_what_is_run_here(name: str) -> None:
    readme = (HERE.parents[2] / "README.md").read_text(encoding="utf-8")
    assert (HERE / name).read_text(encoding="utf-8") in readme
