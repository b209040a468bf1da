"""Who waits for a target's answer?  A place is for what waits for the backend, not for what a slow client has yet to send."""

from __future__ import annotations

from collections.abc import Hashable

from bastion.kube.status import service_unavailable
from bastion.limits import Shares
from bastion.proxy.exchange import Body


class Place:
    """One at a target.  `leave` must be called, whatever happened; after it the others do nothing."""

    __slots__ = ("_held", "_over", "_shares", "_target", "_user")

    def __init__(self, shares: Shares, target: Hashable, user: Hashable) -> None:
        """Raises StatusError 503 where there is none."""
        if not shares.enter(target, user):
            raise service_unavailable("too many requests wait for this target already; try again shortly", retry_after=1)
        self._shares = shares
        self._target = target
        self._user = user
        self._held = True
        self._over = False

    def give_up(self) -> None:
        """The client is waited for."""
        if self._held:
            self._held = False
            self._shares.leave(self._target, self._user)

    def take_again(self) -> None:
        """The backend is waited for.  It is given in any case: the backend has a part of the request already."""
        if not self._held and not self._over:
            self._held = True
            self._shares.take(self._target, self._user)

    def leave(self) -> None:
        self._over = True
        if self._held:
            self._held = False
            self._shares.leave(self._target, self._user)


class Upload:
    """A request's body, read on behalf of whoever has this place."""

    __slots__ = ("_body", "_place", "chunked")

    def __init__(self, body: Body, place: Place) -> None:
        self.chunked = body.chunked
        self._body = body
        self._place = place

    async def read(self) -> bytes:
        self._place.give_up()
        try:
            return await self._body.read()
        finally:
            self._place.take_again()
