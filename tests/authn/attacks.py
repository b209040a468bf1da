"""Tokens that must be nobody's, by what is wrong with them.

AU-n are lines of the project's corpus of hostile requests.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import serialization

from tests.authn.provider import Provider, assemble, b64, pem, public_jwk

Forge = Callable[[Provider], str]


def claims(**wrong: Any) -> Forge:
    """Rightly signed, with these claims wrong; None leaves one out."""
    return lambda p: p.odd(claims=p.claims(**wrong))


def header(**wrong: Any) -> Forge:
    return lambda p: p.odd(wrong)


def text_claims(name: str, value: str) -> Forge:
    """A claim's value as JSON text that no encoder writes."""
    return lambda p: p.odd(claims=json.dumps(p.claims(**{name: "VALUE"})).replace('"VALUE"', value).encode())


def changed(change: Callable[[list[str]], list[str]]) -> Forge:
    """A good token whose three parts were changed."""
    return lambda p: ".".join(change(p.token().split(".")))


def _der(p: Provider) -> bytes:
    return p.key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _openssh(p: Provider) -> bytes:
    return p.key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


def _embedded(p: Provider) -> str:
    return p.odd({"jwk": public_jwk(p.stranger, kid="good")}, key=p.stranger)


def _trailing_bits(parts: list[str]) -> list[str]:
    """Another spelling of the same signature: the last character has bits that nobody reads."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    signature = parts[2]
    other = alphabet[alphabet.index(signature[-1]) ^ 1]
    same = [base64.urlsafe_b64decode(s + "==") for s in (signature, signature[:-1] + other)]
    assert same[0] == same[1]
    return [*parts[:2], signature[:-1] + other]


def _curve(alg: str, signature: bytes) -> Forge:
    return lambda p: assemble({"alg": alg, "kid": alg}, p.claims(), signature)


# Everything here is of the issuer as far as can be read, so it is decided here.
DECIDED: dict[str, Forge] = {
    # the algorithm
    "alg none": lambda p: assemble({"alg": "none", "kid": "good"}, p.claims()),
    "alg None": lambda p: assemble({"alg": "None", "kid": "good"}, p.claims()),
    "alg none with a good signature": header(alg="none"),
    "no alg": lambda p: p.odd(json.dumps({"kid": "good"}).encode()),
    "alg null": header(alg=None),
    "alg a list": header(alg=["RS256"]),
    "alg rs256": header(alg="rs256"),
    "alg PS256": header(alg="PS256"),
    "alg EdDSA": header(alg="EdDSA"),
    "an algorithm that the issuer may not use": lambda p: p.odd({"kid": "any-alg"}, alg="RS384"),
    "HS256 with the PEM": lambda p: p.hmac(pem(p.key)),
    "HS256 with the JWK": lambda p: p.hmac(json.dumps(p.keys[0]).encode()),
    "HS256 with the DER": lambda p: p.hmac(_der(p)),
    "HS256 with the OpenSSH key": lambda p: p.hmac(_openssh(p)),
    "HS256 with a secret of the key set": lambda p: p.hmac(b"s" * 32, kid="secret"),
    # the key
    "kid ../../dev/null": header(kid="../../dev/null"),
    "kid with a quote": header(kid="x' OR '1'='1"),
    "kid a list": header(kid=["good"]),
    "kid a number": header(kid=1),
    "kid null": header(kid=None),
    "kid empty": header(kid=""),
    "kid with a line break": header(kid="good\n"),
    "kid huge": header(kid="g" * 4096),
    "no kid, where several keys could be meant": lambda p: p.token(kid=None),
    "the kid of another type": lambda p: p.odd({"kid": "ES256"}),
    "jwk": _embedded,
    "jwk of the right key": lambda p: p.odd({"jwk": p.keys[0]}),
    "x5c": header(x5c=["MIIB"]),
    "jku": lambda p: p.odd({"jku": f"{p.url}/keys"}),
    "x5u": lambda p: p.odd({"x5u": f"{p.url}/keys"}),
    "a key for encryption": header(kid="enc"),
    "a key for RS512": header(kid="rs512"),
    "a key that may only sign": header(kid="may-only-sign"),
    "another's key under the kid": lambda p: p.odd(key=p.stranger),
    # the header
    "crit": header(crit=["urn:example:unknown"]),
    "crit empty": header(crit=[]),
    "b64": header(b64=False, crit=["b64"]),
    "zip": header(zip="DEF"),
    "alg twice": lambda p: p.odd(b'{"alg":"none","alg":"RS256","kid":"good"}'),
    "alg twice, the good one first": lambda p: p.odd(b'{"alg":"RS256","alg":"none","kid":"good"}'),
    "nested deeply": lambda p: p.odd(b"[" * 6000),
    "nested deeply in an object": lambda p: p.odd(
        b'{"alg":"RS256","kid":"good","x":' + b"[" * 2900 + b"]" * 2900 + b"}"
    ),
    "a header of more than 8 KiB": header(x="x" * 6200),
    "a header that is a list": lambda p: p.odd(b'["alg","RS256"]'),
    "a header that is no JSON": lambda p: p.odd(b"{alg:RS256}"),
    "a header in UTF-16": lambda p: p.odd('{"alg":"RS256","kid":"good"}'.encode("utf-16")),
    "a header with a BOM": lambda p: p.odd(b'\xef\xbb\xbf{"alg":"RS256","kid":"good"}'),
    "a header that is not UTF-8": lambda p: p.odd(b'{"alg":"RS256","kid":"good","x":"\xff"}'),
    "an empty header": changed(lambda parts: ["", *parts[1:]]),
    # the signature
    "no signature": changed(lambda parts: [*parts[:2], ""]),
    "half a signature": changed(lambda parts: [*parts[:2], parts[2][:200]]),
    "trailing bits": changed(_trailing_bits),
    "padding after the signature": changed(lambda parts: [*parts[:2], parts[2] + "="]),
    "padding after the header": changed(
        lambda parts: [parts[0] + "=" * (-len(parts[0]) % 4 or 4), *parts[1:]]
    ),
    "a character that is ignored": changed(lambda parts: [*parts[:2], parts[2][:5] + "!" + parts[2][5:]]),
    "the other alphabet": changed(
        lambda parts: [*parts[:2], parts[2].replace("-", "+").replace("_", "/") + "+"]
    ),
    "another's claims": changed(
        lambda parts: [
            parts[0],
            b64(base64.urlsafe_b64decode(parts[1] + "==").replace(b"erin", b"root")),
            parts[2],
        ]
    ),
    "zeros for an elliptic curve": _curve("ES256", bytes(64)),
    "DER for an elliptic curve": lambda p: assemble(
        {"alg": "ES256", "kid": "ES256"}, p.claims(), b"\x30\x06\x02\x01\x01\x02\x01\x01"
    ),
    "a curve too small": lambda p: p.odd(
        {"alg": "ES512", "kid": "ES256"}, key=p.curves["ES256"], alg="ES256"
    ),
    # the dates
    "expired": claims(exp=1_000_000_000),
    "no exp": claims(exp=None),
    "exp a string": lambda p: p.odd(claims=p.claims(exp=str(p.now + 600))),
    "exp 1e400": text_claims("exp", "1e400"),
    "exp null": text_claims("exp", "null"),
    "exp true": claims(exp=True),
    "exp a list": lambda p: p.odd(claims=p.claims(exp=[p.now + 600])),
    "exp negative": claims(exp=-1),
    "iat null": text_claims("iat", "null"),
    "iat a string": lambda p: p.odd(claims=p.claims(iat=str(p.now))),
    "iat in the future": lambda p: p.odd(claims=p.claims(iat=p.now + 400)),
    "nbf in the future": lambda p: p.odd(claims=p.claims(nbf=p.now + 400)),
    "nbf a string": claims(nbf="0"),
    "nbf null": text_claims("nbf", "null"),
    # for whom, by whom, of whom
    "no aud": claims(aud=None),
    "another's aud": claims(aud="other"),
    "aud in another case": claims(aud="Bastion"),
    "aud empty": claims(aud=[]),
    "aud null": text_claims("aud", "null"),
    "aud an object": claims(aud={"bastion": True}),
    "aud a list with more than strings": claims(aud=["bastion", 1]),
    "no sub": claims(sub=None),
    "sub empty": claims(sub=""),
    "sub a number": claims(sub=1),
    "sub a list": claims(sub=["erin"]),
    # names
    "the group system:masters": claims(groups=["devs", "system:masters"]),
    "the group system:masters alone": claims(groups="system:masters"),
    "groups of numbers": claims(groups=["devs", 1]),
    "groups of objects": claims(groups=[{"name": "devs"}]),
    "groups an object": claims(groups={"devs": True}),
    "a group without a name": claims(groups=["devs", ""]),
    "NUL in the name": claims(sub="erin\0"),
    "a line break in the name": claims(sub="erin\nroot"),
    "a lone surrogate in the name": claims(sub="erin\ud800"),
    "a group with a line break": claims(groups=["devs\r\n"]),
    "a name of 300 characters": claims(sub="e" * 300),
    "501 groups": claims(groups=[f"g{n}" for n in range(501)]),
}

# Where the issuer has one key, for RS256 alone, and a token need not name it.
WITHOUT_A_DOUBT: dict[str, Forge] = {
    "signed by a stranger": lambda p: p.token_by(p.stranger),
    "alg none": lambda p: assemble({"alg": "none"}, p.claims()),
    "HS256 with the PEM": lambda p: p.hmac(pem(p.key), kid=...),
    "HS256 with the JWK": lambda p: p.hmac(json.dumps(p.keys[0]).encode(), kid=...),
    "of another algorithm of the type": lambda p: p.token_by(p.key, alg="RS384"),
    "of another type": lambda p: p.token_by(p.curves["ES256"], alg="ES256"),
    "its own key in the header": lambda p: p.token_by(p.stranger, jwk=public_jwk(p.stranger)),
    "a kid that is null": header(kid=None),
    "a kid that is empty": header(kid=""),
    "a kid that is a number": header(kid=0),
    "a kid that is nobody's": header(kid="other"),
    "no signature": lambda p: p.token(kid=None).rpartition(".")[0] + ".",
    "expired": lambda p: p.token(kid=None, exp=1),
}

# What cannot be read as a token of anybody's in particular: only the API server may know.
UNREADABLE: dict[str, Forge] = {
    "two parts": changed(lambda parts: parts[:2]),
    "five parts": changed(lambda parts: [parts[0], "", *parts[1:], ""]),
    "four parts": changed(lambda parts: [*parts, parts[2]]),
    "four parts, the last empty": changed(lambda parts: [*parts, ""]),
    "another issuer": claims(iss="https://other.example.org"),
    "the issuer in another case": lambda p: p.odd(claims=p.claims(iss=p.url.upper())),
    "the issuer with a slash": lambda p: p.odd(claims=p.claims(iss=p.url + "/")),
    "no issuer": claims(iss=None),
    "iss a list": lambda p: p.odd(claims=p.claims(iss=[p.url])),
    "iss an object": lambda p: p.odd(claims=p.claims(iss={"url": p.url})),
    "iss twice": lambda p: p.odd(claims=b'{"iss":"x",' + json.dumps(p.claims()).encode()[1:]),
    "exp NaN": text_claims("exp", "NaN"),
    "exp Infinity": text_claims("exp", "Infinity"),
    "exp of five thousand digits": text_claims("exp", "9" * 5000),
    "claims that are a list": lambda p: p.odd(claims=[p.claims()]),
    "claims that are no JSON": lambda p: p.odd(claims=b"{"),
    "claims nested deeply": lambda p: p.odd(claims=b"[" * 6000),
    "claims with padding": changed(
        lambda parts: [parts[0], parts[1] + "=" * (-len(parts[1]) % 4 or 4), parts[2]]
    ),
    "empty claims": changed(lambda parts: [parts[0], "", parts[2]]),
    "nothing but dots": lambda p: "..",
}
