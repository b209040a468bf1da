"""Until when is it known whose credentials are?  Until the earliest end of all that this stands on."""

from __future__ import annotations

import asyncio
import math

import pytest

from bastion.authn.anonymous import AnonymousAuthenticator
from bastion.authn.authenticator import Credentials, RememberingAuthenticator, first_known
from bastion.authn.cached import CachedAuthenticator
from bastion.authn.requestheader import FrontProxyAuthenticator
from bastion.authn.tokenfile import TokenFileAuthenticator, TokenTable
from bastion.authn.x509 import REFUSED_SECONDS, CertificateAuthenticator, CertificateVerifier, TrustAnchors
from bastion.kube.user import User
from bastion.runtime.validity import ALWAYS, Validity
from tests.authn.certificates import NOW, authority, issue
from tests.authn.provider import provider
from tests.fakes import SOMEBODY, ClockLoop, Knows, pass_time, run

ROOT = authority("root", ends=7200)
SOON = authority("soon", ROOT, ends=600)
ERIN = (issue(ROOT, "erin", ends=3600).der,)
BELOW = (issue(SOON, "below", ends=1800).der, SOON.der)
STRANGE = (issue(authority("strange"), "erin").der,)
FRANK = User("frank")
JANE = User("jane")


def verifier() -> CertificateVerifier:
    trust = TrustAnchors(ROOT.pem)
    return CertificateVerifier(lambda: trust, lambda: NOW)


def union(cached: CachedAuthenticator) -> list[RememberingAuthenticator]:
    tokens = TokenTable({"in-the-file": User("tess")})
    return [
        FrontProxyAuthenticator(verifier(), frozenset()),
        CertificateAuthenticator(verifier()),
        TokenFileAuthenticator(lambda: tokens),
        cached,
        AnonymousAuthenticator(),
    ]


# what is shown, whose it is (None: has to be asked), seconds by the loop's clock, seconds by the date
KNOWN: dict[str, tuple[Credentials, str | None, float, float]] = {
    "a token of the file": (Credentials("in-the-file"), "tess", math.inf, math.inf),
    "nothing": (Credentials(), "system:anonymous", math.inf, math.inf),
    "a certificate": (Credentials(certificate=ERIN), "erin", math.inf, 3600),
    "the chain's authority ends first": (Credentials(certificate=BELOW), "below", math.inf, 600),
    "a front proxy's certificate": (Credentials(certificate=ERIN, asserted=FRANK), "frank", math.inf, 3600),
    "a token that was asked about": (Credentials("opaque"), "jane", 10, math.inf),
    "that a certificate is nobody's": (
        Credentials("opaque", certificate=STRANGE),
        "jane",
        10,
        REFUSED_SECONDS,
    ),
    "a token nobody asked about": (Credentials("new"), None, 0, 0),
    "a certificate before such a token": (Credentials("new", certificate=ERIN), "erin", math.inf, 3600),
}


@pytest.mark.parametrize("row", KNOWN.values(), ids=KNOWN)
def test_what_is_known_says_until_when(row: tuple[Credentials, str | None, float, float]) -> None:
    credentials, name, seconds, wall_seconds = row

    async def main() -> None:
        cached = CachedAuthenticator(Knows({"opaque": JANE}), 10.0, lambda: NOW)
        began = asyncio.get_running_loop().time()
        await cached.authenticate(Credentials("opaque"), SOMEBODY)
        known = first_known(union(cached), credentials)
        if name is None:
            assert known is None
            return
        assert known is not None and known.value is not None
        assert known.value.name == name
        assert known.validity.until - began == pytest.approx(seconds)
        assert known.validity.expires - NOW == pytest.approx(wall_seconds, abs=1)

    run(main(), ClockLoop)


def test_a_token_is_known_no_longer_than_it_says_itself() -> None:
    async def main() -> None:
        wall = NOW
        with provider(NOW) as (_, of):
            token = of.token(exp=NOW + 6)
            cached = CachedAuthenticator(Knows({token: JANE}), 10.0, lambda: wall)
            began = asyncio.get_running_loop().time()
            await cached.authenticate(Credentials(token), SOMEBODY)
            known = cached.known(Credentials(token))
            assert known is not None
            assert known.value == JANE
            assert known.validity.until == pytest.approx(began + 6)
            assert known.validity.expires == NOW + 6
            wall = NOW + 6  # the clock was set: by the loop's it is good still
            assert cached.known(Credentials(token)) is None
            wall = NOW
            await pass_time(7)
            assert cached.known(Credentials(token)) is None

    run(main(), ClockLoop)


def test_that_a_token_is_nobodys_is_known_as_well() -> None:
    async def main() -> None:
        cached = CachedAuthenticator(Knows({}), 10.0, lambda: NOW)
        began = asyncio.get_running_loop().time()
        await cached.authenticate(Credentials("bad"), SOMEBODY)
        known = cached.known(Credentials("bad"))
        assert known is not None
        assert known.value is None
        assert known.validity.until == pytest.approx(began + 10)
        hits = cached.statistics()
        cached.known(Credentials("bad"))
        assert cached.statistics() == hits  # a request alone is a hit, or a miss

    run(main(), ClockLoop)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (ALWAYS, ALWAYS, ALWAYS),
        (Validity(5), ALWAYS, Validity(5)),
        (ALWAYS, Validity(5, 9), Validity(5, 9)),
        (Validity(5, 10), Validity(6, 9), Validity(5, 9)),
        (Validity(7), Validity(expires=3), Validity(7, 3)),
    ],
)
def test_the_earliest_end_of_both_counts(one: Validity, other: Validity, both: Validity) -> None:
    assert one.earliest(other) == both


@pytest.mark.parametrize(
    ("now", "wall", "holds"), [(4.9, 8.9, True), (5, 8, False), (4, 9, False), (5, 9, False)]
)
def test_it_holds_until_then_and_not_at_that_moment(now: float, wall: float, holds: bool) -> None:
    assert Validity(5, 9).holds(now, wall) is holds
