"""An OpenID Connect issuer for the demo: whoever comes chooses which of the demo's users to be.

Authorization code with PKCE (S256), for public clients; codes and refresh tokens are good once.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from bastion.demo.samplehttp import SampleRequest, SampleResponse

CLIENT = "bastion-demo"
ALGORITHM = "ES256"
LIFE = 600  # seconds of an ID token
CODE_SECONDS = 60
SIZE = 32  # bytes of a number of P-256

_LOOPBACK = re.compile(r"http://127\.0\.0\.1:\d+/")  # of native clients, on any port (RFC 8252, 7.3)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Demo issuer</title><style>body{font:16px system-ui;max-width:26rem;margin:4rem auto;padding:0 1rem}
a{display:block;padding:.8rem 1rem;margin:.6rem 0;border:1px solid #888;border-radius:.5rem}</style></head>
<body><h1>Demo issuer</h1><p>A real one would ask for a password. Who are you?</p>
"""


@dataclass(frozen=True, slots=True)
class _Grant:
    user: str
    redirect_uri: str = ""
    challenge: str = ""
    nonce: str = ""
    until: float = float("inf")


class Issuer:
    """`users`: the groups of each.  `url` is its own; `redirect_uris` are those of browsers."""

    def __init__(
        self,
        url: str,
        users: Mapping[str, tuple[str, ...]],
        redirect_uris: tuple[str, ...],
        clock: Callable[[], float] = time.time,
        life: int = LIFE,
    ) -> None:
        self.url = url
        self.life = life
        self._users = users
        self._redirect_uris = redirect_uris
        self._clock = clock
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._codes: dict[str, _Grant] = {}
        self._refreshing: dict[str, _Grant] = {}

    def answer(self, request: SampleRequest) -> SampleResponse:
        query = dict(parse_qsl(request.target.partition("?")[2], keep_blank_values=True))
        match request.method, request.path:
            case "GET", "/.well-known/openid-configuration":
                return _json(self._metadata())
            case "GET", "/keys":
                return _json({"keys": [self._public()]})
            case "GET", "/authorize":
                return self._choose(query)
            case "POST", "/token":
                return self._token(dict(parse_qsl(request.body.decode("latin-1"))))
        return SampleResponse(b"nothing is here", code=404)

    def _metadata(self) -> dict[str, object]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "authorization_response_iss_parameter_supported": True,
        }

    def _choose(self, query: dict[str, str]) -> SampleResponse:
        """A page with the users; with one that was chosen, back to where the browser came from."""
        uri = query.get("redirect_uri", "")
        if query.get("client_id") != CLIENT or not (uri in self._redirect_uris or _LOOPBACK.fullmatch(uri)):
            return SampleResponse(b"an unknown client, or a redirect URI that is not registered", code=400)
        if query.get("response_type") != "code" or query.get("code_challenge_method") != "S256":
            return SampleResponse(b"a code with PKCE (S256) must be asked for", code=400)
        user = query.pop("user", "")
        if user not in self._users:
            links = "".join(_link({**query, "user": name}) for name in self._users)
            return SampleResponse((_PAGE + links).encode(), "text/html; charset=utf-8")
        code = secrets.token_urlsafe(24)
        self._codes[code] = _Grant(
            user, uri, query.get("code_challenge", ""), query.get("nonce", ""), self._clock() + CODE_SECONDS
        )
        back = {"code": code, "state": query.get("state", ""), "iss": self.url}
        return SampleResponse(code=303, headers=(("Location", f"{uri}?{urlencode(back)}"),))

    def _token(self, form: dict[str, str]) -> SampleResponse:
        grants = {
            "authorization_code": ("code", self._codes),
            "refresh_token": ("refresh_token", self._refreshing),
        }
        name, known = grants.get(form.get("grant_type", ""), ("", {}))
        grant = known.pop(form.get(name, ""), None)
        if grant is None or form.get("client_id") != CLIENT or self._clock() > grant.until:
            return _json({"error": "invalid_grant"}, 400)
        verifier = form.get("code_verifier", "").encode()
        proven = not grant.challenge or _b64(hashlib.sha256(verifier).digest()) == grant.challenge
        if not proven or form.get("redirect_uri", "") != grant.redirect_uri:
            return _json({"error": "invalid_grant"}, 400)
        refresh = secrets.token_urlsafe(24)
        self._refreshing[refresh] = _Grant(grant.user)
        tokens = {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "expires_in": self.life}
        return _json({**tokens, "id_token": self._id_token(grant), "refresh_token": refresh})

    def _id_token(self, grant: _Grant) -> str:
        now = int(self._clock())
        claims: dict[str, object] = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": grant.user,
            "groups": list(self._users[grant.user]),
            "iat": now,
            "exp": now + self.life,
        }
        claims |= {"nonce": grant.nonce} if grant.nonce else {}
        signed = ".".join(
            _b64(json.dumps(part).encode())
            for part in ({"alg": ALGORITHM, "kid": "demo", "typ": "JWT"}, claims)
        )
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_b64(r.to_bytes(SIZE, 'big') + s.to_bytes(SIZE, 'big'))}"

    def _public(self) -> dict[str, str]:
        numbers = self._key.public_key().public_numbers()
        x, y = (_b64(number.to_bytes(SIZE, "big")) for number in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "use": "sig", "alg": ALGORITHM, "kid": "demo", "x": x, "y": y}


def _link(query: Mapping[str, str]) -> str:
    return f'<a href="/authorize?{html.escape(urlencode(query))}">{html.escape(query["user"])}</a>'


def _json(value: object, code: int = 200) -> SampleResponse:
    fields = (("Cache-Control", "no-store"),)
    return SampleResponse(json.dumps(value).encode(), "application/json", code, fields)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
