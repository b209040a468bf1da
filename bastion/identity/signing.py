"""With which keys does the bastion sign, and how is it verified?  ES256, RS256 or EdDSA, by the key.

The first key signs, all are published: a new key is added behind the old one, and goes before it once
backends have read it.  A key's name is its thumbprint (RFC 7638), so that replicas agree without a word.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

MOST_KEYS = 16
LEAST_RSA = 2048  # bits
_PEM = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # SP 800-186, 3.2.1.3
_DERIVED = b"bastion: the key of X-Bastion-Assertion, 1"

_Key = EllipticCurvePrivateKey | RSAPrivateKey | Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`public` is its entry in the JSON Web Key Set."""

    key: _Key
    alg: str
    public: dict[str, str]

    @property
    def kid(self) -> str:
        return self.public["kid"]

    def __repr__(self) -> str:
        return f"SigningKey({self.kid})"

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.key, Ed25519PrivateKey):
            return self.key.sign(data)
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(data, PKCS1v15(), SHA256())
        r, s = decode_dss_signature(self.key.sign(data, ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)  # RFC 7518, 3.4


def keys_of(files: Iterable[bytes]) -> tuple[SigningKey, ...]:
    """Of the contents of PEM files, in this order.  Raises ValueError."""
    found: dict[str, SigningKey] = {}
    for pem in files:
        blocks = [match[0] for match in _PEM.finditer(pem)]
        if not blocks:
            raise ValueError("there is no private key in PEM")
        for block in blocks:
            key = _read(block)
            found.setdefault(key.kid, key)
    if len(found) > MOST_KEYS:
        raise ValueError(f"there are more than {MOST_KEYS} keys")
    return tuple(found.values())


def derived_key(secret: bytes) -> SigningKey:
    """The same for everyone who has the secret, which it tells nothing of."""
    number = int.from_bytes(HKDF(SHA256(), 48, None, _DERIVED).derive(secret))
    return _signing_key(derive_private_key(number % (_P256_ORDER - 1) + 1, SECP256R1()))


def key_set(keys: Iterable[SigningKey]) -> bytes:
    """A JSON Web Key Set (RFC 7517)."""
    return json.dumps({"keys": [key.public for key in keys]}).encode() + b"\n"


def encoded(data: bytes) -> str:
    """base64url without padding (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _read(block: bytes) -> SigningKey:
    try:
        key = load_pem_private_key(block, None)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("a private key cannot be read, or is encrypted") from error
    return _signing_key(key)


def _signing_key(key: object) -> SigningKey:
    """Raises ValueError for a kind that is not used."""
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        point = key.public_key().public_numbers()
        numbers = {"crv": "P-256", "kty": "EC", "x": _number(point.x, 32), "y": _number(point.y, 32)}
        return SigningKey(key, "ES256", _published("ES256", numbers))
    if isinstance(key, RSAPrivateKey) and key.key_size >= LEAST_RSA:
        of = key.public_key().public_numbers()
        rsa = {"e": _number(of.e), "kty": "RSA", "n": _number(of.n)}
        return SigningKey(key, "RS256", _published("RS256", rsa))
    if isinstance(key, Ed25519PrivateKey):
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return SigningKey(
            key, "EdDSA", _published("EdDSA", {"crv": "Ed25519", "kty": "OKP", "x": encoded(raw)})
        )
    raise ValueError(f"a key is of no kind that is used: P-256, Ed25519, or RSA of at least {LEAST_RSA} bits")


def _published(alg: str, members: dict[str, Any]) -> dict[str, str]:
    """`members` are those of the thumbprint, in the order of their names."""
    canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
    return {**members, "kid": encoded(hashlib.sha256(canonical).digest()), "alg": alg, "use": "sig"}


def _number(value: int, length: int = 0) -> str:
    return encoded(value.to_bytes(length or (value.bit_length() + 7) // 8))
