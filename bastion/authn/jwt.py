"""· Is a token signed by a key of its issuer?

The only file that uses python-jose, and only its arithmetic.

Its `jwt.decode` accepts a token without `aud` or `exp`, ignores `kid`, `use`, the key's `alg` and `crit`,
lets exceptions out and reads the clock itself.  So `compact` reads the token, `claims` checks it, and a key
is chosen here before a signature is verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from jose import jwk

from bastion.authn.claims import InvalidToken
from bastion.identity.compact import CompactToken, decoded, read_json

MAX_KEYS = 100  # of a set
MAX_KID = 256  # characters
LEAST_RSA, LARGEST_RSA = 2048, 16384  # bits

# What each algorithm needs: the type of the key and, of elliptic curves, the curve (RFC 7518, 3.1).  No HMAC:
# a public key would pass for its secret (CVE-2024-33663).  The library has no PS256 and EdDSA.
ALGORITHMS = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
}
_PUBLIC = {"RSA": ("n", "e"), "EC": ("crv", "x", "y")}
# They name another key, extensions or another reading of the payload: the header is the attacker's.
_REFUSED = frozenset(("crit", "jku", "jwk", "x5u", "x5c", "zip", "b64"))

# (kid, alg) -> a key of python-jose.  (None, alg) has the only key of an algorithm, where there is
# exactly one.
Keys = Mapping[tuple[str | None, str], Any]


class KeyChoice(msgspec.Struct, frozen=True):
    """The key that a token says it is signed with; `kid` None where it does not say: it is optional
    (RFC 7515, 4.1.4).
    """

    kid: str | None
    alg: str


def key_choice(compact: CompactToken, algorithms: frozenset[str]) -> KeyChoice:
    """Raises InvalidToken."""
    header = compact.header
    if header is None:
        raise InvalidToken("the header cannot be read")
    if not _REFUSED.isdisjoint(header):
        raise InvalidToken("the header has a field that is refused")
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in algorithms or alg not in ALGORITHMS:
        raise InvalidToken("signed with an algorithm that is not allowed")
    if "kid" not in header:
        return KeyChoice(None, alg)
    kid = header["kid"]
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID or not kid.isprintable():
        raise InvalidToken("the header names no key")
    return KeyChoice(kid, alg)


def verify(compact: CompactToken, key: Any) -> None:
    """Raises InvalidToken."""
    try:
        good = compact.signature is not None and key.verify(compact.signed, compact.signature) is True
    except Exception as error:  # whatever the library raises: only True is valid
        raise InvalidToken("the signature cannot be verified") from error
    if not good:
        raise InvalidToken("the signature is wrong")


def read_keys(document: bytes) -> Keys:
    """Those of a JSON Web Key Set (RFC 7517) that may sign.  Raises ValueError where there are none."""
    found = read_json(document)
    entries = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a JSON Web Key Set")
    keys: dict[tuple[str | None, str], Any] = {}
    # algorithms: a token without `kid` could be signed by any of these keys, and none is guessed
    several: set[str] = set()
    for entry in entries[:MAX_KEYS]:
        for alg in ALGORITHMS:
            key = _key(entry, alg) if isinstance(entry, dict) and _may_sign(entry, alg) else None
            if key is None:
                continue
            if (None, alg) in keys:
                several.add(alg)
            keys.setdefault((None, alg), key)
            if isinstance(kid := entry.get("kid"), str):
                keys.setdefault((kid, alg), key)
    if not keys:
        raise ValueError("a JSON Web Key Set without a key that may sign")
    return {name: key for name, key in keys.items() if name[0] is not None or name[1] not in several}


def _may_sign(entry: Mapping[str, Any], alg: str) -> bool:
    kind, curve = ALGORITHMS[alg]
    operations = entry.get("key_ops", ["verify"])
    return (
        isinstance(entry.get("kid", ""), str)
        and entry.get("kty") == kind
        and (curve is None or entry.get("crv") == curve)
        and entry.get("use", "sig") == "sig"
        and entry.get("alg", alg) == alg
        and isinstance(operations, list)
        and "verify" in operations
    )


def _key(entry: Mapping[str, Any], alg: str) -> Any | None:
    """None where its numbers make no key, or a weak one.  Of a private key only the public half is taken."""
    public = {name: entry.get(name) for name in _PUBLIC[entry["kty"]]}
    if not all(isinstance(value, str) for value in public.values()):
        return None
    modulus = decoded(str(public["n"])) if "n" in public else None
    if "n" in public and (
        modulus is None or not LEAST_RSA <= int.from_bytes(modulus, "big").bit_length() <= LARGEST_RSA
    ):
        return None
    try:
        return jwk.construct({"kty": entry["kty"], **public}, alg)
    except Exception:  # whatever the library makes of it
        return None
