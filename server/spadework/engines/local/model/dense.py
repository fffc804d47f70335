"""Embeddings, if there are any: the likeness of a question to the passages that full-text search found for it.

Only those few dozen passages are ever embedded, and each text once for all jobs: its vector is kept by the hash of
the model's name and the text. Without an endpoint, or when it fails, retrieval is what it is without.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Sequence
from functools import partial

import anyio.to_thread

from spadework.clock import Clock
from spadework.egress import MIB, Call, Egress, encode
from spadework.engines.local.index import Passage
from spadework.engines.local.web.shelf import Shelf
from spadework.engines.payload import Payload, decode
from spadework_tools.errors import BadReply

#: A passage is embedded by its beginning; small models read no further (about 500 words).
LONGEST = 2_000
WHOLE_S = 60.0


class Dense:
    """The user's embeddings endpoint, of the OpenAI form (`POST {base}/embeddings`)."""

    def __init__(self, http: Egress, clock: Clock, base: str, model: str, key: str, shelf: Shelf) -> None:
        self._http, self._clock, self._shelf = http, clock, shelf
        self._base, self._model, self._key = base.rstrip("/"), model, key

    async def likeness(self, question: str, passages: Sequence[Passage]) -> dict[int, float]:
        """The cosine of each passage to the question, by passage id.

        Raises Unreachable or BadReply where the endpoint gives no usable vectors.
        """
        texts = [question[:LONGEST], *(f"{one.heading}\n{one.text}"[:LONGEST] for one in passages)]
        vectors = await self._vectors(texts)
        asked, *told = (vectors[text] for text in texts)
        if any(len(vector) != len(asked) for vector in told):
            raise BadReply("the embeddings endpoint gave vectors of different lengths. Check its model.")
        return {one.id: _cosine(asked, vector) for one, vector in zip(passages, told, strict=True)}

    async def _vectors(self, texts: Sequence[str]) -> dict[str, Sequence[float]]:
        names = {text: self._name(text) for text in dict.fromkeys(texts)}
        kept = await anyio.to_thread.run_sync(self._shelf.replies, list(names.values()))
        missing = [text for text, name in names.items() if name not in kept]
        made = dict(zip(missing, await self._made(missing), strict=True)) if missing else {}
        fresh = {names[text]: array("f", vector).tobytes() for text, vector in made.items()}
        await anyio.to_thread.run_sync(partial(self._shelf.hold_all, self._clock.wall(), fresh))
        return {text: _floats((kept | fresh)[name]) for text, name in names.items()}

    async def _made(self, texts: Sequence[str]) -> list[list[float]]:
        body = encode({"model": self._model, "input": list(texts)})
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._key}"}
        call = Call("POST", f"{self._base}/embeddings", headers, body, WHOLE_S, 32 * MIB, trust=self._base)
        reply = await self._http.request(call)
        if reply.status != 200:
            raise BadReply(f"the embeddings endpoint answered with status {reply.status}. Check its model and key.")
        rows = sorted(decode(reply.body, "the embeddings endpoint").at("data").items(), key=_place)
        vectors = [list(map(_number, row.at("embedding").items())) for row in rows]
        if len(vectors) != len(texts) or not all(vectors):
            raise BadReply("the embeddings endpoint gave another number of vectors than it was given texts.")
        return vectors

    def _name(self, text: str) -> str:
        digest = hashlib.sha256(f"{self._base}\0{self._model}\0{text}".encode("utf-8", "replace")).hexdigest()
        return f"vector {digest}"


def _place(row: Payload) -> float:
    return row.at("index").number() or 0.0


def _number(payload: Payload) -> float:
    return payload.number() or 0.0


def _floats(data: bytes) -> array[float]:
    vector = array("f")
    vector.frombytes(data)
    return vector


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    size = math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))
    return dot / size if size else 0.0
