"""What a client says on stdio is answered, whatever it is and however slowly it reads."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.journeys.desks import BRIDGE, MODERN, Place

from spadework.calls import LONGEST

DOORS = {"bridge": BRIDGE, "no desk": (*BRIDGE, "--no-desk")}
#: Lines, and the code and id of the error that each is owed.
LINES = {
    "no JSON": (b"{not json", -32700, None),
    "no UTF-8": (b"\xff\xfe", -32700, None),
    "too deep": (b"[" * 100_000, -32700, None),
    "a batch": (b'[{"jsonrpc":"2.0","id":77,"method":"tools/list"}]', -32600, None),
    "a text": (b'"tools/list"', -32600, None),
    "no envelope": (b'{"foo":1}', -32600, None),
    "another version": (b'{"jsonrpc":"1.0","id":77,"method":"tools/list"}', -32600, 77),
    "params in a list": (b'{"jsonrpc":"2.0","id":"x","method":"tools/list","params":[1]}', -32600, "x"),
    "a method that is a number": (b'{"jsonrpc":"2.0","id":77,"method":5}', -32600, 77),
    "an id alone": (b'{"jsonrpc":"2.0","id":77}', -32600, 77),
    "an id that is true": (b'{"jsonrpc":"2.0","id":true,"method":"tools/list"}', -32600, None),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_line_that_is_no_message_gets_an_error_and_disturbs_nothing(tmp_path: Path, door: str) -> None:
    with Place(tmp_path) as place:
        agent = place.agent(command=DOORS[door])
        assert agent.process.stdin
        for line, code, number in LINES.values():
            agent.process.stdin.write(line + b"\n\n")
            answer = agent.line(within=30)
            assert (answer["error"]["code"], answer["id"]) == (code, number)
            assert agent.request("tools/list")["result"]["tools"]


@pytest.mark.parametrize("door", DOORS)
def test_a_client_that_asks_much_before_it_reads_gets_every_answer_once(tmp_path: Path, door: str) -> None:
    # Some 10 MB of answers, more than all the pipes and buffers on the way hold.
    with Place(tmp_path) as place:
        agent = place.agent(MODERN, command=DOORS[door])
        agent.ask("check_research")
        numbers: list[int] = []

        def ask() -> None:
            for count in range(1_500):
                numbers.append(agent.send("tools/list") if count % 3 else agent.call("check_research"))

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(2)
        got = [agent.line(within=60) for _ in range(1_500)]
        asking.join(20)
        assert sorted(one["id"] for one in got) == sorted(numbers)
        assert all("result" in one for one in got)


@pytest.mark.parametrize("door", DOORS)
def test_a_line_without_end_is_refused_once_and_the_next_ones_are_served(tmp_path: Path, door: str) -> None:
    with Place(tmp_path) as place:
        agent = place.agent(command=DOORS[door])
        tools = agent.request("tools/list")["result"]["tools"]
        assert agent.process.stdin
        client = agent.process.stdin

        def pour() -> None:
            rest = memoryview(b'{"jsonrpc":"2.0","id":7,"method":"' + b"x" * (3 * LONGEST) + b'"}\n')
            while rest:
                rest = rest[client.write(rest) :]

        pouring = threading.Thread(target=pour, daemon=True)
        pouring.start()
        answer = agent.line(within=30)
        assert (answer["error"]["code"], answer["id"]) == (-32600, None)
        assert str(LONGEST) in answer["error"]["message"]
        pouring.join(30)
        assert agent.request("tools/list")["result"]["tools"] == tools
