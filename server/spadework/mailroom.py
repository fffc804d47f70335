"""`spadework webhooks list|redeliver|rotate`: looking after what is sent when jobs end."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import anyio
import typer

from spadework.delivery import Delivery, Endpoint, fresh_secret
from spadework.screen import Screen
from spadework.visit import Jobs, visit

#: How long a command waits for what came of a delivery, seconds; an endpoint may take 20 to answer.
PATIENCE_S = 25.0

mailroom = typer.Typer(no_args_is_help=True, help="Look after the webhooks that are sent when jobs end.")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NoDesk = Annotated[bool, typer.Option("--no-desk", help="Run everything in this one process.")]


@mailroom.command("list")
def listed(
    show: Annotated[bool, typer.Option("--secrets", help="Show the signing secrets.")] = False,
    as_json: AsJson = False,
    no_desk: NoDesk = False,
) -> None:
    """List the endpoints and the newest deliveries."""
    endpoints, deliveries = visit(lambda desk: desk.webhooks(), no_desk=no_desk)
    screen = Screen()
    if as_json:
        rows = [_row(endpoint, show=show) for endpoint in endpoints]
        screen.data({"endpoints": rows, "deliveries": [asdict(one) for one in deliveries]})
        return
    if not endpoints:
        screen.note("No webhook was ever asked for. Give start_research a webhook_url, or set SPADEWORK_WEBHOOK_URL.")
    for endpoint in endpoints:
        screen.fields(*_endpoint(endpoint, show=show))
    for delivery in deliveries:
        screen.fields(*_delivery(delivery))


@mailroom.command()
def redeliver(
    name: Annotated[str, typer.Argument(help="A delivery's id, or a job's for all of its.", metavar="ID")],
    as_json: AsJson = False,
    no_desk: NoDesk = False,
) -> None:
    """Send webhooks again under the same webhook-id, and say what came of it; their endpoints are enabled again."""
    again = visit(lambda desk: desk.redeliver(name), no_desk=no_desk, run=True)
    tried = visit(partial(_tried, [one.id for one in again]), no_desk=no_desk)
    screen = Screen()
    if as_json:
        screen.data([asdict(one) for one in tried])
    else:
        for delivery in tried:
            screen.fields(*_delivery(delivery))
    if any(one.state != "delivered" for one in tried):
        raise typer.Exit(1)


@mailroom.command()
def rotate(
    url: Annotated[str, typer.Argument(help="The endpoint.", metavar="URL")],
    as_json: AsJson = False,
    no_desk: NoDesk = False,
) -> None:
    """Give an endpoint a new secret; for 24 hours the one before signs too. A new endpoint gets its first."""
    secret = fresh_secret()
    endpoint = visit(lambda desk: desk.rotate(url, secret), no_desk=no_desk)
    screen = Screen()
    if as_json:
        screen.data(_row(endpoint, show=True))
    else:
        screen.fields(*_endpoint(endpoint, show=True))


async def _tried(ids: list[str], desk: Jobs) -> list[Delivery]:
    """The deliveries once each was tried, or as they stand when that takes too long."""
    found: list[Delivery] = []
    with anyio.move_on_after(PATIENCE_S):
        while True:
            found = [one for one in (await desk.webhooks())[1] if one.id in ids]
            if all(one.state != "due" or one.attempt for one in found):
                break
            await anyio.sleep(0.2)
    return found


def _row(endpoint: Endpoint, *, show: bool) -> dict[str, Any]:
    row = asdict(endpoint)
    return row if show else {name: value for name, value in row.items() if name != "secrets"}


def _endpoint(endpoint: Endpoint, *, show: bool) -> tuple[str, ...]:
    state = f"disabled: {endpoint.disabled}" if endpoint.disabled else "enabled"
    if endpoint.failing_s and not endpoint.disabled:
        state = f"failing for {endpoint.failing_s / 3600:.1f} h"
    return ("endpoint", endpoint.url, state, *(endpoint.secrets if show else ()))


def _delivery(delivery: Delivery) -> tuple[str, ...]:
    at = datetime.fromtimestamp(delivery.at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    when = f"next try {at}" if delivery.state == "due" else at
    tries = "try" if delivery.attempt == 1 else "tries"
    state = f"{delivery.state} after {delivery.attempt} {tries}" if delivery.attempt else delivery.state
    return (delivery.id, delivery.job_id, state, when, delivery.address.to, delivery.note)
