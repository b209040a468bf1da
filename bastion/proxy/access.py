"""What a stream's access stands on, asked again while it lives: the token, whom its user acts as, what that
user may.

Past the remembered answers: the authenticator and the authorizer given here remember nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

from bastion.authn.authenticator import Authenticator, Credentials, CredentialsRefused
from bastion.authz.authorizer import Authorizer
from bastion.identity.compact import expiry
from bastion.kube.attributes import Attributes
from bastion.kube.requestinfo import RequestInfo
from bastion.kube.user import User
from bastion.proxy.admission import Admitted
from bastion.proxy.recheck import Recheck
from bastion.runtime.turns import STREAM, Key

SLACK = 1.0  # seconds after a token's end: asked a moment too early, it would be good for another while


def always(info: RequestInfo, asked: Attributes) -> bool:
    return True


class StreamAccess:
    """`clock` is seconds since the epoch."""

    def __init__(
        self,
        recheck: Recheck,
        authenticator: Authenticator,
        authorizer: Authorizer,
        clock: Callable[[], float] = time.time,
        still_counts: Callable[[RequestInfo, Attributes], bool] = always,
    ) -> None:
        """`still_counts`: whether the right is one that is asked for about such a request, by now."""
        self._recheck = recheck
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._clock = clock
        self._still_counts = still_counts

    def watch(self, admitted: Admitted, end: Callable[[str], None], ago: float = 0.0) -> Callable[[], None]:
        """Call `end` with a reason once one answer is no; `ago` seconds ago they were yes.

        Returns what ends the watch.
        """
        credentials, user = admitted.credentials, admitted.user
        line = (STREAM, user.name)
        still_is = partial(self._still_is, credentials, user)
        watches = [self._recheck.watch((credentials, user), still_is, end, self._good_for(credentials), ago)]
        watches += [
            self._recheck.watch(question, partial(self._still_may, *question, line), end, ago=ago)
            for question in admitted.questions
        ]
        if admitted.groups is not None:
            counts = partial(self._each_counts, admitted)
            watches.append(self._recheck.watch((admitted.info, *admitted.questions), counts, end, ago=ago))

        def unwatch() -> None:
            for watch in watches:
                watch()

        return unwatch

    def _good_for(self, credentials: Credentials) -> float:
        """Seconds until the token's own end, as far as it tells: unverified, all it can do is to be asked
        about more often.
        """
        expires = expiry(credentials.token) if credentials.token is not None else None
        if credentials.signed_in is not None:
            expires = credentials.signed_in.until
        return expires + SLACK - self._clock() if expires is not None else math.inf

    async def _each_counts(self, admitted: Admitted) -> bool:
        """The path may be another group's by now."""
        return all(self._still_counts(admitted.info, asked) for _, asked in admitted.questions)

    async def _still_is(self, credentials: Credentials, user: User) -> bool:
        """Also another identity is a no: what was authorized was the old one."""
        try:
            now = await self._authenticator.authenticate(credentials, (STREAM, user.name))
        except CredentialsRefused:
            return False
        return now is not None and _identity(now) == _identity(user)

    async def _still_may(self, user: User, attributes: Attributes, line: Key) -> bool:
        return (await self._authorizer.authorize(user, attributes, line)).allowed


def _identity(user: User) -> tuple[object, ...]:
    """All that an authorizer may look at; in which order groups and extras are told says nothing."""
    return (
        user.name,
        user.uid,
        frozenset(user.groups),
        frozenset((key, frozenset(values)) for key, values in user.extra),
    )
