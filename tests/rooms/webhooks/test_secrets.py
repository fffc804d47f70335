"""The secrets that vendors sign with: from the environment alone, and shown nowhere."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from spadework import hatch
from spadework.caller import Caller, Callers
from spadework.environ import carried, inherited
from spadework.host import Discreet
from spadework.settings import BadSetting, Settings

SECRET, OLD = "whsec_Y2FuYXJ5LXNpbmdz", "canary-that-was"
NAME = "SPADEWORK_PARALLEL_WEBHOOK_SECRET"


def loaded(home: Path, **environ: str) -> Settings:
    return Settings.load({"SPADEWORK_HOME": str(home), **environ})


def test_a_vendor_may_have_two_while_one_replaces_the_other_and_neither_is_shown(tmp_path: Path) -> None:
    settings = loaded(tmp_path, **{NAME: f" {SECRET} ,, {OLD}", "SPADEWORK_CLORO_WEBHOOK_SECRET": " "})
    assert [one.get_secret_value() for one in settings.webhook_secrets["parallel"]] == [SECRET, OLD]
    assert "cloro" not in settings.webhook_secrets
    assert "canary" not in repr(settings) + settings.model_dump_json()
    assert settings.text(NAME) is None


@pytest.mark.parametrize(
    "wrong", ["short", f"{SECRET},short", "a secret in several words", f"{SECRET},caf\xe9-canary-sings"]
)
def test_what_is_no_secret_stops_the_start_and_is_not_shown(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(BadSetting) as caught:
        loaded(tmp_path, **{NAME: wrong})
    assert NAME in str(caught.value)
    assert not any(part.strip() in str(caught.value) for part in wrong.split(","))


def test_a_misspelt_one_is_named_with_the_right_name(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="Did you mean SPADEWORK_PARALLEL_WEBHOOK_SECRET"):
        loaded(tmp_path, SPADEWORK_PARALEL_WEBHOOK_SECRET=SECRET)
    with pytest.raises(BadSetting, match="SPADEWORK_PERPLEXITY_WEBHOOK_SECRET is no"):
        loaded(tmp_path, SPADEWORK_PERPLEXITY_WEBHOOK_SECRET=SECRET)


@pytest.mark.parametrize("line", ['parallel_webhook_secret = "{}"', 'webhook_secrets = {{ parallel = ["{}"] }}'])
def test_none_is_read_from_a_file(tmp_path: Path, line: str) -> None:
    (tmp_path / "config.toml").write_text(line.format(SECRET), encoding="utf-8")
    with pytest.raises(BadSetting) as caught:
        loaded(tmp_path)
    assert SECRET not in str(caught.value)


def test_it_reaches_a_desk_by_its_callers_and_no_process_by_its_environment(tmp_path: Path) -> None:
    given = {NAME: SECRET, "SPADEWORK_PUBLIC_URL": "https://desk.example.org", "PATH": "/bin"}
    assert carried(given)[NAME] == SECRET
    assert NAME not in inherited(str(tmp_path), given)
    assert inherited(str(tmp_path), given)["SPADEWORK_PUBLIC_URL"] == "https://desk.example.org"


def test_no_line_of_the_log_shows_one(tmp_path: Path) -> None:
    callers = Callers()
    callers.lend(Caller(loaded(tmp_path, **{NAME: f"{SECRET},{OLD}"})))
    line = Discreet(callers).format(logging.makeLogRecord({"msg": f"signed with {SECRET} or {OLD}"}))
    assert line.endswith("signed with [key] or [key]")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://desk.example.org", True),
        ("https://desk.example.org:8443", True),
        ("http://127.0.0.1:8765", True),
        ("http://[::1]:8765", True),
        ("http://localhost", True),
        ("http://desk.example.org", False),
        ("http://127.0.0.1.example.org", False),
        ("", False),
    ],
)
def test_vendors_are_told_an_address_that_nobody_on_the_way_can_listen_at(
    tmp_path: Path, url: str, told: bool
) -> None:  # fmt: skip
    settings = loaded(tmp_path, SPADEWORK_PUBLIC_URL=url, **{NAME: SECRET})
    assert hatch.hooks(settings) == ({"parallel": f"{url}/webhooks/parallel"} if told else {})
    assert hatch.paths(settings) == (["/webhooks/parallel", "/webhooks/cloro"] if told else [])
