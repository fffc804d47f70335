"""Signatures of webhooks by Standard Webhooks 1.0.0 (github.com/standard-webhooks/standard-webhooks, 2026-11-21).

What is signed is `id.timestamp.body`, byte for byte, with HMAC-SHA256; the header holds any number of signatures, so
that two secrets are valid while one replaces the other. Why not the specification's own Python package: it answers
some forged headers with errors of any kind, and mis-signs an aware time that is not in UTC (1.1.0).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

from spadework_tools.errors import BadSignature

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
#: By how much a message's timestamp may differ from the receiver's clock, seconds (the specification's figure).
TOLERANCE_S = 300
#: So many signatures of one message are looked at; a rotation needs two.
SIGNATURES = 16

_PREFIX = "whsec_"
# A dot in an id would let one message pass as another: it parts what is signed.
_ID = re.compile(r"[!-\-/-~]{1,256}")
_STAMP = re.compile(r"[0-9]{1,12}")


def sign(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` header of a message: one signature for each secret (`whsec_…`), parted by spaces.

    `timestamp` is the Unix time of this attempt in seconds. Raises ValueError for an id or a secret that is none.
    """
    if not _ID.fullmatch(message_id):
        raise ValueError("a webhook-id is 1 to 256 visible ASCII characters without a dot")
    return " ".join(f"v1,{_mac(decoded(secret), message_id, str(timestamp), body)}" for secret in secrets)


def verify(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float) -> str:
    """The id of a message that one of the secrets has signed, at most five minutes from `now` (Unix time, seconds).

    Header names may be in any case; the body is as it was received. Whoever does work for a message remembers its id,
    since a message may come twice. Raises BadSignature and nothing else, whatever was sent.
    """
    return proven([decoded(secret) for secret in secrets], headers, body, now)


def proven(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float) -> str:
    """As `verify`, by the bytes that the message authentication code is keyed with."""
    given = {name.lower(): value for name, value in headers.items()}
    message_id, stamp, signatures = (given.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not (_ID.fullmatch(message_id) and signatures):
        raise BadSignature("a webhook came without its headers in good form. Nothing was done with it.")
    fresh(stamp, now)
    match([f"v1,{_mac(key, message_id, stamp, body)}" for key in keys], signatures)
    return message_id


def fresh(stamp: str, now: float) -> None:
    """Raises BadSignature for a message's timestamp that is none or too far from `now` (Unix time, seconds)."""
    if not _STAMP.fullmatch(stamp):
        raise BadSignature("a webhook came without its headers in good form. Nothing was done with it.")
    if abs(now - int(stamp)) > TOLERANCE_S:
        raise BadSignature(f"a webhook is {abs(now - int(stamp)):.0f} s off this clock. Nothing was done with it.")


def match(wanted: Sequence[str], signatures: str) -> None:
    """Raises BadSignature where none of the signatures sent (parted by spaces) is one of those wanted."""
    sent = [part.encode("utf-8", "replace") for part in signatures.split(" ", SIGNATURES)[:SIGNATURES]]
    # Every pair is compared, so that the time taken tells nothing of which one fits.
    if not any([hmac.compare_digest(one.encode(), other) for one in wanted for other in sent]):  # noqa: C419
        raise BadSignature("a webhook is not signed with the secret of this endpoint. Nothing was done with it.")


def _mac(key: bytes, message_id: str, stamp: str, body: bytes) -> str:
    signed = b".".join((message_id.encode(), stamp.encode(), body))
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def decoded(secret: str) -> bytes:
    """The bytes of a secret in the specification's form. Raises ValueError, which does not show it."""
    text = secret.removeprefix(_PREFIX)
    try:
        # Some senders leave the padding out.
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError(f"a webhook secret is {_PREFIX} and the base64 of 24 to 64 bytes")
    return key
