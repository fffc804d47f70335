"""Prompts: what a person picks from a client's menu to start, compare, resume and verify research."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from spadework_tools.clean import clean
from spadework_tools.errors import BadRequest

#: The longest argument that is put into a prompt, in characters.
LONGEST: Final = 8_000


@dataclass(frozen=True, slots=True)
class Blank:
    """One thing that a prompt is given; `offers` are what a client may complete it to."""

    name: str
    description: str
    required: bool = False
    offers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt: its words, its blanks, and the message they make."""

    name: str
    title: str
    description: str
    blanks: tuple[Blank, ...]
    write: Callable[[Mapping[str, str]], str]

    def render(self, given: Mapping[str, str]) -> str:
        """The message. Raises BadRequest for a blank that is missing, unknown or too long."""
        known = {blank.name for blank in self.blanks}
        if unknown := sorted(set(given) - known):
            taken = ", ".join(blank.name for blank in self.blanks)
            raise BadRequest(f"prompt {self.name} has no argument {unknown[0][:60]!r}. It takes {taken}.")
        filled = {name: clean(text).strip() for name, text in given.items()}
        for blank in self.blanks:
            if blank.required and not filled.get(blank.name):
                raise BadRequest(f"prompt {self.name} needs {blank.name}: {blank.description}. Fill it in.")
        if long := [name for name, text in filled.items() if len(text) > LONGEST]:
            raise BadRequest(f"{long[0]} is longer than {LONGEST} characters. Shorten it.")
        return self.write(filled)


def _deep(given: Mapping[str, str]) -> str:
    effort = f" Use effort {given['effort']}." if given.get("effort") else ""
    folders = f" Research these local folders: {given['folders']}." if given.get("folders") else ""
    return (
        "Research this with spadework:\n\n"
        f"{given['question']}\n\n"
        "Write it as one self-contained question (the researcher cannot see this conversation) and call "
        f"start_research.{effort}{folders} Tell me that it is under way and go on with anything else I asked for. "
        "When it is done, read the brief with get_result, open the sections that matter, and answer with the [c1] "
        "marks; say which claims have no verbatim quote behind them."
    )


def _compare(given: Mapping[str, str]) -> str:
    by = given.get("criteria") or "the criteria that matter most for choosing between them (name them first)"
    return (
        f"Compare these with spadework: {given['subjects']}\n\n"
        f"Compare by {by}.\n\n"
        "Start one research job for each subject with the same criteria in the question, all before you wait for any. "
        "When they are done, make one table, a row for each subject and a column for each criterion, with a [c1] mark "
        "and the job's id behind each cell. Leave a cell empty and say so where no source was found."
    )


def _resume(given: Mapping[str, str]) -> str:
    about = f" about {given['topic']}" if given.get("topic") else ""
    return (
        f"Find my research{about}. Call check_research without job_ids (page with cursor) and list what is there: "
        "running, waiting for an answer, finished. Answer nothing for me: show me what a waiting job asks. Of the "
        "finished ones, read the brief of the newest that fits and tell me what it found."
    )


def _verify(given: Mapping[str, str]) -> str:
    return (
        f"Check the citations of research job {given['job_id']}. Read get_result with view=citations to its end. "
        "For each, say whether its quote is verbatim in the source, whether it supports the sentence it stands behind, "
        "and whether the address still leads there; these are three separate checks, and one that did not run is not "
        "passed. End with the claims that should be weakened or dropped, and why."
    )


PROMPTS: Final[tuple[Prompt, ...]] = (
    Prompt(
        "deep_research", "Research a question", "Research a question in the background and answer with citations.",
        (
            Blank("question", "What to find out", required=True),
            Blank("effort", "low, medium or high: about 1, 5, 30 minutes", offers=("low", "medium", "high")),
            Blank("folders", "Local folders to research, if any"),
        ),
        _deep,
    ),
    Prompt(
        "compare", "Compare several things", "One research job for each subject, joined in a table with citations.",
        (
            Blank("subjects", "What to compare, parted by commas", required=True),
            Blank("criteria", "By what to compare them"),
        ),
        _compare,
    ),
    Prompt(
        "resume_my_research", "Resume my research", "Find earlier research, of any session, and go on with it.",
        (Blank("topic", "What it was about"),),
        _resume,
    ),
    Prompt(
        "verify_citations", "Check a report's citations", "Go through a report's citations and their checks.",
        (Blank("job_id", "The research job", required=True),),
        _verify,
    ),
)  # fmt: skip


def prompt(name: str) -> Prompt | None:
    """The prompt of this name."""
    return next((one for one in PROMPTS if one.name == name), None)
