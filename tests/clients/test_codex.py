"""Codex from npm, with a loopback model in place of OpenAI's: `codex exec` over stdio and HTTP.

The model is scripted, but all it knows of a job is what Codex shows it of our answers.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.clients.codex import CODEX, Codex
from tests.clients.errands import DOCUMENTS, SLOW, Errand, searched
from tests.clients.package import Unreachable
from tests.clients.person import Person
from tests.clients.responses import Responses

TRANSPORTS = pytest.mark.parametrize("transport", ["stdio", "http"])


@pytest.fixture(scope="module")
def program() -> Path:
    """Codex; where npm cannot bring it, or it does not run, there is nothing to test."""
    try:
        return CODEX.installed()
    except Unreachable as reason:
        pytest.skip(f"Codex cannot be installed here: {reason}")


@TRANSPORTS
@pytest.mark.parametrize("errand", [DOCUMENTS, SLOW], ids=["documents", "slow"])
def test_codex_finds_the_tools_and_goes_the_whole_way(
    program: Path, transport: str, errand: Errand, tmp_path: Path
) -> None:
    with Person(tmp_path) as person, person.served(transport) as url:
        codex = Codex(program, person)
        model = Responses(errand.reader(person.work))
        with codex.thinking(model):
            codex.plug(url)
            said = codex.exec()
        errand.done(person, model, said)
        # One search by the words of a tool's name finds all four: the model need not look again.
        assert searched(model.moves) == ["start_research"]


def test_codex_shows_the_tools_at_once_to_a_model_that_it_does_not_know(program: Path, tmp_path: Path) -> None:
    with Person(tmp_path) as person:
        codex = Codex(program, person)
        model = Responses(DOCUMENTS.reader(person.work))
        with codex.thinking(model):
            codex.plug(None)
            said = codex.exec("someone-elses-model")
        DOCUMENTS.done(person, model, said)
        assert searched(model.moves) == []
