"""Writing the report: quotes word for word, grouped by question and source, and nothing in our own words but labels.

The calling agent writes the prose. What is printed here was checked before: every quote is a slice of its snapshot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spadework.engines.data import tell
from spadework.engines.local.basis import bare, based, beside
from spadework.engines.local.figures import conflicts
from spadework.engines.local.intake import Reading
from spadework.engines.local.model.answer import Answer
from spadework.engines.local.model.fill import Filled
from spadework.engines.local.paper import Circumstances, Paper, count, distinct, is_web, line, where
from spadework.engines.local.select import Finding, Quote
from spadework_tools.models import Basis, Cost, Outcome, Provenance, Report, Target

#: How many files are named in the warnings; the rest is counted.
NAMED = 50

_NOTE = (
    "Extractive report: every passage below is quoted word for word from the {} that were read. "
    "No model wrote or summarised anything; the conclusions are yours to draw."
)
_FILLED = (
    "Filled in by the model {} from the quotes below; each value is marked with those it rests on and with how sure it "
    "is. What no quote shows is left empty."
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


def report(evidence: Evidence, around: Circumstances, unfilled: str = "") -> Report:
    """The report on what was found; without any evidence one that says so and nothing else.

    `unfilled` says why data that was asked for is null.
    """
    quotes = distinct(quote for finding in evidence.findings for quote in finding.quotes)
    writer = _Writer(Paper(quotes, around, evidence.fetched))
    if quotes:
        writer.body(evidence, unfilled)
    else:
        writer.paper.say(_nothing(evidence))
        writer.basis += [Basis(target=Target(kind="pointer", pointer=""), reasoning=unfilled)] if unfilled else []
    judgements = {finding.judgement for finding in evidence.findings}
    full = judgements == {"found"}
    reading = evidence.reading
    return Report(
        text=writer.paper.text(),
        outcome=Outcome.NO_EVIDENCE if not quotes else Outcome.FULL if full else Outcome.PARTIAL,
        data=evidence.filled.data if evidence.filled else None,
        schema_ok=evidence.filled.fits if evidence.filled else None,
        basis=tuple(writer.basis),
        sources=tuple(writer.paper.sources.values()),
        citations=writer.paper.citations(),
        usage={f"{evidence.noun}s": reading.files, "passages": reading.passages, "characters": reading.characters},
        cost=Cost(amount=0.0, kind="computed"),
        provenance=Provenance(
            engine="local",
            mode="synthesis" if _model(evidence) else "extractive",
            model=_model(evidence),
            adapter="local@1",
            started_at=around.started_at,
            finished_at=around.finished_at,
            warnings=around.warnings + evidence.troubles + _dropped(evidence.answer) + unread(reading, evidence.noun),
        ),
    )


class _Writer:
    """Writes the parts of a report on its paper."""

    def __init__(self, paper: Paper) -> None:
        self.paper = paper
        self.basis: list[Basis] = []

    def body(self, evidence: Evidence, unfilled: str) -> None:
        paper = self.paper
        paper.say(f"# {line(paper.around.question, 300)}")
        if _model(evidence) is None:
            paper.say(_NOTE.format(f"{evidence.noun}s"))
        self._data(evidence, unfilled)
        if evidence.answer is not None and _answered(evidence):
            self._answer(evidence.answer)
        paper.say("## Best evidence")
        for quote in _best(evidence.findings):
            paper.quote(quote, f"{paper.name(quote)}{where(quote)}")
        for finding in evidence.findings:
            alone = f"What the {evidence.noun}s say" if len(evidence.findings) == 1 else line(finding.question, 200)
            self._finding(finding, alone)
        self._read(evidence)

    def _answer(self, answer: Answer) -> None:
        """The model's sentences, each with citations of its own."""
        self.paper.say("## Answer")
        self.paper.say(_ANSWERED.format(line(answer.model, 80)))
        self.paper.put("\n")
        for number, sentence in enumerate(answer.sentences):
            self.paper.put(" " if number else "")
            self.paper.claim(sentence.text, sentence.quotes)
        self.paper.put("\n")

    def _finding(self, finding: Finding, heading: str) -> None:
        paper = self.paper
        paper.say(f"## {heading}")
        paper.say(_verdict(finding))
        grouped: dict[str, list[Quote]] = {}
        for quote in finding.quotes:
            grouped.setdefault(quote.path, []).append(quote)
        for group in grouped.values():
            paper.say(f"**{paper.name(group[0])}**")
            for quote in group:
                paper.quote(quote, where(quote).strip(" ,") or ("the page" if is_web(quote) else "the file"))
        self._disagreements(finding)

    def _disagreements(self, finding: Finding) -> None:
        found = conflicts(finding.quotes)
        if not found:
            return
        self.paper.say("**Figures that differ between sources**")
        lines: list[str] = []
        for conflict in found:
            sides: list[str] = []
            for at, figure in zip((conflict.left, conflict.right), conflict.figures, strict=True):
                quote = finding.quotes[at]
                sides.append(f"{figure} in {self.paper.name(quote)} [{self.paper.mark(quote)}]")
            lines.append("- " + "; ".join(sides))
        self.paper.say("\n".join(lines))

    def _read(self, evidence: Evidence) -> None:
        reading = evidence.reading
        self.paper.say("## What was read")
        self.paper.say(
            f"{count(reading.files, evidence.noun)} in {count(reading.passages, 'passage')}; "
            f"{count(len(self.paper.sources), evidence.noun)} quoted above."
        )
        for label, items in (("Not read", reading.unread), ("Passed over", reading.left_out)):
            if items:
                self.paper.say(f"{label}: {_reasons(items)}.")

    def _data(self, evidence: Evidence, unfilled: str) -> None:
        """The data with what each value rests on, or why there is none, beside the best quotes for it."""
        filled = evidence.filled
        if filled is not None:
            self.basis += based(self.paper, filled)
            told = beside(self.basis, whole=not isinstance(filled.data, dict))
            self.paper.say(f"## Data\n\n{_FILLED.format(line(filled.model, 80))}")
            self.paper.say(tell(bare(filled.data), told))
        elif unfilled:
            self.paper.say(f"## Data\n\n*Not filled in*: {line(unfilled, 400).rstrip('.')}.")
            marks = tuple(self.paper.mark(quote) for quote in _best(evidence.findings))
            self.basis.append(Basis(target=Target(kind="pointer", pointer=""), reasoning=unfilled, citation_ids=marks))


def _model(evidence: Evidence) -> str | None:
    """The model that wrote any of it."""
    if evidence.answer is not None and _answered(evidence):
        return evidence.answer.model
    return evidence.filled.model if evidence.filled else None


def _answered(evidence: Evidence) -> bool:
    return evidence.answer is not None and bool(evidence.answer.sentences)


def _dropped(answer: Answer | None) -> tuple[str, ...]:
    """A line for each kind of sentence that the model wrote and nobody gets to read."""
    dropped = answer.dropped if answer else ()
    return tuple(f"{count(number, 'sentence')} of the model left out: it {reason}" for reason, number in dropped)


def _best(findings: Sequence[Finding]) -> list[Quote]:
    """The strongest quote or two: of one question its best two if they are close, of several the best of each."""
    answered = [finding.quotes for finding in findings if finding.quotes]
    if len(answered) > 1:
        return distinct(quotes[0] for quotes in answered)[:2]
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
        named = ", ".join(f"{line(name, 80)} ({reason})" for name, reason in missing[:5])
        more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
        if evidence.web and not missing:
            return "Nothing was found, since no search gave a page to read; the warnings say which searches failed."
        return f"Nothing was found, since no {evidence.noun} could be read: {named}{more}."
    wanted = dict.fromkeys(word for finding in evidence.findings for word in finding.open)
    text = (
        f"Nothing was found for {_listed(tuple(wanted))} in the {count(reading.files, evidence.noun)} that were read."
    )
    return f"{text} Not read: {_reasons(reading.unread)}; the warnings name them." if reading.unread else text


def unread(reading: Reading, noun: str) -> tuple[str, ...]:
    """A line for each file that one would expect to have been read, up to a cap, then how many more."""
    missing = reading.unread if reading.files else reading.unread or reading.left_out
    lines = [f"{line(name, 200)} was not read: {reason}" for name, reason in missing[:NAMED]]
    more = len(missing) - NAMED
    return (*lines, f"{more:,} more {noun}s were not read") if more > 0 else tuple(lines)


def _reasons(skipped: Sequence[tuple[str, str]]) -> str:
    counted = Counter(reason for _, reason in skipped)
    return ", ".join(f"{number} {reason}" for reason, number in counted.most_common())


def _listed(words: Sequence[str]) -> str:
    return ", ".join(line(word, 60) for word in words[:20]) + (
        f" and {len(words) - 20} more" if len(words) > 20 else ""
    )
