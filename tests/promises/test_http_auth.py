"""Who may come in over HTTP, what each may see, and how much of it."""

from __future__ import annotations

import hashlib
import hmac
import json
import signal
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.journeys.desks import until
from tests.journeys.market import quick, town
from tests.journeys.server import environment
from tests.journeys.wire import MODERN
from tests.promises.served import PRODUCT, Answer, Served
from tests.standins.issuer import Issuer, unsigned

ADA, BOB = "ada-0123456789abcdefghij", "bob-0123456789abcdefghij"
#: One as it is, one as its digest.
TOKENS = f"ada={ADA}, bob=sha256:{hashlib.sha256(BOB.encode()).hexdigest()}"
OPEN = ("/healthz",)
PATHS = ("/mcp", "/sse", "/messages", "/messages?session_id=0", "/", "/board", "/jobs", "/webhooks/parallel", "/docs")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("auth")
    with Served(place / "home", place, tokens=TOKENS, calls_per_minute=100_000, inline_s=0.2) as process:
        process.token = ADA
        yield process
        said = process.said
    assert "Traceback" not in said, said[-3000:]
    assert ADA not in said


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[Served]:
    """A server that takes the issuer's tokens."""
    place = tmp_path_factory.mktemp("oauth")
    with Served(place / "home", place, oauth_issuer=issuer.url, calls_per_minute=100_000) as process:
        yield process


def listed(served: Served, token: str | None) -> Answer:
    return served.post("tools/list", authorization=f"Bearer {token}" if token else None)


def tokens(served: Served, issuer: Issuer) -> dict[str, str]:
    """Tokens that must not be taken."""
    now, door = int(time.time()), f"{served.url}/mcp"
    good = {"iss": issuer.url, "aud": door, "sub": "ada", "scope": "research", "exp": now + 600}
    whole = issuer.token(door)
    head, _, signature = whole.split(".")
    changed = urlsafe_b64encode(json.dumps({**good, "sub": "root"}).encode()).rstrip(b"=").decode()
    # A forger signs with the one secret that everybody knows: the public key.
    forged = f"{_part({'alg': 'HS256', 'kid': 'rsa-1'})}.{_part(good)}"
    mark = urlsafe_b64encode(hmac.new(issuer.public(), forged.encode(), "sha256").digest()).rstrip(b"=").decode()
    with Issuer() as other:
        foreign = other.token(door)
        impostor = other.token(door, iss=issuer.url)
    return {
        "expired": issuer.token(door, exp=now - 60),
        "not yet": issuer.token(door, nbf=now + 600),
        "for another server": issuer.token("https://other.example/mcp"),
        "for nobody": issuer.token(None),
        "for no time": issuer.token(door, exp=None),
        "of nobody": issuer.token(door, sub=None),
        "of no issuer": issuer.token(door, iss=None),
        "of another issuer": foreign,
        "of another's key": impostor,
        "of an unknown key": issuer.token(door, header={"kid": "nobody"}),
        "unsigned": unsigned(good),
        "unsigned, in capitals": unsigned(good, "NONE"),
        "signed with the public key": f"{forged}.{mark}",
        "changed": f"{head}.{changed}.{signature}",
        "cut": whole[:-10],
        "no token": "x",
        "empty parts": "..",
        "large": "x" * 20_000,
    }


def _part(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_no_token_that_is_not_ours_comes_in(trusting: Served, issuer: Issuer) -> None:
    assert listed(trusting, issuer.token(f"{trusting.url}/mcp")).status == 200
    assert listed(trusting, issuer.token([f"{trusting.url}/sse", "https://else.example"])).status == 200
    taken = {name: listed(trusting, token).status for name, token in tokens(trusting, issuer).items()}
    assert set(taken.values()) == {401}, taken
    assert listed(trusting, None).status == 401


def test_a_token_in_the_address_or_twice_or_of_another_kind_is_none(trusting: Served, issuer: Issuer) -> None:
    token = issuer.token(f"{trusting.url}/mcp")
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": MODERN}}).encode()
    headers = trusting.headers("tools/list")
    assert trusting.raw("POST", f"/mcp?access_token={token}", body, headers).status == 401
    assert trusting.raw("POST", "/mcp", body, {**headers, "authorization": f"Basic {token}"}).status == 401
    assert trusting.raw("POST", "/mcp", body, {**headers, "authorization": "Bearer "}).status == 401


def test_a_token_without_the_scope_is_told_which_one_it_needs(trusting: Served, issuer: Issuer) -> None:
    refused = listed(trusting, issuer.token(f"{trusting.url}/mcp", scope="openid mail"))
    assert refused.status == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert 'scope="research"' in refused.headers["www-authenticate"]
    assert listed(trusting, issuer.token(f"{trusting.url}/mcp", scope=None, scp=["research"])).status == 200


@pytest.mark.parametrize("door", ["/mcp", "/sse"])
def test_a_client_finds_its_way_to_the_issuer(trusting: Served, issuer: Issuer, door: str) -> None:
    """RFC 9728: the refusal names the metadata, the metadata names the resource and the issuer."""
    asked = trusting.raw("POST" if door == "/mcp" else "GET", door)
    place = f"{trusting.url}/.well-known/oauth-protected-resource{door}"
    assert asked.status == 401
    assert f'resource_metadata="{place}"' in asked.headers["www-authenticate"]
    assert "error=" not in asked.headers["www-authenticate"]
    found = trusting.raw("GET", place.removeprefix(trusting.url))
    assert found.status == 200
    assert found.json["resource"] == f"{trusting.url}{door}"
    assert found.json["authorization_servers"] == [issuer.url]
    assert found.json["scopes_supported"] == ["research"]
    assert found.json["bearer_methods_supported"] == ["header"]


def test_forged_key_ids_do_not_make_us_ask_the_issuer_again(tmp_path: Path) -> None:
    with Issuer() as issuer, Served(tmp_path / "home", tmp_path, oauth_issuer=issuer.url) as served:
        door = f"{served.url}/mcp"
        assert listed(served, issuer.token(door)).status == 200
        before = len(issuer.asked)
        for number in range(20):
            assert listed(served, issuer.token(door, header={"kid": f"forged-{number}"})).status == 401
        assert len(issuer.asked) == before
        issuer.silent = True
        assert listed(served, issuer.token(door)).status == 200


def test_a_silent_issuer_is_our_trouble_and_not_the_callers(tmp_path: Path) -> None:
    with Issuer() as issuer, Served(tmp_path / "home", tmp_path, oauth_issuer=issuer.url) as served:
        issuer.silent = True
        refused = listed(served, issuer.token(f"{served.url}/mcp"))
        assert refused.status == 503
        assert refused.headers["retry-after"] == "30"
        assert "issuer_silent" in refused.json["error"]["message"]
        assert served.raw("GET", "/healthz").status == 200


def test_every_path_but_health_wants_a_token(served: Served) -> None:
    for path in PATHS:
        for method in ("GET", "POST", "DELETE", "PUT", "OPTIONS", "HEAD"):
            answer = served.raw(method, path)
            assert answer.status == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    for path in OPEN:
        assert served.raw("GET", path).status == 200


def test_listed_tokens_come_in_and_nearly_listed_ones_do_not(served: Served) -> None:
    assert listed(served, ADA).status == listed(served, BOB).status == 200
    digest = hashlib.sha256(BOB.encode()).hexdigest()
    for wrong in (ADA[:-1], ADA.upper(), f"{ADA}x", digest, f"sha256:{digest}", "ada", "", "ä" * 20):
        answer = served.raw("POST", "/mcp", b"{}", {"authorization": f"Bearer {wrong}".encode().decode("latin-1")})
        assert answer.status == 401, wrong


def said(served: Served, token: str, tool: str, about: str, given: dict[str, Any]) -> str:
    """How a tool answers about a job, with the job's id taken out."""
    found = json.dumps(served.result(tool, token=token, **given), sort_keys=True)
    return found.replace(about, "ID")


def test_a_foreign_job_and_one_that_never_was_read_the_same_through_every_tool(served: Served) -> None:
    mine = served.ask("start_research", question="Ada's own [script: report 3000]", engine="scripted")["job_id"]
    served.ended(mine)
    never = mine[:-6] + ("222222" if not mine.endswith("222222") else "333333")
    calls: list[tuple[str, dict[str, Any]]] = [
        ("check_research", {"job_ids": ["ID"]}),
        ("check_research", {"job_ids": ["ID"], "wait_s": 1}),
        ("cancel_research", {"job_id": "ID"}),
        ("start_research", {"question": "On and on [script: report]", "engine": "scripted", "follow_up_to": "ID"}),
        *(("get_result", {"job_id": "ID", "view": view}) for view in ("brief", "outline", "citations", "data", "full")),
        ("get_result", {"job_id": "ID", "view": "evidence", "query": "page"}),
        ("get_result", {"job_id": "ID", "view": "section", "section": "s1"}),
    ]
    for tool, arguments in calls:
        answers: list[str] = []
        for job_id in (mine, never):
            given = json.loads(json.dumps(arguments).replace("ID", job_id))
            answers.append(said(served, BOB, tool, job_id, given))
        assert answers[0] == answers[1], tool
        assert "unknown_job" in answers[0], tool
    assert served.ask("check_research", job_ids=[mine])["jobs"][0]["status"] == "completed"
    assert all(job["job_id"] != mine for job in served.ask("check_research", token=BOB)["jobs"])


def test_the_same_request_and_the_same_key_are_two_jobs_for_two_owners(served: Served) -> None:
    asked = {"question": "Shared words [script: report]", "engine": "scripted", "idempotency_key": "same"}
    one, other = served.ask("start_research", **asked), served.ask("start_research", token=BOB, **asked)
    assert one["job_id"] != other["job_id"]
    assert (one["created"], other["created"]) == (True, True)


def test_mixed_calls_at_once_never_cross_from_one_owner_to_another(served: Served) -> None:
    own = {
        token: served.ask("start_research", token=token, question=f"{token} [script: report]", engine="scripted")
        for token in (ADA, BOB)
    }

    def look(number: int) -> bool:
        token = (ADA, BOB)[number % 2]
        jobs = served.ask("check_research", token=token)["jobs"]
        other = own[(ADA, BOB)[1 - number % 2]]["job_id"]
        return other not in {job["job_id"] for job in jobs} and own[token]["job_id"] in {job["job_id"] for job in jobs}

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(look, range(200)))


def test_a_session_of_the_legacy_era_is_nobody_elses(served: Served) -> None:
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}}  # fmt: skip
    plain = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    opened = served.raw("POST", "/mcp", json.dumps(hello).encode(), {**plain, "authorization": f"Bearer {ADA}"})
    session = opened.headers["mcp-session-id"]
    ask = json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}).encode()
    for token, status in ((ADA, 200), (BOB, 404)):
        headers = {**plain, "authorization": f"Bearer {token}", "mcp-session-id": session}
        assert served.raw("POST", "/mcp", ask, headers).status == status
    assert (
        served.raw("DELETE", "/mcp", None, {"authorization": f"Bearer {BOB}", "mcp-session-id": session}).status == 404
    )


def test_a_stream_of_the_oldest_transport_is_nobody_elses(served: Served) -> None:
    with served.open("GET", "/sse", {"authorization": f"Bearer {ADA}"}) as stream:
        heard = b""
        while b"session_id=" not in heard or not heard.endswith(b"\n"):
            heard += stream.recv(4096)
        place = heard.decode().split("data: ")[1].split()[0]
        ping = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}).encode()
        for token, status in ((BOB, 404), (ADA, 202)):
            headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
            assert served.raw("POST", place, ping, headers).status == status


def test_no_caller_sees_the_servers_own_files(served: Served, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("# Secret\n\nThe vault opens at nine.\n", encoding="utf-8")
    for folder in (str(tmp_path), ".", "/etc"):
        words = served.refused("start_research", question="When does it open?", engine="local", folders=[folder])
        assert words.startswith("bad_folder"), words


def test_an_owner_who_calls_too_often_is_told_when_to_call_again_and_nobody_else_is(tmp_path: Path) -> None:
    with Served(tmp_path / "home", tmp_path, tokens=TOKENS) as served:
        served.token = ADA
        heard = [served.result("check_research") for _ in range(65)]
        over = [found["content"][0]["text"] for found in heard if found["isError"]]
        assert 2 <= len(over) <= 5, len(over)
        assert all(words.startswith("rate_limited: ") and " in 1 s" in words for words in over)
        served.ask("check_research", token=BOB)


def test_an_owner_who_floods_the_port_gets_429_and_a_time_to_come_back(tmp_path: Path) -> None:
    with Served(tmp_path / "home", tmp_path, tokens=TOKENS, calls_per_minute=3) as served:
        answers = [listed(served, ADA) for _ in range(32)]
        assert [answer.status for answer in answers[:30]] == [200] * 30
        assert answers[-1].status == 429
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert listed(served, BOB).status == 200


def test_one_owners_jobs_at_once_are_limited_and_a_repeated_start_is_still_answered(tmp_path: Path) -> None:
    with Served(tmp_path / "home", tmp_path, tokens=TOKENS, calls_per_minute=10_000, inline_s=0) as served:
        served.token = ADA
        asked = [{"question": f"Long {n} [script: read 100 1; report]", "engine": "scripted"} for n in range(30)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda one: served.result("start_research", **one), asked))
        held = [one for one, answer in zip(asked, found, strict=True) if not answer["isError"]]
        refusals = [answer["content"][0]["text"] for answer in found if answer["isError"]]
        assert (len(held), len(refusals)) == (20, 10)
        assert all(words.startswith("too_many_jobs: 20 of your jobs") for words in refusals)
        again = served.ask("start_research", **held[0])
        assert again["created"] is False
        assert served.ask("start_research", token=BOB, question="Mine [script: report]", engine="scripted")["created"]
        served.ask("cancel_research", job_id=again["job_id"])
        served.ended(again["job_id"])
        assert served.ask("start_research", question="One more [script: report]", engine="scripted")["created"]


def test_guests_use_the_servers_keys_their_tokens_go_nowhere_and_their_jobs_outlive_a_kill(tmp_path: Path) -> None:
    with town() as (standins, settings):
        given = {"tokens": TOKENS, "inline_s": 0, **settings}
        with Served(tmp_path / "home", tmp_path, **given) as first:
            first.token = ADA
            asked = {"question": "How are heat pumps sold?"}
            bought = ("perplexity", "parallel")
            jobs = [first.ask("start_research", engine=quick(name), **asked)["job_id"] for name in bought]
            first.stop(signal.SIGKILL)
        # Ada does not come back; the next server has the keys, and that is enough.
        with Served(tmp_path / "home", tmp_path, **given) as second:
            until(lambda: all(one.count("look") >= 2 for one in standins[:2]), 60, "the looks of the next server")
            second.token = ADA
            assert [second.ended(job_id)["status"] for job_id in jobs] == ["completed"] * 2
        assert [len(standin.ledger) for standin in standins] == [1, 1, 0]
        sent = [f"{seen.path} {seen.query} {seen.headers} {seen.body!r}" for one in standins for seen in one.log]
        assert len(sent) >= 6
        assert not [request for request in sent if ADA in request]


def serve(place: Path, where: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """A server that is not to come up."""
    return subprocess.run(
        [sys.executable, *PRODUCT, where],
        env=environment(place / "home", **settings), cwd=place, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("where", ["0.0.0.0:0", "[::]:0"])
def test_an_address_that_others_reach_is_not_served_without_a_credential(tmp_path: Path, where: str) -> None:
    ran = serve(tmp_path, where)
    assert ran.returncode == 2, ran
    assert "asks for no credential" in ran.stderr
    assert "SPADEWORK_TOKENS" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "home" / "desk.json").exists()


@pytest.mark.parametrize(
    ("where", "settings", "code", "words"),
    [
        ("127.0.0.1", {}, 2, "names no address"),
        ("127.0.0.1:99999", {}, 2, "names no address"),
        ("203.0.113.7:0", {}, 2, "cannot be listened on"),
        ("127.0.0.1:0", {"tokens": "ada=short"}, 1, "the token of 'ada'"),
        ("127.0.0.1:0", {"tokens": "a da=" + "x" * 30}, 1, "tokens"),
        ("127.0.0.1:0", {"oauth_audience": "x"}, 1, "oauth_issuer"),
        ("0.0.0.0:0", {"oauth_issuer": "https://issuer.example"}, 1, "public_url"),
        ("127.0.0.1:0", {"public_url": "desk.example"}, 1, "public_url"),
    ],
)
def test_what_cannot_be_served_is_named_and_shown_without_a_secret(
    tmp_path: Path, where: str, settings: dict[str, str], code: int, words: str
) -> None:
    ran = serve(tmp_path, where, **settings)
    assert ran.returncode == code, ran
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "xxxx" not in ran.stderr
    assert "ada=short" not in ran.stderr


def test_an_exposed_server_with_tokens_answers_to_its_public_name(tmp_path: Path) -> None:
    settings = {"tokens": TOKENS, "public_url": "https://desk.example.org", "allowed_hosts": "desk.internal"}
    with Served(tmp_path / "home", tmp_path, (*PRODUCT, "0.0.0.0:0"), **settings) as served:
        served.token = ADA
        page = "https://desk.example.org"
        for host, origin, status in (
            ("desk.example.org", page, 200), ("desk.internal", None, 200), ("127.0.0.1", None, 200),
            ("evil.example", None, 421), ("desk.example.org", "https://evil.example", 403),
            ("127.0.0.1", "http://localhost:3000", 403),
        ):  # fmt: skip
            assert served.post("tools/list", host=host, origin=origin).status == status, (host, origin)
