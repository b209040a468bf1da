"""Whose tokens are taken, and what does it take to say no?  Against a provider on loopback that counts what it is asked for."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from bastion.authentication import Issuer
from bastion.kube.user import User
from tests.authn.attacks import DECIDED, UNREADABLE, Forge
from tests.authn.oidc_setting import NOW, Setting, conversation, issuer
from tests.authn.provider import Provider, Web, provider

ERIN = User("oidc:erin", groups=("devs", "system:authenticated"))


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Web, Provider]]:
    with provider(NOW) as made:
        yield made


@pytest.mark.parametrize("forge", DECIDED.values(), ids=DECIDED)
def test_an_attack_is_nobodys_and_fetches_nothing(shared: tuple[Web, Provider], forge: Forge) -> None:
    """Decided here, without asking the API server either; the good token next to it is accepted, before and after."""
    web, of = shared
    allowed = issuer(of, algorithms=frozenset(("RS256", "ES256", "ES512")))

    async def talk(setting: Setting) -> None:
        assert await setting.ask(of.token()) == ERIN
        del web.fetched[:]
        assert await setting.ask(forge(of)) is None
        assert await setting.ask(of.token()) == ERIN
        assert await setting.ask(of.token(kid="ES256", alg="ES256")) == ERIN
        assert (web.fetched, setting.api.asked) == ([], [])

    conversation(talk, allowed)


@pytest.mark.parametrize("forge", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_token_of_the_issuers_is_the_api_servers_to_know(shared: tuple[Web, Provider], forge: Forge) -> None:
    web, of = shared

    async def talk(setting: Setting) -> None:
        assert await setting.ask(of.token()) == ERIN
        del web.fetched[:]
        token = forge(of)
        assert await setting.ask(token) is None
        assert await setting.ask(of.token()) == ERIN
        assert (web.fetched, setting.api.asked) == ([], [token])

    conversation(talk, issuer(of))


def test_other_tokens_are_asked_of_the_api_server(shared: tuple[Web, Provider]) -> None:
    async def talk(setting: Setting) -> None:
        assert await setting.ask("opaque") == User("of-the-api")
        assert await setting.ask("unknown") is None
        assert await setting.ask(None) is None
        assert setting.providers[0].fetches == 0

    conversation(talk, issuer(shared[1]))


def test_a_token_of_an_issuer_is_never_shown_to_the_api_server(shared: tuple[Web, Provider]) -> None:
    of = shared[1]
    token = of.token(aud="other")

    async def talk(setting: Setting) -> None:
        setting.api.users = {token: User("of-the-api")}
        assert await setting.ask(token) is None
        assert setting.api.asked == []

    conversation(talk, issuer(of))


def test_no_token_is_in_the_log(shared: tuple[Web, Provider], caplog: pytest.LogCaptureFixture) -> None:
    of = shared[1]
    caplog.set_level(logging.DEBUG)
    tokens = [of.token(), *(forge(of) for forge in (DECIDED | UNREADABLE).values())]

    async def talk(setting: Setting) -> None:
        for token in tokens:
            await setting.ask(token)

    conversation(talk, issuer(of))
    assert "was refused: signed with an algorithm that is not allowed" in caplog.text
    parts = {part for token in tokens for part in token.split(".") if len(part) > 20}
    assert not [part for part in parts if part in caplog.text]


def test_issuers_do_not_speak_for_each_other() -> None:
    with Web() as web:
        key = rsa.generate_private_key(65537, 2048)
        one, two = (Provider(f"{web.url}/{name}", NOW, rsa.generate_private_key(65537, 2048)) for name in ("one", "two"))
        for made in (one, two):
            made.publish(web)
        rules = (issuer(one), Issuer(two.url, ("for-two",), "two:", "preferred_username", groups_claim="roles", groups_prefix="two:"))

        async def talk(setting: Setting) -> None:
            assert await setting.ask(one.token()) == ERIN
            named = two.token(aud="for-two", preferred_username="tess", roles=["x"])
            assert await setting.ask(named) == User("two:tess", groups=("two:x", "system:authenticated"))
            assert await setting.ask(two.token()) is None  # for the other's audience
            assert await setting.ask(one.odd(claims=one.claims(iss=two.url, aud="for-two"))) is None  # signed by the other
            assert await setting.ask(two.odd(claims=two.claims(iss=one.url))) is None
            assert await setting.ask(two.odd(claims=two.claims(iss=f"{web.url}/three"), key=key)) is None

        conversation(talk, *rules)


def test_the_key_set_of_these_tests_has_what_an_attacker_would_like(shared: tuple[Web, Provider]) -> None:
    kinds = {(key["kty"], key.get("kid")) for key in json.loads(shared[1].key_set)["keys"]}
    assert {("oct", "good"), ("oct", "secret"), ("RSA", "enc")} <= kinds
