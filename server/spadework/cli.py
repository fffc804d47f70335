"""The `spadework` command: what a person types, and what `mcp.json` runs.

Exit codes: 0 ok, 1 failed, 2 usage, 4 missing key, 130 interrupted (the job is kept, and the message says how to find
it). Answers go to stdout, everything else to stderr.
"""

from __future__ import annotations

import json
import secrets
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from pydantic import ValidationError

from spadework.costs import costs
from spadework.inbox import main as folder_inbox
from spadework.install import install
from spadework.mailroom import mailroom
from spadework.roster import engines
from spadework.screen import Screen, sources
from spadework.settings import Settings
from spadework.upkeep import upkeep
from spadework.visit import Jobs, visit
from spadework_tools.complaint import complaint
from spadework_tools.errors import BadRequest, MissingKey, Trouble
from spadework_tools.models import Effort, Report, Request, Standing, Status, View

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
JobId = Annotated[str, typer.Argument(help="The job's id.", metavar="ID")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NoDesk = Annotated[bool, typer.Option("--no-desk", help="Run everything in this one process.")]
cli.add_typer(upkeep, name="desk")
cli.command()(install)
cli.command()(costs)
cli.command()(engines)
cli.add_typer(mailroom, name="webhooks")


class Unwritten(Trouble):
    """A file that the person asked for cannot be written."""

    code = "unwritten"


def main() -> None:
    """Run the command line; every foreseen failure ends with its sentence and its exit code."""
    screen = Screen()
    try:
        cli()
    except MissingKey as trouble:
        screen.note(f"spadework: {trouble}")
        sys.exit(4)
    except BadRequest as trouble:
        screen.note(f"spadework: {trouble}")
        sys.exit(2)
    except Trouble as trouble:
        screen.note(f"spadework: {trouble}")
        sys.exit(1)
    except KeyboardInterrupt:
        screen.note("spadework: interrupted; jobs are kept. See them with: spadework jobs")
        sys.exit(130)


@cli.command()
def serve(
    no_desk: NoDesk = False,
    http: Annotated[
        str | None, typer.Option("--http", help="Serve over HTTP too, in the foreground.", metavar="HOST:PORT")
    ] = None,
) -> None:
    """Serve MCP on stdin and stdout; what an agent's mcp.json runs. With --http it is the desk itself."""
    if http is not None and not no_desk:
        from spadework.web import run

        run(http)
        return
    if http is not None or not no_desk:
        raise BadRequest("serve takes one of --no-desk and --http HOST:PORT, or neither. Run it with one of them.")
    # The MCP SDK takes a second to import; `--help` and usage errors need not wait for it.
    from spadework.app import opened, server
    from spadework.transports import serve_stdio

    async def until_closed() -> None:
        async with opened(Settings.load()) as house, anyio.create_task_group() as group:
            desk = house.desk()
            group.start_soon(house.courier.run)
            await serve_stdio(server(lambda _: desk, tasks=house.kit.settings.tasks == "auto"), house.runner)

    anyio.run(until_closed)


@cli.command()
def research(
    question: Annotated[str, typer.Argument(help="What to find out.")],
    folders: Annotated[list[str] | None, typer.Option("--in", help="A folder to research; may be repeated.")] = None,
    engine: Annotated[str, typer.Option(help="auto, or an engine's name.")] = "auto",
    effort: Annotated[Effort, typer.Option(help="How much to spend on it.")] = "medium",
    schema: Annotated[Path | None, typer.Option(help="A JSON Schema file for data beside the text.")] = None,
    as_json: AsJson = False,
    no_desk: NoDesk = False,
) -> None:
    """Research a question, watch it, and print the cited answer."""
    request = _request(
        question=question,
        engine=engine,
        effort=effort,
        folders=tuple(folders or ()),
        output_schema=_schema(schema),
        # A person who asks again means it: files may have changed since.
        idempotency_key=f"cli-{secrets.token_hex(8)}",
    )

    async def ask(desk: Jobs) -> tuple[Standing, Report | None]:
        ticket = await desk.start(request)
        return await _followed(desk, ticket.job_id)

    # Who names a folder on their own command line has allowed it.
    roots = [Path(folder).resolve() for folder in folders or ()]
    _print_answer(*visit(ask, no_desk=no_desk, run=True, roots=roots), as_json=as_json)


@cli.command()
def jobs(
    as_json: AsJson = False,
    cursor: Annotated[str | None, typer.Option(help="The next page.")] = None,
    no_desk: NoDesk = False,
) -> None:
    """List the recent jobs, newest first."""
    found = visit(lambda desk: desk.check(cursor=cursor), no_desk=no_desk)
    screen = Screen()
    if as_json:
        screen.data(found.model_dump(mode="json", exclude_none=True))
        return
    screen.jobs(found.jobs)
    if found.cursor:
        screen.note(f"More: spadework jobs --cursor {found.cursor}")


@cli.command()
def show(
    job_id: JobId,
    view: Annotated[View, typer.Option(help="Which view of the report.")] = "full",
    section: Annotated[str | None, typer.Option(help="A section's id, for --view section.")] = None,
    query: Annotated[str | None, typer.Option(help="What to look for, for --view evidence.")] = None,
    as_json: AsJson = False,
    no_desk: NoDesk = False,
) -> None:
    """Print a report, or one view of it."""

    async def read(desk: Jobs) -> str:
        page = await desk.collect(job_id, view, section=section, query=query, max_chars=20_000)
        text = page.text
        while page.cursor is not None:
            page = await desk.collect(job_id, view, section=section, query=query, cursor=page.cursor, max_chars=20_000)
            text += page.text
        return text

    text = visit(read, no_desk=no_desk)
    screen = Screen()
    if as_json:
        screen.data({"job_id": job_id, "view": view, "text": text})
    else:
        screen.markdown(text)


@cli.command()
def watch(job_id: JobId, as_json: AsJson = False, no_desk: NoDesk = False) -> None:
    """Watch a job to its end and print its answer; without a desk it goes on here if nobody else works on it."""
    _print_answer(*visit(partial(_followed, job_id=job_id), no_desk=no_desk, run=True), as_json=as_json)


@cli.command()
def answer(
    job_id: JobId,
    text: Annotated[str, typer.Argument(help="The answer.")],
    as_json: AsJson = False,
    no_desk: NoDesk = False,
) -> None:
    """Answer what a job asks, watch it, and print the cited answer."""
    request = _request(question=text, follow_up_to=job_id)

    async def tell(desk: Jobs) -> tuple[Standing, Report | None]:
        if (await desk.check([job_id])).jobs[0].asks is None:
            raise BadRequest(f"{job_id} asks nothing now, so nothing was done. See: spadework watch {job_id}")
        await desk.start(request)
        return await _followed(desk, job_id)

    _print_answer(*visit(tell, no_desk=no_desk, run=True), as_json=as_json)


@cli.command()
def cancel(job_id: JobId, as_json: AsJson = False, no_desk: NoDesk = False) -> None:
    """Cancel a job; what was found stays readable."""
    ended = visit(lambda desk: desk.cancel(job_id), no_desk=no_desk)
    screen = Screen()
    if as_json:
        screen.data(ended.model_dump(mode="json"))
    else:
        screen.text(f"{ended.job_id} {ended.status}. {ended.note}")


@cli.command()
def export(
    job_id: JobId,
    output: Annotated[Path, typer.Option("-o", "--output", help="FILE.md, FILE.html or FILE.json.")],
    no_desk: NoDesk = False,
) -> None:
    """Write a report to a file, as Markdown, a web page or JSON by the file's name."""
    from spadework.reports import export as formats

    if output.suffix not in formats.FORMATS:
        raise BadRequest(
            f"{output.name} names no format to export. Use a file that ends in {' or '.join(formats.FORMATS)}."
        )
    job, report = visit(lambda desk: desk.report(job_id), no_desk=no_desk)
    text = formats.FORMATS[output.suffix](job.id, job.request.question, report)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Unwritten(f"{output} could not be written ({error.strerror}). Name another file with -o.") from None
    Screen().note(f"Wrote {output}")


@cli.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def inbox(context: typer.Context) -> None:
    """Print the research that was started from this folder and has ended."""
    raise typer.Exit(folder_inbox(context.args))


@cli.command()
def verify(
    job_id: JobId,
    online: Annotated[bool, typer.Option("--online", help="Ask every cited address again.")] = False,
    as_json: AsJson = False,
    no_desk: NoDesk = False,
) -> None:
    """Check a report's citations again, from the pages kept with it; ends with 1 if a verdict got worse."""
    # What checks quotes and opens connections takes a while to import; no other command needs it.
    from spadework.audit import audit

    audit(job_id, online=online, as_json=as_json, no_desk=no_desk)


@cli.command()
def demo() -> None:
    """Show an agent's turns through a real MCP client: start, go on working, come back for the report."""
    from spadework.demo import play

    anyio.run(play, Screen())


async def _followed(desk: Jobs, job_id: str) -> tuple[Standing, Report | None]:
    """Watch a job to its end; its last standing, and its report if there is one."""
    screen = Screen()
    found = await desk.check([job_id])
    try:
        with screen.watcher() as watcher:
            while not found.jobs[0].status.terminal and found.jobs[0].asks is None:
                watcher.show(found.jobs[0])
                found = await desk.check([job_id], wait_s=1)
    except anyio.get_cancelled_exc_class():
        screen.note(f"The job is kept. Go on with: spadework watch {job_id}")
        raise
    standing = found.jobs[0]
    if standing.status is Status.COMPLETED:
        return standing, (await desk.report(job_id))[1]
    return standing, None


def _print_answer(standing: Standing, report: Report | None, *, as_json: bool) -> None:
    screen = Screen()
    if as_json:
        screen.data(
            {
                "job": standing.model_dump(mode="json", exclude_none=True),
                "report": report.model_dump(mode="json", exclude_none=True) if report else None,
            }
        )
    elif report is not None:
        screen.markdown(report.text)
        screen.text(sources(report))
        screen.note(f"Read it again: spadework show {standing.job_id}")
    if report is None:
        why = standing.error.message if standing.error else "It was cancelled."
        if standing.asks is not None:
            why = f'{standing.phase}: {standing.asks} Here: spadework answer {standing.job_id} "TEXT"'
        screen.note(f"spadework: {standing.job_id} {standing.status}. {why}")
        raise typer.Exit(1)


def _request(**fields: Any) -> Request:
    try:
        return Request(**fields)
    except ValidationError as error:
        raise BadRequest(f"{complaint(error.errors()[0])}. Correct it and try again.") from None


def _schema(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadRequest(f"{path} cannot be read as JSON ({error}). Give a file that holds a JSON Schema.") from None
