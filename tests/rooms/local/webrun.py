"""A process that works on one web job until it is done: `python -m tests.rooms.local.webrun FOLDER BASE PAGES`.

With `rows` in place of the number of pages it is a job on records. The report's citations go to
`FOLDER/citations.json`; whoever starts it may kill it at any moment and start it again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import anyio
from tests.rooms.local.online import Desk, asking, engine

from spadework.engines.local.web.budget import Budget
from spadework_tools.models import Report

#: Eight questions: eight searches, each of which gives twenty pages.
QUESTION = "\n".join(f"{n}. How many berths has the harbour of Qel{n * 20:03d}?" for n in range(1, 9))

#: Eight records: each is searched for by itself, and has five pages to itself.
RECORDS = tuple({"name": f"Qel{n * 20:03d}"} for n in range(1, 9))
FORM = {"type": "object", "properties": {"name": {"type": "string"}, "berths": {"type": ["integer", "null"]}}}


async def main(folder: Path, base: str, pages: int) -> None:
    desk = Desk(folder / "job", base)
    budget = Budget(rounds=1, pages=pages, seconds=300, size=100 << 20)
    work = (
        asking(QUESTION) if pages else asking("Fill in the fields.", records=RECORDS, output_schema=FORM, effort="low")
    )
    report = await engine(folder / "home", desk, budget).work(work, desk)
    assert isinstance(report, Report)
    citations = [citation.model_dump(mode="json") for citation in report.citations]
    (folder / "draft.json").write_text(json.dumps(citations), encoding="utf-8")
    (folder / "draft.json").rename(folder / "citations.json")


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), sys.argv[2], 0 if sys.argv[3] == "rows" else int(sys.argv[3]))
