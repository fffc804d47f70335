"""An agent's client from npm, its own program for this platform, brought once into the user's cache."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from tests.journeys import inspector
from tests.journeys.inspector import Unreachable


@dataclass(frozen=True)
class Package:
    """A package whose program lies, under `program`, in another one that npm chooses for the platform."""

    name: str
    version: str
    program: str

    def installed(self) -> Path:
        """The program, which runs here; one process at a time brings it. Raises Unreachable."""
        folder = Path(platformdirs.user_cache_dir("spadework-tests")) / f"{self.name.split('/')[-1]}-{self.version}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / ".complete").exists():
                self._bring(folder)
                (folder / ".complete").touch()
        return self._found(folder)

    def _bring(self, folder: Path) -> None:
        shutil.rmtree(folder / "node_modules", ignore_errors=True)
        (folder / "package.json").write_text("{}")
        wanted = f"{self.name}@{self.version}"
        inspector.npm("install", "--ignore-scripts", "--no-audit", "--no-fund", wanted, place=folder)
        self._found(folder)

    def _found(self, folder: Path) -> Path:
        programs = sorted((folder / "node_modules").glob(self.program))
        if len(programs) != 1:
            raise Unreachable(f"{self.name} {self.version} has no program for this platform")
        try:
            said = subprocess.run(
                [programs[0], "--version"], env={"HOME": str(folder)}, capture_output=True, text=True, timeout=60
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unreachable(f"{self.name} {self.version} does not run here: {error}") from None
        if self.version not in said.stdout:
            raise Unreachable(f"{self.name} {self.version} does not run here: exit code {said.returncode}")
        return programs[0]
