"""A bench over a folder for the local engine, and small made-up corpora to ask about."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from spadework.clock import SystemClock
from spadework.egress import Egress
from spadework.engines.local.document import Block, Document, Link
from spadework.engines.local.index import Index, Stamp
from spadework.job import Job, fingerprint, new_id
from spadework.ledger import FileLedger
from spadework_tools.errors import MissingKey
from spadework_tools.models import Report, Request


class Bench:
    """Checkpoints and snapshots as files; what was said of the progress is kept in `said`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, SystemClock()
        folder.mkdir(parents=True, exist_ok=True)
        self.http, self.ledger = Egress(), FileLedger(folder / "ledger.jsonl", self.clock, None)
        self.said: list[tuple[str, int, int | None]] = []

    def key(self, name: str) -> str:
        raise MissingKey(f"there is no key for {name} here")

    def setting(self, name: str) -> str | None:
        return None

    def hook(self, vendor: str) -> str | None:
        return None

    async def earlier(self) -> Report | None:
        return None

    async def progress(
        self, phase: str, done: int = 0, total: int | None = None, *, sources: int | None = None, note: str = ""
    ) -> None:
        self.said.append((phase, done, total))

    async def recall(self, step: str) -> bytes | None:
        path = self.folder / step
        return path.read_bytes() if path.exists() else None

    async def keep(self, step: str, value: bytes, *, durable: bool = False) -> None:
        (self.folder / step).write_bytes(value)

    async def snapshot(self, text: str) -> str:
        data = text.encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / digest).write_bytes(data)
        return digest

    def text(self, sha256: str) -> str:
        return (self.folder / sha256).read_bytes().decode("utf-8", "surrogatepass")


def job(question: str, folder: Path, **fields: Any) -> Job:
    """A job over one folder."""
    request = Request(question=question, folders=(str(folder),), **fields)
    return Job(
        id=new_id(1.0), owner="local", request=request, fingerprint=fingerprint(request), engine="local", created_at=1.0
    )


def page(path: str, title: str, *paragraphs: str, links: tuple[tuple[str, str], ...] = ()) -> Document:
    """A document of a heading and paragraphs; each link is (words in the text, address)."""
    text = "\n\n".join((title, *paragraphs))
    blocks, at = [], 0
    for number, part in enumerate((title, *paragraphs)):
        blocks.append(Block(at, at + len(part), int(number == 0)))
        at += len(part) + 2
    found = tuple(Link(text.index(words), text.index(words) + len(words), href) for words, href in links)
    return Document(path=path, title=title, text=text, blocks=tuple(blocks), links=found)


def plain(path: str, title: str, text: str) -> Document:
    """A document of one paragraph, without headings."""
    return Document(path=path, title=title, text=text, blocks=(Block(0, len(text)),))


def put(index: Index, *documents: Document) -> None:
    """Take documents in."""
    for document in documents:
        index.add(document, Stamp(1, len(document.text), document.sha256))


def wiki(folder: Path, count: int = 300) -> Path:
    """Write so many small Markdown files about made-up harbours; harbour n has n + 3 berths."""
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        name, text = f"Qel{n:03d}", [f"# Harbour Qel{n:03d}"]
        text += [f"The harbour of {name} has {n + 3} berths for fishing boats and one for a ferry.", "## Pilots"]
        text += [f"Pilots of {name} board ships {n + 1} miles west of the outer buoy, by day and by night."]
        (folder / f"harbour-{n:03d}.md").write_text("\n\n".join(text) + "\n", encoding="utf-8")
    return folder
