"""What a person sees: a progress bar on a terminal, plain lines when piped; answers on stdout, all else on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Self

from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from spadework_tools.clean import clean
from spadework_tools.models import Report, Standing


class Screen:
    """Where a command's words go."""

    def __init__(self) -> None:
        self._out = Console(soft_wrap=True, highlight=False)
        self._err = Console(stderr=True, soft_wrap=True, highlight=False)

    def data(self, value: Any) -> None:
        """A JSON value on stdout, for `--json`."""
        self._out.print(json.dumps(value, ensure_ascii=False, indent=2), markup=False)

    def text(self, text: str) -> None:
        """Plain text on stdout, as it stands."""
        self._out.print(clean(text), markup=False)

    def markdown(self, text: str) -> None:
        """Markdown on stdout: laid out on a terminal, as it stands when piped."""
        if self._out.is_terminal:
            self._out.print(Markdown(clean(text)), soft_wrap=False)
        else:
            self.text(text)

    def note(self, text: str) -> None:
        """A line for the person, on stderr."""
        self._err.print(clean(text), markup=False)

    def jobs(self, standings: Iterable[Standing]) -> None:
        """A table of jobs, or one tab-parted line each when piped."""
        rows = [(s.job_id, _state(s), s.phase, f"{s.elapsed_s} s", s.label or "") for s in standings]
        if not self._out.is_terminal:
            for row in rows:
                # Rich would lay the tabs out as blanks, and a script could not part the fields.
                self._out.file.write("\t".join(clean(cell) for cell in row) + "\n")
            return
        table = Table("job", "status", "phase", "time", "label", box=None)
        for row in rows:
            table.add_row(*(clean(cell) for cell in row))
        self._out.print(table, soft_wrap=False)

    def fields(self, *cells: str) -> None:
        """A line of fields on stdout, parted by tabs when piped."""
        if self._out.is_terminal:
            self._out.print("  ".join(clean(cell) for cell in cells if cell), markup=False)
        else:
            self._out.file.write("\t".join(clean(cell) for cell in cells) + "\n")

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table with a head, or one tab-parted line each, the head first, when piped."""
        if not self._out.is_terminal:
            for row in (head, *rows):
                self._out.file.write("\t".join(clean(cell) for cell in row) + "\n")
            return
        table = Table(*head, box=None)
        for row in rows:
            table.add_row(*(clean(cell) for cell in row))
        self._out.print(table, soft_wrap=False)

    def watcher(self) -> Watcher:
        """A progress display for one job."""
        return Watcher(self._err)


class Watcher:
    """Shows one job's progress as it changes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = ""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[eta]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("waiting", total=1.0, eta="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, standing: Standing) -> None:
        """Show where the job stands; on a pipe, a line for each new phase."""
        eta = f"about {standing.eta_s} s left" if standing.eta_s else ""
        phase = standing.phase or str(standing.status)
        if self._console.is_terminal:
            done = standing.progress
            self._bar.update(self._task, description=phase, completed=done or 0, total=None if done is None else 1.0)
            self._bar.update(self._task, eta=eta)
        elif phase.split()[0] != self._said:
            self._said = phase.split()[0]
            self._console.print(f"{standing.job_id} {standing.status}: {phase}", markup=False)


def sources(report: Report) -> str:
    """The sources and citations of a report, as the tail of a printed answer."""
    by_id = {source.id: source for source in report.sources}
    lines = ["", "Citations"]
    for citation in report.citations:
        source = by_id[citation.source_id]
        place = f"page {citation.page}" if citation.page else f"line {citation.line}" if citation.line else ""
        where = source.url or source.path or source.title
        lines.append(f"  [{citation.id}] {where}{f', {place}' if place else ''}: {citation.verdicts.quote.verdict}")
    return "\n".join(lines) if report.citations else ""


def _state(standing: Standing) -> str:
    return f"{standing.status} ({standing.outcome})" if standing.outcome else str(standing.status)
