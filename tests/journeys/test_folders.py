"""Folders and documents that are not what they should be: refused, or named in the report, and never the end of it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.conftest import Connect
from tests.journeys import papers
from tests.journeys.server import call, ended, exported, refused, whole
from tests.journeys.wire import Wire


async def answered(agent: Any, folder: Path, question: str = papers.QUESTION) -> str:
    """The full report over a folder."""
    ticket = await call(agent, "start_research", question=question, folders=[str(folder)], engine="local")
    standing = await ended(agent, ticket["job_id"], within=110)
    assert standing["status"] == "completed", standing
    return (await whole(agent, ticket["job_id"], view="full"))[0]


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Folders beside and inside the allowed root `library`."""
    root = papers.library(tmp_path / "library")
    outside = tmp_path / "private"
    outside.mkdir()
    (outside / "secret.md").write_text("# Secret\n\nThe secret word of Skerry is heliotrope.\n")
    (root / "empty").mkdir()
    (root / ".hidden").mkdir()
    (root / ".hidden" / "note.md").write_text("The hidden word of Skerry is heliotrope.\n")
    (root / "way-out").symlink_to(outside)
    return tmp_path


#: What an agent may write for a folder, with the words of the refusal.
REFUSED: dict[str, tuple[str, ...]] = {
    "library/gone": ("there is no folder",),
    "private": ("outside",),
    "library/../private": ("outside",),
    "library/way-out": ("outside",),
    "library/empty": ("empty",),
    "library/.hidden": ("hidden",),
    "library/tides.md": ("file",),
    "/etc": ("outside",),
    "/": ("outside",),
    "/proc/self": ("outside",),
    "file:///etc": ("URL",),
    "~/library": ("~",),
    " ": ("empty",),
    "library\0/etc": ("NUL",),
    "x" * 4_000: (),
}  # fmt: skip


@pytest.mark.anyio
async def test_a_folder_that_cannot_be_read_is_refused_at_once_and_in_words(client: Connect, odd: Path) -> None:
    async with client(roots=[odd / "library"]) as agent:
        for folder, words in REFUSED.items():
            said = await refused(agent, "start_research", question=papers.QUESTION, folders=[folder], engine="local")
            assert said.startswith("bad_folder: "), said
            assert all(word in said for word in words), said
        assert (await call(agent, "check_research"))["jobs"] == []


@pytest.mark.anyio
async def test_what_lies_outside_reads_the_same_whether_it_exists_or_not(client: Connect, odd: Path) -> None:
    async with client(roots=[odd / "library"]) as agent:
        said = {
            (
                await refused(
                    agent, "start_research", question=papers.QUESTION, folders=[str(odd / name)], engine="local"
                )
            ).replace(name, "NAME")
            for name in ("private", "missing")
        }
        assert len(said) == 1


@pytest.mark.anyio
async def test_nothing_is_read_through_links_dotfiles_fifos_sockets_and_devices(client: Connect, odd: Path) -> None:
    root = odd / "library"
    (root / "link.md").symlink_to(odd / "private" / "secret.md")
    (root / ".env.md").write_text("The dotted word of Skerry is heliotrope.\n")
    os.mkfifo(root / "pipe.md")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(root / "door.md"))
        async with client(roots=[root]) as agent:
            text = await answered(agent, root, "What is the secret word of Skerry? How long is the breakwater?")
    assert "heliotrope" not in text
    assert "640 metres" in text


@pytest.mark.anyio
async def test_documents_that_cannot_be_read_are_named_with_the_reason_and_the_others_are_cited(
    home: Path, client: Connect, tmp_path: Path
) -> None:
    folder = papers.library(tmp_path / "library")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7\n" + os.urandom(4_000))
    (folder / "scanned.pdf").write_bytes(papers.scan())
    (folder / "locked.pdf").write_bytes(papers.locked())
    (folder / "fake.docx").write_bytes(b"this is no archive at all, whatever its name says")
    (folder / "picture.md").write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(5_000))
    (folder / "odd.html").write_bytes(
        b"<html><title>Odd</title><p>The slipway of Skerry is 31 metres \xff\xfe wide \xe9 and steep.</p></html>"
    )
    with (folder / "huge.txt").open("wb") as huge:
        huge.truncate(200 * 1024 * 1024)
    async with client(roots=[folder]) as agent:
        question = papers.QUESTION + " How wide is the slipway?"
        ticket = await call(agent, "start_research", question=question, folders=[str(folder)], engine="local")
        assert (await ended(agent, ticket["job_id"]))["status"] == "completed"
        text, _ = await whole(agent, ticket["job_id"], view="full")
    warnings = (await exported(home, ticket["job_id"], tmp_path))["provenance"]["warnings"]
    for name, answer in papers.ANSWERS.items():
        assert answer in papers.squeezed(text), name
    assert "31 metres" in text
    for name, reason in {
        "broken.pdf": "corrupt", "scanned.pdf": "no_text_layer", "locked.pdf": "encrypted", "fake.docx": "corrupt",
        "huge.txt": "too_large", "picture.md": "binary",
    }.items():  # fmt: skip
        named = [line for line in warnings if name in line and reason in line]
        assert named, f"{name} should be named as {reason} in {warnings}"
        assert reason in text, f"{reason} is not in the report's text:\n{text[-1500:]}"


@pytest.mark.anyio
async def test_a_folder_of_nothing_but_broken_documents_ends_in_words_and_not_in_a_crash(
    home: Path, client: Connect, tmp_path: Path
) -> None:
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "scanned.pdf").write_bytes(papers.scan())
    (folder / "fake.docx").write_bytes(b"PK\x03\x04 and then nothing")
    async with client(roots=[folder]) as agent:
        ticket = await call(agent, "start_research", question=papers.QUESTION, folders=[str(folder)], engine="local")
        standing = await ended(agent, ticket["job_id"])
        assert (standing["status"], standing["outcome"]) == ("completed", "no_evidence"), standing
        text, _ = await whole(agent, ticket["job_id"], view="full")
        assert "no_text_layer" in text
    warnings = " ".join((await exported(home, ticket["job_id"], tmp_path))["provenance"]["warnings"])
    assert "scanned.pdf" in warnings


@pytest.mark.anyio
async def test_a_huge_file_that_may_be_read_does_not_fill_the_memory(wire: Callable[..., Wire], tmp_path: Path) -> None:
    folder = papers.library(tmp_path / "library")
    with (folder / "sparse.txt").open("wb") as sparse:
        sparse.write(b"The sparse file begins.\n")
        sparse.truncate(60 * 1024 * 1024)
    server = wire(roots=[folder])
    server.alive()
    process = psutil.Process(server.process.pid)
    job_id = server.ask("start_research", question=papers.QUESTION, folders=[str(folder)], engine="local")["job_id"]
    worst, until = 0, time.monotonic() + 100
    while time.monotonic() < until:
        worst = max(worst, process.memory_info().rss)
        job = server.ask("check_research", job_ids=[job_id], wait_s=0.2)["jobs"][0]
        if job["status"] not in ("queued", "running"):
            break
    assert job["status"] == "completed", job
    assert worst < 600 * 1024 * 1024, f"{worst >> 20} MB"


def test_ten_thousand_files_some_unreadable_are_read_and_the_unreadable_ones_counted(
    wire: Callable[..., Wire], tmp_path: Path
) -> None:
    folder = tmp_path / "library"
    for shelf in range(100):
        (folder / f"shelf-{shelf:02d}").mkdir(parents=True)
        for number in range(100):
            (folder / f"shelf-{shelf:02d}" / f"{number:02d}.txt").write_text(
                f"Mooring {shelf}-{number} of Skerry holds {shelf * 100 + number} tons.\n"
            )
    for shelf in range(0, 100, 10):
        (folder / f"shelf-{shelf:02d}" / "07.txt").chmod(0)
    (folder / "shelf-11").chmod(0)
    server = wire(roots=[folder], powerless=True)
    question = "How many tons does mooring 42-42 hold?"
    job_id = server.ask("start_research", question=question, folders=[str(folder)], engine="local")["job_id"]
    until = time.monotonic() + 170
    job: dict[str, Any] = {"status": "queued"}
    while job["status"] in ("queued", "running") and time.monotonic() < until:
        job = server.ask("check_research", job_ids=[job_id], wait_s=20)["jobs"][0]
    (folder / "shelf-11").chmod(0o700)
    assert job["status"] == "completed", job
    text = server.call("get_result", {"job_id": job_id, "view": "full"})["content"][0]["text"]
    assert "4242 tons" in text
    assert "9,890 files" in text or "9890 files" in text
    assert "11 unreadable" in text, text[-800:]
