"""The attacks on tokens, as requests to a running bastion with two issuers; what the issuers are asked for is
counted.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.authn.attacks import DECIDED, UNREADABLE, Forge, claims
from tests.authn.provider import CLIENT_ID, Provider, Web, rsa_key
from tests.e2e.harness import ALICE, Bastion, Cluster, Place, serving
from tests.e2e.wire import ask, assert_status, backend, request

MAIL = {"email": "erin@example.org", "email_verified": True}


@dataclass(frozen=True)
class Setting:
    """`mail` is an issuer that names its users by their addresses."""

    bastion: Bastion
    web: Web
    main: Provider
    mail: Provider

    async def status(self, pod: Place, token: str) -> int:
        """A 401 is a whole one, and reaches no backend."""
        async with backend(pod.address) as behind:
            answer = await ask(self.bastion, request(pod.path(), token=token))
            assert len(behind.requests) == (answer.status == 200)
        if answer.status == 401:
            assert_status(answer, 401, "Unauthorized")
            assert answer.all("WWW-Authenticate")
            said = answer.json()["message"].partition(": ")
            assert said[0] == "Unauthorized"
            # only what the token says of itself: when it ended, for whom it is, who made it
            assert not said[2] or re.match("the token (says that it expired|is |names)", said[2]), said[2]
        return answer.status

    def user(self, pod: Place, token: str) -> str:
        async def main() -> str:
            async with backend(pod.address):
                answer = await ask(self.bastion, request(pod.path(), token=token))
            assert answer.status == 200
            return answer.one("Audit-Id")

        found: str = self.bastion.line(asyncio.run(main()))["user"]
        return found


@pytest.fixture(scope="module")
def setting(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    folder, now = tmp_path_factory.mktemp("oidc"), time.time()
    with Web() as web:
        key = rsa_key("good")
        main, mail = (Provider(f"{web.url}/{name}", now, key) for name in ("main", "mail"))
        for provider in (main, mail):
            provider.publish(web)
        names = {"main": "sub", "mail": "email"}
        mappings = {
            name: {"username": {"claim": claim, "prefix": "oidc:"}, "groups": {"claim": "groups"}}
            for name, claim in names.items()
        }
        issuers = [
            {
                "issuer": {"url": f"{web.url}/{name}", "audiences": [CLIENT_ID]},
                "claimMappings": mappings[name],
            }
            for name in ("main", "mail")
        ]
        document = {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthenticationConfiguration",
            "jwt": issuers,
        }
        (folder / "authentication.yaml").write_text(json.dumps(document))
        flags = (
            "--authentication-config",
            folder / "authentication.yaml",
            "--max-authentication-failure-qps",
            0,
            "--oidc-clock-skew",
            "1m",
            "-v",
            9,
        )
        with serving(cluster, folder, *flags) as bastion:
            yield Setting(bastion, web, main, mail)


def test_a_token_of_an_issuer_is_a_user_with_groups(setting: Setting, pod: Place) -> None:
    assert setting.user(pod, setting.main.token()) == "oidc:erin"
    assert setting.user(pod, setting.mail.token(**MAIL)) == "oidc:erin@example.org"  # type: ignore[arg-type]
    assert setting.user(pod, setting.main.token(kid="ES256", alg="ES256")) == "oidc:erin"
    assert setting.user(pod, ALICE) == "alice"  # of the API server's, as ever


# An issuer described in a file may use all algorithms on the list.
ATTACKS = {
    name: forge
    for name, forge in (DECIDED | UNREADABLE).items()
    if name != "an algorithm that the issuer may not use"
}
# These may be of a key that is new: after half a minute the issuer is asked again, for what it alone says.
OF_A_NEW_KEY = {
    "kid ../../dev/null",
    "kid with a quote",
    "the kid of another type",
    "no kid, where several keys could be meant",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_401_and_fetches_nothing(setting: Setting, pod: Place, name: str) -> None:
    async def main() -> None:
        assert await setting.status(pod, setting.main.token()) == 200
        before = list(setting.web.fetched)
        assert await setting.status(pod, ATTACKS[name](setting.main)) == 401
        assert await setting.status(pod, setting.main.token(sub=f"of-{pod.name}")) == 200
        new = setting.web.fetched[len(before) :]
        assert new == [] or (
            name in OF_A_NEW_KEY
            and new == [f"/main{path}" for path in ("/.well-known/openid-configuration", "/keys")]
        )

    assert set(DECIDED) >= OF_A_NEW_KEY
    asyncio.run(main())


ADDRESSES: dict[str, Forge] = {
    "not verified": claims(email="erin@example.org", email_verified=False),
    "a string": claims(email="erin@example.org", email_verified="true"),
    "of two domains": claims(email="a@evil.com@example.org", email_verified=True),
    "none": claims(),
}


@pytest.mark.parametrize("forge", ADDRESSES.values(), ids=ADDRESSES)
def test_an_address_that_names_nobody(setting: Setting, pod: Place, forge: Forge) -> None:
    async def main() -> None:
        assert await setting.status(pod, forge(setting.mail)) == 401
        assert await setting.status(pod, setting.mail.token(**MAIL)) == 200  # type: ignore[arg-type]

    asyncio.run(main())


def test_claims_that_are_odd_and_good(setting: Setting, pod: Place) -> None:
    assert setting.user(pod, setting.main.token(iat=None)) == "oidc:erin"
    # by the clock of --oidc-clock-skew
    assert setting.user(pod, setting.main.token(exp=time.time() - 40)) == "oidc:erin"
    # nothing is said of it
    assert setting.user(pod, setting.mail.token(email="erin@example.org")) == "oidc:erin@example.org"
    assert setting.user(pod, setting.main.token(at_hash="x", nonce="n")) == "oidc:erin"
    assert setting.user(pod, setting.main.token(groups="devs")) == "oidc:erin"
    # another letter, another user
    assert setting.user(pod, setting.main.token(sub="еrin")) == "oidc:еrin"


def test_a_token_of_a_megabyte_is_no_token(setting: Setting, pod: Place) -> None:
    """More than a head may have, or more than a token."""

    async def main() -> None:
        assert await setting.status(pod, setting.main.token(sub="e" * 20_000)) == 401
        assert await setting.status(pod, setting.main.token(sub="e" * 1_000_000)) == 431

    asyncio.run(main())


def test_no_token_is_in_any_log(setting: Setting, pod: Place) -> None:
    tokens = [setting.main.token(sub=f"erin-{n}") for n in range(3)]
    tokens += [forge(setting.main) for forge in DECIDED.values()]

    async def main() -> None:
        for token in tokens:
            assert await setting.status(pod, token) in (200, 401)

    asyncio.run(main())
    written = setting.bastion.program.stdout + setting.bastion.program.stderr
    assert "was refused: expired" in written
    parts = {part for token in tokens for part in token.split(".") if len(part) > 40}
    assert not [part for part in parts if part in written]
