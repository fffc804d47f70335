"""Writing the report on records: a section and a row of data for each, in the records' order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from spadework.engines.data import conforms, tell
from spadework.engines.local.basis import DROPPED, GIVEN, SILENT, bare, based, beside
from spadework.engines.local.intake import Reading
from spadework.engines.local.model.fill import fields, token
from spadework.engines.local.model.mind import NO_MODEL
from spadework.engines.local.paper import Circumstances, Paper, count, distinct, line, place, where
from spadework.engines.local.record import Record, blank, given
from spadework.engines.local.rows import Row
from spadework.engines.local.select import Quote
from spadework.engines.local.write import NAMED, unread
from spadework_tools.models import Basis, Cost, Outcome, Provenance, Report, Request, Target

#: How many quotes are printed for a row.
PRINTED = 4
_FILLED = (
    "A section for each record. Its values were filled in by the model {} from quotes, and each is marked with the "
    "quotes that it rests on and with how sure it is; what no quote shows is left empty. The quotes are word for word."
)
_QUOTED = "A section for each record, with the best quotes for it, word for word. No value was filled in: {}."


@dataclass(frozen=True, slots=True)
class _Line:
    """One row of the data: the values, which of them the record brought, and whether they fit the schema."""

    data: Any
    given: frozenset[str]
    fits: bool


def table(rows: Sequence[Row], request: Request, reading: Reading | None, around: Circumstances) -> Report:
    """The report on a job's records; `reading` is what was read for all of them, where that was files."""
    schema = request.output_schema or {}
    printed = [_printed(row) for row in rows]
    fetched = {url: at for row in rows for url, at in row.fetched.items()}
    paper = Paper(distinct(quote for quotes in printed for quote in quotes), around, fetched)
    lines = [_line(row, values, schema) for row, values in zip(rows, request.records, strict=True)]
    model = next((row.filled.model for row in rows if row.filled), None)
    paper.say(f"# {line(around.question, 300)}")
    paper.say(_FILLED.format(line(model, 80)) if model else _QUOTED.format(_reason(rows)))
    basis: list[Basis] = []
    for number, (row, one) in enumerate(zip(rows, lines, strict=True)):
        basis += _section(paper, number, row, one, request, printed[number])
    files = {"files": reading.files, "passages": reading.passages, "characters": reading.characters} if reading else {}
    return Report(
        text=paper.text(),
        outcome=_outcome(lines, anything=bool(paper.sources)),
        data=[one.data for one in lines],
        schema_ok=all(one.fits for one in lines),
        basis=tuple(basis),
        sources=tuple(paper.sources.values()),
        citations=paper.citations(),
        usage={"rows": len(rows), **(files or {"pages": len(fetched)})},
        cost=Cost(amount=0.0, kind="computed"),
        provenance=Provenance(
            engine="local",
            mode="synthesis" if model else "extractive",
            model=model,
            adapter="local@1",
            started_at=around.started_at,
            finished_at=around.finished_at,
            warnings=around.warnings + tuple(_warnings(rows, reading)),
        ),
    )


def _outcome(lines: Sequence[_Line], *, anything: bool) -> Outcome:
    if not anything:
        return Outcome.NO_EVIDENCE
    return Outcome.FULL if all(one.fits and not _gaps(one.data) for one in lines) else Outcome.PARTIAL


def _gaps(data: Any) -> bool:
    held = cast("dict[str, Any]", data) if isinstance(data, dict) else {"": data}
    return any(value is None for value in held.values())


def _line(row: Row, values: Mapping[str, Any], schema: Mapping[str, Any]) -> _Line:
    empty: Any = blank(schema)
    data: Any = row.filled.data if row.filled else empty
    # A form of fields is one in every row, whatever a model gave in its place.
    form = cast("dict[str, Any]", empty) if isinstance(empty, dict) else None
    held = cast("dict[str, Any]", data) if isinstance(data, dict) else form
    if held is None:
        return _Line(data, frozenset(), conforms(data, dict(schema)))
    brought = {name: value for name, value in given(values, schema).items() if held.get(name) is None}
    held = {**held, **brought}
    return _Line(held, frozenset(brought), conforms(held, dict(schema)))


def _printed(row: Row) -> list[Quote]:
    """The quotes to print: those that values rest on first, then the best of each field."""
    grounds = [ground.quotes[0] for ground in row.filled.grounds if ground.quotes] if row.filled else []
    best = [quotes for _, quotes in row.best]
    turns = [quotes[turn] for turn in range(2) for quotes in best if turn < len(quotes)]
    return distinct([*grounds, *turns])[:PRINTED]


def _section(
    paper: Paper, number: int, row: Row, one: _Line, request: Request, printed: Sequence[Quote]
) -> Iterator[Basis]:
    """Write a row's section; gives the basis of its fields."""
    name = Record.of(request.records[number]).name or "a record without a name"
    basis = [*_based(paper, number, row, one, request, printed)]
    told = beside(basis, f"/{number}", whole=not isinstance(one.data, dict))
    paper.say(tell(bare(one.data), told, f"Row {number}: {line(name, 80)}"))
    if row.why and row.why != NO_MODEL:
        paper.say(f"*Not filled in*: {line(row.why, 400).rstrip('.')}.")
    for quote in printed:
        paper.quote(quote, f"{paper.name(quote)}{where(quote)}")
    return iter(basis)


def _based(
    paper: Paper, number: int, row: Row, one: _Line, request: Request, printed: Sequence[Quote]
) -> Iterator[Basis]:
    prefix, taken, shown = f"/{number}", {f"/{token(name)}" for name in one.given}, set(map(place, printed))
    filled, tops = row.filled, fields(request.output_schema or {})
    if filled is not None:
        inner = tuple(at for at in filled.dropped if at not in tops)
        yield from based(paper, replace(filled, dropped=inner, silent=()), prefix)
    best = dict(row.best)
    for pointer in tops:
        target = Target(kind="pointer", pointer=prefix + pointer)
        marks = tuple(paper.mark(quote) for quote in best.get(pointer, ()) if place(quote) in shown)
        if pointer in taken:
            yield Basis(target=target, reasoning=GIVEN)
        elif filled is None:
            yield Basis(target=target, reasoning=f"Left empty: {row.why}", citation_ids=marks)
        elif pointer in (*filled.dropped, *filled.silent):
            reason = DROPPED if pointer in filled.dropped else SILENT
            yield Basis(target=target, reasoning=reason, citation_ids=marks)


def _reason(rows: Sequence[Row]) -> str:
    """The reason that most rows have for being empty."""
    reasons = [row.why for row in rows if row.why]
    return line(max(reasons, key=reasons.count), 300).rstrip(".") if reasons else "the evidence shows none"


def _warnings(rows: Sequence[Row], reading: Reading | None) -> Iterator[str]:
    """What went otherwise, each once with the rows that it touches, up to a cap."""
    touched: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        for trouble in row.troubles:
            touched.setdefault(trouble, []).append(number)
        if row.why:
            touched.setdefault(f"left empty: {row.why}", []).append(number)
    for text, numbers in list(touched.items())[:NAMED]:
        yield f"{_rows(numbers)}: {text}"
    if len(touched) > NAMED:
        yield f"{len(touched) - NAMED:,} more warnings of rows are left out"
    dropped = sum(len(row.filled.dropped) for row in rows if row.filled)
    if dropped:
        yield f"{count(dropped, 'value')} of the model left empty, since no evidence shows them"
    missing = {name: reason for row in rows for name, reason in row.unread}
    web = Reading(1, 0, 0, tuple(missing.items()), ())
    yield from unread(reading, "file") if reading else unread(web, "page")


def _rows(numbers: Sequence[int]) -> str:
    named = ", ".join(map(str, numbers[:5]))
    more = f" and {len(numbers) - 5:,} more" if len(numbers) > 5 else ""
    return f"row{'' if len(numbers) == 1 else 's'} {named}{more}"
