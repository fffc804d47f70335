"""The local engine on the loopback web of `tests.standins.web`: a bench with settings, and a job without folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.rooms.local.desk import Bench

from spadework.egress import Egress
from spadework.engines.local.engine import Local
from spadework.engines.local.web.budget import BUDGETS, Budget
from spadework.engines.local.web.online import Online
from spadework.engines.local.web.reach import Reach
from spadework.job import Job, fingerprint
from spadework_tools.models import Report, Request

BACKENDS = ("wikipedia", "arxiv", "crossref", "hackernews", "stackexchange")


class Desk(Bench):
    """A bench whose settings point at one loopback web, which alone the guard lets through; `more` are added."""

    def __init__(self, folder: Path, base: str, backends: str = "searxng", **more: str) -> None:
        super().__init__(folder)
        self.http = Egress(allow_private=[base.removeprefix("http://")])
        self.settings = {"SPADEWORK_WEB": "auto", "SPADEWORK_WEB_BACKENDS": backends, "SPADEWORK_SEARXNG_URL": base}
        self.settings |= {f"SPADEWORK_{name.upper()}_BASE_URL": base for name in BACKENDS}
        self.settings |= {f"SPADEWORK_{name.upper()}": text for name, text in more.items()}
        self.before: Report | None = None

    def setting(self, name: str) -> str | None:
        return self.settings.get(name)

    async def earlier(self) -> Report | None:
        return self.before

    async def keep(self, step: str, value: bytes, *, durable: bool = False) -> None:
        place = self.folder / step
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{place.name}")
        draft.write_bytes(value)
        draft.rename(place)


def engine(home: Path, desk: Desk, budget: Budget | None = None) -> Local:
    """The engine as the settings of a desk allow it; `budget` holds for every effort."""
    budgets = dict.fromkeys(BUDGETS, budget) if budget else BUDGETS
    return Local(home, (), home.parent, Reach.of(desk.setting), Online(home, budgets))


def asking(question: str, *, at: float = 1.0, **fields: Any) -> Job:
    """A job without folders, always of the same id; pages kept before `at` are an earlier job's."""
    request = Request(question=question, **fields)
    return Job(
        id="r_web", owner="local", request=request, fingerprint=fingerprint(request), engine="local", created_at=at
    )
