"""The local engine as a job meets it: what it admits, what it reads, how it goes on, and that its citations hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import anyio
import pytest
from tests.rooms.local.desk import Bench, job, wiki
from tests.rooms.local.samples import pdf

from spadework.engines.local.database import location
from spadework.engines.local.engine import Local
from spadework.engines.local.index import Index
from spadework_tools.errors import BadFolder, BadRequest, UnknownEngine
from spadework_tools.models import Outcome, Report, Request

pytestmark = pytest.mark.anyio
QUESTION = "How many berths has the harbour of Qel017?"


def local(tmp_path: Path, *roots: Path) -> Local:
    return Local(tmp_path / "index", roots, tmp_path)


async def answered(engine: Local, bench: Bench, question: str, folder: Path, **fields: object) -> Report:
    with anyio.fail_after(60):
        report = await engine.work(job(question, folder, **fields), bench)
    assert isinstance(report, Report)
    return report


def hold(report: Report, bench: Bench) -> None:
    """Every citation is its slice of the kept snapshot, and its mark stands where it says."""
    assert report.citations
    sources = {source.id: source for source in report.sources}
    for citation in report.citations:
        assert bench.text(sources[citation.source_id].sha256 or "")[citation.start : citation.end] == citation.quote
        assert report.text[citation.target.start : citation.target.end].endswith(f"[{citation.id}]")


async def test_a_question_over_a_few_hundred_files_is_answered_with_exact_citations(tmp_path: Path) -> None:
    folder, bench = wiki(tmp_path / "wiki", 300), Bench(tmp_path / "job")
    report = await answered(local(tmp_path, folder), bench, QUESTION, folder)
    assert report.outcome is Outcome.FULL
    assert report.citations[0].quote == "The harbour of Qel017 has 20 berths for fishing boats and one for a ferry."
    assert report.usage["files"] == 300
    hold(report, bench)


async def test_progress_names_the_phases_and_counts_the_files(tmp_path: Path) -> None:
    folder, bench = wiki(tmp_path / "wiki", 40), Bench(tmp_path / "job")
    await answered(local(tmp_path, folder), bench, QUESTION, folder)
    phases = list(dict.fromkeys(phase for phase, _, _ in bench.said))
    assert phases == ["planning", "reading", "retrieving", "writing"]
    assert ("reading", 40, 40) in bench.said


async def test_a_second_question_over_the_same_folder_reads_no_file_again(tmp_path: Path) -> None:
    folder, engine = wiki(tmp_path / "wiki", 20), local(tmp_path, tmp_path / "wiki")
    await answered(engine, Bench(tmp_path / "one"), QUESTION, folder)
    for file in folder.iterdir():
        before = file.stat()
        file.write_bytes(b"#" * before.st_size)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    report = await answered(engine, Bench(tmp_path / "two"), QUESTION, folder, follow_up_to="r_1")
    assert report.outcome is Outcome.FULL, "what was overwritten behind an unchanged date is not looked at"


async def test_a_finished_search_is_not_repeated_when_the_job_runs_again(tmp_path: Path) -> None:
    folder, bench, engine = wiki(tmp_path / "wiki", 20), Bench(tmp_path / "job"), local(tmp_path, tmp_path / "wiki")
    first = await answered(engine, bench, QUESTION, folder)
    for file in folder.iterdir():
        file.unlink()
    again = await answered(engine, bench, QUESTION, folder)
    assert (again.text, again.citations) == (first.text, first.citations)
    assert {step.name for step in bench.folder.iterdir()} >= {"plan", "evidence"}


async def test_a_killed_job_takes_in_no_file_twice(tmp_path: Path) -> None:
    """The process is killed in the middle of reading, and what it had committed is not read by the next one."""
    folder = wiki(tmp_path / "wiki", 300)
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from threading import Event
        from spadework.engines.local import intake
        from spadework.engines.local.folders import read
        def told(found):
            print(found.name, flush=True)
            return read(found)
        intake.read = told
        known = intake.survey([Path(sys.argv[1])], Event())
        intake.take(Path(sys.argv[2]), known.found, Event(), 60)
    """)
    place = location(tmp_path / "index", [folder])
    command = [sys.executable, "-c", program, folder, place]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        before = [process.stdout.readline().strip() for _ in range(60)]
        process.send_signal(signal.SIGKILL)
        before += process.stdout.read().split()
    assert len(before) < 300
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    after = run.stdout.split()
    assert len(set(before) & set(after)) <= 1
    assert len(after) == len(set(after))
    assert len(set(before) | set(after)) == 300


async def test_a_cancelled_job_lets_go_at_once_and_leaves_a_sound_index(tmp_path: Path) -> None:
    folder, bench, engine = wiki(tmp_path / "wiki", 300), Bench(tmp_path / "job"), local(tmp_path, tmp_path / "wiki")
    with anyio.fail_after(30):
        with anyio.move_on_after(0.08) as scope:
            await engine.work(job(QUESTION, folder), bench)
        assert scope.cancel_called
        report = await engine.work(job(QUESTION, folder), bench)
    assert isinstance(report, Report)
    hold(report, bench)


@pytest.mark.parametrize("harm", [b"no database at all " * 500, b"SQLite format 3\0" + b"\xff" * 50_000])
async def test_an_index_that_was_damaged_is_built_again_and_the_job_never_knows(tmp_path: Path, harm: bytes) -> None:
    folder, engine = wiki(tmp_path / "wiki", 20), local(tmp_path, tmp_path / "wiki")
    await answered(engine, Bench(tmp_path / "one"), QUESTION, folder)
    location(tmp_path / "index", [folder]).write_bytes(harm)
    report = await answered(engine, Bench(tmp_path / "two"), QUESTION, folder)
    assert report.outcome is Outcome.FULL


async def test_damage_deep_inside_the_index_is_found_and_mended_too(tmp_path: Path) -> None:
    folder, engine = wiki(tmp_path / "wiki", 60), local(tmp_path, tmp_path / "wiki")
    await answered(engine, Bench(tmp_path / "one"), QUESTION, folder)
    place = location(tmp_path / "index", [folder])
    whole = bytearray(place.read_bytes())
    # The header and the schema stay; every later page is noise.
    whole[8 * 4096 :] = b"\xa5" * (len(whole) - 8 * 4096)
    place.write_bytes(whole)
    report = await answered(engine, Bench(tmp_path / "two"), QUESTION, folder)
    assert report.outcome is Outcome.FULL
    with Index(place) as index:
        assert index.size().documents == 60


async def test_a_pdf_is_cited_by_its_page(tmp_path: Path) -> None:
    folder, bench = tmp_path / "papers", Bench(tmp_path / "job")
    folder.mkdir()
    lines = ["The breakwater of Qel was built of granite in 1911.", "Its lamp burns whale oil from the northern sea."]
    (folder / "pier.pdf").write_bytes(pdf([["Front page of the pier report"], lines]))
    report = await answered(local(tmp_path, folder), bench, "What was the breakwater of Qel built of?", folder)
    assert report.citations[0].page == 2
    assert "granite" in report.citations[0].quote
    hold(report, bench)


async def test_a_folder_of_files_without_text_ends_in_no_evidence_and_names_them(tmp_path: Path) -> None:
    folder, bench = tmp_path / "scans", Bench(tmp_path / "job")
    folder.mkdir()
    (folder / "scan.pdf").write_bytes(pdf([[]]))
    engine = local(tmp_path, folder)
    await engine.admit(Request(question=QUESTION, folders=(str(folder),)), None)
    report = await answered(engine, bench, QUESTION, folder)
    assert report.outcome is Outcome.NO_EVIDENCE
    assert "scan.pdf (no_text_layer)" in report.text
    assert report.citations == ()


async def test_odd_file_names_are_read_and_cited(tmp_path: Path) -> None:
    folder, bench = tmp_path / "odd", Bench(tmp_path / "job")
    folder.mkdir()
    name = os.fsdecode(b"n\xff\xfeame.md")
    (folder / name).write_bytes(b"# Quay\n\nThe northern quay of Murn is paved with 4,000 slabs of slate.\n")
    report = await answered(local(tmp_path, folder), bench, "What is the northern quay of Murn paved with?", folder)
    assert "slate" in report.citations[0].quote
    hold(report, bench)


async def test_without_folders_all_roots_are_searched(tmp_path: Path) -> None:
    one, two, bench = wiki(tmp_path / "one", 20), tmp_path / "two", Bench(tmp_path / "job")
    two.mkdir()
    (two / "quay.md").write_text(
        "# Quay\n\nThe northern quay of Murn is paved with slabs of slate.\n", encoding="utf-8"
    )
    engine = local(tmp_path, one, two, tmp_path / "gone")
    request = Request(question=f"{QUESTION} What is the northern quay of Murn paved with?")
    estimate = await engine.admit(request, None)
    assert estimate.cost_usd == 0
    assert estimate.request is not None
    assert estimate.request.folders == (str(one), str(two))
    report = await engine.work(job(request.question, one).model_copy(update={"request": estimate.request}), bench)
    assert isinstance(report, Report)
    assert {Path(source.path or "").parent for source in report.sources} >= {one, two}


async def test_what_has_no_effect_here_is_said(tmp_path: Path) -> None:
    folder, bench = wiki(tmp_path / "wiki", 5), Bench(tmp_path / "job")
    report = await answered(
        local(tmp_path, folder), bench, "How many berths has Qel003?", folder,
        include_domains=("example.org",), output_schema={"type": "object"},
    )  # fmt: skip
    assert report.data is None
    assert [line.partition(":")[0] for line in report.provenance.warnings] == ["include_domains", "output_schema"]


@pytest.mark.parametrize(
    ("folders", "error"),
    [(("wiki/gone",), BadFolder), (("..",), BadFolder), (("/etc",), BadFolder), (("empty",), BadFolder)],
)
async def test_folders_that_cannot_be_used_are_refused(
    tmp_path: Path, folders: tuple[str, ...], error: type[BadRequest]
) -> None:
    wiki(tmp_path / "wiki", 3)
    (tmp_path / "empty").mkdir()
    engine = local(tmp_path, tmp_path / "wiki", tmp_path / "empty")
    with pytest.raises(error):
        await engine.admit(Request(question=QUESTION, folders=folders), None)


async def test_a_tier_and_nothing_to_read_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnknownEngine, match="no tiers"):
        await local(tmp_path, tmp_path).admit(Request(question=QUESTION, folders=(".",)), "ultra")
    with pytest.raises(BadRequest, match="SPADEWORK_ROOTS"):
        await local(tmp_path).admit(Request(question=QUESTION), None)


async def test_two_jobs_over_one_folder_run_side_by_side(tmp_path: Path) -> None:
    folder, engine = wiki(tmp_path / "wiki", 80), local(tmp_path, tmp_path / "wiki")
    benches = [Bench(tmp_path / f"job{n}") for n in range(3)]
    reports: list[Report] = []

    async def run(bench: Bench) -> None:
        reports.append(await answered(engine, bench, QUESTION, folder))

    async with anyio.create_task_group() as tasks:
        for bench in benches:
            tasks.start_soon(run, bench)
    assert len({report.text for report in reports}) == 1
    assert reports[0].outcome is Outcome.FULL
