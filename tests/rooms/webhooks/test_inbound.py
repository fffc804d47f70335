"""Vendors' messages: what they sign is read, and no forgery gets anything but the one refusal.

The signatures written out here were made with OpenSSL's command, apart from any of our code.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from tests.standins import webhooks
from tests.standins.inbox import opened, sealed

from spadework.webhooks.inbound import READERS, Hint, cloro, parallel
from spadework_tools.errors import BadSignature

NOW = 1_800_000_000
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RUN = b'{"type":"task_run.status","data":{"run_id":"trun_1","status":"completed","metadata":{"row":"0","job":"r_1"}}}'
TASK = (
    b'{"task":{"id":"t-1","taskType":"CHATGPT","status":"COMPLETED","idempotencyKey":"r_1.2"},"response":{"text":"x"}}'
)
ID, STAMP, SIGNED = "webhook-id", "webhook-timestamp", "webhook-signature"
C_ID, C_STAMP, C_SIGNED = "x-cloro-webhook-id", "x-cloro-timestamp", "x-cloro-signature"
RAW_FORM = {ID: "whevent_1", STAMP: str(NOW), SIGNED: "v1,tt5Plc6pajEHa0e/oYfiwuLjWAgMoYE3am+1KqGhvPU="}
DECODED_FORM = {ID: "whevent_1", STAMP: str(NOW), SIGNED: "v1,dkqoc0rvdDodMqev09WwmcHlvHow6hQuUJVWEFmYE0g="}
HEX = "3cbf1426e5c9878667cbde7059283a1d717683268abcab374d27dbaaad51da52"
CLORO_FORM = {C_ID: "t-1-1", C_STAMP: str(NOW), C_SIGNED: f"v1={HEX}"}
#: A whole message of each vendor, and what it says.
GOOD = {
    "parallel": (RAW_FORM, RUN, Hint("parallel whevent_1", "r_1", "trun_1", over=True)),
    "cloro": (CLORO_FORM, TASK, Hint("cloro t-1", "r_1", "t-1", over=True)),
}
EACH = pytest.mark.parametrize("vendor", GOOD)


def read(vendor: str, headers: Mapping[str, str], body: bytes, *secrets: str, now: float = NOW) -> Hint:
    return READERS[vendor](secrets or (SECRET,), headers, body, now)


@EACH
def test_what_the_vendor_signed_is_read_whatever_the_case_of_its_headers(vendor: str) -> None:
    headers, body, hint = GOOD[vendor]
    assert read(vendor, headers, body) == hint
    assert read(vendor, {name.title(): value for name, value in headers.items()}, body) == hint


def test_a_signature_keyed_with_what_a_secret_encodes_is_as_good_as_one_keyed_with_its_bytes() -> None:
    """Parallel's own sample keys with the bytes; the specification's package, which it names too, with the decoded."""
    assert read("parallel", DECODED_FORM, RUN) == GOOD["parallel"][2]
    by_package = Webhook(SECRET).sign("whevent_1", datetime.fromtimestamp(NOW, UTC), RUN.decode())
    assert read("parallel", {**RAW_FORM, SIGNED: by_package}, RUN) == GOOD["parallel"][2]
    # cloro's documents know one form.
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    made = webhooks.hmac.new(key, f"{NOW}.".encode() + TASK, "sha256").hexdigest()
    with pytest.raises(BadSignature):
        read("cloro", {**CLORO_FORM, C_SIGNED: f"v1={made}"}, TASK)


def test_a_secret_that_is_no_base64_is_taken_as_it_is() -> None:
    plain = "parallel-account-secret"
    sent = webhooks.parallel(plain, "m1", NOW, RUN)
    assert read("parallel", sent, RUN, plain).run == "trun_1"
    assert opened(plain.encode(), sent, RUN)


@pytest.mark.parametrize("hollow", ["whsec_", "whsec_AAAA", "whsec_===="])
def test_a_secret_that_encodes_nothing_or_little_opens_to_no_message_keyed_with_it(hollow: str) -> None:
    for key in (b"", b"\0\0\0"):
        digest = webhooks.hmac.new(key, f"m1.{NOW}.".encode() + RUN, "sha256").digest()
        forged = {ID: "m1", STAMP: str(NOW), SIGNED: f"v1,{base64.b64encode(digest).decode()}"}
        with pytest.raises(BadSignature):
            read("parallel", forged, RUN, hollow)


def test_while_secrets_change_either_one_opens_and_any_signature_of_a_list_will_do() -> None:
    old, new = "the-old-secret", "the-new-secret"
    for vendor, sign in (("parallel", webhooks.parallel), ("cloro", webhooks.cloro)):
        body = GOOD[vendor][1]
        for secret in (old, new):
            assert read(vendor, sign(secret, "m1", NOW, body), body, old, new).job_id == "r_1"
        with pytest.raises(BadSignature):
            read(vendor, sign("a-third-secret", "m1", NOW, body), body, old, new)
    listed = " ".join(["v1a,AAAA", webhooks.parallel(old, "m1", NOW, RUN)[SIGNED], "v1,AAAA"])
    assert read("parallel", {ID: "m1", STAMP: str(NOW), SIGNED: listed}, RUN, new, old).job_id == "r_1"


@EACH
def test_a_message_is_fresh_for_five_minutes_either_way(vendor: str) -> None:
    headers, body, hint = GOOD[vendor]
    for off in (-300, 300):
        assert read(vendor, headers, body, now=NOW + off) == hint
    for off in (-301, 301, 48 * 3_600):
        with pytest.raises(BadSignature, match="off this clock"):
            read(vendor, headers, body, now=NOW + off)


def forgeries(vendor: str) -> dict[str, tuple[Mapping[str, str], bytes]]:
    right, body, _ = GOOD[vendor]
    stamp, signed = (STAMP, SIGNED) if vendor == "parallel" else (C_STAMP, C_SIGNED)
    return {
        "another body": (right, body + b" "),
        "another job": (right, body.replace(b"r_1", b"r_2")),
        "no body": (right, b""),
        "a huge body": (right, body + b"x" * 4_000_000),
        "bytes that are no text": (right, b"\xff\xfe"),
        "another time": ({**right, stamp: str(NOW + 1)}, body),
        "no headers": ({}, body),
        "no time": ({name: value for name, value in right.items() if name != stamp}, body),
        "no signature": ({name: value for name, value in right.items() if name != signed}, body),
        "empty signature": ({**right, signed: ""}, body),
        "no digest": ({**right, signed: "v1,"}, body),
        "not ASCII": ({**right, signed: "v1,é\ud800"}, body),
        "three parts": ({**right, signed: "v1,a,b=c=d"}, body),
        "another version": ({**right, signed: right[signed].replace("v1", "v2")}, body),
        "a prefix of it": ({**right, signed: right[signed][:-2]}, body),
        "behind a thousand others": ({**right, signed: "v1,AAAA " * 1_000 + right[signed]}, body),
        "time with a fraction": ({**right, stamp: f"{NOW}.0"}, body),
        "no number": ({**right, stamp: "nan"}, body),
        "time beyond all clocks": ({**right, stamp: "9" * 400}, body),
        "time in other digits": ({**right, stamp: "١٨٠٠٠٠٠٠٠٠"}, body),
        "negative time": ({**right, stamp: f"-{NOW}"}, body),
        "the other vendor's": (RAW_FORM if vendor == "cloro" else CLORO_FORM, body),
    }


@EACH
@pytest.mark.parametrize("name", forgeries("parallel"))
def test_a_forgery_gets_the_one_refusal_which_shows_no_secret(vendor: str, name: str) -> None:
    headers, body = forgeries(vendor)[name]
    with pytest.raises(BadSignature) as caught:
        read(vendor, headers, body)
    assert SECRET not in str(caught.value)
    assert "Nothing was done with it." in str(caught.value)


def test_a_signed_id_cannot_be_exchanged_and_the_unsigned_one_counts_for_nothing() -> None:
    with pytest.raises(BadSignature):
        read("parallel", {**RAW_FORM, ID: "whevent_2"}, RUN)
    with pytest.raises(BadSignature):
        read("parallel", {**RAW_FORM, ID: "whevent.1"}, RUN)
    assert read("cloro", {**CLORO_FORM, C_ID: "t-1-2"}, TASK) == GOOD["cloro"][2]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b"{", b'{"data":[],"task":"x"}', b"\xff", b"[" * 100_000, b'{"data":{"run_id":7}}',
        b'{"data":{"metadata":{"job":["r_1"]}},"task":{"id":{},"idempotencyKey":null}}',
    ],
)  # fmt: skip
def test_a_signed_body_that_names_no_run_names_none(body: bytes) -> None:
    assert read("parallel", webhooks.parallel(SECRET, "m1", NOW, body), body).run == ""
    hint = read("cloro", webhooks.cloro(SECRET, "m1", NOW, body), body)
    assert (hint.run, hint.job_id) == ("", "")


@pytest.mark.parametrize(
    ("status", "over"),
    [("completed", True), ("failed", True), ("action_required", True), ("a new word", True), ("running", False),
     ("queued", False), ("PROCESSING", False), ("cancelling", False)],
)  # fmt: skip
def test_a_run_that_goes_on_is_no_news(status: str, over: bool) -> None:
    for vendor, sign, name in (("parallel", webhooks.parallel, "data"), ("cloro", webhooks.cloro, "task")):
        body = json.dumps({name: {"run_id": "x", "id": "x", "status": status}}).encode()
        assert read(vendor, sign(SECRET, "m1", NOW, body), body).over is over


@given(st.dictionaries(st.sampled_from([ID, STAMP, SIGNED, C_STAMP, C_SIGNED, "x"]), st.text()), st.binary())
def test_nothing_that_is_sent_raises_anything_else(headers: dict[str, str], body: bytes) -> None:
    for reader in (parallel, cloro):
        with pytest.raises(BadSignature):
            reader([SECRET], headers, body, NOW)


@given(st.binary(max_size=500), st.text("abcXYZ019_-+/=!~", min_size=8, max_size=80))
def test_every_body_and_secret_opens_to_the_vendors_own_signing(body: bytes, secret: str) -> None:
    sent = webhooks.parallel(secret, "m1", NOW, body)
    assert parallel([secret], sent, body, NOW).id == "parallel m1"
    assert opened(secret.encode(), sent, body)
    sent = webhooks.cloro(secret, "m1", NOW, body)
    assert cloro([secret], sent, body, NOW).id.startswith("cloro ")
    assert sealed(secret.encode(), sent, body)
