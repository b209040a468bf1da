"""What is read in a token, what is made of its claims, and which key verifies it?

No network, and the clock is in hand.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jose.backends import ECKey, RSAKey

from bastion.authn.claims import MAX_GROUPS, MAX_NAME, InvalidToken, user_of
from bastion.authn.jwt import ALGORITHMS, MAX_KEYS, key_choice, read_keys, verify
from bastion.identity.compact import decoded, expiry, number, read_compact, read_json
from bastion.kube.user import User
from bastion.settings.credentials import Oidc
from bastion.settings.issuer import SIGNING_ALGORITHMS, Issuer
from tests.authn.provider import CLIENT_ID, Provider, assemble, b64, public_jwk, rsa_key

NOW = 1_800_000_000.0
URL = "https://issuer.example.org/realm"
PROVIDER = Provider(URL, NOW, rsa_key("good"))
KEYS = read_keys(PROVIDER.key_set)
CLOCK_SKEW = Oidc().clock_skew
ISSUER = Issuer(URL, (CLIENT_ID, "other"), "oidc:", groups_claim="groups")


def decide(token: str, issuer: Issuer = ISSUER, now: float = NOW) -> User:
    """All of it but for fetching.  Raises InvalidToken."""
    compact = read_compact(token)
    assert compact is not None
    wanted = key_choice(compact, issuer.algorithms)
    user = user_of(compact.claims, issuer, now, CLOCK_SKEW)
    verify(compact, KEYS.get((wanted.kid, wanted.alg)))
    return user


def user(name: str, *groups: str) -> User:
    return User(name, groups=(*groups, "system:authenticated"))


# --- reading

DATES = [(0, 0.0), (1, 1.0), (1.5, 1.5), (1_800_000_000, 1.8e9), (1e10, 1e10)]
NO_DATES: list[Any] = [
    None,
    True,
    False,
    "1",
    "",
    [],
    {},
    -1,
    -0.5,
    1 << 53,
    10**400,
    1e16,
    float("inf"),
    float("-inf"),
    float("nan"),
]


@pytest.mark.parametrize(("value", "date"), DATES)
def test_a_date(value: object, date: float) -> None:
    assert number(value) == date


@pytest.mark.parametrize("value", NO_DATES, ids=lambda value: repr(value)[:20])
def test_no_date(value: object) -> None:
    assert number(value) is None


ENCODED = {"": b"", "AA": b"\0", "AAA": b"\0\0", "AAAA": b"\0\0\0", "_-8": b"\xff\xef"}
NOT_ENCODED = [
    "A",
    "AB",
    "AAB",
    "AA==",
    "AAA=",
    "AAAA=",
    "AA\n",
    " AA",
    "A A",
    "+/8",
    "AA.",
    "ÄÄ",
    "A" * 5,
    "____=",
]


@pytest.mark.parametrize(("text", "data"), ENCODED.items())
def test_base64url(text: str, data: bytes) -> None:
    assert decoded(text) == data


@pytest.mark.parametrize("text", NOT_ENCODED)
def test_another_spelling_is_none(text: str) -> None:
    assert decoded(text) is None


NO_JSON = [
    b"",
    b"{",
    b"NaN",
    b"[Infinity]",
    b"[-Infinity]",
    b'{"a":1,"a":1}',
    b'[{"a":{"b":1,"b":2}}]',
    b"\xff",
    b"\xef\xbb\xbf{}",
    b"[" * 100_000,
]


@pytest.mark.parametrize("data", NO_JSON, ids=lambda data: repr(data)[:20])
def test_json_with_more_than_one_reading_is_none(data: bytes) -> None:
    with pytest.raises(ValueError):
        read_json(data)


EXPIRIES = {
    "a token's": (PROVIDER.token(exp=NOW + 5), NOW + 5),
    "unverified": (assemble({"alg": "none"}, {"exp": 5}), 5.0),
    "none": (assemble({"alg": "none"}, {}), None),
    "no date": (assemble({"alg": "none"}, {"exp": "5"}), None),
    "no object": (assemble({"alg": "none"}, [5]), None),
    "opaque": ("opaque", None),
    "dots": ("..", None),
    "an object that is no token": ("{}.{}.{}", None),
}


@pytest.mark.parametrize(("token", "end"), EXPIRIES.values(), ids=EXPIRIES)
def test_when_a_token_says_that_it_ends(token: str, end: float | None) -> None:
    assert expiry(token) == end


def test_what_was_read_is_never_shown() -> None:
    assert "erin" not in repr(read_compact(PROVIDER.token()))


# --- claims

MAPPED: dict[str, tuple[dict[str, Any], dict[str, Any], User]] = {
    "sub": ({}, {}, user("oidc:erin", "devs")),
    "another claim": (
        {"email_verified": True, "preferred_username": "e"},
        {"username_claim": "preferred_username"},
        user("oidc:e", "devs"),
    ),
    "an e-mail address of which nothing is said": (
        {"email": "e@x.org"},
        {"username_claim": "email"},
        user("oidc:e@x.org", "devs"),
    ),
    "another claim beside an address that nobody verified": (
        {"email_verified": False},
        {},
        user("oidc:erin", "devs"),
    ),
    "no iat": ({"iat": None}, {}, user("oidc:erin", "devs")),
    "an e-mail address": (
        {"email": "e@x.org", "email_verified": True},
        {"username_claim": "email"},
        user("oidc:e@x.org", "devs"),
    ),
    "a group of system's by another prefix": (
        {"groups": ["system:masters"]},
        {"groups_prefix": "oidc:"},
        user("oidc:erin", "oidc:system:masters"),
    ),
    "a name of system's by another prefix": ({"sub": "system:admin"}, {}, user("oidc:system:admin", "devs")),
    "a group that is no list": ({"groups": "devs"}, {}, user("oidc:erin", "devs")),
    "no groups": ({"groups": None}, {}, user("oidc:erin")),
    "an empty list of groups": ({"groups": []}, {}, user("oidc:erin")),
    "groups that nobody asked for": ({"groups": [1]}, {"groups_claim": ""}, user("oidc:erin")),
    "as many groups as may be": (
        {"groups": [str(n) for n in range(MAX_GROUPS)]},
        {},
        user("oidc:erin", *(str(n) for n in range(MAX_GROUPS))),
    ),
    "a name as long as may be": (
        {"sub": "e" * (MAX_NAME - 5)},
        {},
        user("oidc:" + "e" * (MAX_NAME - 5), "devs"),
    ),
    "letters that look like others": ({"sub": "еrin"}, {}, user("oidc:еrin", "devs")),
    "letters that NFKC changes": ({"sub": "ｅｒｉｎ"}, {}, user("oidc:ｅｒｉｎ", "devs")),
    "a list of audiences": ({"aud": ["x", CLIENT_ID]}, {}, user("oidc:erin", "devs")),
    "the other audience": ({"aud": "other"}, {}, user("oidc:erin", "devs")),
    "a claim as required": (
        {"hd": "x.org"},
        {"required_claims": (("hd", "x.org"),)},
        user("oidc:erin", "devs"),
    ),
    "at_hash, which is of another token": (
        {"at_hash": "x", "nonce": "n", "azp": "z", "jti": "j"},
        {},
        user("oidc:erin", "devs"),
    ),
    "a date with a fraction": ({"exp": NOW + 0.5, "iat": NOW - 0.5}, {}, user("oidc:erin", "devs")),
    "just expired": ({"exp": NOW - CLOCK_SKEW + 1}, {}, user("oidc:erin", "devs")),
    "just issued": ({"iat": NOW + CLOCK_SKEW - 1}, {}, user("oidc:erin", "devs")),
    "just valid": ({"nbf": NOW + CLOCK_SKEW - 1}, {}, user("oidc:erin", "devs")),
}


@pytest.mark.parametrize(("claims", "rules", "whose"), MAPPED.values(), ids=MAPPED)
def test_a_token_is_a_users(claims: dict[str, Any], rules: dict[str, Any], whose: User) -> None:
    issuer = Issuer(URL, (CLIENT_ID, "other"), "oidc:", **{"groups_claim": "groups"} | rules)
    assert decide(PROVIDER.odd(claims=PROVIDER.claims(**claims)), issuer) == whose


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an address that nobody verified": (
        {"email": "e@x.org", "email_verified": False},
        {"username_claim": "email"},
    ),
    "an address of two domains of which nothing is said": (
        {"email": "a@evil.com@x.org"},
        {"username_claim": "email"},
    ),
    "no address at all, of which nothing is said": ({"email": "erin"}, {"username_claim": "email"}),
    "a number for a boolean": ({"email": "e@x.org", "email_verified": 1}, {"username_claim": "email"}),
    "an object for a boolean": (
        {"email": "e@x.org", "email_verified": {"is": True}},
        {"username_claim": "email"},
    ),
    "a string for a boolean": (
        {"email": "e@x.org", "email_verified": "true"},
        {"username_claim": "email"},
    ),
    "an address of two domains": (
        {"email": "a@evil.com@x.org", "email_verified": True},
        {"username_claim": "email"},
    ),
    "no address at all": ({"email": "erin", "email_verified": True}, {"username_claim": "email"}),
    "without the claim": ({}, {"username_claim": "preferred_username"}),
    "a claim that is a number": ({"uid": 5}, {"username_claim": "uid"}),
    "a prefix and a name that make system:": ({"sub": "tem:admin"}, {"username_prefix": "sys"}),
    "a prefix and a group that make system:": ({"groups": ["tem:masters"]}, {"groups_prefix": "sys"}),
    "a required claim that is not there": ({}, {"required_claims": (("hd", "x.org"),)}),
    "a required claim with another value": ({"hd": "y.org"}, {"required_claims": (("hd", "x.org"),)}),
    "a required claim of another type": ({"hd": True}, {"required_claims": (("hd", "true"),)}),
    "a required claim in a list": ({"hd": ["x.org"]}, {"required_claims": (("hd", "x.org"),)}),
    "a required claim that is empty and not there": ({}, {"required_claims": (("hd", ""),)}),
    "one of two required claims": ({"hd": "x.org"}, {"required_claims": (("hd", "x.org"), ("org", "x"))}),
    "expired": ({"exp": NOW - CLOCK_SKEW}, {}),
    "issued in the future": ({"iat": NOW + CLOCK_SKEW + 1}, {}),
    "not yet valid": ({"nbf": NOW + CLOCK_SKEW + 1}, {}),
}


@pytest.mark.parametrize(("claims", "rules"), REFUSED.values(), ids=REFUSED)
def test_a_token_is_nobodys(claims: dict[str, Any], rules: dict[str, Any]) -> None:
    issuer = Issuer(URL, (CLIENT_ID,), **{"username_prefix": "oidc:", "groups_claim": "groups"} | rules)
    with pytest.raises(InvalidToken):
        decide(PROVIDER.odd(claims=PROVIDER.claims(**claims)), issuer)


def test_null_is_something_said_of_an_address() -> None:
    with pytest.raises(InvalidToken, match="not verified"):
        user_of(
            PROVIDER.claims(email="e@x.org") | {"email_verified": None},
            Issuer(URL, (CLIENT_ID,), "oidc:", "email"),
            NOW,
            CLOCK_SKEW,
        )


def test_the_reason_holds_nothing_of_the_token() -> None:
    for claims in ({"sub": "s3cret\n"}, {"aud": "s3cret"}, {"iss": "s3cret"}, {"groups": ["s3cret\n"]}):
        with pytest.raises(InvalidToken) as caught:
            user_of(PROVIDER.claims(**claims), ISSUER, NOW, CLOCK_SKEW)
        assert "s3cret" not in str(caught.value)


# --- keys


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
def test_every_algorithm_on_the_list_works(alg: str) -> None:
    kid = "any-alg" if alg.startswith("RS") else alg
    assert decide(PROVIDER.token(kid=kid, alg=alg)) == user("oidc:erin", "devs")


def test_the_list_is_the_librarys_and_the_flags_alike() -> None:
    assert tuple(ALGORITHMS) == SIGNING_ALGORITHMS
    # not ecdsa: CVE-2024-23342
    assert {key.__module__ for key in (RSAKey, ECKey)} == {"jose.backends.cryptography_backend"}


RSA, P256 = PROVIDER.key, PROVIDER.curves["ES256"]
USABLE = {
    "good": (public_jwk(RSA, kid="k"), {"RS256", "RS384", "RS512"}),
    "for one algorithm": (public_jwk(RSA, kid="k", alg="RS384"), {"RS384"}),
    "to verify": (public_jwk(RSA, kid="k", key_ops=["verify"]), {"RS256", "RS384", "RS512"}),
    "a curve": (public_jwk(P256, kid="k"), {"ES256"}),
    "with a certificate beside it": (
        public_jwk(RSA, kid="k", x5c=["MIIB"], x5t="x"),
        {"RS256", "RS384", "RS512"},
    ),
    "a private key, of which the public half is taken": (public_jwk(P256, kid="k", d="AAAA"), {"ES256"}),
}


@pytest.mark.parametrize(("jwk", "algorithms"), USABLE.values(), ids=USABLE)
def test_a_key_that_may_sign(jwk: dict[str, Any], algorithms: set[str]) -> None:
    keys = read_keys(json.dumps({"keys": [jwk]}).encode())
    assert set(keys) == {(kid, alg) for alg in algorithms for kid in ("k", None)}
    assert all(key.is_public() for key in keys.values())


UNUSABLE: dict[Any, Any] = {
    "a secret": {"kty": "oct", "kid": "k", "k": "c2VjcmV0"},
    "a secret that says RS256": {"kty": "oct", "kid": "k", "k": "c2VjcmV0", "alg": "RS256"},
    "an RSA key that says HS256": public_jwk(RSA, kid="k", alg="HS256"),
    "an RSA key that says ES256": public_jwk(RSA, kid="k", alg="ES256"),
    "for encryption": public_jwk(RSA, kid="k", use="enc"),
    "to sign": public_jwk(RSA, kid="k", key_ops=["sign"]),
    "operations that are no list": public_jwk(RSA, kid="k", key_ops="verify"),
    "a kid that is a number": public_jwk(RSA, kid=1),
    "without a type": public_jwk(RSA, kid="k", kty=None),
    "of 1024 bits": public_jwk(rsa_key("short", 1024), kid="k"),
    "without a modulus": public_jwk(RSA, kid="k", n=None),
    "without an exponent": public_jwk(RSA, kid="k", e=None),
    "an even exponent": public_jwk(RSA, kid="k", e=b64(b"\x02")),
    "a modulus that is no string": public_jwk(RSA, kid="k", n=5),
    "a modulus with padding": public_jwk(RSA, kid="k", n=public_jwk(RSA)["n"] + "="),
    "a modulus of 20 000 bits": public_jwk(RSA, kid="k", n=b64(b"\xff" * 2500)),
    "a curve of Bitcoin's": public_jwk(P256, kid="k", crv="secp256k1"),
    "a point of another curve": public_jwk(P256, kid="k", crv="P-384"),
    "a point that is on no curve": public_jwk(P256, kid="k", x=b64(b"\1" * 32)),
    "half a point": public_jwk(P256, kid="k", y=None),
    "no object": "k",
    "nothing": None,
    "a list": [],
}


@pytest.mark.parametrize("jwk", UNUSABLE.values(), ids=UNUSABLE)
def test_a_key_that_may_not(jwk: object) -> None:
    with pytest.raises(ValueError):
        read_keys(json.dumps({"keys": [jwk]}).encode())
    both = read_keys(json.dumps({"keys": [jwk, public_jwk(P256, kid="good")]}).encode())
    assert set(both) == {("good", "ES256"), (None, "ES256")}


SOLE = {
    "one": ([public_jwk(RSA)], {(None, "RS256"), (None, "RS384"), (None, "RS512")}),
    "one of each type": (
        [public_jwk(RSA, alg="RS256"), public_jwk(P256)],
        {(None, "RS256"), (None, "ES256")},
    ),
    "one of each algorithm": (
        [public_jwk(RSA, alg=alg) for alg in ("RS256", "RS512")],
        {(None, "RS256"), (None, "RS512")},
    ),
    "one to sign and one to encrypt": (
        [public_jwk(RSA, kid="e", use="enc"), public_jwk(P256, alg="ES256")],
        {(None, "ES256")},
    ),
    "two": ([public_jwk(P256), public_jwk(P256)], set()),
    "two, one of them named": ([public_jwk(P256), public_jwk(P256, kid="k")], {("k", "ES256")}),
    "two of one name": ([public_jwk(P256, kid="k"), public_jwk(P256, kid="k")], {("k", "ES256")}),
    "two for RS256, one of them for all": (
        [public_jwk(RSA), public_jwk(RSA, alg="RS256")],
        {(None, "RS384"), (None, "RS512")},
    ),
}


@pytest.mark.parametrize(("entries", "names"), SOLE.values(), ids=SOLE)
def test_a_key_need_not_be_named_where_it_is_the_only_one(
    entries: list[dict[str, Any]], names: set[tuple[str | None, str]]
) -> None:
    assert set(read_keys(json.dumps({"keys": entries}).encode())) == names


NO_SETS = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b'{"keys":{}}',
    b'{"keys":[]}',
    b'{"keys":null}',
    b"<html>",
    b"[" * 100_000,
    b"\xff",
]


@pytest.mark.parametrize("document", NO_SETS, ids=lambda document: repr(document)[:20])
def test_no_key_set(document: bytes) -> None:
    with pytest.raises(ValueError):
        read_keys(document)


def test_of_two_keys_of_one_name_the_first_counts_and_no_set_is_endless() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    entries = [
        public_jwk(P256, kid="k"),
        public_jwk(other, kid="k"),
        *(public_jwk(P256, kid=f"k{n}") for n in range(MAX_KEYS)),
    ]
    keys = read_keys(json.dumps({"keys": entries}).encode())
    assert len(keys) == MAX_KEYS - 1  # and none that is the only one
    compact = read_compact(PROVIDER.token(kid="k", alg="ES256"))
    assert compact is not None
    verify(compact, keys["k", "ES256"])


class Raises:
    def verify(self, *_: object) -> bool:
        raise OverflowError


class Says:
    def __init__(self, what: object) -> None:
        self.what = what

    def verify(self, *_: object) -> object:
        return self.what


@pytest.mark.parametrize("key", [None, Raises(), Says(False), Says(None), Says(1), Says("yes")])
def test_nothing_but_true_is_a_yes(key: object) -> None:
    compact = read_compact(PROVIDER.token())
    assert compact is not None
    with pytest.raises(InvalidToken):
        verify(compact, key)
