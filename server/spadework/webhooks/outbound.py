"""Deliveries out of the house: each is tried until it is settled, by whichever process is alive.

The registry keeps what is to be told (`registry.Outbox`); a courier claims what is due, tells it, and writes down
what came of it. Whoever dies in between leaves a claim that runs out, so nothing is lost and something may come twice,
under one id. The schedule and the rules are those of Standard Webhooks 1.0.0 (2026-11-21).
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from spadework import inbox
from spadework.bench import Kit
from spadework.delivery import Address, Delivery, Tried
from spadework.egress import Call, Reply
from spadework.engines.pace import asked
from spadework.job import Job
from spadework.runner import RETRY_S, UNWRITABLE
from spadework.webhooks.hook import run_hook
from spadework.webhooks.letter import body, letter
from spadework.webhooks.signing import ID, SIGNATURE, TIMESTAMP, sign
from spadework_tools.errors import BadReply, EgressRefused, JobExpired, UnknownJob, Unreachable

log = logging.getLogger(__name__)

#: The wait before each try, in seconds: ten tries over 75 hours, 35 minutes and 5 seconds.
SCHEDULE = (0.0, 5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
#: An endpoint that fails so long without a break is disabled, seconds.
PATIENCE_S = 120 * 3_600.0
#: How long an endpoint may take to answer, and for how long a process may hold a delivery; seconds.
TIMEOUT_S, LEASE_S = 20.0, 60.0
#: The longest wait that an endpoint can ask for by Retry-After, seconds.
LONGEST_S = 86_400.0
#: How often an idle courier looks for what another process has left due, seconds.
LOOK_S = 60.0
#: So many deliveries are under way at once in a process, to as many addresses.
HANDS = 8
#: So much of an answer is read; only its status counts.
READ_BYTES = 4_096


def sway() -> float:
    """A factor of 0.8 to 1.2, so that many deliveries that failed together do not come back together."""
    return 0.8 + secrets.randbelow(400_001) / 1_000_000


class Courier:
    """Delivers what is due in the kit's store; several couriers, in several processes, share one store."""

    def __init__(self, kit: Kit, *, jitter: Callable[[], float] = sway) -> None:
        self._kit = kit
        self._outbox = kit.store.outbox
        self._clock = kit.clock
        self._jitter = jitter
        self._busy: set[Address] = set()
        self._freed = anyio.Event()

    async def run(self) -> None:
        """Deliver until cancelled; on the way out what is under way becomes due for the next courier."""
        async with anyio.create_task_group() as group:
            seen = await self._kit.store.version()
            while True:
                self._freed = anyio.Event()
                claimed = await self._claim()
                for delivery in claimed:
                    group.start_soon(self._deliver, delivery, name=f"delivery {delivery.id}")
                if not claimed:
                    seen = await self._pause(seen)

    async def round(self) -> float | None:
        """Deliver everything that is due now; the seconds until the next delivery, None when none waits."""
        while claimed := await self._claim():
            async with anyio.create_task_group() as group:
                for delivery in claimed:
                    group.start_soon(self._deliver, delivery)
        return await self._outbox.due_in()

    async def _claim(self) -> list[Delivery]:
        try:
            claimed = await self._outbox.claim(HANDS - len(self._busy), LEASE_S, self._busy)
        except UNWRITABLE as trouble:
            log.warning("nothing can be delivered: %s", trouble)
            await anyio.sleep(RETRY_S)
            return []
        self._busy |= {delivery.address for delivery in claimed}
        return claimed

    async def _pause(self, seen: int) -> int:
        """Sleep until the store changes, a hand here gets free, or something is due; the store's counter then."""
        due = await self._outbox.due_in(self._busy)
        # What is due and was not claimed waits for a free hand here.
        longest_s = LOOK_S if due is None or len(self._busy) >= HANDS else min(due, LOOK_S)
        async with anyio.create_task_group() as group:

            async def until_freed() -> None:
                await self._freed.wait()
                group.cancel_scope.cancel()

            group.start_soon(until_freed)
            seen = await self._kit.store.changed(seen, longest_s, look_s=LOOK_S)
            group.cancel_scope.cancel()
        return seen

    async def _deliver(self, delivery: Delivery) -> None:
        """Tell one address, and write down what came of it."""
        try:
            tried = await self._told(delivery)
            state = await self._outbox.settle(delivery, tried, PATIENCE_S)
            log.info("%s for %s: %s %s", delivery.id, delivery.job_id, state or "another's by now", tried.note)
        except UNWRITABLE as trouble:
            # Its claim runs out by itself.
            log.warning("what came of %s cannot be written: %s", delivery.id, trouble)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True), anyio.move_on_after(1), suppress(*UNWRITABLE):
                await self._outbox.give_back(delivery)
            raise
        finally:
            self._busy.discard(delivery.address)
            self._freed.set()

    async def _told(self, delivery: Delivery) -> Tried:
        try:
            return await self._tell(delivery)
        except UNWRITABLE:
            raise
        except Exception as error:
            # The courier's edge: what one delivery stumbles over must not end the process at every start anew.
            log.exception("%s stopped on a defect", delivery.id)
            return self._failed(delivery, f"spadework hit a defect of its own ({type(error).__name__})")

    async def _tell(self, delivery: Delivery) -> Tried:
        try:
            job = await self._kit.store.get(delivery.job_id)
        except (UnknownJob, JobExpired):
            return Tried("the job is gone")
        if delivery.address.kind == "webhook":
            return await self._post(delivery, job)
        if delivery.address.kind == "command":
            return await run_hook(self._kit.settings, job)
        return await self._drop_in(delivery, job)

    async def _drop_in(self, delivery: Delivery, job: Job) -> Tried:
        """Put a line into the inbox of the folder that the job was started from."""
        row = {"id": delivery.id, **letter(job)}
        home = str(self._kit.settings.home)
        try:
            await anyio.to_thread.run_sync(partial(inbox.append, home, delivery.address.to, row))
        except OSError as error:
            return self._failed(delivery, f"the inbox cannot be written ({error.strerror})")
        return Tried("", ok=True)

    async def _post(self, delivery: Delivery, job: Job) -> Tried:
        """Send the letter to its endpoint, signed with every valid secret of it."""
        url, content, stamp = delivery.address.to, body(job), int(self._clock.wall())
        valid = await self._outbox.secrets(delivery.owner, url)
        headers = {
            "content-type": "application/json",
            ID: delivery.id,
            TIMESTAMP: str(stamp),
            SIGNATURE: sign(valid, delivery.id, stamp, content),
        }
        call = Call(
            "POST", url, headers, content, timeout_s=TIMEOUT_S, max_bytes=READ_BYTES, fresh=True, partial=True
        )  # fmt: skip
        try:
            self._kit.http.judge(url)
            reply = await self._kit.http.request(call)
        except (EgressRefused, Unreachable, BadReply) as trouble:
            return self._failed(delivery, trouble.message.partition(". ")[0])
        return self._answered(delivery, reply)

    def _answered(self, delivery: Delivery, reply: Reply) -> Tried:
        said = f"{urlsplit(reply.url).hostname} answered {reply.status}"
        if 200 <= reply.status < 300:
            return Tried(said, ok=True)
        if reply.status == 410:
            return Tried(said, gone=True)
        wait_s = asked(reply.headers.get("retry-after"), self._clock.wall())
        return self._failed(delivery, said, min(wait_s or 0.0, LONGEST_S))

    def _failed(self, delivery: Delivery, note: str, least_s: float = 0.0) -> Tried:
        """A try that failed, and when the next one is due."""
        tries = delivery.attempt + 1
        if tries >= len(SCHEDULE):
            return Tried(note)
        return Tried(note, wait_s=max(SCHEDULE[tries] * self._jitter(), least_s))
