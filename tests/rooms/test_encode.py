"""What leaves through the door as JSON can always be written."""

from spadework.egress import encode


def test_a_lone_surrogate_can_be_sent() -> None:
    assert encode({"a": "\ud800"}) == b'{"a":"\\ud800"}'
