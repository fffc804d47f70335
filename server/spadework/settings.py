"""Settings: one frozen value, read once, in this order: command line, environment, `config.toml`, defaults.

The only module that reads the environment. A setting that is misspelt or out of range stops the start with a sentence
that names it; a provider key is held as a secret and never shown.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from spadework.environ import BACKENDS, HOOKED, PREFIX, UNASKED, VENDOR_KEYS, WEBHOOK_SECRET
from spadework_tools.complaint import complaint
from spadework_tools.errors import Trouble

#: The settings that an engine may ask for by name.
OPEN = frozenset(
    [
        "web",
        "web_backends",
        "web_contact",
        "searxng_url",
        "llm_base_url",
        "llm_model",
        "embeddings_base_url",
        "embeddings_model",
    ]
)

#: The variables of webhook secrets, which come from the environment alone, as keys do.
_WEBHOOK_SECRETS = {f"{PREFIX}{vendor.upper()}{WEBHOOK_SECRET}": vendor for vendor in HOOKED}
#: Where a vendor or a back-end is, by the setting's name.
_URLS = {f"{name}_base_url": name for name in (*VENDOR_KEYS, *BACKENDS, *UNASKED)}
# Visible ASCII, long enough to be no guess.
_SECRET = re.compile(r"[!-~]{8,512}")


def _expanded(path: Path) -> Path:
    """A path without its `~`. Raises ValueError for the home of a user who is not there."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("begins with the home of a user who is not known here") from None


class BadSetting(Trouble):
    """A setting that is misspelt, out of range or unreadable."""

    code = "bad_setting"


class Settings(BaseModel):
    """Everything that can be set. Durations carry their unit in their name, money is US dollars."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    engine: str = "auto"
    roots: tuple[Annotated[Path, AfterValidator(_expanded)], ...] = ()
    daily_cap_usd: float | None = Field(None, ge=0)
    registry: str | None = None
    retention_days: float = Field(7, ge=7, le=3650)
    queue_limit: int = Field(100_000, ge=1, le=10_000_000)
    dedupe_hours: float = Field(24, ge=0, le=24 * 30)
    inline_s: float = Field(2.0, ge=0, le=30)
    concurrency: int = Field(4, ge=1, le=256)
    lease_s: float = Field(30, ge=1, le=3600)
    web: Literal["on", "off", "auto"] = "auto"
    web_backends: tuple[
        Literal["searxng", "wikipedia", "arxiv", "crossref", "hackernews", "stackexchange", "duckduckgo"], ...
    ] = ("searxng", *BACKENDS)
    web_contact: str | None = Field(None, pattern=r"^[^\s<>()]{3,200}$", examples=["you@example.org"])
    searxng_url: str | None = Field(None, pattern=r"^https?://", examples=["http://127.0.0.1:8888"])
    llm_base_url: str | None = None
    llm_model: str | None = None
    llm_api_key: SecretStr | None = None
    embeddings_base_url: str | None = None
    embeddings_model: str | None = None
    allow_private: tuple[str, ...] = ()
    tasks: Literal["auto", "never"] = "auto"
    idle_s: float = Field(1_800, ge=1, le=365 * 86_400)
    webhook_url: str | None = Field(None, min_length=1, max_length=2_000)
    on_finish: tuple[Annotated[str, Field(pattern=r"^[^\x00]+$")], ...] = ()
    public_url: str | None = Field(None, pattern=r"^https?://[^/?#@\s]+$", examples=["https://desk.example.org"])
    allowed_hosts: tuple[str, ...] = ()
    tokens: Mapping[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")], Annotated[SecretStr, Field(min_length=1)]
    ] = Field(default_factory=dict[str, SecretStr], examples=["ann=TOKEN, a name of letters, digits, dots and dashes"])
    oauth_issuer: str | None = Field(None, pattern=r"^https?://", examples=["https://login.example.org"])
    oauth_audience: str | None = None
    oauth_jwks_url: str | None = Field(None, pattern=r"^https?://", examples=["https://login.example.org/jwks.json"])
    oauth_scope: str = Field("research", pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$", examples=["research"])
    calls_per_minute: int = Field(60, ge=1, le=1_000_000)
    jobs_per_owner: int = Field(20, ge=1, le=10_000)
    vendor_keys: Mapping[str, SecretStr] = Field(default_factory=dict[str, SecretStr])
    vendor_urls: Mapping[str, str] = Field(default_factory=dict[str, str])
    #: By vendor, the secrets that its webhooks may be signed with: two while one replaces the other.
    webhook_secrets: Mapping[str, tuple[SecretStr, ...]] = Field(default_factory=dict[str, tuple[SecretStr, ...]])

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Settings from the environment (the process's own unless given) and the home's `config.toml`.

        `overrides` are the command line's and win. Raises BadSetting.
        """
        environ = os.environ if environ is None else environ
        given = _from_environment(environ)
        home = overrides.get("home") or given.get("home") or platformdirs.user_data_dir("spadework", appauthor=False)
        # As `find_home` has it, so that a command and a bridge mean the same folder.
        home = Path(os.path.abspath(os.path.expanduser(home)))  # noqa: PTH100, PTH111
        kept = _from_file(home / "config.toml")
        values: dict[str, Any] = {**kept, **given, "home": home}
        values["vendor_urls"] = {**kept.get("vendor_urls", {}), **given.get("vendor_urls", {})}
        values |= {name: value for name, value in overrides.items() if value is not None and name != "home"}
        values["vendor_keys"] = _keys(environ)
        values["webhook_secrets"] = _webhook_secrets(environ)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise BadSetting(f"the setting {_wrong(error.errors()[0])}. Correct it and start again.") from None

    def text(self, variable: str) -> str | None:
        """A setting that is no secret as text, by its variable's name (`SPADEWORK_SEARXNG_URL`); None if not set."""
        name = variable.removeprefix(PREFIX).lower()
        vendor = name.removesuffix("_base_url")
        if vendor in (*VENDOR_KEYS, *BACKENDS, *UNASKED):
            return self.vendor_urls.get(vendor)
        value = getattr(self, name) if name in OPEN else None
        if value is None:
            return None
        return ",".join(self.web_backends) if name == "web_backends" else str(value)


def workplace(folder: Path) -> tuple[Path, ...]:
    """The folders readable where no roots are set: the one the client works in, unless that is everything one has."""
    folder = folder.resolve()
    # Not `Path.home`, which raises where a user has none.
    home = Path(os.path.expanduser("~")).resolve()  # noqa: PTH111
    too_wide = {Path(folder.anchor), home, home.parent}
    return () if folder in too_wide else (folder,)


def _wrong(error: ErrorDetails) -> str:
    """What is wrong with a setting; of one that has a form, the form and nothing of what was given."""
    name = str(error["loc"][0])
    examples = Settings.model_fields[name].examples if error["type"] == "string_pattern_mismatch" else None
    return f"{name} does not have the form asked for, such as {examples[0]}" if examples else complaint(error)


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or not text or variable in _WEBHOOK_SECRETS:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in _URLS:
            values.setdefault("vendor_urls", {})[_URLS[name]] = text
        else:
            values[_known(name, variable, "environment variable")] = _typed(name, text)
    return values


def _from_file(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadSetting(
            f"{path} cannot be read as TOML ({error}). Correct it, or remove it to use defaults."
        ) from None
    urls = {_URLS[name]: table.pop(name) for name in _URLS.keys() & table.keys()}
    values = {_known(name, name, f"setting of {path}"): value for name, value in table.items()}
    return {**values, "vendor_urls": urls} if urls else values


def _known(name: str, shown: str, where: str) -> str:
    names = [field for field in Settings.model_fields if field not in ("vendor_keys", "vendor_urls", "webhook_secrets")]
    if name in names:
        return name
    secrets = [variable.removeprefix(PREFIX).lower() for variable in _WEBHOOK_SECRETS]
    near = difflib.get_close_matches(name, [*names, *_URLS, *secrets], n=1, cutoff=0.5)
    form = PREFIX + near[0].upper() if near and shown.startswith(PREFIX) else (near[0] if near else "")
    hint = f"Did you mean {form}?" if form else "Remove it, or see the README's list of settings."
    raise BadSetting(f"{shown} is no {where} that spadework knows. {hint}")


def _typed(name: str, text: str) -> Any:
    """The text of a variable as its field takes it: a list is parted as PATH is, hosts and tokens by commas."""
    if name == "roots":
        return [part for part in text.split(os.pathsep) if part]
    if name == "on_finish":
        return _arguments(text)
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if name in ("allow_private", "allowed_hosts", "web_backends"):
        return parts
    if name == "tokens":
        return _tokens(parts)
    return text


def _tokens(parts: Iterable[str]) -> dict[str, str]:
    """The tokens by their owners' names. Raises BadSetting, which shows none of them."""
    given = [part.partition("=") for part in parts]
    if not all(owner.strip() and token.strip() for owner, _, token in given):
        raise BadSetting(
            f"{PREFIX}TOKENS has an entry without a name or without a token. Give NAME=TOKEN, parted by commas, and a "
            "name for each token, such as ann=sha256:…"
        )
    return {owner.strip(): token.strip() for owner, _, token in given}


def _arguments(text: str) -> Any:
    """A command as a JSON list, since no shell parts it into arguments. Raises BadSetting."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadSetting(
            f'{PREFIX}ON_FINISH is no JSON list. Give the command and its arguments, such as ["notify-send", "done"].'
        ) from None


def _keys(environ: Mapping[str, str]) -> dict[str, SecretStr]:
    def first(variables: Iterable[str]) -> str | None:
        return next((environ[variable].strip() for variable in variables if environ.get(variable, "").strip()), None)

    found = {vendor: first(variables) for vendor, variables in VENDOR_KEYS.items()}
    return {vendor: SecretStr(key) for vendor, key in found.items() if key is not None}


def _webhook_secrets(environ: Mapping[str, str]) -> dict[str, tuple[SecretStr, ...]]:
    """By vendor, the secrets in its variable, parted by commas. Raises BadSetting, which shows none of them."""
    found: dict[str, tuple[SecretStr, ...]] = {}
    for variable, vendor in _WEBHOOK_SECRETS.items():
        parts = [part.strip() for part in environ.get(variable, "").split(",") if part.strip()]
        if not all(_SECRET.fullmatch(part) for part in parts):
            raise BadSetting(
                f"{variable} holds what is no secret: it has less than 8 characters, or spaces or signs inside. Copy "
                f"it again from {vendor}'s settings; two of them are parted by a comma."
            )
        if parts:
            found[vendor] = tuple(SecretStr(part) for part in parts)
    return found
