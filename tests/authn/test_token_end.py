"""Is an answer about a token remembered past the end that the token itself tells?"""

from __future__ import annotations

from bastion.authn.authenticator import Credentials
from bastion.authn.cached import CachedAuthenticator
from bastion.kube.user import User
from tests.authn.oidc_setting import NOW
from tests.authn.provider import provider
from tests.fakes import SOMEBODY, ClockLoop, Knows, pass_time, refused, run, unavailable

ERIN = User("oidc:erin", groups=("devs", "system:authenticated"))


def test_a_yes_is_remembered_but_not_past_the_tokens_end() -> None:
    """The token's own end is nearer than the memory's."""

    async def main() -> None:
        wall = NOW
        with provider(NOW) as (_, of):
            tokens = {
                of.token(exp=NOW + 3): 3.0,
                of.token(exp=NOW + 600): 10.0,
                of.odd(claims={"exp": NOW + 3, "iss": "x"}): 3.0,
                "opaque": 10.0,
            }
            known = Knows(dict.fromkeys(tokens, ERIN))
            cached = CachedAuthenticator(known, 10.0, lambda: wall)
            for token, lifetime in tokens.items():
                del known.asked[:]
                for after, asked in ((0.0, 1), (lifetime - 0.5, 1), (1.0, 2)):
                    await pass_time(after)
                    assert await cached.authenticate(Credentials(token), SOMEBODY) == ERIN
                    assert len(known.asked) == asked, token
            expired = of.token(exp=NOW - 5)  # still within the leeway: accepted, and asked about each time
            known.users = {expired: ERIN}
            del known.asked[:]
            for _ in range(3):
                assert await cached.authenticate(Credentials(expired), SOMEBODY) == ERIN
            assert len(known.asked) == 3

    run(main(), ClockLoop)


def test_a_clock_that_is_set_shortens_no_memory_and_lengthens_none_past_the_end() -> None:

    async def main() -> None:
        wall = NOW
        with provider(NOW) as (_, of):
            token = of.token(exp=NOW + 600)
            known = Knows({token: ERIN, "opaque": ERIN})
            cached = CachedAuthenticator(known, 10.0, lambda: wall)
            carried = [Credentials(token), Credentials("opaque")]
            for after, jump, asked in ((0.0, 0.0, 2), (5.0, -3600.0, 2), (1.0, 3600.0, 3)):
                await pass_time(after)
                wall = NOW + jump
                for credentials in carried:
                    assert await cached.authenticate(credentials, SOMEBODY) == ERIN
                assert len(known.asked) == asked, "an hour later the end of the one with an end is past"
            assert [cached.known(credentials) is None for credentials in carried] == [True, False]

    run(main(), ClockLoop)


def test_a_no_and_a_failure_are_remembered_as_ever() -> None:
    async def main() -> None:
        with provider(NOW) as (_, of):
            known = Knows({})
            cached = CachedAuthenticator(known, 10.0, lambda: NOW)
            token = of.token(exp=NOW + 1)
            for after, asked in ((0, 1), (9, 1), (2, 2)):
                await pass_time(after)
                assert await cached.authenticate(Credentials(token), SOMEBODY) is None
                assert len(known.asked) == asked
            known.failing = unavailable("down")
            for _ in range(2):
                with refused(503):
                    await cached.authenticate(Credentials("other"), SOMEBODY)
            assert len(known.asked) == 4

    run(main(), ClockLoop)
