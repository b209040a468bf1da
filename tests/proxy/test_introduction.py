"""Is a backend told who asks, as its Service's annotation says, by nobody but the bastion?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from joserfc import jwt as jose
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from bastion.identity.signing import SigningKey, derived_key, key_set, keys_of
from bastion.kube.attributes import Attributes
from bastion.kube.user import User
from bastion.proxy.introduction import Introductions
from tests.fakes import refused, run, until
from tests.probe.world import Backend, World, backend, may, pod, response, service, world

ALICE = User("alice", "7", ("devs", "system:authenticated"), (("acme.io/Team", ("a", "b")),))
WEB = Attributes("get", "", "v1", "shop", "services", "proxy", "http:web:80")
NOW = 1_800_000_000.0
KEYS = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "RS256": rsa.generate_private_key(65537, 2048),
}


def pem(*keys: Any) -> bytes:
    return b"".join(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key in keys)


def line_of(introductions: Introductions, user: User = ALICE, of: Attributes = WEB) -> str:
    line = introductions.of(frozenset(("assertion",)), user, of).lines.decode()
    assert line.startswith("X-Bastion-Assertion: ") and line.endswith("\r\n") and line.count("\r\n") == 1
    return line[21:-2]


def by_pyjwt(token: str, keys: bytes, audience: str = "shop/web", now: float = NOW) -> dict[str, Any]:
    known = jwt.PyJWKSet.from_json(keys.decode())
    key = known[jwt.get_unverified_header(token)["kid"]]
    options: Any = {"require": ["exp", "iat", "aud", "sub", "iss"], "verify_exp": False, "verify_iat": False}
    checks: Any = {**options, "verify_nbf": False}
    claims: dict[str, Any] = jwt.decode(
        token, key, [key.algorithm_name], checks, audience=audience, issuer="us"
    )
    if not claims["iat"] <= now < claims["exp"]:
        raise jwt.ExpiredSignatureError
    return claims


def by_joserfc(token: str, keys: bytes, audience: str = "shop/web", now: float = NOW) -> dict[str, Any]:
    decoded = jose.decode(token, KeySet.import_key_set(json.loads(keys)), algorithms=[*KEYS])
    rules: Any = {"iss": {"essential": True, "value": "us"}, "aud": {"essential": True, "value": audience}}
    jose.JWTClaimsRegistry(now=int(now), leeway=0, **rules, exp={"essential": True}).validate(decoded.claims)
    return dict(decoded.claims)


REFUSED = (jwt.PyJWTError, JoseError, KeyError, ValueError)


@pytest.mark.parametrize("verify", [by_pyjwt, by_joserfc])
@pytest.mark.parametrize("alg", KEYS)
def test_a_stock_library_verifies_it_from_the_key_set_alone(alg: str, verify: Any) -> None:
    clock = [NOW]
    current = keys_of([pem(KEYS[alg])])
    made = Introductions(lambda: current, "us", 300, lambda: clock[0])
    token, published = line_of(made), key_set(current)
    claims = verify(token, published)
    assert (claims["sub"], claims["aud"], claims["exp"] - claims["iat"]) == ("alice", "shop/web", 300)
    assert (claims["groups"], claims["uid"]) == (["devs", "system:authenticated"], "7")
    assert claims["extra"] == {"acme.io/Team": ["a", "b"]}
    for wrong in ({"audience": "shop/other"}, {"now": NOW + 301}):
        with pytest.raises(REFUSED):
            verify(token, published, **wrong)
    others = key_set(keys_of([pem(ec.generate_private_key(ec.SECP256R1()))]))
    with pytest.raises(REFUSED):
        verify(token, others)
    with pytest.raises(REFUSED):
        verify(token[:-9] + ("A" * 8) + token[-1], published)


@pytest.mark.parametrize("verify", [by_pyjwt, by_joserfc])
def test_keys_are_rotated_without_a_gap(verify: Any) -> None:
    old, new = KEYS["ES256"], KEYS["EdDSA"]
    current: list[tuple[SigningKey, ...]] = [keys_of([pem(old)])]
    made = Introductions(lambda: current[0], "us", 300, lambda: NOW)
    first = line_of(made)
    for files, signs in (([pem(old), pem(new)], old), ([pem(new, old)], new), ([pem(new)], new)):
        current[0] = keys_of(files)
        token = line_of(made)
        assert jwt.get_unverified_header(token)["kid"] == keys_of([pem(signs)])[0].kid
        verify(token, key_set(current[0]))
    with pytest.raises(REFUSED):
        verify(first, key_set(current[0]))


def test_it_is_made_once_and_never_sent_in_the_second_half_of_its_time() -> None:
    clock, signed = [NOW], []

    class Counting(SigningKey):
        def sign(self, data: bytes) -> bytes:
            signed.append(data)
            return super().sign(data)

    key = derived_key(b"s" * 32)
    made = Introductions(lambda: (Counting(key.key, key.alg, key.public),), "us", 300, lambda: clock[0])
    first = line_of(made)
    clock[0] += 149
    assert line_of(made) == first and len(signed) == 1
    clock[0] += 2
    assert by_pyjwt(line_of(made), key_set([key]), now=clock[0])["iat"] == int(clock[0])
    clock[0] -= 1000  # the clock was set back: one from the future is believed by nobody
    assert by_pyjwt(line_of(made), key_set([key]), now=clock[0])["iat"] == int(clock[0])
    assert line_of(made, User("bob")) != line_of(made)
    other = Attributes("get", "", "v1", "shop", "services", "proxy", "other")
    assert by_pyjwt(line_of(made, of=other), key_set([key]), "shop/other", clock[0])


def test_a_key_that_is_derived_is_the_same_for_all_who_have_the_secret() -> None:
    assert derived_key(b"a" * 32).public == derived_key(b"a" * 32).public != derived_key(b"b" * 32).public


@pytest.mark.parametrize(
    "files",
    [
        [b""],
        [b"no key"],
        [pem(KEYS["ES256"]), b""],
        [pem(ec.generate_private_key(ec.SECP384R1()))],
        [pem(rsa.generate_private_key(65537, 1024))],
        [b"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"],
    ],
)
def test_what_is_no_key(files: list[bytes]) -> None:
    with pytest.raises(ValueError, match="key"):
        keys_of(files)


@pytest.mark.parametrize("name", ["a\r\nX-Remote-User: admin", " a", "a\x00", ""])
def test_a_name_that_is_no_value_of_a_field_is_refused(name: str) -> None:
    made = Introductions(lambda: (derived_key(b"s"),), "us", 300, lambda: NOW)
    with refused(403, "cannot stand in a header field"):
        made.of(frozenset(("headers",)), User(name), WEB)
    claims = by_pyjwt(line_of(made, User(name)), key_set([derived_key(b"s")])) if name else {"sub": ""}
    assert claims["sub"] == name


# --- what arrives

SPOOFED = {
    "x_remote_user": "admin",
    "x_remote_group": "system:masters",
    "x_remote_extra_scopes": "all",
    "x_bastion_assertion": "forged",
    "x_bastion_anything": "forged",
    "connection": "x-remote-user, x-bastion-assertion",
}
PATH = "/api/v1/namespaces/shop/services/{}/proxy/"


def fields_of(head: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in head.decode().split("\r\n")[1:-2]:
        name, _, value = line.partition(": ")
        found.setdefault(name.lower(), []).append(value)
    return found


@pytest.mark.parametrize("wish", ["", "headers", "assertion", "headers,assertion", "header"])
def test_a_backend_is_told_what_its_service_asks_for_and_nothing_spoofed(tmp_path: Path, wish: str) -> None:
    async def test(bastion: World, there: Backend) -> None:
        await until(lambda: bastion.bastion.cluster.catalog.slices_of("shop", "web"))
        for _ in range(2):
            there.seen.clear()
            answer = await bastion.get(PATH.format("web:8080"), "alice", "GET", None, **SPOOFED)
            assert answer.status == 200, answer.text
            found = fields_of(there.seen[0])
            told = wish.split(",")
            assert found.get("x-remote-user") == (["alice"] if "headers" in told else None)
            groups = ["system:authenticated"] if "headers" in told else None
            assert found.get("x-remote-group") == groups
            assert ("x-bastion-assertion" in found) == ("assertion" in told)
            assert not any("forged" in value or "admin" in value for said in found.values() for value in said)
            assert "x-bastion-anything" not in found and "x-remote-extra-scopes" not in found
        if "assertion" in wish:
            keys = (await bastion.get("/.bastion/jwks.json", "")).body
            assert keys == (await bastion.get("/.well-known/jwks.json", "")).body
            (token,) = found["x-bastion-assertion"]
            known = jwt.PyJWKSet.from_json(keys.decode())
            key = known[jwt.get_unverified_header(token)["kid"]]
            assert jwt.decode(token, key, ["ES256"], audience="shop/web", issuer="bastion")["sub"] == "alice"
        there.seen.clear()
        await bastion.get("/api/v1/namespaces/shop/pods/web-0:8080/proxy/", "alice")
        assert not {"x-remote-user", "x-bastion-assertion"} & {*fields_of(there.seen[0])}

    annotations = {"bastion.dev/identity": wish} if wish else None
    objects = [
        pod("web-0", 10),
        service("web", annotations=annotations),
        *may("alice", ["get"], ["services/proxy", "pods/proxy"], "shop"),
    ]

    async def main() -> None:
        async with world(tmp_path, objects) as bastion, backend(10, says={b"/": response(b"x")}) as there:
            await test(bastion, there)

    run(main())
