"""What vendors send is read with suspicion, placed exactly, and looked at no more often than needed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spadework.engines.data import conforms, depth, parse
from spadework.engines.group import events
from spadework.engines.pace import asked, outage, pause
from spadework.engines.payload import Payload, decode, plain
from spadework.engines.refusal import complaint, refused
from spadework.engines.sheet import Sheet, canonical, pointer
from spadework_tools.errors import BadReply

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_sound_json_is_read_as_it_is(value):
    held = decode(json.dumps(value, ensure_ascii=True).encode(), "vendor")
    assert held.value == value
    assert held.repaired is False


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": NaN, "b": 1}', {"a": None, "b": 1}),
        (b'{"a": 1e999, "b": -Infinity}', {"a": None, "b": None}),
        (b'{"a": ' + b"9" * 100_000 + b"}", {"a": None}),
        (b'{"a": "x\\ud83dy"}', {"a": "x\ufffdy"}),
        (b'{"\\udead": 1}', {"\ufffd": 1}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
        (b'{"a":' * 150 + b"1" + b"}" * 150, None),
    ],
)
def test_what_json_does_not_allow_is_replaced_and_said(body, value):
    held = decode(body, "vendor")
    assert held.repaired is True
    assert value is None or held.value == value
    json.dumps(held.value, allow_nan=False).encode("utf-8")


@pytest.mark.parametrize(
    "body", [b"", b"   ", b"<html><body>no</body></html>", b'{"a": 1', b"[" * 200_000, b"\x00\x01"]
)
def test_what_is_no_json_is_one_kind_of_error(body):
    with pytest.raises(BadReply) as caught:
        decode(body, "vendor")
    assert caught.value.code == "bad_upstream_response"
    assert "vendor" in caught.value.message


@given(JSON)
def test_no_shape_of_answer_breaks_a_reader(value):
    held = Payload(value)
    held.at("a", "b", "c").text()
    held.at("x").number()
    assert list(held.at("items").items()) is not None
    refused("vendor", 400, complaint(held))
    Payload({"error": value}).at("error", "message").text()
    complaint(Payload({"error": value}))


def test_a_boolean_is_no_number_and_a_number_no_text():
    assert Payload(value=True).number() is None
    assert Payload(17).text("none") == "none"


def test_a_vendors_words_are_one_harmless_line():
    assert plain("a\x1b[31m\nb\u0000\x85c" + "d" * 400).startswith("a b c")
    assert len(plain("d" * 4000)) == 300


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (403, {"error": {"message": "x", "type": "chat_completions_not_available"}}, "endpoint_retired"),
        (403, {"error": {"code": "INSUFFICIENT_CREDITS", "message": "x"}}, "no_credit"),
        (403, {"error": {"message": "Forbidden: invalid processor 'x'"}}, "model_retired"),
        (400, {"error": {"type": "invalid_model", "message": "x"}}, "model_retired"),
        (400, {"error": {"message": "bad", "param": "response_format"}}, "schema_refused"),
        (401, "<html>", "bad_key"),
        (402, None, "no_credit"),
        (404, {}, "endpoint_retired"),
        (410, {}, "endpoint_retired"),
        (429, {}, "rate_limited"),
        (301, {}, "endpoint_retired"),
        (500, {}, "vendor_down"),
        (400, {}, "vendor_refused"),
    ],
)
def test_a_refusal_is_read_by_its_words_before_its_status(status, body, code):
    assert refused("vendor", status, complaint(Payload(body))).code == code


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", 120.0),
        ("1.5", 1.5),
        ("-5", 0.0),
        ("soon", None),
        ("nan", None),
        (None, None),
        ("99999999", 7 * 86_400.0),
        ("Thu, 01 Jan 1970 00:16:50 GMT", 10.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_in_every_form(header, wait):
    assert asked(header, 1000.0) == wait


def test_ten_minutes_take_seventeen_looks_at_most():
    elapsed, looks = 0.0, 0
    while elapsed < 600:
        elapsed += pause("r_x", elapsed, 5.0, 60.0)
        looks += 1
    assert looks <= 17


def test_an_hours_outage_takes_25_tries_at_most_from_the_sixtieth_second_and_is_noticed_within_four_minutes():
    elapsed, tries = 60.0, 0
    while elapsed < 3660:
        step = outage("r_x", elapsed)
        assert step <= 240
        elapsed += step
        tries += 1
    assert tries <= 25


def test_each_known_mark_cites_its_own_sentence_and_unknown_ones_stay():
    sheet = Sheet()
    one, two = sheet.source("https://a.example/x"), sheet.source("https://b.example/y")
    assert one is not None
    assert two is not None
    text = "# Title\n\nFirst claim. Second claim [1][web:2]. Third [9] one.\n\n- Item four 🧪 [2]\n[1](https://link.example)"
    woven = sheet.weave(text, {1: (one, "q1"), 2: (two, "q2")})
    spans = [woven[c.target.start : c.target.end] for c in sheet.citations]
    assert spans == ["Second claim", "Second claim [c1]", "Item four 🧪"]
    assert "[9]" in woven
    assert "[1](https://link.example)" in woven
    assert woven.count("[c") == 3
    assert {source.seen_as for source in sheet.sources} == {"cited"}


@given(st.lists(st.sampled_from(["Aé. ", "[1]", "[2]", "[web:1]", "🧪", "\n", "- ", "word ", "[99]"]), max_size=40))
def test_weaving_keeps_every_span_inside_the_text_and_loses_no_word(parts):
    sheet = Sheet()
    numbered = {1: (str(sheet.source("https://a.example")), "a"), 2: (str(sheet.source("https://b.example")), "b")}
    text = "".join(parts)
    woven = sheet.weave(text, numbered)
    for citation in sheet.citations:
        assert 0 <= citation.target.start <= citation.target.end <= len(woven)
    bare = woven
    for citation in sheet.citations:
        bare = bare.replace(f"[{citation.id}]", "")
    assert bare == text.replace("[1]", "").replace("[2]", "").replace("[web:1]", "")


def test_one_page_in_two_spellings_is_one_source():
    assert canonical("https://www.a.example/x/?utm_source=openai") == canonical("http://a.example/x")
    sheet = Sheet()
    assert sheet.source("https://www.a.example/x/?utm_source=openai") == sheet.source("http://a.example/x", "Title")
    assert sheet.sources[0].title == "Title"
    assert sheet.source("javascript:alert(1)") is None
    assert sheet.source("http://[") is None


def test_a_dotted_field_is_a_json_pointer():
    assert pointer("people.0").pointer == "/people/0"
    assert pointer("a/b").pointer == "/a~1b"
    assert pointer("output").kind == "document"


def test_json_in_a_fence_is_read():
    assert parse('```json\n{"a": 1}\n```') == {"a": 1}
    assert parse("no json") is None


def test_a_schema_that_points_elsewhere_fits_nothing_and_fetches_nothing():
    assert conforms({}, {"$ref": "http://127.0.0.1:9/schema.json"}) is False
    assert conforms({"a": 1}, {"type": "object", "required": ["a"]}) is True


def test_nesting_is_counted_through_every_kind_of_branch():
    assert depth({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "object"}}}}) == 3
    assert depth({"anyOf": [{"type": "object"}, {"type": "string"}]}) == 1


def test_a_broken_event_does_not_spoil_the_stream():
    stream = b'event: x\ndata: {"n":1}\n\n: ping\n\ndata: {broken\n\ndata: {"n":\r\ndata: 2}\r\n\r\ndata: {"n":3'
    assert [event.at("n").value for event in events(stream, "vendor")] == [1, 2]


def test_a_vendors_details_are_told_beside_its_message():
    said = complaint(Payload({"error": {"message": "Request validation error", "detail": {"errors": ["a: too deep"]}}}))
    assert said.message == 'Request validation error: {"errors": ["a: too deep"]}'
    assert "field required" in complaint(Payload({"detail": [{"loc": ["a"], "msg": "field required"}]})).message
    assert "gave no reason" in refused("parallel", 422, complaint(Payload("?"))).message
    assert "SPADEWORK_CLORO_BASE_URL" in refused("cloro", 301, complaint(Payload())).message


def test_two_ports_of_a_host_are_two_places():
    places = ("https://a.example/x", "https://a.example:443/x", "http://a.example:80/x", "https://a.example:8443/x")
    assert len({canonical(place) for place in places}) == 2
    assert canonical("https://a.example:99999/x") is None


def test_references_and_types_by_choice_count_for_how_deep_a_schema_is():
    listed = {"type": ["array", "null"], "items": {"type": ["array", "null"]}}
    assert depth(listed) == 2
    assert depth({"type": "object", "properties": {"a": {"$ref": "#/$defs/l"}}, "$defs": {"l": listed}}) == 3
    assert depth({"type": "object", "properties": {"a": {"$ref": "#"}}}) == float("inf")
    wide = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)} | {"d60": {"type": "object"}}
    assert depth({"$ref": "#/$defs/d0", "$defs": wide}) == 1
