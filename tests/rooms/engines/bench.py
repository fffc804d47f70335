"""A bench on a folder: checkpoints are synced files, so that a killed process's successor finds what it kept."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tests.standins.standin import KEY

from spadework.egress import Egress
from spadework.engines import Later
from spadework.engines.vendor import Vendor
from spadework.job import Job, fingerprint, new_id
from spadework.ledger import FileLedger
from spadework_tools.errors import MissingKey
from spadework_tools.models import Report, Request


class Hands:
    """A clock that the test sets; time passes only by `pass_`."""

    def __init__(self, at: float = 1_795_000_000.0) -> None:
        self.at = at
        self.boot_id = "boot"

    def wall(self) -> float:
        return self.at

    def boot(self) -> float:
        return self.at - 1_794_000_000.0

    def pass_(self, seconds: float) -> None:
        self.at += seconds


class Workbench:
    """All that an engine may touch, over one folder; several may share it, as several processes do."""

    def __init__(
        self,
        folder: Path,
        urls: dict[str, str],
        clock: Hands,
        *,
        key: str | None = KEY,
        cap: float | None = None,
        earlier: Report | None = None,
    ) -> None:
        self.folder, self.urls, self.clock, self._key, self._earlier = folder, urls, clock, key, earlier
        folder.mkdir(parents=True, exist_ok=True)
        self.http = Egress()
        self.ledger = FileLedger(folder.parent / "ledger.jsonl", clock, cap)
        self.said: list[tuple[str, int, int | None, int | None, str]] = []

    def key(self, name: str) -> str:
        if self._key is None:
            raise MissingKey(f"no key for {name} is set. Set {name.upper()}_API_KEY.")
        return self._key

    def setting(self, name: str) -> str | None:
        vendor = name.removeprefix("SPADEWORK_").removesuffix("_BASE_URL").lower()
        return self.urls.get(vendor)

    def hook(self, vendor: str) -> str | None:
        return None

    async def earlier(self) -> Report | None:
        return self._earlier

    async def progress(
        self, phase: str, done: int = 0, total: int | None = None, *, sources: int | None = None, note: str = ""
    ) -> None:
        self.said.append((phase, done, total, sources, note))

    async def recall(self, step: str) -> bytes | None:
        path = self.folder / step
        return path.read_bytes() if path.exists() else None

    async def keep(self, step: str, value: bytes, *, durable: bool = False) -> None:
        path = self.folder / step
        if path.exists():
            return
        draft = self.folder / f".{step}.{os.getpid()}"
        with draft.open("wb") as file:
            file.write(value)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        draft.rename(path)

    async def snapshot(self, text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()


def job(engine: str, tier: str | None = None, *, at: float = 1_795_000_000.0, **fields: object) -> Job:
    """A job on an engine; the rest are fields of its request."""
    request = Request.model_validate({"question": "How large is the HVAC market?", "engine": engine, **fields})
    return Job(
        id=new_id(at),
        owner="me",
        request=request,
        fingerprint=fingerprint(request),
        engine=engine,
        tier=tier,
        created_at=at,
    )


async def finish(engine: Vendor, work: Job, bench: Workbench, *, looks: int = 200) -> tuple[Report, list[float]]:
    """Run a job to its report as a runner would, letting the clock go on by each pause; also gives the pauses."""
    pauses: list[float] = []
    for _ in range(looks):
        got = await engine.work(work, bench)
        if isinstance(got, Report):
            return got, pauses
        assert isinstance(got, Later)
        pauses.append(got.after_s)
        bench.clock.pass_(got.after_s)
    raise AssertionError(f"no report after {looks} looks: {bench.said[-3:]}")
