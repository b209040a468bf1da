"""What is fetched of a provider, when, and what is not taken from it?

The clock that keys age by is in hand.
"""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from bastion.authn import provider as oidc
from bastion.authn.issuerhttp import MAX_DOCUMENT
from bastion.authn.jwt import MAX_KID
from bastion.authn.provider import KEEP, REFRESH, RETRY
from bastion.kube.user import User
from bastion.runtime.certificates import Authority
from bastion.settings.issuer import Issuer
from tests.authn.oidc_setting import NOW, Setting, conversation, issuer
from tests.authn.provider import Page, Provider, Web, provider, public_jwk, rsa_key
from tests.fakes import ClockLoop, pass_time, refused, run, server_tls, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography.hazmat.primitives.asymmetric import rsa

ERIN = User("oidc:erin", groups=("devs", "system:authenticated"))
DISCOVERY, KEYS = "/.well-known/openid-configuration", "/keys"


@pytest.fixture
def own() -> Iterator[tuple[Web, Provider]]:
    """For tests that change what is published."""
    with provider(NOW) as made:
        yield made


def test_keys_are_fetched_once_for_all_who_need_them(own: tuple[Web, Provider]) -> None:
    web, of = own

    async def talk(setting: Setting) -> None:
        assert web.fetched == []
        assert await asyncio.gather(*(setting.ask(of.token(sub=f"u{n}")) for n in range(20)))
        assert web.fetched == [DISCOVERY, KEYS]

    conversation(talk, issuer(of))


def test_an_unknown_key_is_asked_for_at_most_every_30_seconds(own: tuple[Web, Provider]) -> None:
    web, of = own
    new = rsa_key("new")

    async def talk(setting: Setting) -> None:
        rotated = of.odd({"kid": "new"}, key=new)
        assert await setting.ask(rotated) is None
        assert web.fetched == [DISCOVERY, KEYS]
        of.keys.append(public_jwk(new, kid="new"))
        of.publish(web)
        setting.pass_time(RETRY - 1)
        for n in range(10):
            assert await setting.ask(of.odd({"kid": f"guessed-{n}"})) is None
            assert await setting.ask(rotated) is None
        assert web.fetched == [DISCOVERY, KEYS]
        setting.pass_time(1)
        assert await setting.ask(rotated) == ERIN
        assert web.fetched == [DISCOVERY, KEYS] * 2
        assert await setting.ask(of.token()) == ERIN

    conversation(talk, issuer(of))


def test_a_token_that_is_bad_anyway_asks_for_no_key(own: tuple[Web, Provider]) -> None:
    web, of = own
    never = [of.odd({"kid": f"k{n}"}, claims=of.claims(exp=1)) for n in range(3)]
    never += [of.odd({"kid": kid}) for kid in ("", "k\n", "k\0", "k" * (MAX_KID + 1), 1, None, ["k"])]

    async def talk(setting: Setting) -> None:
        for token in never:
            assert await setting.ask(token) is None
        assert web.fetched == []

    conversation(talk, issuer(of))


def test_a_key_that_was_withdrawn_is_gone_after_an_hour(own: tuple[Web, Provider]) -> None:
    web, of = own

    async def talk(setting: Setting) -> None:
        assert await setting.ask(of.token()) == ERIN
        of.keys[:] = [public_jwk(of.stranger, kid="new")]
        of.publish(web)
        setting.pass_time(REFRESH - 1)
        assert await setting.ask(of.token()) == ERIN
        assert web.fetched == [DISCOVERY, KEYS]
        setting.pass_time(1)
        assert await setting.ask(of.token()) == ERIN  # nobody waits for the fetch that this begins
        await until(lambda: setting.providers[0]._flight is None)
        assert web.fetched == [DISCOVERY, KEYS] * 2
        assert await setting.ask(of.token()) is None

    conversation(talk, issuer(of))


def test_a_key_that_no_token_names_is_asked_for_anew_where_it_did_not_sign(own: tuple[Web, Provider]) -> None:
    """A key that took another's place is found at once, and a forgery makes the issuer be asked every 30 s at
    most.
    """
    web, of = own
    new = rsa_key("new")

    def publish(key: rsa.RSAPrivateKey) -> None:
        of.keys[:] = [public_jwk(key)]
        of.publish(web)

    async def talk(setting: Setting) -> None:
        publish(of.key)
        assert await setting.ask(of.token_by(of.key)) == ERIN
        publish(new)
        setting.pass_time(RETRY)
        assert await asyncio.gather(*(setting.ask(of.token_by(new)) for _ in range(5))) == [ERIN] * 5
        assert web.fetched == [DISCOVERY, KEYS] * 2
        for _ in range(5):
            assert await setting.ask(of.token_by(of.key)) is None
            assert await setting.ask(of.token_by(of.stranger)) is None
        assert web.fetched == [DISCOVERY, KEYS] * 2
        setting.pass_time(RETRY)
        for _ in range(5):
            assert await setting.ask(of.token_by(of.stranger)) is None
        assert web.fetched == [DISCOVERY, KEYS] * 3
        down(web)
        setting.pass_time(RETRY)
        with refused(503):  # the issuer alone could tell whether this is its new key's
            await setting.ask(of.token_by(of.stranger))
        assert await setting.ask(of.token_by(new)) == ERIN

    conversation(talk, issuer(of))


def test_of_two_keys_none_is_guessed(own: tuple[Web, Provider]) -> None:
    web, of = own
    of.keys[:] = [public_jwk(of.key), public_jwk(of.stranger, kid="named"), public_jwk(of.curves["ES256"])]
    of.publish(web)

    async def talk(setting: Setting) -> None:
        assert await setting.ask(of.token_by(of.key)) is None
        assert await setting.ask(of.token_by(of.stranger)) is None
        assert await setting.ask(of.odd({"kid": "named"}, key=of.stranger)) == ERIN
        # of its algorithm the only one
        assert await setting.ask(of.token_by(of.curves["ES256"], alg="ES256")) == ERIN
        assert web.fetched == [DISCOVERY, KEYS]

    conversation(talk, issuer(of, algorithms=frozenset(("RS256", "ES256"))))


def down(web: Web) -> None:
    web.pages = {path: Page(b"", 503) for path in web.pages}


def test_a_provider_that_is_away_costs_only_those_it_alone_could_tell_about(
    own: tuple[Web, Provider],
) -> None:
    """Known keys serve for a day, an unknown one is a 503 without a fetch each time."""
    web, of = own

    async def talk(setting: Setting) -> None:
        assert await setting.ask(of.token()) == ERIN
        down(web)
        setting.pass_time(KEEP - 1)
        assert await setting.ask(of.token()) == ERIN
        await until(lambda: setting.providers[0]._flight is None)
        fetched = len(web.fetched)
        assert await setting.ask(of.token()) == ERIN
        for n in range(5):
            with refused(503, "the keys of its token's issuer"):
                await setting.ask(of.odd({"kid": f"guessed-{n}"}))
        assert len(web.fetched) == fetched
        assert await setting.ask(of.odd({"alg": "none"})) is None  # decided all the same
        assert await setting.ask("opaque") == User("of-the-api")
        setting.pass_time(2)
        with refused(503):
            await setting.ask(of.token())
        of.publish(web)
        setting.pass_time(RETRY)
        assert await setting.ask(of.token()) == ERIN

    conversation(talk, issuer(of))


def test_who_is_away_from_the_beginning_is_asked_again_later(own: tuple[Web, Provider]) -> None:
    web, of = own
    down(web)

    async def talk(setting: Setting) -> None:
        for _ in range(5):
            with refused(503):
                await setting.ask(of.token())
        assert web.fetched == [DISCOVERY]
        of.publish(web)
        setting.pass_time(RETRY)
        assert await setting.ask(of.token()) == ERIN

    conversation(talk, issuer(of))


def test_a_failing_issuer_costs_the_others_nothing() -> None:
    with provider(NOW, "/one") as (web, one):
        two = Provider(f"{web.url}/two", NOW, one.key)

        async def talk(setting: Setting) -> None:
            with refused(503):
                await setting.ask(two.token())
            assert await setting.ask(one.token()) == ERIN

        conversation(talk, issuer(one), issuer(two))


BROKEN: dict[str, Callable[[Web, Provider], object]] = {
    "a discovery document of another issuer": lambda web, of: of.publish(
        web, issuer="https://other.example.org"
    ),
    "an issuer with a slash": lambda web, of: of.publish(web, issuer=of.url + "/"),
    "no issuer": lambda web, of: of.publish(web, issuer=None),
    "no jwks_uri": lambda web, of: of.publish(web, jwks_uri=None),
    "keys in plain text from another host": lambda web, of: of.publish(web, jwks_uri="http://192.0.2.1/keys"),
    "keys in a file": lambda web, of: of.publish(web, jwks_uri="file:///etc/passwd"),
    "keys at a bad URL": lambda web, of: of.publish(web, jwks_uri="https://[::1/keys"),
    "keys at a port that is none": lambda web, of: of.publish(web, jwks_uri="https://127.0.0.1:99999/keys"),
    "no discovery document": lambda web, of: web.pages.pop(DISCOVERY),
    "a discovery document that is a list": lambda web, of: web.pages.update({DISCOVERY: Page(b"[]")}),
    "a discovery document that is no JSON": lambda web, of: web.pages.update({DISCOVERY: Page(b"<html>")}),
    "a redirect to the discovery document": lambda web, of: web.pages.update(
        {DISCOVERY: Page(b"", 302, {"Location": "/moved"}), "/moved": web.pages[DISCOVERY]}
    ),
    "no keys": lambda web, of: web.pages.pop(KEYS),
    "a redirect to the keys": lambda web, of: web.pages.update(
        {KEYS: Page(b"", 307, {"Location": "/moved"}), "/moved": web.pages[KEYS]}
    ),
    "keys with status 500": lambda web, of: web.pages.update({KEYS: Page(of.key_set, 500)}),
    "keys with status 203": lambda web, of: web.pages.update({KEYS: Page(of.key_set, 203)}),
    "too many bytes": lambda web, of: web.pages.update({KEYS: Page(of.key_set + b" " * MAX_DOCUMENT)}),
    "compressed": lambda web, of: web.pages.update(
        {KEYS: Page(gzip.compress(of.key_set), 200, {"Content-Encoding": "gzip"})}
    ),
    "no key that may sign": lambda web, of: web.pages.update(
        {KEYS: Page(b'{"keys":[{"kty":"oct","kid":"good","k":"AAAA"}]}')}
    ),
    "nested deeply": lambda web, of: web.pages.update({KEYS: Page(b"[" * 200_000)}),
    "keys twice": lambda web, of: web.pages.update({KEYS: Page(b'{"keys":[],' + of.key_set[1:])}),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_provider_is_a_503_and_nobodys_yes(
    own: tuple[Web, Provider], broken: Callable[[Web, Provider], object]
) -> None:
    web, of = own
    broken(web, of)

    async def talk(setting: Setting) -> None:
        with refused(503):
            await setting.ask(of.token())
        assert "/moved" not in web.fetched
        of.publish(web)
        setting.pass_time(RETRY)
        assert await setting.ask(of.token()) == ERIN

    conversation(talk, issuer(of))


def test_nobody_listens_there(own: tuple[Web, Provider]) -> None:
    of = Provider("http://127.0.0.1:1", NOW, own[1].key)

    async def talk(setting: Setting) -> None:
        with refused(503):
            await setting.ask(of.token())

    conversation(talk, issuer(of))


def test_a_provider_that_never_answers_is_given_up(own: tuple[Web, Provider]) -> None:
    """With the clock in hand: five seconds pass in no time."""
    web, of = own
    web.pages[KEYS].wait = answer = threading.Event()

    async def talk(setting: Setting) -> None:
        asking = asyncio.ensure_future(setting.ask(of.token()))
        await until(lambda: KEYS in web.fetched)
        await pass_time(oidc.FETCH_SECONDS + 1)
        with refused(503):
            await asking

    try:
        conversation(talk, issuer(of), loop=ClockLoop)
    finally:
        answer.set()


def test_who_asked_first_may_leave(own: tuple[Web, Provider]) -> None:
    web, of = own
    web.pages[KEYS].wait = answer = threading.Event()

    async def talk(setting: Setting) -> None:
        first, second = (
            asyncio.ensure_future(setting.ask(of.token(sub=name))) for name in ("first", "second")
        )
        await until(lambda: KEYS in web.fetched)
        first.cancel()
        answer.set()
        found = await second
        assert found is not None
        assert found.name == "oidc:second"
        assert first.cancelled()

    try:
        conversation(talk, issuer(of))
    finally:
        answer.set()


# --- TLS


def test_the_issuers_own_authority_is_the_only_one_trusted() -> None:
    authority = Authority("idp")
    with provider(NOW, tls=server_tls(authority, "127.0.0.1")) as (_, of):

        async def accepted(setting: Setting) -> None:
            assert await setting.ask(of.token()) == ERIN

        async def undecided(setting: Setting) -> None:
            with refused(503):
                await setting.ask(of.token())

        conversation(accepted, issuer(of, certificate_authority=authority.pem.decode()))
        conversation(undecided, issuer(of))
        conversation(undecided, issuer(of, certificate_authority=Authority("other").pem.decode()))


def test_keys_of_an_https_issuer_do_not_come_in_plain_text() -> None:
    authority = Authority("idp")
    with Web() as plain, provider(NOW, tls=server_tls(authority, "127.0.0.1")) as (web, of):
        plain.pages[KEYS] = Page(of.key_set)
        of.publish(web, jwks_uri=plain.url + KEYS)

        async def talk(setting: Setting) -> None:
            with refused(503):
                await setting.ask(of.token())

        conversation(talk, issuer(of, certificate_authority=authority.pem.decode()))
        assert plain.fetched == []


def test_what_is_no_certificate_is_told_at_the_start(own: tuple[Web, Provider]) -> None:
    async def main() -> None:
        for text in ("nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
            with pytest.raises(ValueError, match="is not a PEM certificate"):
                oidc.Provider(issuer(own[1], certificate_authority=text), lambda: 0.0)

    run(main())


# --- issuers that are described otherwise while the program runs


def test_other_rules_count_at_once_and_fetch_nothing(own: tuple[Web, Provider]) -> None:
    web, of = own

    async def talk(setting: Setting) -> None:
        assert await setting.ask(of.token()) == ERIN
        setting.describe(issuer(of, required_claims=(("hd", "x.org"),), groups_prefix="g:"))
        assert await setting.ask(of.token()) is None
        assert await setting.ask(of.token(hd="x.org")) == User(
            "oidc:erin", groups=("g:devs", "system:authenticated")
        )
        assert web.fetched == [DISCOVERY, KEYS]

    conversation(talk, issuer(of))


def test_an_issuer_that_is_taken_out_is_nobody_in_particular_and_a_new_one_is_asked(
    own: tuple[Web, Provider],
) -> None:
    web, one = own
    two = Provider(f"{web.url}/two", NOW, one.key)
    two.publish(web)

    async def talk(setting: Setting) -> None:
        assert await setting.ask(one.token()) == ERIN
        setting.describe(issuer(two))
        gone = one.token()
        assert await setting.ask(gone) is None
        assert setting.api.asked == [gone]
        assert await setting.ask(two.token()) == ERIN

    conversation(talk, issuer(one))


def test_rules_that_change_while_keys_are_fetched_lose_nobody(own: tuple[Web, Provider]) -> None:
    web, of = own
    web.pages[KEYS].wait = answer = threading.Event()

    async def talk(setting: Setting) -> None:
        asking = asyncio.ensure_future(setting.ask(of.token()))
        await until(lambda: KEYS in web.fetched)
        setting.describe(issuer(of, groups_prefix="g:"))
        answer.set()
        assert await asking == ERIN, "by the rules of when it came"
        assert web.fetched == [DISCOVERY, KEYS]

    try:
        conversation(talk, issuer(of))
    finally:
        answer.set()


def test_an_authority_that_is_renewed_is_asked_soon_and_the_keys_serve_meanwhile() -> None:
    authority = Authority("idp")
    with provider(NOW, tls=server_tls(authority, "127.0.0.1")) as (web, of):
        good = issuer(of, certificate_authority=authority.pem.decode())
        strange = issuer(of, certificate_authority=Authority("other").pem.decode())

        async def talk(setting: Setting) -> None:
            with refused(503):
                await setting.ask(of.token())
            setting.describe(good)
            assert await setting.ask(of.token()) == ERIN, "without a wait of half a minute"
            setting.describe(strange)
            assert await setting.ask(of.token()) == ERIN
            assert setting.providers[0]._flight is not None
            await until(lambda: setting.providers[0]._flight is None)
            assert await setting.ask(of.token()) == ERIN, "the keys were good when they came"
            setting.describe(good)
            of.keys[:] = [public_jwk(of.stranger, kid="new")]
            of.publish(web)
            assert await setting.ask(of.token()) == ERIN
            await until(lambda: setting.providers[0]._flight is None)
            assert await setting.ask(of.token()) is None
            assert await setting.ask(of.odd({"kid": "new"}, key=of.stranger)) == ERIN

        conversation(talk, strange)


def test_of_a_description_with_a_mistake_nothing_counts(own: tuple[Web, Provider]) -> None:
    of = own[1]
    broken = Issuer("https://two.example.org", ("a",), "two:", certificate_authority="nonsense")

    async def talk(setting: Setting) -> None:
        with pytest.raises(ValueError, match="https://two"):
            setting.describe(issuer(of, groups_prefix="g:"), broken)
        assert await setting.ask(of.token()) == ERIN

    conversation(talk, issuer(of))
