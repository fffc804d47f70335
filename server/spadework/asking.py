"""Answers to a job that asks: taken in hand as any worker would, so that the registry's fences guard this write too."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final

from spadework.clock import Clock
from spadework.job import Event, Job
from spadework.registry import Change, Fenced, JobStore, Lease
from spadework_tools.clean import clean
from spadework_tools.errors import BadRequest, RegistryBusy
from spadework_tools.models import Request, Status

#: How long a job waits for its answers, seconds; it fails as `unanswered` then.
PATIENCE_S: Final = 7 * 86_400.0
#: The longest answer, characters.
LONGEST: Final = 20_000
_LEASE_S, _TRIES, _PAUSE_S = 10.0, 5, 0.5
#: What a call that answers may say besides the answer; anything else would be without effect.
_ANSWER: Final = frozenset({"question", "follow_up_to", "label", "idempotency_key"})


def replies(job: Job, request: Request) -> bool:
    """Whether a request is the answer to what a job asks, or the repetition of an answer that it has had.

    Raises BadRequest for one that says more than an answer can.
    """
    if job.status is not Status.NEEDS_INPUT:
        return _even(request.question) in {_even(answer) for answer in job.answers.values()}
    more = [
        name
        for name in sorted(request.model_fields_set - _ANSWER)
        if getattr(request, name) != type(request).model_fields[name].default
    ]
    if more:
        raise BadRequest(
            f"{job.id} waits for an answer, which takes only question and follow_up_to; {', '.join(more)} would change "
            "nothing. Leave it out, or start new research without follow_up_to."
        )
    return True


async def reply(store: JobStore, clock: Clock, job: Job, request: Request) -> None:
    """Answer everything that a job asks with a request's question. Raises as `answer`."""
    await answer(store, clock, job.id, {ask.key: _answer(request) for ask in job.asks})


async def answer(store: JobStore, clock: Clock, job_id: str, answers: Mapping[str, str]) -> None:
    """Write answers to what a job asks, by the questions' keys; it goes on once all are there.

    What it does not ask (any more) is passed over. Raises RegistryBusy when somebody else holds the job for seconds.
    """
    worker = f"d_{secrets.token_hex(8)}"
    try:
        for _ in range(_TRIES):
            job = await store.get(job_id)
            fresh = {ask.key: _fit(answers[ask.key]) for ask in job.asks if ask.key in answers}
            if job.status is not Status.NEEDS_INPUT or job.cancel_requested or not fresh:
                return
            for lease in await store.claim(worker, 1, _LEASE_S, job_id):
                if await _told(store, clock, lease, fresh):
                    return
            await store.changed(await store.version(), _PAUSE_S)
    finally:
        await store.leave(worker)
    raise RegistryBusy(_TRIES * _PAUSE_S)


async def _told(store: JobStore, clock: Clock, lease: Lease, fresh: Mapping[str, str]) -> bool:
    """Write the answers under a lease; False when the lease was lost meanwhile."""
    job = lease.job
    asks = tuple(ask for ask in job.asks if ask.key not in fresh)
    fields: dict[str, Any] = {"answers": {**job.answers, **fresh}, "asks": asks}
    if not asks:
        # Its time counts anew: how long somebody took to answer is no part of the work.
        fields |= {"status": Status.RUNNING, "asked_at": None, "begun": None, "phase": "answered"}
    event = Event(at=clock.wall(), kind="answered", text=f"{len(fresh)} answered, {len(asks)} open")
    due = clock.boot() + (PATIENCE_S if asks else 0.0)
    try:
        await store.update(lease, Change(fields=fields, events=(event,), due=due))
    except Fenced:
        return False
    return True


def _answer(request: Request) -> str:
    return _fit(request.question)


def _even(text: str) -> str:
    """A text as compared: a retry may differ in its white space, as a request for research may."""
    return " ".join(_fit(text).split())


def _fit(text: str) -> str:
    return clean(text, LONGEST).strip()
