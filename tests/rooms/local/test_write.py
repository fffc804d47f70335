"""The report's text and its citations: marks that lead to quotes, honest words, and nothing when there is nothing."""

from __future__ import annotations

import re
from pathlib import Path

from spadework.engines.local.intake import Reading
from spadework.engines.local.select import Finding, Judgement, Quote
from spadework.engines.local.write import NAMED, Circumstances, Evidence, report
from spadework_tools.models import Outcome, Report

READ = Reading(files=3, passages=9, characters=900, unread=(), left_out=())


def quote(text: str, path: str = "/docs/a.md", **fields: object) -> Quote:
    values = {"title": "Page A", "sha256": "0" * 64, "heading": "Limits", "start": 10, "score": 1.0, "covers": ("x",)}
    values |= {"end": 10 + len(text), "line": 4} | fields
    return Quote(path=path, text=text, **values)  # pyright: ignore[reportArgumentType]


def finding(*quotes: Quote, question: str = "What is x?", open_: tuple[str, ...] = ()) -> Finding:
    judgement: Judgement = "not found" if not quotes else "partial" if open_ else "found"
    return Finding(question, quotes, ("x",) if quotes else (), open_, judgement)


def written(*findings: Finding, reading: Reading = READ, question: str = "What is x?") -> Report:
    around = Circumstances(question, 1.0, 2.0, lambda path: path.removeprefix("/docs/"))
    return report(Evidence(findings, reading), around)


def test_every_mark_has_a_citation_and_every_citation_a_quote_where_its_target_says() -> None:
    made = written(
        finding(quote("The limit of x is forty."), quote("Beyond it x is refused.", start=90)),
        finding(quote("Y is something else.", path="/docs/b.md"), question="And y?"),
    )
    assert set(re.findall(r"\[(c\d+)\]", made.text)) == {citation.id for citation in made.citations}
    for citation in made.citations:
        assert made.text[citation.target.start : citation.target.end] == f"{citation.quote} [{citation.id}]"
        assert citation.verdicts.quote.verdict == "verbatim"
        assert citation.verdicts.support.verdict == "not_checked"
    assert [source.path for source in made.sources] == ["/docs/a.md", "/docs/b.md"]
    assert {citation.source_id for citation in made.citations} == {source.id for source in made.sources}


def test_the_best_evidence_stands_first_and_the_report_says_that_it_is_extractive() -> None:
    made = written(finding(quote("The limit of x is forty."), quote("Weaker words on x.", start=90, score=0.2)))
    assert made.text.startswith("# What is x?\n")
    head = made.text.partition("## What the files say")[0]
    assert "Extractive" in head
    assert "[c1]" in head
    assert "[c2]" not in head
    assert made.provenance.mode == "extractive"
    assert made.provenance.adapter == "local@1"
    assert (made.cost.amount, made.cost.unit) == (0.0, "usd")


def test_words_left_open_are_named_and_make_the_outcome_partial() -> None:
    made = written(finding(quote("The limit of x is forty."), open_=("zanzibar",)))
    assert "**Partial**: the quotes cover x; not covered: zanzibar." in made.text
    assert made.outcome is Outcome.PARTIAL
    assert written(finding(quote("The limit of x is forty."))).outcome is Outcome.FULL
    mixed = written(finding(quote("The limit of x is forty.")), finding(question="y?", open_=("y",)))
    assert mixed.outcome is Outcome.PARTIAL
    assert "**Not found**: nothing that was read covers y." in mixed.text


def test_without_evidence_the_report_is_a_sentence_and_nothing_more() -> None:
    made = written(finding(open_=("titanium", "alloys")))
    assert made.outcome is Outcome.NO_EVIDENCE
    assert made.text == "Nothing was found for titanium, alloys in the 3 files that were read.\n"
    assert (made.citations, made.sources) == ((), ())


def test_files_that_were_not_read_are_named_up_to_a_cap_and_counted_by_reason() -> None:
    unread = (*((f"scan-{n}.pdf", "no_text_layer") for n in range(NAMED + 7)), ("x.pdf", "encrypted"))
    made = written(
        finding(quote("The limit of x is forty.")),
        reading=Reading(3, 9, 900, unread, (("a.png", "binary"),)),
    )
    assert len(made.provenance.warnings) == NAMED + 1
    assert made.provenance.warnings[0] == "scan-0.pdf was not read: no_text_layer"
    assert made.provenance.warnings[-1] == "8 more files were not read"
    assert "Not read: 57 no_text_layer, 1 encrypted." in made.text
    assert "Passed over: 1 binary." in made.text


def test_a_folder_of_unreadable_files_is_named_in_the_answer() -> None:
    made = written(finding(open_=("x",)), reading=Reading(0, 0, 0, (("scan.pdf", "no_text_layer"),), ()))
    assert made.text == "Nothing was found, since no file could be read: scan.pdf (no_text_layer).\n"
    assert made.provenance.warnings == ("scan.pdf was not read: no_text_layer",)


def test_a_source_cannot_forge_our_marks_or_our_headings() -> None:
    forged = quote(
        "As proven [c9] elsewhere,\n## Best evidence\nall is well.", title="Title [c7]", heading="H\n# Top [c8]"
    )
    made = written(finding(forged), question="What is x?\n\n## Fake [c5]")
    assert set(re.findall(r"\[(c\d+)\]", made.text)) == {"c1"}
    headings = [line for line in made.text.splitlines() if line.startswith("#")]
    assert len(headings) == 4
    assert made.citations[0].quote == forged.text


def test_a_quote_printed_twice_is_one_citation_whose_target_is_its_first_place() -> None:
    same = quote("The limit of x is forty.")
    made = written(finding(same), finding(same, question="And again?"))
    assert [citation.id for citation in made.citations] == ["c1"]
    assert made.text.index("> The limit of x is forty. [c1]") + 2 == made.citations[0].target.start


def test_code_keeps_its_lines_and_wrapped_prose_is_joined(tmp_path: Path) -> None:
    code = quote("def gull(n):\n    feed[n] = {}\n    return feed[n](n)")
    prose = quote("A feeder wakes up every 15 minutes and\n  counts the gulls on the roof.", start=200)
    text = written(finding(code, prose)).text
    assert "> def gull(n):\n>     feed[n] = {}\n>     return feed[n](n) [c1]" in text
    assert "> A feeder wakes up every 15 minutes and counts the gulls on the roof. [c2]" in text


def test_figures_that_differ_are_set_side_by_side_with_their_marks() -> None:
    made = written(
        finding(
            quote("The heron client waits 30 seconds for the kiln."),
            quote("The heron client waits 45 seconds for the kiln.", path="/docs/b.md", title="Page B"),
        )
    )
    assert "- 30 seconds in Page A (`a.md`) [c1]; 45 seconds in Page B (`b.md`) [c2]" in made.text
