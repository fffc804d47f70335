"""The environment: which variables are ours, which a desk inherits, and where the home is.

Standard library alone, since a client waits for the bridge; `settings.py` judges the values.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

PREFIX = "SPADEWORK_"
#: Who started this process, as early as it can be asked: a client that dies while we start is missed then.
PARENT = os.getppid()
#: The vendors whose keys and base URLs we know, with the variables their own tools use (2026-11-21).
VENDOR_KEYS: dict[str, tuple[str, ...]] = {
    "perplexity": ("PERPLEXITY_API_KEY", "PPLX_API_KEY"),
    "parallel": ("PARALLEL_API_KEY",),
    "cloro": ("CLORO_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "gemini": ("GEMINI_API_KEY",),
    "exa": ("EXA_API_KEY",),
}

#: The vendors that can tell by a signed webhook that a run has ended, to `SPADEWORK_<VENDOR>_WEBHOOK_SECRET`.
HOOKED = ("parallel", "cloro")
WEBHOOK_SECRET = "_WEBHOOK_SECRET"  # noqa: S105 - how a variable's name ends

#: The public search back-ends of the local engine; each base URL can be set to another place.
BACKENDS = ("wikipedia", "arxiv", "crossref", "hackernews", "stackexchange")
#: Those that are asked only where the user names them: they would rather not be asked by programs.
UNASKED = ("duckduckgo",)

_KEYS = frozenset(variable for variables in VENDOR_KEYS.values() for variable in variables)
#: What a process needs to run and to find its files, its proxy and its certificates; a desk inherits no more.
_NAMES = (
    "PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TMPDIR TEMP TMP VIRTUAL_ENV LD_LIBRARY_PATH DYLD_LIBRARY_PATH "
    "SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy "
    "all_proxy no_proxy SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT APPDATA LOCALAPPDATA USERPROFILE"
)
_PLAIN = frozenset(_NAMES.split())


def carried(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The provider keys and `SPADEWORK_*` settings of an environment (the process's own unless given)."""
    environ = os.environ if environ is None else environ
    return {name: text for name, text in environ.items() if text and (name in _KEYS or name.startswith(PREFIX))}


def inherited(home: str, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a desk is started with: no key and no other program's secret, since a process's environment can be read."""
    environ = os.environ if environ is None else environ
    kept = {name: text for name, text in environ.items() if _plain(name)}
    return {**kept, f"{PREFIX}HOME": home}


def _plain(name: str) -> bool:
    if name.startswith(PREFIX):
        return not name.endswith(("_API_KEY", "_TOKENS", WEBHOOK_SECRET))
    return name in _PLAIN or name.startswith(("LC_", "XDG_", "PYTHON"))


def workfolder() -> str:
    """The folder that this process works in; one that was deleted meanwhile counts as the root, no workplace."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return os.sep


def find_home(environ: Mapping[str, str] | None = None) -> str:
    """The home folder, absolute: `SPADEWORK_HOME`, or the platform's user data folder as platformdirs has it."""
    environ = os.environ if environ is None else environ
    return os.path.abspath(os.path.expanduser(environ.get(f"{PREFIX}HOME") or _data_folder(environ)))


def _data_folder(environ: Mapping[str, str]) -> str:
    if sys.platform == "win32":
        base = environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Application Support"
    else:
        base = environ.get("XDG_DATA_HOME", "").strip() or "~/.local/share"
    return f"{base}/spadework"
