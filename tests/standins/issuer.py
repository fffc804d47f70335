"""An OAuth issuer: real keys, real metadata and a real port; it can rotate its keys, go silent and count who asks."""

from __future__ import annotations

import base64
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Issuer:
    """Signs tokens for whom it is told to; `with Issuer() as issuer`."""

    def __init__(self) -> None:
        self.keys: dict[str, tuple[Any, str]] = {}
        self.silent = False
        self.asked: list[str] = []
        self.rotate("rsa-1")
        outer = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                found = None if outer.silent else outer.pages().get(self.path)
                body = json.dumps(found or {"error": "none"}).encode()
                self.send_response(200 if found else 503)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing is said."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Issuer:  # noqa: PYI034
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/realm"

    def rotate(self, kid: str, kind: str = "RS256") -> None:
        """Sign with a new key from now on, and publish it alone."""
        made = {
            "RS256": lambda: rsa.generate_private_key(public_exponent=65_537, key_size=2_048),
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }[kind]()
        self.keys = {kid: (made, kind)}

    def pages(self) -> dict[str, dict[str, Any]]:
        """What is published: the metadata of RFC 8414, and the keys."""
        root = f"http://127.0.0.1:{self._server.server_port}"
        metadata = {"issuer": self.url, "jwks_uri": f"{root}/keys"}
        return {"/.well-known/oauth-authorization-server/realm": metadata, "/keys": {"keys": self.published()}}

    def published(self) -> list[dict[str, Any]]:
        """The public keys as JWKs."""
        kinds = {"RS256": jwt.algorithms.RSAAlgorithm, "ES256": jwt.algorithms.ECAlgorithm,
                 "EdDSA": jwt.algorithms.OKPAlgorithm}  # fmt: skip
        return [
            {**json.loads(kinds[kind].to_jwk(key.public_key())), "kid": kid, "use": "sig"}
            for kid, (key, kind) in self.keys.items()
        ]

    def token(self, audience: Any, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A good token for an audience, except for what `claims` change; None leaves a claim out."""
        now = int(time.time())
        whole = {
            "iss": self.url, "aud": audience, "sub": "ada", "client_id": "desktop", "scope": "openid research",
            "iat": now, "exp": now + 600, **claims,
        }  # fmt: skip
        ((kid, (key, kind)),) = self.keys.items()
        kept = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(kept, key, kind, {"kid": kid, **(header or {})})

    def public(self) -> bytes:
        """The public key as PEM, which a forger also has."""
        ((_, (key, _)),) = self.keys.items()
        return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def unsigned(claims: dict[str, Any], alg: str = "none") -> str:
    """A token without a signature."""
    parts = ({"alg": alg, "typ": "JWT"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."
