"""The views of a report that an agent reads: brief, outline, section, citations, data, evidence and full."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import get_args

from spadework.evidence.untrusted import addresses, frame, inert
from spadework.job import Job
from spadework.reports import brief, pages
from spadework.reports.cited import listed, placed
from spadework.reports.outline import Section, outline
from spadework.reports.search import Hit, evidence
from spadework_tools.clean import clean, clean_json
from spadework_tools.errors import BadRequest
from spadework_tools.models import Page, Report, View


@dataclass(frozen=True)
class Shelf:
    """Where finished reports are read, a page at a time."""

    def page(
        self,
        job: Job,
        report: Report,
        view: View,
        *,
        section: str | None = None,
        query: str | None = None,
        cursor: str | None = None,
        max_chars: int = 12_000,
        texts: Mapping[str, str] | None = None,
    ) -> Page:
        """One page of one view of a job's report; see `page`."""
        question = job.request.question
        asked = Asked(job.id, view, section, query, texts or {}, question)
        return page(report, asked, cursor=cursor, max_chars=max_chars)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which text of a report is asked for: the view, and what the view needs."""

    job_id: str
    view: View = "brief"
    section: str | None = None
    query: str | None = None
    texts: Mapping[str, str] | None = None
    question: str = ""


def page(report: Report, asked: Asked, *, cursor: str | None = None, max_chars: int = 12_000) -> Page:
    """One page of a view; the pages from first to last join to exactly the whole.

    A cursor names its own view and section, so both may be left out beside it.

    Raises:
        BadRequest: the section is unknown, the query is missing, or the cursor belongs to another text.
    """
    mark = pages.read(cursor) if cursor else None
    if mark is not None:
        asked = _resumed(asked, mark)
    whole = render(
        report, asked.job_id, asked.view, section=asked.section, query=asked.query, texts=asked.texts,
        question=asked.question,
    )  # fmt: skip
    # Cleaned before it is cut: what leaves is clean, and the pages must join to what the sum was made of.
    whole = clean(whole)
    sha256 = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()
    start = 0
    if mark is not None:
        if mark.sha != sha256[:12] or not 0 < mark.offset < len(whole):
            raise _foreign()
        start = mark.offset
    end = pages.cut(whole, start, max_chars)
    following = None
    if end < len(whole):
        # A heading may be longer than a cursor should be; the section's id says the same.
        section_id = _section(report, asked.section).id if asked.view == "section" else None
        spelled = pages.short(asked.query) if asked.query and asked.view == "evidence" else None
        following = pages.Mark(asked.job_id, asked.view, section_id, spelled, end, sha256[:12]).spell()
    return Page(
        job_id=asked.job_id, view=asked.view, text=whole[start:end], start=start, end=end, total=len(whole),
        sha256=sha256, cursor=following,
    )  # fmt: skip


def _resumed(asked: Asked, mark: pages.Mark) -> Asked:
    """What is asked for, as the cursor has it; what stands beside the cursor must not say otherwise."""
    # `brief` is what a caller that names no view gets, so beside a cursor it says nothing.
    views: dict[str, View] = {name: name for name in get_args(View)}
    view = views.get(mark.view)
    if mark.job != asked.job_id or view is None or asked.view not in (view, "brief"):
        raise _foreign()
    if view == "evidence" and (not asked.query or pages.short(asked.query) != mark.query):
        raise BadRequest(
            "this cursor belongs to a search for something else. Give view=evidence and the query it was made with."
        )
    return Asked(asked.job_id, view, mark.section, asked.query, asked.texts, asked.question)


def _foreign() -> BadRequest:
    return BadRequest(
        "this cursor belongs to another job, view or version of the report. Ask for the view again without a cursor."
    )


def render(
    report: Report,
    job_id: str,
    view: View,
    *,
    section: str | None = None,
    query: str | None = None,
    texts: Mapping[str, str] | None = None,
    question: str = "",
) -> str:
    """The whole text of one view.

    Args:
        report: the finished report.
        job_id: the job it belongs to.
        view: which view.
        section: a section's id or exact heading, for `section`.
        query: what to look for, for `evidence`.
        texts: the kept snapshots by sha256, for `evidence`.
        question: what was asked, for `brief`.

    Raises:
        BadRequest: the section is unknown or missing, the query is missing, or there is no data.
    """
    match view:
        case "full":
            return report.text
        case "section":
            found = _section(report, section)
            return report.text[found.start : found.end]
        case "outline":
            return _contents(outline(report.text))
        case "citations":
            return listed(report)
        case "data":
            return _data(report)
        case "evidence":
            return _hits(evidence(report, texts or {}, query), query or "", addresses(report))
        case _:
            return brief.compose(report, job_id, question)


def _section(report: Report, wanted: str | None) -> Section:
    sections = outline(report.text)
    name = (wanted or "").strip()
    for section in sections:
        if name in (section.id, section.id.removeprefix("s")):
            return section
    titled = [
        section for section in sections if section.title and section.title.casefold() == name.lstrip("# ").casefold()
    ]
    if len(titled) == 1:
        return titled[0]
    if titled:
        raise BadRequest(f"{len(titled)} sections are called {name[:80]!r}. Name one by its id: {_ids(titled)}.")
    if not name:
        raise BadRequest(f"view=section needs a section. Name one by its id: {_ids(list(sections))}.")
    raise BadRequest(f"there is no section {name[:80]!r}. The nearest are {_ids(_nearest(sections, name))}.")


def _nearest(sections: tuple[Section, ...], name: str) -> list[Section]:
    by_name = {
        **{section.title.casefold(): section for section in sections},
        **{section.id: section for section in sections},
    }
    close = [by_name[key] for key in get_close_matches(name.casefold()[:200], list(by_name), n=3, cutoff=0.4)]
    return close or list(sections[:5])


def _ids(sections: list[Section]) -> str:
    shown = ", ".join(
        f"{section.id} ({section.title[:60]})" if section.title else section.id for section in sections[:8]
    )
    return f"{shown} and {len(sections) - 8} more" if len(sections) > 8 else shown


def _contents(sections: tuple[Section, ...]) -> str:
    return "\n".join(brief.entry(section) for section in sections) + "\n"


def _data(report: Report) -> str:
    if report.data is None:
        raise BadRequest(
            "this report has no data, since the research was started without output_schema or the engine gave none. "
            "Read view=brief or view=full instead."
        )
    return json.dumps(clean_json(report.data), ensure_ascii=False, indent=2) + "\n"


def _hits(hits: tuple[Hit, ...], query: str, known: frozenset[str]) -> str:
    if not hits:
        return (
            f"Nothing in this job's sources speaks of {query!r}. Start a new job for it, with follow_up_to this one.\n"
        )
    blocks: list[str] = []
    for number, hit in enumerate(hits, 1):
        mark = f" [{hit.citation.id}]" if hit.citation else ""
        where = inert(placed(hit.source, hit.citation, hit.start, hit.end), known)
        quoted = "\n".join(f"> {line}" for line in hit.text.splitlines())
        blocks.append(f"{number}.{mark} {where}\n{frame(quoted, hit.source.id, known)}\n")
    return "\n".join(blocks)
