"""The user's own language model, if there is one: any endpoint of the OpenAI form (`POST {base}/chat/completions`).

It is asked for JSON in the strictest way it takes, and what it answers is read with suspicion: fenced, wrapped in
prose or in a thinking block, or no JSON at all, which is asked for once more and then given up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import anyio

from spadework.egress import MIB, Call, Egress, Reply, encode
from spadework.engines import Bench
from spadework.engines.payload import Payload, decode, plain
from spadework_tools.errors import BadReply, MissingKey

#: What one answer may take: seconds, bytes, and tokens of the model.
WHOLE_S, LARGEST, TOKENS = 180.0, 4 * MIB, 4_000
#: How often an endpoint that is busy is tried, and the longest wait that it may ask for, seconds.
TRIES, PATIENCE_S = 4, 20.0
_THOUGHT = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL | re.IGNORECASE)
#: Endpoints that need no key still want to be told one.
_NO_KEY = "none"
_AGAIN = "That was no JSON object of the form asked for. Answer with the JSON object alone."


class Chat:
    """One model. `name` is what its endpoint calls it."""

    def __init__(self, http: Egress, base: str, name: str, key: str) -> None:
        self._http, self._base, self.name, self._key = http, base.rstrip("/"), name, key
        self._modes = ["json_schema", "json_object", "text", "bare"]

    async def ask(self, system: str, user: str, schema: Mapping[str, Any]) -> Payload:
        """The model's answer as a JSON object.

        Raises Unreachable, or BadReply where it answers no JSON object twice.
        """
        said = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        for _ in range(2):
            text = await self._said(said, schema)
            found = _object(text)
            if found is not None:
                return found
            said = [*said, {"role": "assistant", "content": text[:2_000]}, {"role": "user", "content": _AGAIN}]
        raise BadReply(f"the model {plain(self.name, 60)} answered with prose instead of JSON. Try another model.")

    async def _said(self, messages: list[dict[str, str]], schema: Mapping[str, Any]) -> str:
        """The text of one answer; a mode that the endpoint refuses is not tried again."""
        while True:
            mode = self._modes[0]
            reply = await self._post({"model": self.name, "messages": messages} | _format(mode, schema))
            if reply is not None:
                return reply
            self._modes = self._modes[1:]

    async def _post(self, body: Mapping[str, Any]) -> str | None:
        """The text of the answer, or None where the endpoint may take a plainer request than this one."""
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._key}"}
        call = Call("POST", f"{self._base}/chat/completions", headers, encode(body), WHOLE_S, LARGEST, trust=self._base)
        reply = await self._patient(call)
        if reply.status in (400, 404, 415, 422, 500, 501) and len(self._modes) > 1:
            return None
        if reply.status != 200:
            raise BadReply(f"the model's endpoint answered with status {reply.status}. Check its model and key.")
        choice = next(decode(reply.body, "the model's endpoint").at("choices").items(), Payload())
        text = choice.at("message", "content").text()
        if not text.strip():
            raise BadReply("the model's endpoint answered without a text. Check its model.")
        return text

    async def _patient(self, call: Call) -> Reply:
        """The answer; an endpoint that asks for a moment gets it, a few times."""
        tries = 0
        while True:
            reply = await self._http.request(call)
            # Counted in seconds; a date is for those who wait longer than we do.
            asked_s = reply.headers.get("retry-after", "")
            wait_s = float(asked_s) if asked_s.isdecimal() else float(2**tries)
            tries += 1
            if reply.status not in (429, 503) or tries == TRIES or wait_s > PATIENCE_S:
                return reply
            await anyio.sleep(wait_s)


def _format(mode: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    # Some models refuse a temperature, or a limit by this name; the barest form names neither.
    usual: dict[str, Any] = {} if mode == "bare" else {"temperature": 0, "max_tokens": TOKENS, "stream": False}
    if mode == "json_schema":
        return usual | {"response_format": {"type": mode, "json_schema": {"name": "answer", "schema": schema}}}
    return usual | {"response_format": {"type": mode}} if mode == "json_object" else usual


def _object(text: str) -> Payload | None:
    """The JSON object in a model's text: bare, fenced, or from its first brace to its last."""
    said = _THOUGHT.sub("", text)
    fenced = _FENCE.search(said)
    tries = [said, fenced[1] if fenced else "", said[said.find("{") : said.rfind("}") + 1]]
    for part in tries:
        try:
            found = decode(part.strip().encode("utf-8", "replace"), "the model")
        except BadReply:
            continue
        if found.fields():
            return found
    return None


def chat_of(bench: Bench) -> Chat | None:
    """The language model that a job's settings name, if there is one."""
    base, name = _placed(bench)
    return Chat(bench.http, base, name, key_of(bench)) if base and name else None


def has_model(bench: Bench) -> bool:
    """Whether a job's settings name a language model."""
    return all(_placed(bench))


def _placed(bench: Bench) -> tuple[str | None, str | None]:
    return bench.setting("SPADEWORK_LLM_BASE_URL"), bench.setting("SPADEWORK_LLM_MODEL")


def key_of(bench: Bench) -> str:
    """The key for the job's models; an endpoint on one's own machine wants none."""
    try:
        return bench.key("llm")
    except MissingKey:
        return _NO_KEY
