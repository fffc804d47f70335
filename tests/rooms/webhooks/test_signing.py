"""Signatures: ours and the official package's are each other's, and no forgery gets anything but the one refusal."""

from __future__ import annotations

import base64
import json
import secrets
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from spadework.delivery import fresh_secret
from spadework.webhooks.signing import ID, SIGNATURE, TIMESTAMP, sign, verify
from spadework_tools.errors import BadSignature

NOW = 1_800_000_000
SECRET, OTHER = fresh_secret(), fresh_secret()
BODIES = [b"{}", b"", b'{"a":"\xc3\xa9\xe2\x82\xac"}', json.dumps({"n": "x" * 19_000}).encode(), b'{"a": 1 }\n']


def headers(secret: str = SECRET, body: bytes = b"{}", at: int = NOW, name: str = "msg_1") -> dict[str, str]:
    return {ID: name, TIMESTAMP: str(at), SIGNATURE: sign([secret], name, at, body)}


def test_the_specifications_example_has_its_signature() -> None:
    # github.com/standard-webhooks/standard-webhooks, the test vector of its libraries.
    signature = sign(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330,
        b'{"test": 2432232314}',
    )  # fmt: skip
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("body", BODIES)
def test_the_official_package_accepts_what_we_sign(body: bytes) -> None:
    at = int(time.time())
    Webhook(SECRET).verify(body, headers(body=body, at=at), json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(body, headers(body=body, at=at), json_parse=False)


@pytest.mark.parametrize("body", BODIES)
def test_we_accept_what_the_official_package_signs(body: bytes) -> None:
    signature = Webhook(SECRET).sign("msg_1", datetime.fromtimestamp(NOW, UTC), body.decode())
    given = {"Webhook-Id": "msg_1", "Webhook-Timestamp": str(NOW), "Webhook-Signature": signature}
    assert verify([SECRET], given, body, NOW) == "msg_1"
    with pytest.raises(BadSignature):
        verify([OTHER], given, body, NOW)


def test_while_secrets_change_either_one_verifies() -> None:
    at = int(time.time())
    both = {ID: "msg_1", TIMESTAMP: str(at), SIGNATURE: sign([OTHER, SECRET], "msg_1", at, b"{}")}
    for secret in (SECRET, OTHER):
        Webhook(secret).verify("{}", both, json_parse=False)
        assert verify([secret], both, b"{}", at) == "msg_1"
    assert verify([fresh_secret(), SECRET], headers(), b"{}", NOW) == "msg_1"


def test_a_message_is_fresh_for_five_minutes_either_way() -> None:
    for off in (-300, 0, 300):
        assert verify([SECRET], headers(), b"{}", NOW + off) == "msg_1"
    for off in (-301, 301, 86_400):
        with pytest.raises(BadSignature):
            verify([SECRET], headers(), b"{}", NOW + off)


RIGHT = headers()
FORGERIES: dict[str, tuple[dict[str, str], bytes]] = {
    "another body": (RIGHT, b"{} "),
    "another id": ({**RIGHT, ID: "msg_2"}, b"{}"),
    "another time": ({**RIGHT, TIMESTAMP: str(NOW + 1)}, b"{}"),
    "another secret": (headers(OTHER), b"{}"),
    "no headers": ({}, b"{}"),
    "no signature": ({ID: "msg_1", TIMESTAMP: str(NOW)}, b"{}"),
    "empty signature": ({**RIGHT, SIGNATURE: ""}, b"{}"),
    "no comma": ({**RIGHT, SIGNATURE: "v1"}, b"{}"),
    "three commas": ({**RIGHT, SIGNATURE: "v1,a,b,c"}, b"{}"),
    "not base64": ({**RIGHT, SIGNATURE: "v1,%%%"}, b"{}"),
    "not ASCII": ({**RIGHT, SIGNATURE: "v1,é\ud800"}, b"{}"),
    "another version": ({**RIGHT, SIGNATURE: RIGHT[SIGNATURE].replace("v1,", "v1a,")}, b"{}"),
    "a prefix of it": ({**RIGHT, SIGNATURE: RIGHT[SIGNATURE][:-2]}, b"{}"),
    "behind a thousand others": ({**RIGHT, SIGNATURE: "v1,AAAA " * 1_000 + RIGHT[SIGNATURE]}, b"{}"),
    "time with a fraction": ({**RIGHT, TIMESTAMP: f"{NOW}.0"}, b"{}"),
    "no time at all": ({**RIGHT, TIMESTAMP: "nan"}, b"{}"),
    "time beyond all clocks": ({**RIGHT, TIMESTAMP: "9" * 400}, b"{}"),
    "time in other digits": ({**RIGHT, TIMESTAMP: "١٨٠٠٠٠٠٠٠٠"}, b"{}"),
    "negative time": ({**RIGHT, TIMESTAMP: f"-{NOW}"}, b"{}"),
    "id with a dot": ({ID: "msg_1.1", TIMESTAMP: str(NOW), SIGNATURE: RIGHT[SIGNATURE]}, b"{}"),
    "bytes that are no text": (RIGHT, b"\xff\xfe"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_gets_the_one_refusal(name: str) -> None:
    given, body = FORGERIES[name]
    with pytest.raises(BadSignature):
        verify([SECRET], given, body, NOW)


def test_what_parts_an_id_from_its_time_cannot_be_moved() -> None:
    # `a.1` at 2 and `a` at 1 with a body that begins with `2.` would sign the same bytes.
    with pytest.raises(ValueError, match="without a dot"):
        sign([SECRET], f"a.{NOW}", NOW, b"{}")
    moved = {ID: "a", TIMESTAMP: str(NOW), SIGNATURE: sign([SECRET], "a", NOW, f"{NOW}.{{}}".encode())}
    with pytest.raises(BadSignature):
        verify([SECRET], {**moved, ID: f"a.{NOW}"}, b"{}", NOW)


@given(st.dictionaries(st.sampled_from([ID, TIMESTAMP, SIGNATURE, "x"]), st.text()), st.binary())
def test_nothing_that_is_sent_raises_anything_else(given_headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(BadSignature):
        verify([SECRET], given_headers, body, NOW)


@given(st.binary(max_size=500), st.binary(min_size=24, max_size=64))
def test_every_body_and_secret_goes_there_and_back(body: bytes, key: bytes) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    assert verify([secret], headers(secret, body), body, NOW) == "msg_1"
    assert verify([secret.rstrip("=")], headers(secret, body), body, NOW) == "msg_1"


def test_a_secret_that_is_none_is_refused_without_being_shown() -> None:
    for wrong in ("", "whsec_", "whsec_%%%", "whsec_" + base64.b64encode(secrets.token_bytes(8)).decode(), "geheim"):
        with pytest.raises(ValueError, match="24 to 64 bytes") as caught:
            sign([wrong], "msg_1", NOW, b"{}")
        assert not wrong or wrong == "whsec_" or wrong not in str(caught.value)
