"""Who waits for a target's answer?

A place is for what waits for the backend, not for what a slow client has yet to send.
"""

from __future__ import annotations

from collections.abc import Hashable

from bastion.kube.errors import too_large
from bastion.proxy.exchange import Body
from bastion.runtime.limits import Shares

MOST_KEPT = 65536  # bytes of a body that may be sent again


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
    """A request's body, read on behalf of whoever has this place.

    `keep`: what was read is held as long as it is little, for the request to be sent again.  `most` bytes are
    taken, None for any number.
    """

    __slots__ = ("_at", "_body", "_kept", "_most", "_read", "chunked", "length", "place")

    def __init__(self, body: Body, place: Place, *, keep: bool = False, most: int | None = None) -> None:
        self.chunked = body.chunked
        self.length = body.length
        self._body = body
        self._kept: list[bytes] | None = [] if keep else None
        self._at = 0  # of those kept, what is read next
        self._most = most
        self._read = 0
        self.place = place

    def rewind(self) -> bool:
        """The next `read` begins at the front.  False where what was read is not held."""
        if self._kept is None:
            return not self._body.touched
        self._at = 0
        return True

    async def read(self) -> bytes:
        if self._kept is not None and self._at < len(self._kept):
            self._at += 1
            return self._kept[self._at - 1]
        self.place.give_up()
        try:
            data = await self._body.read()
        finally:
            self.place.take_again()
        self._read += len(data)
        if self._most is not None and self._read > self._most:
            raise too_large(self._most)
        if self._kept is not None and data:
            self._keep(self._kept, data)
        return data

    def _keep(self, kept: list[bytes], data: bytes) -> None:
        if self._read > MOST_KEPT:
            self._kept = None
        else:
            kept.append(data)
            self._at = len(kept)
