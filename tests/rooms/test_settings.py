"""Settings: where they come from, and what stops the start."""

from pathlib import Path

import pytest

from spadework.settings import BadSetting, Settings, workplace


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('engine = "local"\nretention_days = 9\nconcurrency = 2\n', encoding="utf-8")
    environ = {"SPADEWORK_HOME": str(tmp_path), "SPADEWORK_RETENTION_DAYS": "10", "SPADEWORK_CONCURRENCY": "3"}
    settings = Settings.load(environ, concurrency=5)
    assert (settings.engine, settings.retention_days, settings.concurrency) == ("local", 10, 5)
    assert settings.home == tmp_path


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"SPADEWORK_DAILY_CAP": "5"}, "SPADEWORK_DAILY_CAP_USD"),
        ({"SPADEWORK_RETENTION_DAYS": "3"}, "retention_days"),
        ({"SPADEWORK_RETENTION_DAYS": "soon"}, "retention_days"),
        ({"SPADEWORK_CONCURRENCY": "0"}, "concurrency"),
    ],
)
def test_a_misspelt_or_wrong_variable_stops_the_start_and_is_named(
    environ: dict[str, str], named: str, tmp_path: Path
) -> None:
    with pytest.raises(BadSetting) as caught:
        Settings.load({**environ, "SPADEWORK_HOME": str(tmp_path)})
    assert named in str(caught.value)


@pytest.mark.parametrize("text", ["engin = 1", "not toml", "retention_days = 1"])
def test_a_bad_file_stops_the_start(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BadSetting):
        Settings.load({"SPADEWORK_HOME": str(tmp_path)})


def test_keys_come_by_their_usual_names_and_are_never_shown(tmp_path: Path) -> None:
    environ = {"SPADEWORK_HOME": str(tmp_path), "PPLX_API_KEY": "canary-7", "PARALLEL_API_KEY": "  "}
    settings = Settings.load(environ)
    assert settings.vendor_keys["perplexity"].get_secret_value() == "canary-7"
    assert "parallel" not in settings.vendor_keys
    assert "canary" not in repr(settings)
    assert "canary" not in settings.model_dump_json()


def test_base_urls_and_lists_are_read_from_variables(tmp_path: Path) -> None:
    environ = {
        "SPADEWORK_HOME": str(tmp_path),
        "SPADEWORK_PARALLEL_BASE_URL": "http://127.0.0.1:9",
        "SPADEWORK_ROOTS": "/a:/b",
        "SPADEWORK_ALLOW_PRIVATE": "wiki.lan, 10.0.0.1",
    }
    settings = Settings.load(environ)
    assert settings.vendor_urls == {"parallel": "http://127.0.0.1:9"}
    assert settings.roots == (Path("/a"), Path("/b"))
    assert settings.allow_private == ("wiki.lan", "10.0.0.1")


def test_an_engine_may_ask_for_its_settings_by_name_and_for_no_secret(tmp_path: Path) -> None:
    environ = {
        "SPADEWORK_HOME": str(tmp_path),
        "SPADEWORK_WEB_BACKENDS": "wikipedia, arxiv",
        "SPADEWORK_ARXIV_BASE_URL": "http://127.0.0.1:9",
        "SPADEWORK_SEARXNG_URL": "http://127.0.0.1:8",
        "SPADEWORK_LLM_API_KEY": "canary-8",
    }
    settings = Settings.load(environ)
    assert settings.text("SPADEWORK_WEB") == "auto"
    assert settings.text("SPADEWORK_WEB_BACKENDS") == "wikipedia,arxiv"
    assert settings.text("SPADEWORK_ARXIV_BASE_URL") == "http://127.0.0.1:9"
    assert settings.text("SPADEWORK_WIKIPEDIA_BASE_URL") is None
    assert settings.text("SPADEWORK_SEARXNG_URL") == "http://127.0.0.1:8"
    assert settings.text("SPADEWORK_LLM_API_KEY") is None
    assert settings.text("SPADEWORK_HOME") is None


def test_a_whole_home_or_disk_is_never_a_workplace(tmp_path: Path) -> None:
    assert workplace(tmp_path) == (tmp_path.resolve(),)
    assert workplace(Path.home()) == ()
    assert workplace(Path("/")) == ()
