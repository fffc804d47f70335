"""A model's word on whether quotes show the claim they are cited for, bound to words of the quotes, beside the count.

Pure. What a model was shown is named by a hash, kept with its word; whoever holds the report and the snapshots finds
the same hash again, and so the same verdict, without the model. A count of words that speaks against a claim is never
overruled: a model can say worse of it, not better. Where the count is not sure the model decides, and is named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from spadework.evidence import support
from spadework_tools.models import Citation, Report, Source, Target, Verdict

VERDICTS: Final = ("entailed", "contradicted", "not_enough_info")
#: The verdict's method is this and the model's name.
METHOD: Final = "model:"
#: A claim that a model decided by another of its quotes says nothing of this one.
UNNAMED: Final = "not_named"
#: How much of a page around a quote goes with it, how long a passage may be in all, in characters, and how many
#: passages of one claim are shown.
AROUND, LONGEST, PASSAGES = 300, 1_600, 6
_NAME = 80


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim, and for each citation of it the passage that it points to."""

    text: str
    passages: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """What names all that is shown of it: SHA-256, hex."""
        shown = json.dumps([self.text, [passage for _, passage in self.passages]], ensure_ascii=True)
        return hashlib.sha256(shown.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Said:
    """A model's word on a claim: its verdict, the citations that it names for it, and the words that it copied."""

    verdict: str
    named: tuple[str, ...] = ()
    words: str = ""

    def told(self, model: str, claim: Claim, citation_id: str) -> dict[str, Any]:
        """The word as it is kept with one citation."""
        decides = self.verdict == "not_enough_info" or citation_id in self.named
        said: dict[str, Any] = {
            "name": model, "said": self.verdict if decides else UNNAMED, "asked": claim.digest,
        }  # fmt: skip
        return said | ({"words": self.words} if self.words and decides else {})


def claims(report: Report, texts: Mapping[str, str]) -> tuple[Claim, ...]:
    """The claims of a report that its quotes could show, in their order; `texts` are the pages, by source id.

    Only quotes that stand in their pages are shown; what is a quote itself claims nothing more.
    """
    sources = {source.id: source for source in report.sources}
    grouped: dict[tuple[Any, ...], list[Citation]] = {}
    for citation in report.citations:
        if citation.source_id in texts and citation.start is not None and claimed(report, citation):
            grouped.setdefault(place(citation.target), []).append(citation)
    found: list[Claim] = []
    for together in grouped.values():
        shown = [
            (one.id, _passage(one, texts[one.source_id], sources.get(one.source_id))) for one in together[:PASSAGES]
        ]
        found.append(Claim(statement(report, together[-1].target), tuple(shown)))
    return tuple(found)


def claimed(report: Report, citation: Citation) -> bool:
    """Whether a citation is for a claim, and not for the quote that it is."""
    said = statement(report, citation.target)
    return bool(said) and bool(citation.quote.strip()) and bare(citation.quote) not in bare(said)


def ruled(counted: Verdict, told: Mapping[str, Any]) -> Verdict:
    """The verdict on support from the count of words and a model's word, as `Said.told` gives it.

    Either way both are kept: in `detail`, `lexical` is the count's own verdict and `model` the model's word.
    """
    said, name = told.get("said"), told.get("name")
    detail = {**counted.detail, "model": dict(told)}
    against = counted.verdict == "lexically_unsupported" or bool(counted.detail.get("missing_numbers"))
    overruled = against and said != "contradicted"
    if counted.verdict == "not_checked" or said not in VERDICTS or not isinstance(name, str) or overruled:
        return counted.model_copy(update={"detail": detail})
    return Verdict(verdict=str(said), method=f"{METHOD}{name}", detail={"lexical": counted.verdict, **detail})


def kept(verdict: Verdict) -> Mapping[str, Any]:
    """A model's word as an earlier check kept it; empty where there is none."""
    held: object = verdict.detail.get("model")
    return cast("Mapping[str, Any]", held) if isinstance(held, dict) else {}


def statement(report: Report, target: Target) -> str:
    """What a citation is for, in words that stand alone: a span of the text, or a field's name and value.

    A row's field is said of the row's first text, which is what a reader knows the row by.
    """
    if target.kind == "span" and target.start is not None and target.end is not None:
        return support.plain(report.text[target.start : target.end])
    value = at(report.data, target.pointer or "") if target.kind == "pointer" else None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in (target.pointer or "").split("/")[1:]]
    label = " ".join(step.replace("_", " ") for step in steps if not step.isdecimal())
    name = _named(at(report.data, f"/{steps[0]}"), steps[1:]) if steps and steps[0].isdecimal() else ""
    return support.plain(": ".join(part for part in (", ".join(filter(None, (name, label))), str(value)) if part))


def _named(row: Any, inside: Sequence[str]) -> str:
    """What a reader knows a row by: its first short text in another field."""
    fields = cast("dict[str, Any]", row) if isinstance(row, dict) else {}
    texts = (held for key, held in fields.items() if isinstance(held, str) and key not in inside[:1])
    return next((text for text in texts if 0 < len(text.strip()) <= _NAME), "")


def at(data: Any, pointer: str) -> Any:
    """The value that a JSON pointer leads to, or None."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(data, dict):
            data = cast("dict[str, Any]", data).get(name)
        elif isinstance(data, list) and name.isdecimal() and int(name) < len(cast("list[Any]", data)):
            data = cast("list[Any]", data)[int(name)]
        else:
            return None
    return data


def place(target: Target) -> tuple[Any, ...]:
    """Where a claim stands."""
    # Marks in a row stand one after the other, so their spans begin together and end apart.
    return (target.kind, target.start, target.pointer)


def bare(text: str) -> str:
    """A text's letters and digits alone, in words."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())


def _passage(citation: Citation, text: str, source: Source | None) -> str:
    """A quote with what stands around it, and whose it is."""
    start, end = citation.start or 0, citation.end or 0
    around = text[max(0, start - AROUND) : min(len(text), end + AROUND)][:LONGEST]
    head = " › ".join(part for part in ((source.title if source else "")[:120], (citation.section or "")[:160]) if part)
    return " ".join(f"{head}: {around}".split() if head else around.split())


def named(report: Report, texts: Mapping[str, str]) -> dict[str, str]:
    """For each citation the hash of what a model would be shown of its claim."""
    return {name: claim.digest for claim in claims(report, texts) for name, _ in claim.passages}


def spoken(report: Report, model: str, words: Sequence[tuple[Claim, Said]]) -> Report:
    """The report with a model's words on its claims, each beside what the count of words found."""
    told = {name: said.told(model, claim, name) for claim, said in words for name, _ in claim.passages}
    citations = tuple(
        one.model_copy(
            update={"verdicts": one.verdicts.model_copy(update={"support": ruled(one.verdicts.support, told[one.id])})}
        )
        if one.id in told
        else one
        for one in report.citations
    )
    return report.model_copy(update={"citations": citations})
