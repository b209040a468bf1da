"""Whose tokens are taken, and what does it take to say no?

Against a provider on loopback that counts what it is asked for.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from bastion.kube.user import User
from bastion.settings.issuer import Issuer
from tests.authn.attacks import DECIDED, UNREADABLE, WITHOUT_A_DOUBT, Forge
from tests.authn.oidc_setting import NOW, Setting, conversation, issuer
from tests.authn.provider import Provider, Web, provider, public_jwk, rsa_key

if TYPE_CHECKING:
    from collections.abc import Iterator

ERIN = User("oidc:erin", groups=("devs", "system:authenticated"))


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Web, Provider]]:
    with provider(NOW) as made:
        yield made


@pytest.mark.parametrize("forge", DECIDED.values(), ids=DECIDED)
def test_an_attack_is_nobodys_and_fetches_nothing(shared: tuple[Web, Provider], forge: Forge) -> None:
    """Decided here, without asking the API server either; the good token next to it is accepted, before and
    after.
    """
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


@pytest.fixture(scope="module", params=["good", None], ids=["of a key with a name", "of a key without"])
def sole(request: pytest.FixtureRequest) -> Iterator[tuple[Web, Provider]]:
    """A provider with one key, for RS256."""
    with provider(NOW) as (web, of):
        of.keys[:] = [public_jwk(of.key, kid=request.param, alg="RS256")]
        of.publish(web)
        yield web, of


@pytest.mark.parametrize("forge", WITHOUT_A_DOUBT.values(), ids=WITHOUT_A_DOUBT)
def test_a_key_that_need_not_be_named_is_no_way_in(sole: tuple[Web, Provider], forge: Forge) -> None:
    """The twin is accepted before and after; no forgery makes the issuer be asked."""
    web, of = sole

    async def talk(setting: Setting) -> None:
        assert await setting.ask(of.token(kid=None)) == ERIN
        del web.fetched[:]
        assert await setting.ask(forge(of)) is None
        assert await setting.ask(of.token(kid=None)) == ERIN
        assert (web.fetched, setting.api.asked) == ([], [])

    conversation(talk, issuer(of, algorithms=frozenset(("RS256", "RS384", "ES256"))))


@pytest.mark.parametrize(
    ("skew", "off", "good"),
    [(30, 29, True), (30, 31, False), (0, 1, False), (300, 299, True), (300, 301, False)],
)
@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
def test_clocks_may_differ_by_so_much(
    shared: tuple[Web, Provider], claim: str, skew: float, off: float, good: bool
) -> None:
    of = shared[1]
    token = of.token(**{claim: NOW - off if claim == "exp" else NOW + off})  # type: ignore[arg-type]

    async def talk(setting: Setting) -> None:
        assert await setting.ask(token) == (ERIN if good else None)

    conversation(talk, issuer(of), skew=skew)


@pytest.mark.parametrize("forge", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_token_of_the_issuers_is_the_api_servers_to_know(
    shared: tuple[Web, Provider], forge: Forge
) -> None:
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
        del shared[0].fetched[:]
        assert await setting.ask("opaque") == User("of-the-api")
        assert await setting.ask("unknown") is None
        assert await setting.ask(None) is None
        assert shared[0].fetched == []

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
        key = rsa_key("third")
        one, two = (Provider(f"{web.url}/{name}", NOW, rsa_key(name)) for name in ("one", "two"))
        for made in (one, two):
            made.publish(web)
        rules = (
            issuer(one),
            Issuer(
                two.url,
                ("for-two",),
                "two:",
                "preferred_username",
                groups_claim="roles",
                groups_prefix="two:",
            ),
        )

        async def talk(setting: Setting) -> None:
            assert await setting.ask(one.token()) == ERIN
            named = two.token(aud="for-two", preferred_username="tess", roles=["x"])
            assert await setting.ask(named) == User("two:tess", groups=("two:x", "system:authenticated"))
            assert await setting.ask(two.token()) is None  # for the other's audience
            # signed by the other
            assert await setting.ask(one.odd(claims=one.claims(iss=two.url, aud="for-two"))) is None
            assert await setting.ask(two.odd(claims=two.claims(iss=one.url))) is None
            assert await setting.ask(two.odd(claims=two.claims(iss=f"{web.url}/three"), key=key)) is None

        conversation(talk, *rules)


def test_the_key_set_of_these_tests_has_what_an_attacker_would_like(shared: tuple[Web, Provider]) -> None:
    kinds = {(key["kty"], key.get("kid")) for key in json.loads(shared[1].key_set)["keys"]}
    assert {("oct", "good"), ("oct", "secret"), ("RSA", "enc")} <= kinds
