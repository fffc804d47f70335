"""What data rests on: for each value its quotes and how sure it is, for each empty one why it is empty."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, cast

from spadework.engines.data import TOLD
from spadework.engines.local.model.fill import LEVELS, Filled, token
from spadework.engines.local.paper import Paper, line
from spadework_tools.models import Basis, Confidence, Target

DROPPED: Final = "Left empty, since no evidence shows the value that the model gave."
SILENT: Final = "Left empty, since the evidence that was found does not say."
GIVEN: Final = "Taken from the record as it was given; it was not checked."
#: How many of its citations a value is marked with in the text.
MARKED = 5
_SHORT: Final = {
    DROPPED: " *(no evidence shows what the model gave)*", SILENT: " *(the evidence does not say)*",
    GIVEN: " *(from the record, not checked)*",
}  # fmt: skip


def based(paper: Paper, filled: Filled, prefix: str = "") -> Iterator[Basis]:
    """A basis for each value and each empty field; a value's quotes become citations of its own.

    `prefix` is the pointer to the row that the data is.
    """
    for ground in filled.grounds:
        target = Target(kind="pointer", pointer=prefix + ground.pointer)
        marks = paper.cite(ground.quotes, target)
        confidence = Confidence(level=ground.level, raw=ground.said)
        yield Basis(target=target, reasoning=ground.reasoning, confidence=confidence, citation_ids=marks)
    for pointers, reason in ((filled.dropped, DROPPED), (filled.silent, SILENT)):
        for pointer in pointers:
            yield Basis(target=Target(kind="pointer", pointer=prefix + pointer), reasoning=reason)


def beside(basis: Sequence[Basis], prefix: str = "", *, whole: bool = False) -> Callable[[str], str]:
    """What stands behind a top field in the text: its marks and how sure it is at worst, or why it is empty.

    `whole`: the data has no fields, and what is said is said of all of it.
    """

    def told(name: str) -> str:
        top = prefix if whole else f"{prefix}/{token(name)}"
        ours = [entry for entry in basis if f"{entry.target.pointer}/".startswith(f"{top}/")]
        shown = [entry for entry in ours if entry.confidence.level is not None]
        marks = list(dict.fromkeys(mark for entry in shown for mark in entry.citation_ids))[:MARKED]
        if marks:
            level = min((entry.confidence.level or "low" for entry in shown), key=LEVELS.index)
            return f" {''.join(f'[{mark}]' for mark in marks)} ({level})"
        return next((_SHORT[entry.reasoning] for entry in ours if entry.reasoning in _SHORT), "")

    return told


def bare(value: Any) -> Any:
    """A value in which nothing passes for our marks or for a line of the report's own."""
    if isinstance(value, str):
        return line(value, 2 * TOLD)
    if isinstance(value, dict):
        return {line(name, 80): bare(one) for name, one in cast("dict[str, Any]", value).items()}
    return [bare(one) for one in cast("list[Any]", value)] if isinstance(value, list) else value
