"""A model asked about all the claims of a report, some at a time; each word of it is kept as soon as it is said."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from pydantic import TypeAdapter

from spadework.engines import Bench
from spadework.engines.local.model.chat import Chat
from spadework.engines.local.model.entail import rule
from spadework.evidence.entail import Claim, Said
from spadework_tools.errors import Trouble, Unreachable

#: A model that gives so many answers without sense is asked no more.
PATIENCE = 2
_SAID = TypeAdapter(Said)


class Jury:
    """Asks a model about claims, none of them twice; `words` are by the claim's hash."""

    def __init__(self, chat: Chat, bench: Bench) -> None:
        self._chat, self._bench = chat, bench
        self.words: dict[str, Said] = {}
        self._left_out: Counter[str] = Counter()
        self._troubles: list[str] = []

    async def all(self, claims: Sequence[Claim], batch: int) -> None:
        """Ask about all claims, until the model is away or makes no sense."""
        asked = [claim for claim in claims if not await self._recalled(claim)]
        for start in range(0, len(asked), batch):
            some = asked[start : start + batch]
            try:
                ruling = await rule(self._chat, some)
            except Trouble as trouble:
                self._troubles.append(trouble.message)
                if isinstance(trouble, Unreachable) or len(self._troubles) == PATIENCE:
                    return
                continue
            self._left_out += ruling.left_out
            self.words |= ruling.words
            for claim in some:
                said = ruling.words.get(claim.digest)
                if said is not None:
                    await self._bench.keep(self._step(claim), _SAID.dump_json(said))

    def warnings(self) -> tuple[str, ...]:
        """What of the model's words does not count, and why it said no more."""
        lines = [f"a word of the model on a claim left out: it {why} ({n}x)" for why, n in self._left_out.most_common()]
        troubles = dict.fromkeys(self._troubles)
        return (*lines, *(f"the model did not say whether quotes show claims: {one}" for one in troubles))

    async def _recalled(self, claim: Claim) -> bool:
        before = await self._bench.recall(self._step(claim))
        if before is not None:
            self.words[claim.digest] = _SAID.validate_json(before)
        return before is not None

    def _step(self, claim: Claim) -> str:
        name = hashlib.sha256(f"{self._chat.name}\0{claim.digest}".encode("utf-8", "replace")).hexdigest()
        return f"verify/model/{name[:32]}"
