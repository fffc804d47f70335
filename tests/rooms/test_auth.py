"""Tokens and quotas: what is taken, from whom, and how the issuer's keys are followed."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest
from tests.standins.issuer import Issuer

from spadework.auth import ASK_S, FRESH_S, STALE_S, Both, Issued, IssuerSilent, KeyRing, Listed, verifier
from spadework.egress import Egress
from spadework.quota import Crowd, Rate
from spadework.settings import BadSetting, Settings
from spadework_tools.errors import RateLimited

DOOR = "http://desk.example/mcp"
LONG = "0123456789abcdefghijklmnop"

pytestmark = pytest.mark.anyio


class Clock:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def http() -> AsyncIterator[Egress]:
    egress = Egress()
    yield egress
    await egress.aclose()


@pytest.mark.parametrize("kind", ["RS256", "ES256", "EdDSA"])
async def test_each_kind_of_signature_is_verified(http: Egress, issuer: Issuer, kind: str) -> None:
    issuer.rotate("k", kind)
    judge = Issued(KeyRing(http, issuer.url), issuer.url, [DOOR])
    with anyio.fail_after(10):
        principal = await judge.verify(issuer.token(DOOR))
    assert principal is not None
    assert (principal.owner, principal.client) == (f"{issuer.url} ada", "desktop")
    assert "research" in principal.scopes


async def test_a_person_is_one_owner_whichever_client_they_use(http: Egress, issuer: Issuer) -> None:
    judge = Issued(KeyRing(http, issuer.url), issuer.url, [DOOR])
    one = await judge.verify(issuer.token(DOOR))
    other = await judge.verify(issuer.token(DOOR, client_id="phone"))
    assert one is not None
    assert other is not None
    assert (one.owner, one.client, other.client) == (other.owner, "desktop", "phone")


async def test_changed_keys_are_followed_at_a_bounded_pace(http: Egress, issuer: Issuer, clock: Clock) -> None:
    judge = Issued(KeyRing(http, issuer.url, now=clock), issuer.url, [DOOR])
    old = issuer.token(DOOR)
    assert await judge.verify(old) is not None
    issuer.rotate("rsa-2")
    clock.at += ASK_S + 1
    assert await judge.verify(issuer.token(DOOR)) is not None
    assert await judge.verify(old) is None
    asked = len(issuer.asked)
    for number in range(10):
        assert await judge.verify(issuer.token(DOOR, header={"kid": f"x{number}"})) is None
    assert len(issuer.asked) == asked


async def test_keys_outlive_a_short_silence_of_the_issuer_but_not_a_long_one(
    http: Egress, issuer: Issuer, clock: Clock
) -> None:
    judge = Issued(KeyRing(http, issuer.url, now=clock), issuer.url, [DOOR])
    token = issuer.token(DOOR, exp=4_000_000_000)
    assert await judge.verify(token) is not None
    issuer.silent = True
    clock.at += FRESH_S + 1
    assert await judge.verify(token) is not None
    clock.at += STALE_S
    for _ in range(2):
        with pytest.raises(IssuerSilent):
            await judge.verify(token)
    issuer.silent = False
    clock.at += ASK_S + 1
    assert await judge.verify(token) is not None


async def test_many_callers_at_once_ask_the_issuer_once(http: Egress, issuer: Issuer) -> None:
    judge = Issued(KeyRing(http, issuer.url), issuer.url, [DOOR])
    token = issuer.token(DOOR)
    found: list[bool] = []

    async def verify() -> None:
        found.append(await judge.verify(token) is not None)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(verify)
    assert found == [True] * 50
    assert issuer.asked == ["/.well-known/oauth-authorization-server/realm", "/keys"]


async def test_keys_of_another_kind_and_secrets_among_the_keys_are_passed_over(
    http: Egress, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"kty": "oct", "k": "c2VjcmV0", "kid": "s"}, {"kty": "RSA", "kid": "broken", "n": "x"}, *issuer.published()]
    monkeypatch.setattr(issuer, "published", lambda: rows)
    judge = Issued(KeyRing(http, issuer.url), issuer.url, [DOOR])
    assert await judge.verify(issuer.token(DOOR)) is not None


async def test_an_issuer_whose_metadata_names_another_is_not_believed(
    http: Egress, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = issuer.pages()
    pages["/.well-known/oauth-authorization-server/realm"]["issuer"] = "https://other.example"
    monkeypatch.setattr(issuer, "pages", lambda: pages)
    with pytest.raises(IssuerSilent):
        await Issued(KeyRing(http, issuer.url), issuer.url, [DOOR]).verify(issuer.token(DOOR))


async def test_a_token_of_the_list_is_known_by_itself_or_its_digest() -> None:
    digest = hashlib.sha256(b"another-long-enough-token").hexdigest()
    judge = Both([Listed({"ada": LONG, "bob": f"sha256:{digest}"}, "research")])
    for token, owner in ((LONG, "ada"), ("another-long-enough-token", "bob")):
        principal = await judge.verify(token)
        assert principal is not None
        assert (principal.owner, principal.scopes) == (owner, ("research",))
    for wrong in ("", LONG[:-1], digest, f"sha256:{digest}", "x" * 100_000):
        assert await judge.verify(wrong) is None


@pytest.mark.parametrize("token", ["short", "", "sha256:12ab", "sha256:" + "z" * 64])
async def test_a_token_that_could_be_guessed_stops_the_start_and_is_not_shown(token: str) -> None:
    with pytest.raises(BadSetting) as caught:
        Listed({"ada": token}, "research")
    assert "'ada'" in str(caught.value)
    if token:
        assert token not in str(caught.value)


async def test_without_a_setting_nobody_is_judged(http: Egress, tmp_path) -> None:
    assert verifier(Settings(home=tmp_path), http, [DOOR]) is None


async def test_tokens_come_from_the_file_too_and_are_never_shown(tmp_path) -> None:
    (tmp_path / "config.toml").write_text(f'[tokens]\nada = "{LONG}"\n', encoding="utf-8")
    settings = Settings.load({"SPADEWORK_HOME": str(tmp_path)})
    assert settings.tokens["ada"].get_secret_value() == LONG
    assert LONG not in repr(settings)
    assert LONG not in settings.model_dump_json()


async def test_a_rate_lets_a_burst_through_and_then_the_even_pace(clock: Clock) -> None:
    rate = Rate(60, clock)
    assert [rate.spend("ada") for _ in range(60)] == [0] * 60
    assert rate.spend("ada") == 1
    assert rate.spend("bob") == 0
    clock.at += 1
    assert rate.spend("ada") == 0
    assert rate.spend("ada") == 1
    clock.at += 60
    assert [rate.spend("ada") for _ in range(61)].count(0) == 60
    with pytest.raises(RateLimited) as caught:
        rate.demand("ada")
    assert caught.value.retry_after_s == 1


async def test_a_slow_rate_says_how_long_to_wait_and_is_right(clock: Clock) -> None:
    rate = Rate(2, clock)
    assert [rate.spend("ada") for _ in range(3)] == [0, 0, 30]
    clock.at += 29
    assert rate.spend("ada") == 1
    clock.at += 1
    assert rate.spend("ada") == 0


async def test_a_crowd_has_so_many_inside_and_forgets_who_left() -> None:
    crowd = Crowd(2)
    with crowd.admit("ada") as one, crowd.admit("ada") as two, crowd.admit("ada") as three, crowd.admit("bob") as bob:
        assert (one, two, three, bob) == (True, True, False, True)
    with pytest.raises(ValueError, match="within"), crowd.admit("ada"):
        raise ValueError("within")
    with crowd.admit("ada") as one, crowd.admit("ada") as two:
        assert (one, two) == (True, True)
