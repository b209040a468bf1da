"""A request's body that can be sent a second time, as long as little of it was sent."""

from __future__ import annotations

from bastion.network.transport import Body

MOST = 262144  # bytes kept


class Replay:
    """Passes a body on and remembers its beginning; `again` gives what was passed and then the rest."""

    __slots__ = ("_body", "_kept", "_size", "_waiting")

    def __init__(self, body: Body) -> None:
        self._body = body
        self._kept: list[bytes] = []
        self._waiting: list[bytes] = []
        self._size = 0

    @property
    def length(self) -> int | None:
        return self._body.length

    @property
    def chunked(self) -> bool:
        return self._body.chunked

    @property
    def whole(self) -> bool:
        """All that was sent is here still."""
        return self._size <= MOST

    async def read(self) -> bytes:
        if self._waiting:
            return self._waiting.pop(0)
        data = await self._body.read()
        self._size += len(data)
        if self.whole:
            self._kept.append(data)
        else:
            self._kept.clear()
        return data

    def again(self) -> None:
        """The end, once read, is among what is kept: it is not read from the client a second time."""
        self._waiting = list(self._kept)
