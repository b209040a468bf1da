"""As whom is a user introduced to a backend?  As its Service's annotation `bastion.dev/identity` asks for.

Assertions are made once for a user and a service, and again when half of their time is over: a backend never
gets one that is about to end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec

from bastion.identity.assertion import assertion
from bastion.identity.signing import SigningKey
from bastion.kube.accesspolicy import ASSERTION, HEADERS
from bastion.kube.attributes import Attributes
from bastion.kube.errors import refused
from bastion.kube.errorwords import IDENTITY_NOT_PASSED_ON
from bastion.kube.target import parse_target
from bastion.kube.user import User
from bastion.message.remoteuser import remote_user_lines
from bastion.runtime.remembered import FairTable

MOST = 4096  # assertions that are kept
HEADER = b"X-Bastion-Assertion"


class Introduction(msgspec.Struct, frozen=True, gc=False):
    """`lines` (with CRLF) for the backend, which may be sent until `expires`, in seconds since the epoch."""

    lines: bytes = b""
    expires: float = math.inf


NOTHING = Introduction()


class Introductions:
    """`keys`: the first signs; `lifetime` in seconds; `wall` is seconds since the epoch."""

    def __init__(
        self,
        keys: Callable[[], Sequence[SigningKey]],
        issuer: str,
        lifetime: float,
        wall: Callable[[], float],
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._lifetime = lifetime
        self._wall = wall
        self._made: FairTable[tuple[str, User, str], Introduction] = FairTable(MOST)

    def of(self, wishes: frozenset[str], user: User, attributes: Attributes) -> Introduction:
        """Raises StatusError 403 for a user whose name cannot stand in a header."""
        lines = b""
        if HEADERS in wishes:
            try:
                lines = b"".join(remote_user_lines(user))
            except ValueError as error:
                raise refused(
                    IDENTITY_NOT_PASSED_ON,
                    f"the backend wants to be told who asks, and {error}",
                    attributes.resource,
                    attributes.name,
                ) from error
        if ASSERTION not in wishes:
            return Introduction(lines)
        name = parse_target(attributes.resource, attributes.namespace, attributes.name).name
        asserted = self._asserted(user, f"{attributes.namespace}/{name}")
        return Introduction(lines + asserted.lines, asserted.expires)

    def _asserted(self, user: User, audience: str) -> Introduction:
        key, now = self._keys()[0], self._wall()
        known = self._made.get((key.kid, user, audience))
        # Also where the clock was set back: it would be signed too late to be believed.
        if known is not None and known.expires - self._lifetime / 2 <= now < known.expires:
            return known
        token = assertion(key, user, issuer=self._issuer, audience=audience, now=now, lifetime=self._lifetime)
        line = b"%b: %b\r\n" % (HEADER, token.encode())
        made = Introduction(line, now + self._lifetime / 2)
        self._made.put((key.kid, user, audience), made, user.name)
        return made
