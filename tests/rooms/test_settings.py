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
        ({"SPADEWORK_ROOTS": "~nobody-of-this-name/papers"}, "roots"),
        ({"SPADEWORK_ON_FINISH": "[" * 100_000}, "SPADEWORK_ON_FINISH"),
        ({"SPADEWORK_PUBLIC_URL": "desk.example.org"}, "public_url does not have the form asked for, such as https:"),
        ({"SPADEWORK_SEARXNG_URL": "localhost:8888"}, "searxng_url does not have the form asked for, such as http:"),
    ],
)
def test_a_misspelt_or_wrong_variable_stops_the_start_and_is_named(
    environ: dict[str, str], named: str, tmp_path: Path
) -> None:
    with pytest.raises(BadSetting) as caught:
        Settings.load({**environ, "SPADEWORK_HOME": str(tmp_path)})
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "text", ["engin = 1", "not toml", "retention_days = 1", "roots = " + "[" * 100_000, "[tokens]\nann = ''"]
)
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


@pytest.mark.parametrize("given", ["canary-token-of-ann", "=canary-token-of-ann", "ann=", "a b=canary-token-of-ann"])
def test_a_token_without_its_name_is_refused_and_never_shown(given: str, tmp_path: Path) -> None:
    with pytest.raises(BadSetting) as caught:
        Settings.load({"SPADEWORK_HOME": str(tmp_path), "SPADEWORK_TOKENS": given})
    assert "tokens" in str(caught.value).lower()
    assert "canary" not in str(caught.value)


def test_a_home_and_roots_below_the_users_own_are_found_where_no_shell_has_written_them_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "config.toml").write_text('concurrency = 2\nroots = ["~/papers"]\n', encoding="utf-8")
    settings = Settings.load({"SPADEWORK_HOME": "~/desk"})
    assert (settings.home, settings.concurrency) == (tmp_path / "desk", 2)
    assert settings.roots == (tmp_path / "papers",)
    assert Settings.load({"SPADEWORK_HOME": "~/x", "SPADEWORK_ROOTS": "~/books"}).roots == (tmp_path / "books",)


def test_a_base_url_may_stand_in_the_file_and_gives_way_to_its_variable(tmp_path: Path) -> None:
    text = 'parallel_base_url = "http://127.0.0.1:1"\ncloro_base_url = "http://127.0.0.1:2"\n'
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    settings = Settings.load({"SPADEWORK_HOME": str(tmp_path), "SPADEWORK_CLORO_BASE_URL": "http://127.0.0.1:3"})
    assert settings.vendor_urls == {"parallel": "http://127.0.0.1:1", "cloro": "http://127.0.0.1:3"}
