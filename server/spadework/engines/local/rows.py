"""Records: each looked up by itself, one after the other, and kept when it is done.

A row is a checkpoint, so a killed job does none of them twice, and what goes wrong with one is written in it and leaves
the others alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from spadework.clock import Clock
from spadework.egress import Egress
from spadework.engines import Bench
from spadework.engines.local.intake import Reading
from spadework.engines.local.look import Look
from spadework.engines.local.model.fill import Filled
from spadework.engines.local.model.mind import Mind
from spadework.engines.local.paper import distinct
from spadework.engines.local.record import Record, Sought, sought
from spadework.engines.local.select import Finding, Quote
from spadework.job import Job
from spadework_tools.models import Request

#: How many quotes are kept for each field of a row.
KEPT = 2


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for one record: a finding for each thing sought, and how the web was read for it, if it was."""

    findings: tuple[Finding, ...]
    reading: Reading | None = None
    troubles: tuple[str, ...] = ()
    fetched: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one record.

    `best` are the quotes for each field, by its pointer; `filled` is what the model made of them, `why` the reason
    where nothing was. `fetched` says when each page was fetched for it, `unread` which were not read.
    """

    best: tuple[tuple[str, tuple[Quote, ...]], ...] = ()
    filled: Filled | None = None
    why: str = ""
    troubles: tuple[str, ...] = ()
    fetched: Mapping[str, float] = field(default_factory=dict[str, float])
    unread: tuple[tuple[str, str], ...] = ()


LookUp = Callable[["Side", Record, Sequence[Sought]], Awaitable[Found]]
_ROW = TypeAdapter(Row)


async def enriched(job: Job, bench: Bench, mind: Mind, look_up: LookUp) -> tuple[Row, ...]:
    """A row for each record of a job, in the records' order; those that an earlier run finished are taken as they are.

    Raises what `look_up` raises where it is not the record's own trouble.
    """
    records, side, made = job.request.records, Side(bench), list[Row]()
    for number, values in enumerate(records):
        kept = await bench.recall(_step(number))
        if kept is not None:
            made.append(_ROW.validate_json(kept))
            continue
        await bench.progress(
            "enriching", number, len(records), sources=len({url for row in made for url in row.fetched})
        )
        row = await _row(job.request, values, side.of(number), mind, look_up)
        await bench.keep(_step(number), _ROW.dump_json(row))
        made.append(row)
    return tuple(made)


async def finished(job: Job, bench: Bench) -> tuple[Row, ...] | None:
    """The rows of a job that was ended, those that were not come to with the reason; None where none was finished."""
    kept = [await bench.recall(_step(number)) for number in range(len(job.request.records))]
    late = Row(why="the job was ended before this record was looked up")
    made = tuple(late if one is None else _ROW.validate_json(one) for one in kept)
    return made if any(one is not None for one in kept) else None


async def in_index(place: Path, look: Look, side: Side, record: Record, wanted: Sequence[Sought]) -> Found:
    """What an index holds of a record; the texts that are quoted are kept as snapshots."""
    findings: list[Finding] = []
    for one in wanted:
        finding, texts = await look.find(place, one.part)
        quoted = {quote.sha256 for quote in finding.quotes if record.speaks(quote)}
        for text in texts if quoted else ():
            if hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() in quoted:
                await side.snapshot(text)
        findings.append(finding)
    return Found(tuple(findings))


async def _row(request: Request, values: Mapping[str, Any], side: Side, mind: Mind, look_up: LookUp) -> Row:
    record, schema, before = Record.of(values), request.output_schema or {}, set(mind.troubles)
    wanted = sought(record, request.question, schema, request.effort)
    if not wanted:
        return Row(why="the record holds no word to look for")
    found = await look_up(side, record, wanted)
    spoken = [tuple(filter(record.speaks, finding.quotes)) for finding in found.findings]
    quotes = _mixed(spoken)
    filled = await mind.fill(request.question, schema, quotes, values)
    best: dict[str, list[Quote]] = {}
    for one, fitting in zip(wanted, spoken, strict=True):
        for pointer in one.fields:
            best[pointer] = distinct([*best.get(pointer, ()), *fitting])
    return Row(
        best=tuple((pointer, tuple(several[:KEPT])) for pointer, several in best.items() if several),
        filled=filled,
        why="" if filled else mind.why if quotes else "nothing that was read speaks of this record",
        troubles=(*found.troubles, *(one for one in mind.look.troubles if one not in before)),
        fetched=found.fetched,
        unread=found.reading.unread if found.reading else (),
    )


def _mixed(lists: Iterable[Sequence[Quote]]) -> list[Quote]:
    """The first of each list, then the second of each, and so on, each quote once: no field is left to the last."""
    return distinct(quote for turn in zip_longest(*lists) for quote in turn if quote is not None)


def _step(number: int) -> str:
    return f"row-{number}"


class Side:
    """The notes of one row: its checkpoints are its own, its progress is the row's, a snapshot is kept once for all."""

    def __init__(self, bench: Bench, prefix: str = "", held: set[str] | None = None) -> None:
        self._bench, self._prefix = bench, prefix
        self._held: set[str] = set() if held is None else held

    def of(self, number: int) -> Side:
        """The bench of one row."""
        return Side(self._bench, f"{_step(number)}-", self._held)

    @property
    def clock(self) -> Clock:
        """The job's clock."""
        return self._bench.clock

    @property
    def http(self) -> Egress:
        """The job's way out."""
        return self._bench.http

    async def progress(
        self, phase: str, done: int = 0, total: int | None = None, *, sources: int | None = None, note: str = ""
    ) -> None:
        """Nothing: how far a single row is would only hide how far the rows are."""

    async def recall(self, step: str) -> bytes | None:
        """A checkpoint of this row."""
        return await self._bench.recall(f"{self._prefix}{step}")

    async def keep(self, step: str, value: bytes, *, durable: bool = False) -> None:
        """Keep a checkpoint of this row."""
        await self._bench.keep(f"{self._prefix}{step}", value, durable=durable)

    async def snapshot(self, text: str) -> str:
        """Keep a source's text, unless another row of this run did."""
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        if digest not in self._held:
            await self._bench.snapshot(text)
            self._held.add(digest)
        return digest
