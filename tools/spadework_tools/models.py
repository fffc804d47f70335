"""The shapes an agent sees: what it hands in, the ticket it gets, and the report it comes back for.

Everything here is frozen and knows nothing of how a job is kept or run. Times are Unix seconds (UTC), durations
seconds, money US dollars, and every text position a half-open pair of code points.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Effort = Literal["low", "medium", "high"]
Part = Literal["job", "report.md", "report.html", "report.json", "citations.json", "source"]
View = Literal["brief", "outline", "section", "citations", "data", "evidence", "full"]


class Frozen(BaseModel):
    """A value that never changes once made; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Status(StrEnum):
    """Where a job is in its life; the last three are terminal and never change."""

    QUEUED = "queued"
    RUNNING = "running"
    NEEDS_INPUT = "needs_input"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether the job has ended."""
        return self in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


class Outcome(StrEnum):
    """How much a completed job found."""

    FULL = "full"
    PARTIAL = "partial"
    NO_EVIDENCE = "no_evidence"


Domain = Annotated[str, Field(min_length=3, max_length=253, pattern=r"^[^\s/:]+\.[^\s/:]+$")]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class Request(Frozen):
    """One research request as the agent states it (`start_research`'s arguments).

    Some clients strip defaults and bounds from the schema they show, so the descriptions state both.
    """

    question: str = Field(
        min_length=3,
        max_length=20_000,
        description="Self-contained (the researcher cannot see this conversation), 3-20000 characters",
    )
    engine: str = Field(
        "auto",
        min_length=1,
        max_length=80,
        description="auto (default), or a name with optional tier: parallel:ultra",
    )
    effort: Effort = Field("medium", description="Default medium; about 1, 5, 30 minutes")
    include_domains: tuple[Domain, ...] = Field((), max_length=50, description="Only these sites: example.org")
    exclude_domains: tuple[Domain, ...] = Field((), max_length=50)
    published_after: Day | None = Field(None, description="YYYY-MM-DD")
    published_before: Day | None = None
    folders: tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...] = Field(
        (), max_length=20, description="Local folders, within the allowed roots"
    )
    output_schema: dict[str, Any] | None = Field(None, description="JSON Schema for data beside the text")
    records: tuple[dict[str, Any], ...] = Field(
        (), max_length=10_000, description="Rows to enrich: one result row each, by output_schema"
    )
    follow_up_to: str | None = Field(
        None, max_length=80, description="A job_id to build on; if it asks, question answers it"
    )
    max_cost_usd: float | None = Field(None, gt=0, le=100_000, description="Refuse to start if it could cost more")
    webhook_url: str | None = Field(None, max_length=2_000, description="Told once when the job ends")
    idempotency_key: str | None = Field(
        None, min_length=1, max_length=255, description="Same key: same job, never bought twice"
    )
    label: str | None = Field(None, max_length=80, description="Your name for it")

    @field_validator("question")
    @classmethod
    def _says_something(cls, question: str) -> str:
        if len(question.strip()) < 3:
            raise ValueError("has fewer than 3 characters that are not white space")
        return question

    @field_validator("published_after", "published_before")
    @classmethod
    def _is_a_day(cls, day: str | None) -> str | None:
        if day is not None:
            date.fromisoformat(day)
        return day

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.records and self.output_schema is None:
            raise ValueError("records need an output_schema that says what each result row holds")
        if self.published_after and self.published_before and self.published_after > self.published_before:
            raise ValueError("published_after lies behind published_before")
        return self


class Ask(Frozen):
    """A question that a job asks before it goes on; `key` names it for the job's whole life."""

    key: str
    question: str
    choices: tuple[str, ...] = ()


class Fault(Frozen):
    """Why a job failed or waits: a stable snake_case code, and two sentences for the reader."""

    code: str
    message: str


class Ticket(Frozen):
    """What `start_research` returns: the job is durable, and this is how to come back to it.

    `why` says what made `auto` choose the engine. Come back to it as a background task's result, it says in `note` how
    the job ended and where to read on.
    """

    job_id: str
    status: Status
    created: bool | None = None
    engine: str
    why: str | None = None
    poll_after_s: int
    eta_s: int | None = None
    cost_estimate_usd: float | None = None
    expires_at: float | None = None
    outcome: Outcome | None = None
    note: str | None = None


class Standing(Frozen):
    """One job's line in `check_research`; `progress` runs from 0 to 1, `asks` is what it waits to be told, and how."""

    job_id: str
    status: Status
    outcome: Outcome | None = None
    label: str | None = None
    phase: str = ""
    progress: float | None = None
    sources: int = 0
    elapsed_s: int = 0
    eta_s: int | None = None
    error: Fault | None = None
    asks: str | None = None


class Life(Frozen):
    """One job as tasks and resources show it. Times are Unix seconds; `poll_s`: how often a look is worth it.

    `expires_at` is unknown until the job has ended, since its report is kept from then on.
    """

    standing: Standing
    question: str
    engine: str
    created_at: float
    changed_at: float
    expires_at: float | None = None
    poll_s: int
    asks: tuple[Ask, ...] = ()


class Standings(Frozen):
    """What `check_research` returns. `since` names this moment for the next call; `cursor` the next older page."""

    jobs: tuple[Standing, ...]
    poll_after_s: int | None = None
    since: str
    cursor: str | None = None
    unchanged: bool = False


class Cancelled(Frozen):
    """What `cancel_research` returns; `note` says what goes on elsewhere and may be billed."""

    job_id: str
    status: Status
    changed: bool
    note: str


class Page(Frozen):
    """A part of one view of a report: `text` is `whole[start:end]`, `sha256` that of the whole's UTF-8.

    Pages read from the first cursor to the last join to exactly the whole text.
    """

    job_id: str
    view: View
    text: str
    start: int
    end: int
    total: int
    sha256: str
    cursor: str | None = None


class Document(Frozen):
    """One part of a job as a file of its own."""

    mime_type: str
    text: str


class Target(Frozen):
    """What a citation or basis speaks of: a span of the report's text, a JSON pointer into its data, or all of it."""

    kind: Literal["span", "pointer", "document"] = "document"
    start: int | None = None
    end: int | None = None
    pointer: str | None = None


class Verdict(Frozen):
    """One check's finding on one axis. `detail` holds what the finding rests on; a check that did not run says so."""

    verdict: str = "not_checked"
    method: str | None = None
    detail: dict[str, Any] = Field(default_factory=dict)


class Verdicts(Frozen):
    """The three separate axes of a citation's check; they are never folded into one yes or no."""

    url: Verdict = Verdict()
    quote: Verdict = Verdict()
    support: Verdict = Verdict()


class Source(Frozen):
    """A page or file the engine cited, searched or read; `sha256` names its kept snapshot text."""

    id: str
    url: str | None = None
    path: str | None = None
    title: str = ""
    published: str | None = None
    accessed: float | None = None
    sha256: str | None = None
    seen_as: Literal["cited", "searched", "fetched"] = "fetched"


class Citation(Frozen):
    """A claim's pointer into a source. Where a snapshot is kept, `snapshot[start:end] == quote` always holds."""

    id: str
    source_id: str
    target: Target = Target()
    quote: str = ""
    start: int | None = None
    end: int | None = None
    page: int | None = None
    line: int | None = None
    section: str | None = None
    fragment_url: str | None = None
    verdicts: Verdicts = Verdicts()


class Confidence(Frozen):
    """How sure the vendor says it is: its level in our words, a score from 0 to 1, and its own wording."""

    level: Literal["low", "medium", "high"] | None = None
    score: float | None = None
    raw: str | None = None


class Basis(Frozen):
    """The vendor's reasoning and confidence for a field or claim, and the citations it rests on."""

    target: Target
    reasoning: str = ""
    confidence: Confidence = Confidence()
    citation_ids: tuple[str, ...] = ()


class Cost(Frozen):
    """What a job cost, and how we know: reported by the vendor, computed from its price table, estimated, unknown."""

    amount: float | None = None
    unit: str = "usd"
    kind: Literal["reported", "computed", "estimated", "unknown"] = "unknown"


class Provenance(Frozen):
    """Who made the report, with what and when; `warnings` lists everything the reader should know went otherwise."""

    engine: str
    tier: str | None = None
    model: str | None = None
    mode: str | None = None
    vendor_ids: dict[str, str] = Field(default_factory=dict)
    started_at: float | None = None
    finished_at: float | None = None
    adapter: str | None = None
    verified_on: str | None = None
    warnings: tuple[str, ...] = ()


class Report(Frozen):
    """The result of a job: Markdown with `[c12]` marks, its data, and everything needed to check it."""

    text: str
    outcome: Outcome = Outcome.FULL
    data: Any = None
    schema_ok: bool | None = None
    sources: tuple[Source, ...] = ()
    citations: tuple[Citation, ...] = ()
    basis: tuple[Basis, ...] = ()
    usage: dict[str, Any] = Field(default_factory=dict)
    cost: Cost = Cost()
    provenance: Provenance
