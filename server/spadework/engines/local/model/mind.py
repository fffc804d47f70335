"""The models of one job, as its settings have them, or none: what fails here costs only what it would have added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spadework.engines import Bench
from spadework.engines.local.look import Look
from spadework.engines.local.model.answer import Answer, write
from spadework.engines.local.model.chat import Chat, chat_of, key_of
from spadework.engines.local.model.dense import Dense
from spadework.engines.local.model.fill import Filled, fill
from spadework.engines.local.model.planning import Plan, gaps, plan
from spadework.engines.local.plan import Part
from spadework.engines.local.select import Finding, Quote
from spadework.engines.local.web.shelf import Shelf
from spadework_tools.errors import Trouble, Unreachable
from spadework_tools.models import Effort

NO_MODEL = "local has no model to fill it in (SPADEWORK_LLM_BASE_URL and SPADEWORK_LLM_MODEL name one)"
#: A model that fails so often in a row is not asked again in this run.
FAILURES = 5


class Mind:
    """What the user's models add to one job; `troubles` says where they could not.

    `why` is the reason why a form was not filled, as of the last one.
    """

    def __init__(self, chat: Chat | None, look: Look) -> None:
        self._chat, self.look = chat, look
        self._troubles: list[str] = []
        self._failed = 0
        self.why = NO_MODEL

    @classmethod
    def of(cls, bench: Bench, effort: Effort, shelf: Shelf) -> Mind:
        """The models that the job's settings name."""
        chat = chat_of(bench)
        base, name = bench.setting("SPADEWORK_EMBEDDINGS_BASE_URL"), bench.setting("SPADEWORK_EMBEDDINGS_MODEL")
        dense = Dense(bench.http, bench.clock, base, name, key_of(bench), shelf) if base and name else None
        return cls(chat, Look(effort, dense))

    @property
    def troubles(self) -> tuple[str, ...]:
        """Why a model's part is missing, if it is."""
        return (*self._troubles, *self.look.troubles)

    async def plan(self, question: str, parts: Sequence[Part]) -> Plan:
        """The parts and searches, with what the model adds."""
        alone = Plan(tuple(parts), ())
        if self._chat is None:
            return alone
        try:
            return await plan(self._chat, question, parts)
        except Trouble as trouble:
            self._give_up("the plan", trouble)
            return alone

    async def gaps(self, question: str, findings: Sequence[Finding]) -> tuple[str, ...]:
        """What the model would search for next."""
        if self._chat is None or not findings:
            return ()
        try:
            return await gaps(self._chat, question, findings)
        except Trouble as trouble:
            self._give_up("further searches", trouble)
            return ()

    async def answer(self, question: str, findings: Sequence[Finding]) -> Answer | None:
        """The model's answer; None where there is no model, nothing to go by, or no usable word from it."""
        if self._chat is None or not any(finding.quotes for finding in findings):
            return None
        try:
            return await write(self._chat, question, findings)
        except Trouble as trouble:
            self._give_up("the answer", trouble)
            return None

    async def fill(
        self,
        question: str,
        schema: Mapping[str, Any],
        quotes: Sequence[Quote],
        record: Mapping[str, Any] | None = None,
    ) -> Filled | None:
        """The caller's form, filled by the model; None where there is no model, nothing to go by, or it failed."""
        if self._chat is None or not quotes:
            return None
        try:
            filled = await fill(self._chat, question, schema, quotes, record)
        except Trouble as trouble:
            self._give_up("the data", trouble)
            return None
        self._failed = 0
        return filled

    def _give_up(self, what: str, trouble: Trouble) -> None:
        self._failed += 1
        self.why = f"the model gave nothing to {what}: {trouble.message}"
        self._troubles.append(self.why)
        if isinstance(trouble, Unreachable) or self._failed >= FAILURES:
            # Whoever is away for a minute, or never makes sense, is not waited for at every step.
            self._chat = None
