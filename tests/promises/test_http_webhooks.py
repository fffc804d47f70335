"""Vendors that come to the desk and say that a run has ended: believed as far as they signed, and never further.

The stand-ins sign and send as the vendors do. Their logs show what a message did: a look at the run, or nothing.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from tests.journeys import checkout
from tests.journeys.desks import until
from tests.journeys.market import setting
from tests.journeys.server import AROUND
from tests.promises.served import PRODUCT, Answer, Served
from tests.standins import webhooks
from tests.standins.cloro import Cloro
from tests.standins.parallel import Parallel
from tests.standins.script import Script
from tests.standins.standin import KEY, Standin

from spadework import hatch
from spadework.webhooks.signing import TOLERANCE_S

SECRETS = {"parallel": "whsec_cGFyYWxsZWwtYWNjb3VudC1zZWNyZXQ", "cloro": "whsec_Y2xvcm8tb3JnYW5pc2F0aW9u"}
OLD = "the-secret-before-it-was-changed"
#: Tiers whose first look comes after 30 and 7.5 seconds.
SLOW = {"parallel": "parallel:ultra", "cloro": "cloro:chatgpt"}
QUESTION = "How large is the market for heat pumps?"
COMPANY = {"type": "object", "properties": {"industry": {"type": "string"}}}


def free() -> int:
    """A port that nobody has; the public URL has to be known before the server is."""
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return line.getsockname()[1]


@dataclass
class Town:
    """A desk with a public URL, and the vendors it buys from."""

    served: Served
    home: Path
    parallel: Parallel
    cloro: Cloro
    sent: int = 0
    said: list[bytes] = field(default_factory=list[bytes])

    def vendor(self, name: str) -> Any:
        return getattr(self, name)

    def start(self, engine: str, **arguments: Any) -> str:
        asked = {"question": f"{QUESTION} ({time.monotonic_ns()})", **arguments}
        return self.served.ask("start_research", engine=engine, **asked)["job_id"]

    def bought(self, name: str, job_id: str, runs: int = 1) -> list[str]:
        """The vendor's runs of a job, once the desk waits for them."""

        def listed() -> list[str]:
            return [one.id for one in self.vendor(name).ledger.matching(job_id)]

        until(lambda: len(listed()) == runs and self.standing(job_id)["phase"] == "waiting", what="the purchase")
        return listed()

    def standing(self, job_id: str) -> dict[str, Any]:
        return self.served.ask("check_research", job_ids=[job_id])["jobs"][0]

    def looks(self, name: str, run: str) -> int:
        """How often the desk has asked how a run is."""
        return sum(seen.method == "GET" and run in seen.path for seen in list(self.vendor(name).log))

    def send(self, name: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        answer = self.served.raw("POST", f"/webhooks/{name}", body, headers, within=60)
        self.said.append(answer.body)
        return answer

    def message(self, name: str, job_id: str, run: str, **labels: Any) -> bytes:
        """What a vendor says of a run that has ended."""
        if name == "parallel":
            data = {"run_id": run, "status": "completed", "metadata": {"row": "0", "job": job_id}, **labels}
            return json.dumps({"type": "task_run.status", "data": data}).encode()
        task = {"id": run, "status": "COMPLETED", "idempotencyKey": job_id, **labels}
        return json.dumps({"task": task, "response": {"text": "The whole answer, invented."}}).encode()

    def signed(self, name: str, body: bytes, *, secret: str | None = None, at: float = 0) -> dict[str, str]:
        """The headers of a new message."""
        self.sent += 1
        sign = webhooks.parallel if name == "parallel" else webhooks.cloro
        return sign(secret or SECRETS[name], f"whevent_{self.sent}", int(time.time() + at), body)


@contextmanager
def town(folder: Path, *, public: bool = True, **more: object) -> Iterator[Town]:
    port, home = free(), folder / "home"
    vendors: list[Standin] = [Parallel(), Cloro()]
    with ExitStack() as stack:
        settings = dict[str, object](inline_s=0, calls_per_minute=100_000)
        if public:
            settings["public_url"] = f"http://127.0.0.1:{port}"
        for vendor in vendors:
            vendor.secret = SECRETS[vendor.vendor]  # type: ignore[attr-defined]
            settings |= setting(vendor, stack.enter_context(vendor.serving()))
            settings[f"{vendor.vendor}_webhook_secret"] = f"{OLD}, {SECRETS[vendor.vendor]}"
        given = {name: value for name, value in (settings | more).items() if value is not None}
        served = stack.enter_context(Served(home, folder, (*PRODUCT, f"127.0.0.1:{port}"), **given))
        place = Town(served, home, *vendors)  # type: ignore[arg-type]
        yield place
        assert "Traceback" not in served.said, served.said[-3000:]
        said = b"\0".join([served.said.encode(), *place.said])
        kept = b"\0".join(path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file())
        for secret in (OLD, KEY, *SECRETS.values()):
            assert secret.encode() not in said
            assert secret.encode() not in kept


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One desk for all that leaves it as it was."""
    with town(tmp_path_factory.mktemp("webhooks")) as here:
        yield here


# What they are for.


@pytest.mark.parametrize("name", SLOW)
def test_a_job_whose_next_look_is_far_off_ends_as_soon_as_the_vendor_says_so(place: Town, name: str) -> None:
    vendor = place.vendor(name)
    vendor.script = Script(seconds=1.0)
    begun = time.monotonic()
    job_id = place.start(SLOW[name])
    ended = place.served.ended(job_id, within=30)
    assert (ended["status"], ended["outcome"]) == ("completed", "full")
    assert time.monotonic() - begun < 6
    (run,) = [one.id for one in vendor.ledger.matching(job_id)]
    # One look, and for Parallel one call for the result.
    assert place.looks(name, run) == (2 if name == "parallel" else 1)
    delivery = next(one for one in vendor.courier.deliveries if job_id.encode() in one.body)
    assert (delivery.attempt, delivery.status) == (1, 200)
    report = place.served.result("get_result", job_id=job_id, view="full")["content"][0]["text"]
    assert "heat pumps" in report


def test_a_list_of_records_is_looked_at_once_when_its_last_row_has_ended(place: Town) -> None:
    place.parallel.script = Script(seconds=0.5)
    place.parallel.scripts = {"The last one": Script(seconds=3.0)}
    rows = [{"company_name": name} for name in ("The last one", *(f"Company {number}" for number in range(11)))]
    job_id = place.start("parallel:core", records=rows, output_schema=COMPANY)
    assert place.served.ended(job_id, within=20)["status"] == "completed"
    group = next(one.group for one in place.parallel.ledger.matching(job_id))
    assert group is not None
    # The tally, and the list with what came out; the purchase was a POST.
    assert place.looks("parallel", group) == 2
    assert len(place.parallel.ledger.matching(job_id)) == len(rows)


@pytest.mark.parametrize("name", SLOW)
def test_a_run_that_failed_fails_its_job_at_once_and_in_the_words_of_the_fetch(place: Town, name: str) -> None:
    place.vendor(name).script = Script(seconds=0.5, fate="failed", error=("x", "The planner gave up."))
    ended = place.served.ended(place.start(SLOW[name]), within=20)
    assert ended["status"] == "failed"
    assert "The planner gave up" in ended["error"]["message"]


# What they are not.


@pytest.mark.parametrize("name", SLOW)
def test_forged_stale_and_repeated_messages_change_nothing(place: Town, name: str) -> None:
    place.vendor(name).script = Script(fate="never")
    job_id = place.start("parallel:ultra" if name == "parallel" else "cloro:gemini")
    (run,) = place.bought(name, job_id)
    body = place.message(name, job_id, run)
    good = place.signed(name, body)
    before = place.standing(job_id)
    forged = {
        "unsigned": (body, {}),
        "another's secret": (body, place.signed(name, body, secret="whsec_bm9ib2R5LWtub3dzLXRoaXM")),
        "tampered": (body.replace(b"ended", b"other") + b" ", good),
        "of another run": (place.message(name, job_id, "another"), good),
        "stale": (body, place.signed(name, body, at=-310)),
        "of the future": (body, place.signed(name, body, at=310)),
        "not ASCII": (body, {key: value.replace("v1", "v\xe9") for key, value in good.items()}),
        "no JSON": (b"\xff\xfe{", good),
    }
    for what, (sent, headers) in forged.items():
        answer = place.send(name, sent, headers)
        assert answer.status == 401, what
        assert answer.json["error"]["code"] == "bad_signature", what
        assert "Nothing was done with it." in answer.json["error"]["message"], what
    assert place.looks(name, run) == 0
    assert place.standing(job_id) | {"elapsed_s": 0} == before | {"elapsed_s": 0}
    # The signed message says that the run is done; it is not, and only what the vendor answers counts.
    assert place.send(name, body, good).json == {"status": "ok"}
    until(lambda: place.looks(name, run) == 1, what="the look")
    for _ in range(100):
        assert place.send(name, body, good).status == 200
    # What comes later is done later: had a repetition done anything, it would be seen by now.
    other = place.start(SLOW[name])
    (later,) = place.bought(name, other)
    body = place.message(name, other, later)
    assert place.send(name, body, place.signed(name, body)).status == 200
    until(lambda: place.looks(name, later) == 1, what="the look at the other job")
    for waiting in (other, job_id):
        until(lambda: place.standing(waiting)["phase"] == "waiting", what="the wait for the next look")  # noqa: B023
        assert place.standing(waiting)["status"] == "running"
    assert place.looks(name, run) == 1
    for waiting in (other, job_id):
        place.served.ask("cancel_research", job_id=waiting)
        place.served.ended(waiting)


def test_a_burst_of_messages_about_one_run_is_no_burst_of_looks(place: Town) -> None:
    place.parallel.script = Script(fate="never")
    job_id = place.start("parallel:ultra")
    (run,) = place.bought("parallel", job_id)
    body = place.message("parallel", job_id, run)
    for _ in range(100):
        assert place.send("parallel", body, place.signed("parallel", body)).status == 200
    until(lambda: place.looks("parallel", run) >= 1, what="a look")
    # A message that comes during a look asks for another after it: far fewer than there were messages.
    assert place.looks("parallel", run) < 60
    place.served.ask("cancel_research", job_id=job_id)
    place.served.ended(job_id)


def test_messages_about_runs_that_are_not_ours_or_over_are_taken_and_do_nothing(place: Town) -> None:
    place.parallel.script = Script(seconds=0.2)
    over = place.start("parallel:ultra")
    place.served.ended(over, within=20)
    (run,) = [one.id for one in place.parallel.ledger.matching(over)]
    looks, count = place.looks("parallel", run), len(place.parallel.log)
    strangers = [(over, run), (over, "another"), ("r_" + "0" * 36, run), ("", ""), ("../../etc/passwd", run)]
    for job_id, named in strangers:
        body = place.message("parallel", job_id, named)
        answer = place.send("parallel", body, place.signed("parallel", body))
        # Else the vendor would come again for two days.
        assert (answer.status, answer.json) == (200, {"status": "ok"})
    for odd in (b"", b"[]", b"{", b'{"data":7}', b"[" * 50_000):
        assert place.send("parallel", odd, place.signed("parallel", odd)).status == 200
    assert place.standing(over)["status"] == "completed"
    assert (place.looks("parallel", run), len(place.parallel.log)) == (looks, count)


def test_while_the_secret_changes_either_one_is_taken(place: Town) -> None:
    place.parallel.script = Script(seconds=1.0)
    place.parallel.secret = OLD
    try:
        assert place.served.ended(place.start("parallel:ultra"), within=15)["status"] == "completed"
    finally:
        place.parallel.secret = SECRETS["parallel"]


# The door itself.


def test_the_hatch_takes_posts_of_a_fitting_size_for_the_vendors_it_knows(place: Town) -> None:
    assert place.served.raw("GET", "/webhooks/parallel").status == 405
    assert place.served.raw("DELETE", "/webhooks/cloro").status == 405
    for path in ("/webhooks/perplexity", "/webhooks/", "/webhooks", "/webhooks/parallel/", "/webhooks/Parallel"):
        assert place.served.raw("POST", path, b"{}").status == 404, path
    large = b"x" * (3 << 20)
    answer = place.send("cloro", large, place.signed("cloro", large))
    assert answer.status == 413
    assert "2097152 bytes" in answer.json["error"]["message"]
    whole = place.message("cloro", "r_nobody", "x", text="y" * 1_900_000)
    assert place.send("cloro", whole, place.signed("cloro", whole)).status == 200


def test_the_host_is_checked_and_no_page_may_send_there(place: Town) -> None:
    body = place.message("parallel", "r_nobody", "x")
    for more, status in (({"Host": "evil.example"}, 421), ({"Origin": "https://evil.example"}, 403), ({}, 200)):
        assert place.send("parallel", body, place.signed("parallel", body) | more).status == status


def test_strangers_who_send_slowly_take_no_more_places_than_there_are(place: Town) -> None:
    lines: list[socket.socket] = []
    body = place.message("parallel", "r_nobody", "x")
    head = f"POST /webhooks/parallel HTTP/1.1\r\nHost: 127.0.0.1:{place.served.port}\r\nContent-Length: 100\r\n\r\nx"
    try:
        for _ in range(16):
            lines.append(place.served.dial())
            lines[-1].sendall(head.encode())
        until(lambda: place.send("parallel", body, place.signed("parallel", body)).status == 429, what="a full hatch")
        other = place.message("cloro", "r_nobody", "x")
        assert place.send("cloro", other, place.signed("cloro", other)).status == 200
        assert place.served.alive() < 5
    finally:
        for line in lines:
            line.close()
    until(lambda: place.send("parallel", body, place.signed("parallel", body)).status == 200, what="room again")


def test_a_flood_is_refused_before_anything_is_judged_and_the_desk_goes_on(tmp_path: Path) -> None:
    with town(tmp_path) as here:
        line = HTTPConnection("127.0.0.1", here.served.port, timeout=30)
        taken: dict[int, int] = {}
        for _ in range(1_400):
            line.request("POST", "/webhooks/parallel", b"{}")
            answer = line.getresponse()
            answer.read()
            taken[answer.status] = taken.get(answer.status, 0) + 1
        line.close()
        assert set(taken) == {401, 429}
        assert taken[401] < 1_400
        assert int(answer.headers["retry-after"]) >= 1
        assert here.served.alive() < 5


@pytest.mark.parametrize(
    ("public", "more", "status"),
    [
        (False, {}, 404),
        (True, {"public_url": "http://desk.example.org"}, 404),
        (True, {"parallel_webhook_secret": None, "cloro_webhook_secret": None}, 401),
    ],
    ids=["no public URL", "a public URL without TLS", "no secrets"],
)
def test_without_a_public_url_or_a_secret_nobody_is_let_in_and_nobody_is_asked_to_come(
    tmp_path: Path, public: bool, more: dict[str, object], status: int
) -> None:  # fmt: skip
    with town(tmp_path, public=public, **more) as here:
        for name in ("parallel", "cloro"):
            here.vendor(name).script = Script(polls=1)
            job_id = here.start(f"{name}:{'lite-fast' if name == 'parallel' else 'google'}")
            body = here.message(name, job_id, *here.bought(name, job_id))
            answer = here.send(name, body, here.signed(name, body))
            assert answer.status == status
            if status == 401:
                assert f"SPADEWORK_{name.upper()}_WEBHOOK_SECRET is not set" in answer.json["error"]["message"]
            (bought,) = here.vendor(name).ledger.purchases
            assert "webhook" not in bought.body
            assert here.vendor(name).courier.deliveries == []
            # It is looked at in its own time.
            assert name == "cloro" or here.served.ended(job_id)["status"] == "completed"


def test_the_page_about_http_says_how_it_is_set_up_and_seen_to_work(place: Town) -> None:
    """Its commands are run as they stand, but for the last one's `spadework serve`, which would stay."""
    text = (checkout.ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    section = text.partition("**Vendors that call back.**")[2].partition("| variable |")[0]
    exports, probe = re.findall(r"^```bash\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    *lines, serve = exports.strip().splitlines()
    assert serve == "spadework serve --http 127.0.0.1:8765"
    given = {"PARALLEL_SECRET": SECRETS["parallel"], "NEW_SECRET": SECRETS["cloro"], "OLD_SECRET": OLD}
    script = [*lines, f'{sys.executable} -c "{_SHOW}"']
    shown = json.loads(shell("\n".join(script), **given))
    assert shown == {
        "hooks": {name: f"https://desk.example.org/webhooks/{name}" for name in ("parallel", "cloro")},
        "paths": ["/webhooks/parallel", "/webhooks/cloro"],
        "secrets": {"parallel": [SECRETS["parallel"]], "cloro": [SECRETS["cloro"], OLD]},
    }
    assert shell(probe, SPADEWORK_PUBLIC_URL=place.served.url).strip() == "401"
    for figure in ("1,200 a minute", "16 at once", "2 MiB", "five minutes"):
        assert figure in section
    assert (hatch.PER_MINUTE, hatch.AT_ONCE, hatch.LARGEST, TOLERANCE_S) == (1_200, 16, 2 << 20, 300)


_SHOW = (
    "import json; from spadework import hatch; from spadework.settings import Settings; s = Settings.load(); "
    "print(json.dumps({'hooks': hatch.hooks(s), 'paths': hatch.paths(s), 'secrets': "
    "{v: [one.get_secret_value() for one in held] for v, held in s.webhook_secrets.items()}}))"
)


def shell(script: str, **given: str) -> str:
    """What a script prints, run as a person does."""
    env = {name: AROUND[name] for name in ("PATH", "HOME")} | given
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_a_server_that_asks_for_tokens_asks_vendors_for_their_signature(tmp_path: Path) -> None:
    token = "ada-0123456789abcdefghij"
    with town(tmp_path, tokens=f"ada={token}") as here:
        here.served.token = token
        here.cloro.script = Script(seconds=0.5)
        assert here.served.ended(here.start("cloro:chatgpt"), within=20)["status"] == "completed"
        assert here.send("cloro", b"{}", {"authorization": f"Bearer {token}"}).status == 401
        assert here.served.raw("POST", "/webhooks/perplexity", b"{}").status == 401
