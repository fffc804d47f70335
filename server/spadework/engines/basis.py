"""Parallel's results in our shape: what each field rests on, for one report or for a list of rows."""

from __future__ import annotations

from typing import Any

from spadework.engines.data import conforms, tell
from spadework.engines.payload import Payload, plain, readable
from spadework.engines.sheet import Sheet, pointer
from spadework.engines.vendor import Handle
from spadework.job import Job
from spadework_tools.models import Cost, Outcome, Provenance, Report, Target


class Rest:
    """The basis of one output, written on the sheet; `marks` tells which citations a field has."""

    def __init__(self, sheet: Sheet, output: Payload, prefix: str = "") -> None:
        self._marks: dict[str, list[str]] = {}
        self.content: Any = output.at("content").value
        for entry in output.at("basis").items():
            name = entry.at("field").text("output")
            target = placed(prefix, name)
            ids = tuple(self._cited(sheet, entry, target))
            sheet.reason(target, entry.at("reasoning").text(), entry.at("confidence").text(), ids)
            self._marks.setdefault(name.split(".")[0], []).extend(ids)

    def _cited(self, sheet: Sheet, entry: Payload, target: Target) -> list[str]:
        ids: list[str] = []
        for cited in entry.at("citations").items():
            source = sheet.source(cited.at("url").text(), cited.at("title").text(), "cited")
            if source is None:
                continue
            excerpts = [excerpt.text() for excerpt in cited.at("excerpts").items() if excerpt.text().strip()]
            ids += [sheet.cite(source, target, excerpt) for excerpt in excerpts or [""]]
        return list(dict.fromkeys(ids))

    def marks(self, name: str) -> str:
        """The marks of a top field's citations, each once, at most five."""
        ids = list(dict.fromkeys(self._marks.get(name, ())))[:5]
        return " " + "".join(f"[{one}]" for one in ids) if ids else ""


def placed(prefix: str, name: str) -> Target:
    """A field's target within the whole data; `prefix` is the pointer to its row."""
    target = pointer(name)
    if not prefix:
        return target
    return Target(kind="pointer", pointer=prefix + (target.pointer or ""))


def compose(job: Job, handle: Handle, result: Payload, tier: str, each_usd: float, verified_on: str) -> Report:
    """A report from one result or from the rows of a group; the price is computed, for the vendor reports none."""
    sheet, warnings = Sheet(job.started_at), list[str]()
    if result.repaired:
        warnings.append("parts of the vendor's answer were no valid text or numbers and were replaced")
    if job.request.include_domains and job.request.exclude_domains:
        warnings.append("Parallel ignores excluded domains where included ones are given")
    read = _many if job.request.records else _one
    text, data, fits, outcome, paid = read(job, sheet, result, warnings)
    first = result.at("run") if not job.request.records else Payload()
    warnings += [plain(warning.at("message").text()) for warning in first.at("warnings").items()]
    ids = {"run": handle.id, "interaction": plain(first.at("interaction_id").text(), 200), **_group(handle)}
    return Report(
        text=text,
        outcome=outcome,
        data=data,
        schema_ok=fits,
        sources=sheet.sources,
        citations=sheet.citations,
        basis=sheet.basis,
        usage={"runs": len(handle.more.get("runs", [handle.id]))},
        cost=Cost(amount=round(paid * each_usd, 6), kind="computed"),
        provenance=Provenance(
            engine="parallel",
            tier=tier,
            model=tier,
            vendor_ids={name: value for name, value in ids.items() if value},
            started_at=handle.at,
            adapter="parallel@1",
            verified_on=verified_on,
            warnings=tuple(warning for warning in warnings if warning),
        ),
    )


Read = tuple[str, Any, bool | None, Outcome, int]


def _one(job: Job, sheet: Sheet, result: Payload, warnings: list[str]) -> Read:
    output = result.at("output")
    rest = Rest(sheet, output)
    outcome = Outcome.FULL if sheet.sources else Outcome.NO_EVIDENCE
    if isinstance(rest.content, str):
        if job.request.output_schema is not None:
            warnings.append("the answer is a text although data was asked for")
            return readable(rest.content), None, False, Outcome.PARTIAL, 1
        return readable(rest.content), None, None, outcome, 1
    fits = _fits(job, rest.content)
    return tell(rest.content, rest.marks), rest.content, fits, outcome, 1


def _many(job: Job, sheet: Sheet, result: Payload, warnings: list[str]) -> Read:
    """One row of data for each record, in the order of the records; a row that failed is null, with the reason."""
    texts: list[str] = []
    data: list[Any] = []
    fits: list[bool] = []
    failed = 0
    for row, entry in enumerate(result.at("rows").items()):
        heading = f"Row {row}: {_name(job, row)}"
        if not entry.at("output").fields():
            failed += 1
            why = _failure(entry)
            sheet.reason(Target(kind="pointer", pointer=f"/{row}"), why, "", ())
            data.append(None)
            texts.append(f"## {heading}\n\n*Failed*: {why}")
            continue
        rest = Rest(sheet, entry.at("output"), f"/{row}")
        data.append(rest.content)
        fits.append(_fits(job, rest.content) is not False)
        texts.append(tell(rest.content, rest.marks, heading))
    if failed:
        warnings.append(
            f"{failed} of {len(data)} rows failed and are null; whether Parallel bills failed runs is not documented"
        )
    outcome = Outcome.PARTIAL if failed else Outcome.FULL if sheet.sources else Outcome.NO_EVIDENCE
    return "\n\n".join(texts), data, not failed and all(fits), outcome, len(data) - failed


def _fits(job: Job, content: Any) -> bool | None:
    schema = job.request.output_schema
    return conforms(content, schema) if schema else None


def _failure(entry: Payload) -> str:
    status = plain(entry.at("run", "status").text(), 40)
    reason = plain(entry.at("run", "error", "message").text())
    return reason or (f"the run did not complete; its status is {status}" if status else "the run has gone missing")


def _name(job: Job, row: int) -> str:
    """What a reader knows a record by: its first text."""
    texts = (value for value in job.request.records[row].values() if isinstance(value, str) and value.strip())
    return plain(next(texts, f"record {row}"), 80)


def _group(handle: Handle) -> dict[str, str]:
    name = handle.more.get("group")
    return {"group": name} if isinstance(name, str) and name else {}
