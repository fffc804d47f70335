"""The job: its moves, its id, and when two requests ask for the same work."""

from itertools import product

import pytest

from spadework.job import MOVES, IllegalMove, Job, differences, fingerprint, new_id
from spadework_tools.models import Request, Status


def a_job(status: Status) -> Job:
    request = Request(question="What is new?")
    return Job(
        id=new_id(0), owner="local", request=request, fingerprint=fingerprint(request), engine="scripted",
        status=status, created_at=0,
    )  # fmt: skip


@pytest.mark.parametrize(("before", "after"), [*product(Status, Status)])
def test_a_job_moves_only_as_the_table_allows(before: Status, after: Status) -> None:
    job = a_job(before)
    if after is before or after in MOVES[before]:
        assert job.evolve(status=after).status is after
    else:
        with pytest.raises(IllegalMove):
            job.evolve(status=after)


def test_a_terminal_status_has_no_way_out() -> None:
    assert {status for status in Status if not MOVES[status]} == {status for status in Status if status.terminal}


def test_ids_sort_by_creation_and_do_not_repeat() -> None:
    ids = [new_id(1_800_000_000 + n / 1000) for n in range(1_000)]
    assert ids == sorted(ids)
    assert len({new_id(1_800_000_000) for _ in range(10_000)}) == 10_000


def test_an_id_keeps_128_random_bits_beside_its_time() -> None:
    # Ten base32 digits of time after the prefix; the 26 that follow carry 5 random bits each.
    one, other = new_id(1_800_000_000), new_id(1_800_000_000)
    assert one[:12] == other[:12]
    assert len(one) == 38
    assert sum(a != b for a, b in zip(one[12:], other[12:], strict=True)) > 10


def test_white_space_label_and_key_do_not_make_another_request() -> None:
    one = Request(question="What  is\nnew?", label="a", idempotency_key="k1")
    other = Request(question="What is new?", label="b", idempotency_key="k2", webhook_url="https://example.org/h")
    assert fingerprint(one) == fingerprint(other)
    assert differences(one, other) == ()


def test_differences_name_the_fields_that_change_the_work() -> None:
    one = Request(question="What is new?", effort="low", folders=("a",))
    other = Request(question="What is old?", effort="low", folders=("b",))
    assert differences(one, other) == ("folders", "question")
    assert fingerprint(one) != fingerprint(other)
