"""Writing the report: quotes word for word, grouped by question and source, and nothing in our own words but labels.

The calling agent writes the prose. What is printed here was checked before: every quote is a slice of its snapshot.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from spadework.engines.local.figures import conflicts
from spadework.engines.local.intake import Reading
from spadework.engines.local.model.answer import Answer
from spadework.engines.local.model.fill import Filled
from spadework.engines.local.select import Finding, Quote
from spadework_tools.models import Basis, Citation, Cost, Outcome, Provenance, Report, Source, Target, Verdict, Verdicts

#: How many files are named in the warnings; the rest is counted.
NAMED = 50
METHOD = "quote-check@1"

_MARK = re.compile(r"\[(?=c\d+\])")
_NOTE = (
    "Extractive report: every passage below is quoted word for word from the {} that were read. "
    "No model wrote or summarised anything; the conclusions are yours to draw."
)
_ANSWERED = (
    "Written by the model {} from the quotes below, each sentence bound to the quotes it points to; "
    "everything after this section is quoted word for word."
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a report is written from, as it is kept between runs.

    `answer` and `filled` are what a model made of it, `troubles` what went otherwise while it was gathered; `web` says
    where from, and `fetched` when each page was (Unix seconds).
    """

    findings: tuple[Finding, ...]
    reading: Reading
    answer: Answer | None = None
    filled: Filled | None = None
    troubles: tuple[str, ...] = ()
    web: bool = False
    fetched: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def noun(self) -> str:
        """What was read."""
        return "page" if self.web else "file"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What surrounds a report: its question, its times (Unix seconds), how paths are shown, and what to warn of."""

    question: str
    started_at: float
    finished_at: float
    shown: Callable[[str], str]
    warnings: tuple[str, ...] = ()


def report(evidence: Evidence, around: Circumstances) -> Report:
    """The report on what was found; without any evidence one that says so and nothing else."""
    quotes = _distinct(quote for finding in evidence.findings for quote in finding.quotes)
    writer = _Writer(quotes, around, evidence.fetched)
    if quotes:
        writer.body(evidence)
    else:
        writer.say(_nothing(evidence))
    judgements = {finding.judgement for finding in evidence.findings}
    full = judgements == {"found"}
    reading = evidence.reading
    return Report(
        text=writer.text(),
        outcome=Outcome.NO_EVIDENCE if not quotes else Outcome.FULL if full else Outcome.PARTIAL,
        data=evidence.filled.data if evidence.filled else None,
        schema_ok=evidence.filled.fits if evidence.filled else None,
        basis=writer.basis(evidence.filled),
        sources=tuple(writer.sources.values()),
        citations=writer.citations(),
        usage={f"{evidence.noun}s": reading.files, "passages": reading.passages, "characters": reading.characters},
        cost=Cost(amount=0.0, kind="computed"),
        provenance=Provenance(
            engine="local",
            mode="synthesis" if _answered(evidence) else "extractive",
            model=evidence.answer.model if evidence.answer and _answered(evidence) else None,
            adapter="local@1",
            started_at=around.started_at,
            finished_at=around.finished_at,
            warnings=around.warnings + evidence.troubles + _dropped(evidence.answer) + _unread(evidence),
        ),
    )


class _Writer:
    """Puts the text together and remembers where each citation first stands in it."""

    def __init__(self, quotes: Sequence[Quote], around: Circumstances, fetched: Mapping[str, float]) -> None:
        self._around = around
        self._ids = {_place(quote): f"c{number}" for number, quote in enumerate(quotes, 1)}
        self._quotes = {_place(quote): quote for quote in quotes}
        self._targets: dict[str, Target] = {}
        self._claims: list[tuple[str, Quote, Target]] = []
        self._pieces: list[str] = []
        self._length = 0
        self.sources = self._cited(quotes, fetched)

    def text(self) -> str:
        return "".join(self._pieces)

    def say(self, text: str) -> None:
        """A paragraph."""
        self._put(f"{text}\n" if not self._pieces else f"\n{text}\n")

    def _put(self, text: str) -> None:
        self._pieces.append(text)
        self._length += len(text)

    def body(self, evidence: Evidence) -> None:
        self.say(f"# {_line(self._around.question, 300)}")
        if evidence.answer is not None and _answered(evidence):
            self._answer(evidence.answer)
        else:
            self.say(_NOTE.format(f"{evidence.noun}s"))
        self.say("## Best evidence")
        for quote in _best(evidence.findings):
            self._quote(quote, f"{self._name(quote)}{_where(quote)}")
        for finding in evidence.findings:
            alone = f"What the {evidence.noun}s say" if len(evidence.findings) == 1 else _line(finding.question, 200)
            self._finding(finding, alone)
        self._read(evidence)

    def _answer(self, answer: Answer) -> None:
        """The model's sentences, each with citations of its own: what they claim is not what a quote says."""
        self.say("## Answer")
        self.say(_ANSWERED.format(_line(answer.model, 80)))
        self._put("\n")
        for number, sentence in enumerate(answer.sentences):
            self._put(" " if number else "")
            start = self._length
            marks = "".join(f" [{mark}]" for mark in self._next(len(sentence.quotes)))
            self._put(_MARK.sub("&#91;", sentence.text) + marks)
            self._marked(sentence.quotes, Target(kind="span", start=start, end=self._length))
        self._put("\n")

    def _finding(self, finding: Finding, heading: str) -> None:
        self.say(f"## {heading}")
        self.say(_verdict(finding))
        grouped: dict[str, list[Quote]] = {}
        for quote in finding.quotes:
            grouped.setdefault(quote.path, []).append(quote)
        for group in grouped.values():
            self.say(f"**{self._name(group[0])}**")
            for quote in group:
                self._quote(quote, _where(quote).strip(" ,") or ("the page" if _is_web(quote) else "the file"))
        self._disagreements(finding)

    def _quote(self, quote: Quote, label: str) -> None:
        mark = self._ids[_place(quote)]
        self.say(f"{label}:")
        self._put("\n")
        start = self._length
        self._put("> " + _shown(quote.text).replace("\n", "\n> ") + f" [{mark}]")
        self._targets.setdefault(mark, Target(kind="span", start=start + 2, end=self._length))
        self._put("\n")

    def _disagreements(self, finding: Finding) -> None:
        found = conflicts(finding.quotes)
        if not found:
            return
        self.say("**Figures that differ between sources**")
        lines: list[str] = []
        for conflict in found:
            sides: list[str] = []
            for at, figure in zip((conflict.left, conflict.right), conflict.figures, strict=True):
                quote = finding.quotes[at]
                sides.append(f"{figure} in {self._name(quote)} [{self._ids[_place(quote)]}]")
            lines.append("- " + "; ".join(sides))
        self.say("\n".join(lines))

    def _read(self, evidence: Evidence) -> None:
        reading = evidence.reading
        self.say("## What was read")
        self.say(
            f"{_count(reading.files, evidence.noun)} in {_count(reading.passages, 'passage')}; "
            f"{_count(len(self.sources), evidence.noun)} quoted above."
        )
        for label, items in (("Not read", reading.unread), ("Passed over", reading.left_out)):
            if items:
                self.say(f"{label}: {_reasons(items)}.")

    def _name(self, quote: Quote) -> str:
        path = self._around.shown(quote.path)
        title = _line(quote.title, 120).replace("*", "")
        return f"`{path}`" if not title or title == path else f"{title} (`{path}`)"

    def _cited(self, quotes: Sequence[Quote], fetched: Mapping[str, float]) -> dict[str, Source]:
        sources: dict[str, Source] = {}
        for quote in quotes:
            if quote.path not in sources:
                sources[quote.path] = Source(
                    id=f"s{len(sources) + 1}",
                    url=quote.path if _is_web(quote) else None,
                    path=None if _is_web(quote) else quote.path,
                    title=quote.title,
                    published=quote.published,
                    accessed=fetched.get(quote.path, self._around.finished_at),
                    sha256=quote.sha256,
                    seen_as="cited",
                )
        return sources

    def basis(self, filled: Filled | None) -> tuple[Basis, ...]:
        """A basis for each value that was filled in, with citations of its own; before `citations` is asked for."""
        found: list[Basis] = []
        for pointer, quotes in filled.fields if filled else ():
            target = Target(kind="pointer", pointer=pointer)
            marks = self._marked(quotes, target)
            found.append(Basis(target=target, citation_ids=marks))
        return tuple(found)

    def _marked(self, quotes: Sequence[Quote], target: Target) -> tuple[str, ...]:
        """New citations of these quotes for one claim."""
        marks = self._next(len(quotes))
        self._claims += [(mark, quote, target) for mark, quote in zip(marks, quotes, strict=True)]
        return marks

    def _next(self, count: int) -> tuple[str, ...]:
        """The ids of so many citations to come."""
        used = len(self._ids) + len(self._claims)
        return tuple(f"c{used + more}" for more in range(1, count + 1))

    def citations(self) -> tuple[Citation, ...]:
        """The quotes' citations by number, then those of the model's sentences."""
        quoted = [(mark, self._quotes[place], self._targets[mark]) for place, mark in self._ids.items()]
        return tuple(self._citation(*entry) for entry in (*quoted, *self._claims))

    def _citation(self, mark: str, quote: Quote, target: Target) -> Citation:
        return Citation(
            id=mark,
            source_id=self.sources[quote.path].id,
            target=target,
            quote=quote.text,
            start=quote.start,
            end=quote.end,
            page=quote.page,
            line=quote.line,
            section=quote.heading or None,
            verdicts=Verdicts(quote=Verdict(verdict="verbatim", method=METHOD)),
        )


def _is_web(quote: Quote) -> bool:
    return quote.path.startswith(("http://", "https://"))


def _answered(evidence: Evidence) -> bool:
    return evidence.answer is not None and bool(evidence.answer.sentences)


def _dropped(answer: Answer | None) -> tuple[str, ...]:
    """A line for each kind of sentence that the model wrote and nobody gets to read."""
    dropped = answer.dropped if answer else ()
    return tuple(f"{_count(number, 'sentence')} of the model left out: it {reason}" for reason, number in dropped)


def _place(quote: Quote) -> tuple[str, int, int]:
    return quote.path, quote.start, quote.end


def _distinct(quotes: Iterable[Quote]) -> list[Quote]:
    return list({_place(quote): quote for quote in quotes}.values())


def _best(findings: Sequence[Finding]) -> list[Quote]:
    """The strongest quote or two: of one question its best two if they are close, of several the best of each."""
    answered = [finding.quotes for finding in findings if finding.quotes]
    if len(answered) > 1:
        return _distinct(quotes[0] for quotes in answered)[:2]
    first, *others = answered[0]
    close = [quote for quote in others[:1] if quote.score >= 0.75 * first.score]
    return [first, *close]


def _verdict(finding: Finding) -> str:
    has, lacks = _listed(finding.covered), _listed(finding.open)
    if finding.judgement == "not found":
        return f"**Not found**: nothing that was read covers {lacks}."
    word = "Found" if finding.judgement == "found" else "Partial"
    return (
        f"**{word}**: the quotes cover {has}; not covered: {lacks}."
        if lacks
        else f"**{word}**: the quotes cover {has}."
    )


def _nothing(evidence: Evidence) -> str:
    reading = evidence.reading
    if not reading.files:
        missing = reading.unread or reading.left_out
        named = ", ".join(f"{_line(name, 80)} ({reason})" for name, reason in missing[:5])
        more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
        if evidence.web and not missing:
            return "Nothing was found, since no search gave a page to read; the warnings say which searches failed."
        return f"Nothing was found, since no {evidence.noun} could be read: {named}{more}."
    wanted = dict.fromkeys(word for finding in evidence.findings for word in finding.open)
    text = (
        f"Nothing was found for {_listed(tuple(wanted))} in the {_count(reading.files, evidence.noun)} that were read."
    )
    return f"{text} Not read: {_reasons(reading.unread)}; the warnings name them." if reading.unread else text


def _unread(evidence: Evidence) -> tuple[str, ...]:
    """A line for each file that one would expect to have been read, up to a cap, then how many more."""
    reading = evidence.reading
    missing = reading.unread if reading.files else reading.unread or reading.left_out
    lines = [f"{_line(name, 200)} was not read: {reason}" for name, reason in missing[:NAMED]]
    return (
        (*lines, f"{len(missing) - NAMED:,} more {evidence.noun}s were not read")
        if len(missing) > NAMED
        else tuple(lines)
    )


def _where(quote: Quote) -> str:
    place = f"page {quote.page}" if quote.page else f"line {quote.line}" if quote.line else ""
    return "".join(f", {part}" for part in (_line(quote.heading, 160), place) if part)


def _shown(text: str) -> str:
    """A quote as printed: wrapped prose in one line, code in its own, and nothing in it that passes for our marks."""
    safe = _MARK.sub("&#91;", text)
    lines = [line.rstrip() for line in safe.splitlines() if line.strip()]
    coded = "\n    " in safe or sum(map(safe.count, "(){}[]=_;<>")) > len(safe) / 20
    return "\n".join(lines) if coded else " ".join(line.strip() for line in lines)


def _reasons(skipped: Sequence[tuple[str, str]]) -> str:
    counted = Counter(reason for _, reason in skipped)
    return ", ".join(f"{count} {reason}" for reason, count in counted.most_common())


def _listed(words: Sequence[str]) -> str:
    return ", ".join(_line(word, 60) for word in words[:20]) + (
        f" and {len(words) - 20} more" if len(words) > 20 else ""
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _line(text: str, most: int) -> str:
    flat = " ".join(_MARK.sub("&#91;", text).split())
    return flat if len(flat) <= most else flat[: most - 1].rstrip() + "…"
