"""The outbox: deliveries that are due, who holds them, and the endpoints they go to; each write one transaction.

A claim is a due time in the future and a new fence: whoever dies leaves nothing to tidy, and whoever was too slow
writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from spadework.clock import Clock
from spadework.delivery import Address, Delivery, Endpoint, State, Tried, fresh_secret
from spadework.job import Event
from spadework.registry.record import job_of
from spadework.registry.session import Session
from spadework.registry.tables import Tables, bump
from spadework_tools.errors import UnknownDelivery

_COLUMNS = "id, job, owner, kind, address, state, attempt, fence, note, at"
_READY = """SELECT id, min(due) FROM rq_deliveries INDEXED BY rq_deliveries_due WHERE due IS NOT NULL AND due <= ?
    AND kind || ' ' || address NOT IN (SELECT value FROM json_each(?))
    GROUP BY kind, address ORDER BY min(due) LIMIT ?"""
_NEXT = """SELECT due FROM rq_deliveries INDEXED BY rq_deliveries_due WHERE due IS NOT NULL
    AND kind || ' ' || address NOT IN (SELECT value FROM json_each(?)) ORDER BY due LIMIT 1"""
_TAKE = f"""UPDATE rq_deliveries SET due = ?, at = ?, fence = fence + 1 WHERE id = ?
    RETURNING {_COLUMNS}"""  # noqa: S608 - constants only, as everywhere in this file
_HELD = "SELECT 1 FROM rq_deliveries WHERE id = ? AND fence = ? AND state = 'due'"
# A new fence, so that whoever settled it and is stopped right then cannot give it back as well.
_SETTLE = "UPDATE rq_deliveries SET state = ?, due = ?, at = ?, attempt = ?, note = ?, fence = fence + 1 WHERE id = ?"
_BACK = "UPDATE rq_deliveries SET due = ?, at = ? WHERE id = ? AND fence = ? AND state = 'due'"
_NEWEST = f"""SELECT {_COLUMNS} FROM rq_deliveries WHERE owner = ? AND kind = 'webhook'
    ORDER BY rowid DESC LIMIT ?"""  # noqa: S608
_AGAIN = f"""UPDATE rq_deliveries SET state = 'due', due = ?, at = ?, attempt = 0, fence = fence + 1, note = ''
    WHERE owner = ? AND kind = 'webhook' AND state <> 'waiting' AND (id = ? OR job = ?)
    RETURNING {_COLUMNS}"""  # noqa: S608
_ENDPOINTS = """SELECT url, secret, older, older_until, coalesce(last - since, 0), coalesce(disabled, '')
    FROM rq_endpoints WHERE owner = ?"""
_ENDPOINT = f"{_ENDPOINTS} AND url = ?"
_KNOW = "INSERT OR IGNORE INTO rq_endpoints (owner, url, secret) VALUES (?, ?, ?)"
_ROTATE = """UPDATE rq_endpoints SET older = secret, older_until = ?, secret = ?
    WHERE owner = ? AND url = ? AND secret <> ?"""
_WELL = "UPDATE rq_endpoints SET since = NULL, last = NULL, disabled = NULL WHERE owner = ? AND url = ?"
_ILL = """UPDATE rq_endpoints SET since = coalesce(since, ?1), last = ?1 WHERE owner = ?2 AND url = ?3
    RETURNING last - since"""
_DISABLE = "UPDATE rq_endpoints SET disabled = ? WHERE owner = ? AND url = ?"

_ENDINGS = {
    "failed": "The webhook {id} was not delivered in {attempt} tries: {note}. "
    "Send it again with: spadework webhooks redeliver {id}",
    "disabled": "The webhook {id} was not delivered and its endpoint gets no more: {note}. "
    "When it is back, run: spadework webhooks redeliver {id}",
}


class OutboxTables:
    """The deliveries and endpoints, for one thread alone; see `Outbox` for what each method does."""

    def __init__(self, session: Session, clock: Clock, tables: Tables) -> None:
        self._session = session
        self._clock = clock
        self._tables = tables

    def claim(self, n: int, lease_s: float, busy: Collection[Address]) -> list[Delivery]:
        """See `Outbox.claim`."""
        ready = (self._clock.boot(), _keys(busy), n)
        # Looked at first without a transaction: most looks find nothing.
        if not self._session.rows(_READY, ready):
            return []
        return self._session.write(lambda: self._claim(ready, lease_s), durable=False)

    def _claim(self, ready: tuple[float, str, int], lease_s: float) -> list[Delivery]:
        claimed: list[Delivery] = []
        for name, _ in self._session.rows(_READY, ready):
            values = (self._clock.boot() + lease_s, self._clock.wall() + lease_s, name)
            (delivery,) = _deliveries(self._session.rows(_TAKE, values))
            endpoint = self._endpoint(delivery)
            if endpoint is not None and endpoint.disabled:
                self._end(delivery, "disabled", endpoint.disabled, delivery.attempt)
            else:
                claimed.append(delivery)
        return claimed

    def settle(self, delivery: Delivery, tried: Tried, patience_s: float) -> State | None:
        """See `Outbox.settle`."""
        return self._session.write(lambda: self._settle(delivery, tried, patience_s), durable=tried.ok)

    def _settle(self, delivery: Delivery, tried: Tried, patience_s: float) -> State | None:
        if not self._session.rows(_HELD, (delivery.id, delivery.fence)):
            return None
        place, attempt = (delivery.owner, delivery.address.to), delivery.attempt + 1
        if tried.ok:
            self._session.con.execute(_WELL, place)
            return self._end(delivery, "delivered", tried.note, attempt)
        failing = self._session.rows(_ILL, (self._clock.boot(), *place))
        if failing and (tried.gone or failing[0][0] >= patience_s):
            note = tried.note if tried.gone else f"it has failed for {failing[0][0] / 3600:.0f} hours ({tried.note})"
            self._session.con.execute(_DISABLE, (note, *place))
            return self._end(delivery, "disabled", note, attempt)
        if tried.wait_s is None:
            return self._end(delivery, "failed", tried.note, attempt)
        due, at = self._clock.boot() + tried.wait_s, self._clock.wall() + tried.wait_s
        self._session.con.execute(_SETTLE, ("due", due, at, attempt, tried.note, delivery.id))
        return "due"

    def _end(self, delivery: Delivery, state: State, note: str, attempt: int) -> State:
        """Tried no more; of a webhook that was not delivered the job tells."""
        self._session.con.execute(_SETTLE, (state, None, self._clock.wall(), attempt, note, delivery.id))
        row = self._tables.row(delivery.job_id)
        if row is not None and state != "delivered" and delivery.address.kind == "webhook":
            text = _ENDINGS[state].format(id=delivery.id, attempt=attempt, note=note)
            event = Event(at=self._clock.wall(), kind="webhook", text=text, data={"state": state, "id": delivery.id})
            self._tables.save(row, job_of(row), {}, (event,), held=True)
        return state

    def return_all(self, claimed: Sequence[Delivery]) -> None:
        """See `Outbox.give_back`."""
        if claimed:
            self._session.write(lambda: self._return(claimed), durable=False)

    def _return(self, claimed: Sequence[Delivery]) -> None:
        values = [(*self._now(), delivery.id, delivery.fence) for delivery in claimed]
        self._session.con.executemany(_BACK, values)
        bump(self._session.con)

    def due_in(self, busy: Collection[Address]) -> float | None:
        """See `Outbox.due_in`."""
        found = self._session.rows(_NEXT, (_keys(busy),))
        return max(0.0, found[0][0] - self._clock.boot()) if found else None

    def deliveries(self, owner: str, limit: int) -> list[Delivery]:
        """See `Outbox.deliveries`."""
        return _deliveries(self._session.rows(_NEWEST, (owner, limit)))

    def endpoints(self, owner: str) -> list[Endpoint]:
        """See `Outbox.endpoints`."""
        return [self._made(row) for row in self._session.rows(_ENDPOINTS, (owner,))]

    def redeliver(self, owner: str, name: str) -> list[Delivery]:
        """See `Outbox.redeliver`."""
        return self._session.write(lambda: self._redeliver(owner, name), durable=True)

    def _redeliver(self, owner: str, name: str) -> list[Delivery]:
        again = _deliveries(self._session.rows(_AGAIN, (*self._now(), owner, name, name)))
        if not again:
            raise UnknownDelivery(name)
        for delivery in again:
            self._session.con.execute(_WELL, (owner, delivery.address.to))
        # Another process's postman looks when the counter moves.
        bump(self._session.con)
        return again

    def rotate(self, owner: str, url: str, secret: str, keep_s: float) -> Endpoint:
        """See `Outbox.rotate`."""
        return self._session.write(lambda: self._rotate(owner, url, secret, keep_s), durable=True)

    def _rotate(self, owner: str, url: str, secret: str, keep_s: float) -> Endpoint:
        con = self._session.con
        con.execute(_KNOW, (owner, url, secret))
        con.execute(_ROTATE, (self._clock.wall() + keep_s, secret, owner, url, secret))
        con.execute(_WELL, (owner, url))
        return self._made(self._session.rows(_ENDPOINT, (owner, url))[0])

    def secrets(self, owner: str, url: str) -> tuple[str, ...]:
        """The valid secrets of an endpoint, the newest first; one is made where there is none."""
        found = self._session.rows(_ENDPOINT, (owner, url))
        if not found:
            return self.rotate(owner, url, fresh_secret(), 0).secrets
        return self._made(found[0]).secrets

    def _endpoint(self, delivery: Delivery) -> Endpoint | None:
        if delivery.address.kind != "webhook":
            return None
        found = self._session.rows(_ENDPOINT, (delivery.owner, delivery.address.to))
        return self._made(found[0]) if found else None

    def _made(self, row: tuple[Any, ...]) -> Endpoint:
        url, secret, older, until, failing_s, disabled = row
        valid = (secret, older) if older is not None and self._clock.wall() < until else (secret,)
        return Endpoint(url, valid, failing_s, disabled)

    def _now(self) -> tuple[float, float]:
        return self._clock.boot(), self._clock.wall()


def _keys(busy: Collection[Address]) -> str:
    return json.dumps([f"{address.kind} {address.to}" for address in busy])


def _deliveries(rows: list[tuple[Any, ...]]) -> list[Delivery]:
    return [
        Delivery(name, job, owner, Address(kind, to), state, attempt, fence, note, at)
        for name, job, owner, kind, to, state, attempt, fence, note, at in rows
    ]
