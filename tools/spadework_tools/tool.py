"""What one tool is: its words, its strict arguments and what it does at the desk.

A tool knows nothing of the wire; the server turns it into the protocol's own tool. Clients show a model either the
text or the structured content of an answer, so an `Answer` that has both says the same in each.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from spadework_tools.complaint import complaint, unknown
from spadework_tools.desk import Desk
from spadework_tools.errors import BadRequest, UnknownArgument
from spadework_tools.schema import lean

A = TypeVar("A", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool says: blocks of text and, except for a report's body, the same as JSON."""

    texts: tuple[str, ...]
    structured: dict[str, Any] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, model: BaseModel) -> Answer:
        """An answer that is complete and equal as compact JSON text and as structured content."""
        data = model.model_dump(mode="json", exclude_none=True, exclude_defaults=False)
        return cls((json.dumps(data, ensure_ascii=False, separators=(",", ":")),), data)


@dataclass(frozen=True, slots=True)
class Hints:
    """The protocol's behaviour hints, all explicit (MCP 2026-07-28, ToolAnnotations)."""

    read_only: bool
    destructive: bool
    idempotent: bool
    open_world: bool


def shown(search: str, most: int | None = None) -> dict[str, Any]:
    """What clients of Anthropic's are told of a tool: show it from the first turn on, how a search for it may read,
    and how many characters of its answers to show (Claude Code 2.1.330, 2026-11; others pass over it).
    """
    hints: dict[str, Any] = {"anthropic/alwaysLoad": True, "anthropic/searchHint": search}
    return hints if most is None else {**hints, "anthropic/maxResultSizeChars": most}


@dataclass(frozen=True)
class Tool(Generic[A]):
    """One tool: `run` takes arguments that `arguments` has already judged."""

    name: str
    title: str
    description: str
    arguments: type[A]
    run: Callable[[A, Desk], Awaitable[Answer]]
    hints: Hints
    output: type[BaseModel] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments, without the noise that costs a model tokens and tells it nothing."""
        return lean(self.arguments.model_json_schema())

    async def call(self, arguments: Mapping[str, Any], desk: Desk) -> Answer:
        """Judge the arguments and run. Raises BadRequest or any `Trouble` of the desk."""
        return await self.run(self.judge(arguments), desk)

    def judge(self, arguments: Mapping[str, Any]) -> A:
        """The arguments as the tool's own type.

        Raises:
            UnknownArgument: a name the tool does not take, with the nearest one it does.
            BadRequest: a value the tool cannot use, with what it can.
        """
        known = list(self.arguments.model_fields)
        for name in arguments:
            if name not in known:
                raise UnknownArgument(unknown(self.name, name, known))
        try:
            return self.arguments.model_validate(arguments)
        except ValidationError as error:
            wrong = complaint(error.errors()[0])
            raise BadRequest(f"{wrong}, so nothing was done. Correct it and call again.") from None
