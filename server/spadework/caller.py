"""Callers: who asks, from where, with which settings and keys. In memory alone, never written down.

A key belongs to the client that brought it. The job it started goes on with it after that client has closed; after a
restart of the desk any later caller of the same owner may bring it again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from pydantic import SecretStr

from spadework.environ import VENDOR_KEYS, workfolder
from spadework.settings import Settings, workplace
from spadework_tools.errors import MissingKey

#: The owner of everything done on this machine by its own user.
LOCAL = "local"
#: So many different callers of one desk are remembered, and so many jobs with their callers.
CALLERS, CHARGES = 32, 10_000


@dataclass(frozen=True)
class Caller:
    """One caller: the owner of its jobs, the folder its relative paths start from, and its settings with its keys."""

    settings: Settings = field(repr=False)
    owner: str = LOCAL
    base: Path = field(default_factory=lambda: Path(workfolder()))

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders whose files this caller may have read."""
        return self.settings.roots or workplace(self.base)

    def demand(self, vendor: str) -> None:
        """Raises MissingKey when the caller has no key for a vendor that needs one."""
        if vendor in VENDOR_KEYS and vendor not in self.settings.vendor_keys:
            raise missing(vendor, "Set it where spadework starts, then retry.")


class Callers:
    """The callers that a process has seen, the newest last, and whose keys each job at work here may use."""

    def __init__(self) -> None:
        self._seen: list[Caller] = []
        self._charges: OrderedDict[str, Caller] = OrderedDict()
        self._came = anyio.Event()
        self._patron: Caller | None = None

    def lend(self, patron: Caller) -> None:
        """Let this caller's keys serve every job whose own callers have none: a host's, for its guests over HTTP."""
        self._patron = patron

    def arrive(self, caller: Caller) -> None:
        """Take note of a caller; work that waits for a key is told."""
        self._seen = [*(one for one in self._seen if one != caller), caller][-CALLERS:]
        came, self._came = self._came, anyio.Event()
        came.set()

    async def arrival(self) -> None:
        """Wait until the next caller arrives."""
        await self._came.wait()

    def charge(self, job_id: str, caller: Caller) -> None:
        """Let a job use this caller's keys for as long as this process lives."""
        self._charges[job_id] = caller
        if len(self._charges) > CHARGES:
            self._charges.popitem(last=False)

    def release(self, job_id: str) -> None:
        """The job has ended, or was another."""
        self._charges.pop(job_id, None)

    def key(self, job_id: str, owner: str, vendor: str) -> str:
        """The key for a job: its own caller's, else that of the owner's latest caller who has one.

        Raises MissingKey, naming the variables that may hold it.
        """
        for caller in self._of(job_id, owner):
            held = secret(caller.settings, vendor)
            if held is not None:
                return held.get_secret_value()
        raise missing(vendor, "The job waits, and goes on by itself as soon as a client brings the key.")

    def setting(self, job_id: str, owner: str, name: str) -> str | None:
        """A setting that is no secret, by its variable's name, if the job's caller has it set."""
        caller = next(self._of(job_id, owner), None)
        return caller.settings.text(name) if caller else None

    def secrets(self) -> set[str]:
        """Every secret value that is held, for whoever must not let one slip out."""
        callers = [*self._seen, *self._charges.values(), *([self._patron] if self._patron else [])]
        return {value for caller in callers for value in _secrets(caller.settings)}

    def _of(self, job_id: str, owner: str) -> Iterator[Caller]:
        charged = self._charges.get(job_id)
        if charged is not None:
            yield charged
        yield from (caller for caller in reversed(self._seen) if caller.owner == owner)
        if self._patron is not None:
            yield self._patron


def secret(settings: Settings, vendor: str) -> SecretStr | None:
    """The key for a vendor, or for the user's own model (`llm`), as these settings have it."""
    return settings.llm_api_key if vendor == "llm" else settings.vendor_keys.get(vendor)


def missing(vendor: str, advice: str) -> MissingKey:
    """The error of a key that nobody has brought."""
    variables = VENDOR_KEYS.get(vendor, (f"{vendor.upper()}_API_KEY",))
    return MissingKey(f"{vendor} needs a key and {' or '.join(variables)} is not set. {advice}", variables)


def _secrets(settings: Settings) -> Iterator[str]:
    signing = [secret for secrets in settings.webhook_secrets.values() for secret in secrets]
    held = [*settings.vendor_keys.values(), *settings.tokens.values(), *signing, settings.llm_api_key]
    yield from (value for secret in held if isinstance(secret, SecretStr) and (value := secret.get_secret_value()))
