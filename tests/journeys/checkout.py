"""A fresh clone of this checkout, and the environment of somebody who has just made it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.journeys.server import AROUND

ROOT = Path(__file__).parents[2]
#: What a new user has on this machine: the caches, so that nothing is downloaded twice, and nothing of ours.
_CACHES = {"UV_CACHE_DIR": ".cache/uv", "PIP_CACHE_DIR": ".cache/pip"}


def clone(place: Path) -> Path:
    """A clone of the last commit with what is changed and not yet committed laid over it."""
    git(place, "clone", "-q", "--no-hardlinks", str(ROOT), "checkout")
    fresh = place / "checkout"
    changed = git(ROOT, "ls-files", "-z", "--modified", "--others", "--exclude-standard").split("\0")
    for name in filter(None, changed):
        if (ROOT / name).is_file():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, fresh / name)
        else:
            (fresh / name).unlink(missing_ok=True)
    return fresh


def git(place: Path, *words: str) -> str:
    """Run git on any owner's checkout; what it printed."""
    run = subprocess.run(
        ["git", "-c", "safe.directory=*", *words], cwd=place, check=True, capture_output=True, text=True, timeout=60
    )
    return run.stdout


def newcomer(place: Path) -> dict[str, str]:
    """The environment of a user who never ran spadework, outside any virtual environment."""
    real = Path.home()
    venv = AROUND.get("VIRTUAL_ENV", "")
    path = [part for part in AROUND["PATH"].split(os.pathsep) if not venv or not part.startswith(venv)]
    env = {
        name: value
        for name, value in AROUND.items()
        if not name.startswith(("SPADEWORK_", "XDG_", "PYTEST_", "PYTHON", "VIRTUAL_ENV")) and name != "UV"
    }
    env |= {name: AROUND.get(name, str(real / below)) for name, below in _CACHES.items()}
    env |= {"HOME": str(place / "user"), "PATH": os.pathsep.join(path)}
    (place / "user").mkdir(exist_ok=True)
    return env


def blocks(kind: str) -> list[str]:
    """The README's code blocks of a kind, in their order."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
