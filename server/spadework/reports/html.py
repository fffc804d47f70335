"""A report as one HTML file: it asks for nothing, runs nothing, and shows each citation's quote, place and verdicts.

Why no script: a page that quotes what strangers wrote is safest when its own policy forbids every script, and cards
that open on hover and focus need none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from spadework.reports.brief import spent
from spadework.reports.cited import AXES, tallies
from spadework.reports.markup import markup
from spadework.reports.style import STYLE
from spadework_tools.clean import clean, clean_json
from spadework_tools.models import Citation, Report, Source, Verdict

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_GOOD = frozenset(
    {"resolves", "redirected", "verbatim", "verbatim_normalised", "verbatim_elided", "lexically_supported", "entailed"}
)
_BAD = frozenset({"not_found", "altered", "lexically_unsupported", "contradicted"})
_QUOTED = 1_200


def html(job_id: str, question: str, report: Report) -> str:
    """The report as one self-contained HTML page.

    Args:
        job_id: the job it belongs to.
        question: what was asked.
        report: the report, checked or not.

    Returns:
        The page. It holds no script, asks for no resource, and links only to the report's own sources.
    """
    named = {citation.id: citation for citation in report.citations}
    page = _Page(report, {source.id: source for source in report.sources}, _sureness(report), named)
    title = clean(" ".join(question.split()), 300) or "Research report"
    known = frozenset(source.url for source in report.sources if source.url)
    parts = [
        f"<header><h1>{escape(title)}</h1>{_facts(job_id, report)}</header>",
        _warnings(report),
        f"<article>{markup(report.text, known, page.mark)}</article>",
        _data(report),
        page.checks(),
        page.citations(),
        page.sources_list(),
        _foot(report),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


@dataclass(frozen=True, slots=True)
class _Page:
    report: Report
    sources: Mapping[str, Source]
    sureness: Mapping[str, str]
    named: Mapping[str, Citation]

    def mark(self, name: str) -> str | None:
        """A citation's mark with its card, or None for an id that is none."""
        citation = self.named.get(name)
        if citation is None:
            return None
        said = f'<span class="said">“{escape(_flat(citation.quote, 400))}”</span>' if citation.quote else ""
        return (
            f'<span class="cite"><a class="mark" href="#{name}" aria-label="Citation {name}">{name}</a>'
            f'<span class="card">{said}<span class="place">{self._place(citation)}</span>'
            f"<span>{self._chips(citation)}</span></span></span>"
        )

    def checks(self) -> str:
        """How often each verdict was given."""
        if not self.report.citations:
            return ""
        lines = "".join(f"<p>{escape(line)}</p>" for line in tallies(self.report))
        return f'<h2>Checks</h2><div class="tally">{lines}</div>'

    def citations(self) -> str:
        """Every citation, with its quote in full, its place and what each check rests on."""
        if not self.report.citations:
            return ""
        items = "".join(self._item(citation) for citation in self.report.citations)
        return f'<h2>Citations</h2><ol class="citations">{items}</ol>'

    def sources_list(self) -> str:
        """Every source, linked where it has an address."""
        if not self.report.sources:
            return ""
        items = "".join(f"<li>{self._source(source)}</li>" for source in self.report.sources)
        return f'<h2>Sources</h2><ul class="sources">{items}</ul>'

    def _item(self, citation: Citation) -> str:
        quote = clean(citation.quote, _QUOTED)
        shown = f"<blockquote>{escape(quote)}</blockquote>" if quote else "<p>No quote was given.</p>"
        return (
            f'<li id="{escape(citation.id)}"><strong>{escape(citation.id)}</strong>{shown}'
            f'<p class="place">{self._place(citation)}</p><p class="chips">{self._chips(citation)}</p>'
            f"{_details(citation)}</li>"
        )

    def _place(self, citation: Citation) -> str:
        source = self.sources.get(citation.source_id)
        if source is None:
            return escape(f"source {citation.source_id}")
        spots = [f"page {citation.page}"] * (citation.page is not None)
        spots += [f"line {citation.line}"] * (citation.line is not None)
        spots += [f"section “{_flat(citation.section, 120)}”"] if citation.section else []
        if citation.start is not None and citation.end is not None:
            spots.append(f"characters {citation.start}–{citation.end}")
        name = _flat(source.title or source.url or source.path or source.id, 160)
        where = escape(", ".join([f"({source.id})", *spots]))
        return f"{_linked(name, citation.fragment_url or source.url)} {where}"

    def _chips(self, citation: Citation) -> str:
        chips = [_chip(axis, getattr(citation.verdicts, axis)) for axis in AXES]
        if sure := self.sureness.get(citation.id):
            chips.append(f'<span class="chip none">confidence: {escape(sure)}</span>')
        return "".join(chips)

    def _source(self, source: Source) -> str:
        name = _flat(source.title or source.url or source.path or "Untitled", 200)
        facts = [source.id, source.path or "", f"published {source.published}" if source.published else ""]
        facts += [f"snapshot sha256 {source.sha256[:16]}…"] if source.sha256 else []
        told = ", ".join(clean(fact) for fact in facts if fact)
        return f'{_linked(name, source.url)} <span class="place">{escape(told)}</span>'


def _linked(name: str, url: str | None) -> str:
    if url is None or not url.startswith(("http://", "https://")):
        return escape(name)
    return f'<a href="{escape(clean(url))}" rel="noreferrer noopener">{escape(name)}</a>'


def _chip(axis: str, verdict: Verdict) -> str:
    word = verdict.verdict
    kind = "good" if word in _GOOD else "bad" if word in _BAD else "none" if word == "not_checked" else "fair"
    return f'<span class="chip {kind}">{escape(axis)}: {escape(word.replace("_", " "))}</span>'


def _details(citation: Citation) -> str:
    """What the verdicts rest on: how the wording differs, what is missing, where a dead page is archived."""
    lines = [
        f"The quote says <del>{escape(_flat(change.get('quote', ''), 200)) or '(nothing)'}</del>, "
        f"the page says <ins>{escape(_flat(change.get('source', ''), 200)) or '(nothing)'}</ins>."
        for change in _dicts(citation.verdicts.quote.detail.get("diff"))
    ]
    detail = citation.verdicts.support.detail
    for key, noun in (("missing_numbers", "numbers"), ("missing_names", "names")):
        missing = detail.get(key)
        if isinstance(missing, list) and missing:
            told = ", ".join(str(one) for one in missing[:12])  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            lines.append(f"Not on the page, {noun}: {escape(_flat(told, 300))}.")
    archived = citation.verdicts.url.detail.get("archived_url")
    if isinstance(archived, str):
        lines.append(f"Gone, but archived: {_linked('the archived copy', archived)}.")
    return "".join(f'<p class="place">{line}</p>' for line in lines[:12])


def _dicts(value: object) -> Iterable[dict[str, str]]:
    if isinstance(value, list):
        yield from (one for one in value if isinstance(one, dict))  # pyright: ignore[reportUnknownVariableType]


def _facts(job_id: str, report: Report) -> str:
    made = report.provenance
    by = " ".join(part for part in (made.engine, made.tier, made.model, made.mode) if part)
    facts = [f"outcome {report.outcome}", f"engine {by}", f"cost {spent(report.cost)}", _day(made.finished_at), job_id]
    return '<p class="facts">' + "".join(f"<span>{escape(clean(fact, 200))}</span>" for fact in facts if fact) + "</p>"


def _warnings(report: Report) -> str:
    if not report.provenance.warnings:
        return ""
    items = "".join(f"<li>{escape(_flat(warning, 500))}</li>" for warning in report.provenance.warnings[:100])
    return f'<section class="warnings" aria-label="Warnings"><h2>Warnings</h2><ul>{items}</ul></section>'


def _data(report: Report) -> str:
    if report.data is None:
        return ""
    return f"<h2>Data</h2><pre>{escape(json.dumps(clean_json(report.data), ensure_ascii=False, indent=2))}</pre>"


def _foot(report: Report) -> str:
    made = report.provenance
    facts = [made.adapter or "", *(f"{name} {value}" for name, value in made.vendor_ids.items())]
    told = " · ".join(clean(fact, 200) for fact in facts if fact)
    return (
        "<footer><p>Each check has its own axis: whether the address answers, whether the quote stands there word for "
        "word, and whether the page holds the claim’s words. None of them says that a claim is true.</p>"
        f"<p>{escape(told)}</p></footer>"
    )


def _sureness(report: Report) -> dict[str, str]:
    """How sure the vendor says it is, by citation."""
    said: dict[str, str] = {}
    for basis in report.basis:
        told = basis.confidence.level or basis.confidence.raw or ""
        if not told and basis.confidence.score is not None:
            told = f"{basis.confidence.score:.2f}"
        for name in basis.citation_ids if told else ():
            said.setdefault(name, _flat(told, 60))
    return said


def _day(stamp: float | None) -> str:
    return datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%d %H:%M UTC") if stamp else ""


def _flat(text: str, most: int) -> str:
    return clean(" ".join(str(text).split()), most)
