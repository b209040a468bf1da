"""Who waits for a target's answer?

A place is for what waits for the backend, not for what a slow client has yet to send.
"""

from __future__ import annotations

from collections.abc import Hashable

from bastion.proxy.exchange import Body
from bastion.runtime.limits import Shares


class Place:
    """One at a target that was entered.

    `leave` must be called, whatever happened; after it the others do nothing.
    """

    __slots__ = ("_held", "_over", "_shares", "_target", "_user")

    def __init__(self, shares: Shares, target: Hashable, user: Hashable) -> None:
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
        """The backend is waited for.

        It is given in any case: the backend has a part of the request already.
        """
        if not self._held and not self._over:
            self._held = True
            self._shares.take(self._target, self._user)

    def leave(self) -> None:
        self._over = True
        self.give_up()


class Upload:
    """A request's body, read on behalf of whoever has this place."""

    __slots__ = ("_body", "chunked", "length", "place")

    def __init__(self, body: Body, place: Place) -> None:
        self.chunked = body.chunked
        self.length = body.length
        self._body = body
        self.place = place

    async def read(self) -> bytes:
        self.place.give_up()
        try:
            return await self._body.read()
        finally:
            self.place.take_again()
