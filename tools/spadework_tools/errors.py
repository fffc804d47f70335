"""Every foreseen failure, with what to do next.

    Trouble
    ├── BadRequest            the arguments cannot work as they stand
    │   ├── UnknownArgument   a name that no tool has
    │   ├── Unclear           something only the person at the client can say is missing
    │   ├── UnknownEngine     an engine or tier nobody serves
    │   ├── BadFolder         a folder that is missing, empty or outside the allowed roots
    │   └── BadWebhook        an address that no webhook may be sent to
    ├── UnknownJob            no such job for this caller (or it is someone else's, which reads the same)
    ├── JobExpired            the job was here; its retention is over
    ├── UnknownSource         a report has no kept source with this hash
    ├── UnknownDelivery       no such webhook delivery for this caller
    ├── BadSignature          a webhook that is forged, stale or not whole
    ├── IdempotencyMismatch   a key used before with other arguments
    ├── NotReady              the report is still being made
    ├── NoReport              the job ended without one
    ├── BudgetExceeded        the worst case does not fit the cap
    ├── MissingKey            an engine needs a key that is not set
    ├── QueueFull             too many jobs are waiting
    ├── TooManyJobs           this owner has as many jobs under way as one may have
    ├── RateLimited           this owner calls more often than one may
    ├── NotAdmitted           a call over HTTP that nobody vouches for
    ├── StorageFull           the disk has no room
    ├── ReadOnly              the home cannot be written
    ├── RegistryBusy          another process holds the registry for too long
    ├── RegistryCorrupt       the registry's files are not what we wrote
    ├── EgressRefused         an address that the guard lets nobody reach
    ├── Unreachable           no usable connection to the other side, or its answer was lost
    ├── BadReply              an answer that came, and cannot be used
    └── EngineFailed          the engine gave up, in its own words

A message is product text that an agent reads: what happened, why, and what to do next, in two sentences.
`code` is the stable snake_case name; `str(error)` is `code: message`, the form every door shows.
"""

from __future__ import annotations


class Trouble(Exception):
    """Something foreseen went wrong; the message says what to do about it."""

    code = "trouble"
    retryable = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class BadRequest(Trouble):
    """The arguments cannot work as they stand."""

    code = "bad_request"


class UnknownArgument(BadRequest):
    """An argument that the tool does not take; the message names the nearest one it does."""

    code = "unknown_argument"


class Unclear(BadRequest):
    """A request lacks what only the person at the client can say.

    `argument` is the tool's argument that would hold it and `question` what to ask that person; the message is for a
    client that can ask nobody.
    """

    def __init__(self, message: str, argument: str, question: str) -> None:
        super().__init__(message)
        self.argument, self.question = argument, question


class UnknownEngine(BadRequest):
    """An engine or tier that nobody serves here."""

    code = "unknown_engine"


class BadFolder(BadRequest):
    """A folder that is missing, empty, not a folder, or outside the allowed roots."""

    code = "bad_folder"


class BadWebhook(BadRequest):
    """An address that no webhook may be sent to; nothing was started."""

    code = "bad_webhook"


class UnknownJob(Trouble):
    """No such job for this caller; a foreign job reads exactly the same."""

    code = "unknown_job"

    def __init__(self, job_id: str) -> None:
        shown = job_id if len(job_id) <= 60 else job_id[:60] + "…"
        super().__init__(
            f"there is no job {shown!r} for you: the id is wrong, or it is not yours. "
            "Call check_research without job_ids to list your jobs."
        )


class UnknownSource(Trouble):
    """A report has no kept source with this hash."""

    code = "unknown_source"

    def __init__(self, job_id: str, sha256: str) -> None:
        super().__init__(
            f"{job_id} has no kept source with sha256 {sha256[:64]}. "
            "Its citations.json names the source of each citation."
        )


class JobExpired(Trouble):
    """The job was here, but its retention is over."""

    code = "job_expired"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"the report of {job_id} was kept until its retention ended and is gone. Start it again.")


class UnknownDelivery(Trouble):
    """No such webhook delivery for this caller."""

    code = "unknown_delivery"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"no webhook of an ended job goes by {name[:60]!r}, so nothing was sent. See: spadework webhooks list."
        )


class BadSignature(Trouble):
    """A webhook that is forged, stale or not whole."""

    code = "bad_signature"


class IdempotencyMismatch(Trouble):
    """A key that was used before, with other arguments."""

    code = "idempotency_mismatch"

    def __init__(self, key: str, job_id: str, fields: tuple[str, ...]) -> None:
        self.job_id, self.fields = job_id, fields
        super().__init__(
            f"key {key!r} already belongs to {job_id}, whose {', '.join(fields)} differ from these. "
            f"Use a new key for new work, or call check_research with {job_id}."
        )


class NotReady(Trouble):
    """The report is still being made."""

    code = "not_ready"
    retryable = True


class NoReport(Trouble):
    """The job ended without a report."""

    code = "no_report"


class BudgetExceeded(Trouble):
    """The worst case does not fit the cap; nothing was sent."""

    code = "budget_exceeded"


class MissingKey(Trouble):
    """An engine needs a key that is not set; `variables` are those that may hold it."""

    code = "missing_key"

    def __init__(self, message: str, variables: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.variables = variables


class QueueFull(Trouble):
    """Too many jobs are waiting; nothing was accepted."""

    code = "queue_full"
    retryable = True

    def __init__(self, queued: int, limit: int, retry_after_s: int = 60) -> None:
        self.queued, self.limit, self.retry_after_s = queued, limit, retry_after_s
        super().__init__(
            f"{queued} jobs are waiting and the limit is {limit}, so this one was not accepted. "
            f"Try again in {retry_after_s} s, or cancel jobs you no longer need."
        )


class TooManyJobs(Trouble):
    """The owner has as many jobs under way as one may have; nothing was started."""

    code = "too_many_jobs"
    retryable = True

    def __init__(self, running: int, limit: int) -> None:
        super().__init__(
            f"{running} of your jobs are queued or running and {limit} is the limit for one owner, so nothing was "
            "started. "
            "Wait until one ends (check_research lists them), or cancel one you no longer need."
        )


class RateLimited(Trouble):
    """The owner calls more often than one may; this call did nothing."""

    code = "rate_limited"
    retryable = True

    def __init__(self, per_minute: int, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(
            f"you made more than {per_minute} calls within a minute, so this one did nothing. "
            f"Call again in {retry_after_s} s; check_research with wait_s waits without spending calls."
        )


class NotAdmitted(Trouble):
    """A call over HTTP that nobody vouches for."""

    code = "not_admitted"

    def __init__(self) -> None:
        super().__init__("this call carries no valid credential, so it did nothing. Send a bearer token and try again.")


class StorageFull(Trouble):
    """The disk has no room; what was stored before is safe and readable."""

    code = "storage_full"
    retryable = True

    def __init__(self, where: str = "the registry's disk") -> None:
        super().__init__(
            f"{where} is full, so nothing new was stored; earlier jobs and reports are safe. "
            "Free some space and try again."
        )


class ReadOnly(Trouble):
    """The home cannot be written; reading still works."""

    code = "read_only"

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where} cannot be written, so no job can be accepted or run; stored reports can still be read. "
            "Set SPADEWORK_HOME to a writable folder, or restore write permission."
        )


class RegistryBusy(Trouble):
    """Another process held the registry for longer than we wait."""

    code = "registry_busy"
    retryable = True

    def __init__(self, waited_s: float) -> None:
        super().__init__(
            f"another process held the job registry for {waited_s:.0f} s, so this call changed nothing. Try it again."
        )


class RegistryCorrupt(Trouble):
    """The registry's files are not what we wrote; nothing was taken for an empty registry."""

    code = "registry_corrupt"


class SchemaNewer(RegistryCorrupt):
    """A newer spadework wrote the registry; its files were left untouched."""

    code = "schema_newer"


class BadHome(Trouble):
    """The home folder cannot carry a registry: a network file system, or a name that leads elsewhere."""

    code = "bad_home"


class EgressRefused(Trouble):
    """An address that the guard lets nobody reach; no byte was sent."""

    code = "egress_refused"


class Unreachable(Trouble):
    """No usable connection to the other side, or its answer was lost.

    `sent` says whether a byte of the request may have left: False proves that the other side never saw it.
    """

    code = "unreachable"
    retryable = True

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class BadReply(Trouble):
    """An answer that came, and cannot be used: too large, cut off, or not what it says it is."""

    code = "bad_upstream_response"


class EngineFailed(Trouble):
    """The engine gave up; the message carries its own words."""

    code = "engine_failed"

    def __init__(self, message: str, *, code: str | None = None, retryable: bool = False) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.retryable = retryable
