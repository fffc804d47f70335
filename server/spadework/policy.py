"""The policy of the door out: which addresses may be reached at all, and which can be refused by looking at them."""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import ip_network
from typing import Any

from ssrfguard import DEFAULT_DENIED, AddressTable, Block, Policy, Reach, resolve

#: Azure's host agent is a public address that answers from inside every machine there; the registries list no such
#: thing (learn.microsoft.com, "What is IP address 168.63.129.16?").
_AZURE = Block(ip_network("168.63.129.16/32"), "Azure host agent", "vendor documentation", Reach.DENIED)
GUARDED = Policy(denied_networks=AddressTable((*DEFAULT_DENIED.blocks, _AZURE)))
#: What spadework itself sends to an address that somebody gave it goes encrypted.
SECURE = Policy(denied_networks=GUARDED.denied_networks, allowed_schemes=frozenset({"https"}))
#: Reads a URL that the user configured: any port and address, still no userinfo and no control characters.
CONFIGURED = Policy(
    allowed_ports=frozenset(range(1, 65536)), allowed_networks=(ip_network("0.0.0.0/0"), ip_network("::/0"))
)

#: Names whose address is no secret.
KNOWN = {"localhost": "127.0.0.1", "metadata.google.internal": "169.254.169.254"}


def inspect(url: str, *, passes: bool) -> None:
    """Look at an address to send to, without any network; `passes`: the user lets this host through.

    Raises SSRFGuardError with the reason against it.
    """
    if passes:
        CONFIGURED.check_url(url)
        return
    # A form like 0x7f.1 is a name to the policy, and an address to every resolver.
    with suppress(OSError, UnicodeError):
        resolve(SECURE.check_url(url), policy=SECURE, resolver=_evident)


def _evident(host: str, port: int, *rest: int) -> list[Any]:
    """What a host leads to, as far as that needs no network. Raises OSError for a name that does not tell."""
    name = host.rstrip(".")
    known = "127.0.0.1" if name.endswith(".localhost") else KNOWN.get(name, name)
    family, kind, proto, flags = rest
    return socket.getaddrinfo(known, port, family, kind, proto, flags | socket.AI_NUMERICHOST)
