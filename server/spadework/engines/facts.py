"""What is known of an engine before anything is asked of it: what it can, costs and needs, as of when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spadework.engines.prices import Price
from spadework_tools.models import Request


@dataclass(frozen=True, slots=True)
class Facts:
    """One engine, for `auto`, `spadework engines` and the table in the README.

    `tiers` are in the order of depth; `by_effort` names the one that an effort stands for,
    `by_effort_row` that for one row of records. `kind` is what comes back:
    research, or the snapshot of an answer engine. `free`: no key and no money. A limit of 0 domains or records means
    that the engine takes none; a `schema_depth` of 0 that it names no limit. `schema_object`: a schema's outermost
    type must be `object`; `largest`: so many characters the schema and what is asked may have together (0: no limit).
    """

    name: str
    title: str
    tiers: Mapping[str, Price] = field(default_factory=dict[str, Price])
    by_effort: Mapping[str, str] = field(default_factory=dict[str, str])
    by_effort_row: Mapping[str, str] = field(default_factory=dict[str, str])
    kind: str = "research"
    free: bool = False
    keys: tuple[str, ...] = ()
    schema: bool = False
    schema_depth: int = 0
    schema_object: bool = False
    largest: int = 0
    records: bool = False
    most_records: int = 0
    domains: int = 0
    dates: frozenset[str] = frozenset()
    folders: bool = False
    follow_up: bool = False
    cancels: str = ""
    keeps: str = ""
    verified_on: str = ""
    prices_on: str = ""

    def tier(self, request: Request) -> str:
        """The tier that a request's effort stands for; a record is a smaller task than a report."""
        table = self.by_effort_row if request.records and self.by_effort_row else self.by_effort
        return table.get(request.effort, next(iter(self.tiers), ""))
