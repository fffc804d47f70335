"""Whom to tell when a job ends: the webhook asked for or set, the caller's inbox, the command of the settings."""

from __future__ import annotations

from collections.abc import Callable

from spadework.caller import LOCAL, Caller
from spadework.delivery import Address
from spadework_tools.errors import BadWebhook, EgressRefused
from spadework_tools.models import Request


def addresses(request: Request, caller: Caller, judge: Callable[[str], None]) -> tuple[Address, ...]:
    """The addresses of a caller's request; `judge` refuses a URL that can be seen to be wrong. Raises BadWebhook."""
    tell: list[Address] = []
    url = request.webhook_url or caller.settings.webhook_url
    if url is not None:
        try:
            judge(url)
        except EgressRefused as refusal:
            what = "webhook_url" if request.webhook_url else "the setting webhook_url"
            raise BadWebhook(f"{what} cannot be told, so nothing was started: {refusal.message}") from None
        tell.append(Address("webhook", url))
    if caller.owner == LOCAL:
        tell.append(Address("inbox", str(caller.base)))
    if caller.settings.on_finish:
        tell.append(Address("command"))
    return tuple(tell)
