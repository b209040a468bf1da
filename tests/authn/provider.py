"""An OpenID Connect provider on loopback: keys, tokens good and bad, and pages that are counted when they are
fetched.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import hmac
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jose import jwt

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

CLIENT_ID = "bastion"
HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
CURVES = {
    "ES256": ("P-256", ec.SECP256R1()),
    "ES384": ("P-384", ec.SECP384R1()),
    "ES512": ("P-521", ec.SECP521R1()),
}

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@functools.cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Made once: it takes a tenth of a second, or a second."""
    return rsa.generate_private_key(65537, bits)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int, size: int = 0) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def public_jwk(key: Key, **more: Any) -> dict[str, Any]:
    """`more` of None leaves a member out."""
    numbers = key.public_key().public_numbers()
    if isinstance(numbers, rsa.RSAPublicNumbers):
        jwk: dict[str, Any] = {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    else:
        name = next(name for name, curve in CURVES.values() if curve.name == numbers.curve.name)
        size = (numbers.curve.key_size + 7) // 8
        jwk = {"kty": "EC", "crv": name, "x": _number(numbers.x, size), "y": _number(numbers.y, size)}
    return {name: value for name, value in (jwk | more).items() if value is not None}


def pem(key: Key) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def sign(key: Key, alg: str, data: bytes) -> bytes:
    digest = HASHES[alg[2:]]()  # type: ignore[abstract]
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), digest)
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
    size = (key.curve.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def assemble(
    header: Any, claims: Any, signature: bytes | str = b"", *, key: Key | None = None, alg: str = "RS256"
) -> str:
    """A token by hand: parts that are bytes stand as they are, and a `key` signs whatever stands there."""
    parts = [b64(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, claims)]
    head = ".".join(parts)
    if key is not None:
        signature = sign(key, alg, head.encode())
    return f"{head}.{signature if isinstance(signature, str) else b64(signature)}"


@dataclass
class Page:
    body: bytes = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait: threading.Event | None = None  # nothing is answered before


class Web:
    """Pages at their paths; `fetched` are the paths asked for, in order."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        web = self
        self.pages: dict[str, Page] = {}
        self.fetched: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.fetched.append(self.path)
                page = web.pages.get(self.path, Page(b"", 404))
                if page.wait is not None:
                    page.wait.wait(20)
                with contextlib.suppress(OSError):
                    self.send_response(page.status)
                    for name, value in page.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(page.body)))
                    self.end_headers()
                    self.wfile.write(page.body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls is not None else 'http'}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Web:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Provider:
    """What an issuer has.  `now` is what its clock shows."""

    def __init__(self, url: str, now: float, key: rsa.RSAPrivateKey) -> None:
        self.url = url
        self.now = now
        self.key = key
        self.stranger = rsa_key("stranger")
        self.curves = {alg: ec.generate_private_key(curve) for alg, (_, curve) in CURVES.items()}
        self.keys = [
            public_jwk(self.key, kid="good", use="sig", alg="RS256"),
            public_jwk(self.key, kid="any-alg"),
            public_jwk(self.key, kid="enc", use="enc"),
            public_jwk(self.key, kid="rs512", alg="RS512"),
            public_jwk(self.key, kid="may-only-sign", key_ops=["sign"]),
            public_jwk(self.key, use="sig"),
            {"kty": "oct", "kid": "secret", "k": b64(b"s" * 32)},
            {"kty": "oct", "kid": "good", "k": b64(b"s" * 32)},
            *(public_jwk(key, kid=alg) for alg, key in self.curves.items()),
        ]

    @property
    def key_set(self) -> bytes:
        return json.dumps({"keys": self.keys}).encode()

    def publish(self, web: Web, **discovery: Any) -> None:
        path = self.url.removeprefix(web.url)
        document = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"} | discovery
        web.pages[f"{path}/.well-known/openid-configuration"] = Page(json.dumps(document).encode())
        web.pages[f"{path}/keys"] = Page(self.key_set)

    def claims(self, **more: Any) -> dict[str, Any]:
        """Of a good token; `more` of None leaves one out."""
        made = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": "erin",
            "iat": self.now - 10,
            "exp": self.now + 600,
            "groups": ["devs"],
        }
        return {name: value for name, value in (made | more).items() if value is not None}

    def token(self, *, kid: str | None = "good", alg: str = "RS256", **claims: Any) -> str:
        """By python-jose, as a provider makes it."""
        key = self.curves.get(alg, self.key)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        made: str = jwt.encode(
            self.claims(**claims),
            secret.decode(),
            algorithm=alg,
            headers={"kid": kid} if kid is not None else None,
        )
        return made

    def odd(
        self, header: Any = None, claims: Any = None, *, key: Key | None = None, alg: str = "RS256"
    ) -> str:
        """By hand, rightly signed all the same; a `header` that is an object is added to a good one."""
        if header is None or isinstance(header, dict):
            header = {"alg": alg, "typ": "JWT", "kid": "good"} | (header or {})
        return assemble(header, self.claims() if claims is None else claims, key=key or self.key, alg=alg)

    def token_by(self, key: Key, alg: str = "RS256", **header: Any) -> str:
        """By hand and without a kid, whoever's the key is."""
        return assemble({"alg": alg, "typ": "JWT"} | header, self.claims(), key=key, alg=alg)

    def hmac(self, secret: bytes, **header: Any) -> str:
        """A member of `header` that is `...` is left out."""
        made = {"alg": "HS256", "kid": "good"} | header
        token = assemble({name: value for name, value in made.items() if value is not ...}, self.claims())
        head = token.rpartition(".")[0]
        return f"{head}.{b64(hmac.new(secret, head.encode(), hashlib.sha256).digest())}"


@contextlib.contextmanager
def provider(now: float, path: str = "", tls: ssl.SSLContext | None = None) -> Iterator[tuple[Web, Provider]]:
    """One that has published itself."""
    with Web(tls) as web:
        made = Provider(web.url + path, now, rsa_key("good"))
        made.publish(web)
        yield web, made
