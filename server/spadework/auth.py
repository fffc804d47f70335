"""Who calls over HTTP: bearer tokens of this desk's own list, or those that an OAuth 2.1 issuer signed for it.

spadework is a resource server only: it issues no token, takes none that was meant for somebody else and passes none on.
Why the signing keys come through `Egress` and not PyJWT's own client: one door out, and nothing that blocks the loop.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import anyio
import jwt

from spadework.egress import Call, Egress
from spadework.settings import BadSetting, Settings
from spadework_tools.errors import Trouble

#: Signatures that a public key verifies (RFC 7518, RFC 8037); one of a shared secret, or none, is never taken.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
#: A token is refused unread beyond this size, characters.
LONGEST = 16_384
#: A token of our own list has so many characters at least.
SHORTEST = 20
#: How far the issuer's clock and ours may differ, seconds.
LEEWAY_S = 30
#: How long the issuer's keys are used before they are asked for again, and how long when it does not answer, seconds.
FRESH_S, STALE_S = 3_600.0, 86_400.0
#: An unknown key makes us ask the issuer again, but not more often than this, seconds.
ASK_S = 30.0

_CLAIMS = ("exp", "iss", "aud", "sub")
_HASH = re.compile(r"sha256:([0-9a-fA-F]{64})")


class IssuerSilent(Trouble):
    """The issuer's signing keys cannot be had, so no token can be judged."""

    code = "issuer_silent"
    retryable = True


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a credential stands for: the owner of the jobs, and what the credential allows."""

    owner: str
    scopes: tuple[str, ...]
    client: str
    issuer: str | None = None


class Verifier(Protocol):
    """Judges bearer tokens."""

    async def verify(self, token: str) -> Principal | None:
        """Whom the token stands for; None where it is not valid here. Raises IssuerSilent."""
        ...


class Listed:
    """The tokens of the `tokens` setting, kept as hashes and compared in a time that tells nothing.

    Args:
        tokens: by the owner's name, the token itself or `sha256:` and the hex digest of its UTF-8 bytes.
        scope: what every one of them allows.
    """

    def __init__(self, tokens: Mapping[str, str], scope: str) -> None:
        self._known = tuple(
            (_digest(name, token), Principal(name, (scope,), name)) for name, token in sorted(tokens.items())
        )

    async def verify(self, token: str) -> Principal | None:
        """See `Verifier`. Every entry is compared, whichever it is."""
        given = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        found: Principal | None = None
        for digest, principal in self._known:
            if hmac.compare_digest(given, digest):
                found = principal
        return found


def _digest(name: str, token: str) -> bytes:
    """Raises BadSetting for a token that could be guessed, without showing it."""
    if (hashed := _HASH.fullmatch(token)) is not None:
        return bytes.fromhex(hashed[1])
    if len(token) < SHORTEST or token.startswith("sha256:"):
        raise BadSetting(
            f"the token of {name!r} in the setting tokens is neither {SHORTEST} characters long nor a sha256: digest. "
            "Make one with `openssl rand -hex 32`, and write `sha256:` and its digest."
        )
    return hashlib.sha256(token.encode()).digest()


class Issued:
    """Tokens that an OAuth issuer signed for this desk (RFC 9068, RFC 8707): JSON Web Tokens, all claims checked."""

    def __init__(self, ring: KeyRing, issuer: str, audiences: Sequence[str]) -> None:
        self._ring, self._issuer, self._audiences = ring, issuer, tuple(audiences)

    async def verify(self, token: str) -> Principal | None:
        """See `Verifier`. The owner is the subject at its issuer, whichever client the person uses."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                return None
            key = await self._ring.key(header.get("kid"), str(header["alg"]))
            if key is None:
                return None
            claims: dict[str, Any] = jwt.decode(
                token,
                key=key,
                algorithms=[key.algorithm_name],
                audience=self._audiences,
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options={"require": list(_CLAIMS)},
            )
        except (jwt.PyJWTError, ValueError, RecursionError):
            # Besides its own errors PyJWT lets some of JSON's and of base64's through.
            return None
        subject = claims["sub"]
        client = claims.get("client_id") or claims.get("azp") or subject
        return Principal(f"{self._issuer} {subject}", _scopes(claims), str(client), self._issuer)


def _scopes(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """What a token allows: `scope` as one text (RFC 9068), or the list `scp` that some issuers write."""
    for name in ("scope", "scp"):
        given: Any = claims.get(name)
        if isinstance(given, str):
            return tuple(given.split())
        if isinstance(given, list):
            return tuple(str(one) for one in cast("list[Any]", given))
    return ()


class KeyRing:
    """An issuer's public keys, asked for when needed and kept for an hour.

    Args:
        http: the way out.
        issuer: the issuer's identifier, whose metadata says where its keys are (RFC 8414, or OpenID discovery).
        url: where its keys are, if that is known.
        now: a clock in seconds that only goes forward.
    """

    def __init__(
        self, http: Egress, issuer: str, url: str | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._http, self._issuer, self._url, self._now = http, issuer, url, now
        self._keys: tuple[jwt.PyJWK, ...] = ()
        self._got = self._asked = float("-inf")
        self._lock = anyio.Lock()

    async def key(self, kid: object, algorithm: str) -> jwt.PyJWK | None:
        """The issuer's key of that id and kind of signature; None: it has none. Raises IssuerSilent."""
        if self._now() - self._got > FRESH_S or self._pick(kid, algorithm) is None:
            await self._refresh(kid, algorithm)
        return self._pick(kid, algorithm)

    def _pick(self, kid: object, algorithm: str) -> jwt.PyJWK | None:
        fitting = [key for key in self._keys if key.algorithm_name == algorithm and kid in (None, key.key_id)]
        # A token that names no key fits only where there is no choice.
        return fitting[0] if fitting and (kid is not None or len(fitting) == 1) else None

    async def _refresh(self, kid: object, algorithm: str) -> None:
        """Ask for the keys again, one caller for all, and not for every forged id."""
        async with self._lock:
            if self._now() - self._got <= FRESH_S and self._pick(kid, algorithm) is not None:
                return
            if self._now() - self._asked > ASK_S:
                self._asked = self._now()
                try:
                    self._keys = _public(await self._read(self._url or await self._discovered()))
                    self._got = self._now()
                except (Trouble, ValueError, KeyError, TypeError, AttributeError) as error:
                    self._judge(error)
            elif self._now() - self._got > STALE_S:
                raise IssuerSilent(_SILENT.format(self._issuer, "it did not answer a moment ago"))

    def _judge(self, error: Exception) -> None:
        """Keys that were good an hour ago are good enough while the issuer is down. Raises IssuerSilent."""
        if self._now() - self._got > STALE_S:
            raise IssuerSilent(_SILENT.format(self._issuer, error)) from error

    async def _discovered(self) -> str:
        """Where the issuer's metadata says its keys are. Raises ValueError for metadata of another issuer."""
        parts = urlsplit(self._issuer)
        origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
        places = (
            f"{origin}/.well-known/oauth-authorization-server{path}",
            f"{origin}{path}/.well-known/openid-configuration",
        )
        for place in places:
            try:
                found = await self._read(place)
            except ValueError:
                continue
            if found["issuer"] != self._issuer:
                raise ValueError("its metadata names another issuer")
            return str(found["jwks_uri"])
        raise ValueError("it publishes no metadata")

    async def _read(self, url: str) -> dict[str, Any]:
        """A JSON object from the issuer. Raises ValueError for any other answer, and Egress's errors."""
        call = Call(
            "GET", url, {"accept": "application/json"}, timeout_s=5, max_bytes=1 << 20, trust=self._url or self._issuer
        )
        reply = await self._http.request(call)
        found: Any = json.loads(reply.body) if reply.status == 200 else None
        if not isinstance(found, dict):
            raise ValueError(f"{url} answered {reply.status} without a JSON object")
        return cast("dict[str, Any]", found)


_SILENT = "the signing keys of {} cannot be had ({}), so no token can be judged. Try again in a minute."


def _public(found: Mapping[str, Any]) -> tuple[jwt.PyJWK, ...]:
    """The usable keys of a key set: public ones, for signatures. Raises KeyError, ValueError."""
    keys: list[jwt.PyJWK] = []
    for row in cast("list[dict[str, Any]]", found["keys"]):
        if row.get("kty") in ("RSA", "EC", "OKP") and row.get("use", "sig") == "sig":
            try:
                keys.extend(jwt.PyJWK(row, algorithm) for algorithm in _algorithms(row))
            except jwt.PyJWTError:
                continue
    return tuple(keys)


def _algorithms(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What a key may verify: what it names, else what keys of its kind do."""
    if "alg" in row:
        return (str(row["alg"]),) if row["alg"] in ALGORITHMS else ()
    if row["kty"] == "RSA":
        return tuple(name for name in ALGORITHMS if name[:2] in ("RS", "PS"))
    curves = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA", "Ed448": "EdDSA"}
    return (curves[row["crv"]],) if row.get("crv") in curves else ()


class Both:
    """Our own list first, then the issuer's tokens."""

    def __init__(self, verifiers: Sequence[Verifier]) -> None:
        self._verifiers = tuple(verifiers)

    async def verify(self, token: str) -> Principal | None:
        """See `Verifier`."""
        if len(token) > LONGEST:
            return None
        for verifier in self._verifiers:
            if (principal := await verifier.verify(token)) is not None:
                return principal
        return None


def verifier(settings: Settings, http: Egress, resources: Sequence[str]) -> Verifier | None:
    """The judge of tokens that the settings ask for; None where they ask for none.

    Given the way out and the URLs of this desk's own doors, for which tokens may be made out. Raises BadSetting.
    """
    found: list[Verifier] = []
    if settings.tokens:
        held = {name: token.get_secret_value() for name, token in settings.tokens.items()}
        found.append(Listed(held, settings.oauth_scope))
    if settings.oauth_issuer is not None:
        ring = KeyRing(http, settings.oauth_issuer, settings.oauth_jwks_url)
        audiences = (settings.oauth_audience,) if settings.oauth_audience else tuple(resources)
        found.append(Issued(ring, settings.oauth_issuer, audiences))
    elif settings.oauth_audience or settings.oauth_jwks_url:
        raise BadSetting("oauth_audience and oauth_jwks_url say nothing without oauth_issuer. Set it, or remove them.")
    return Both(found) if found else None
