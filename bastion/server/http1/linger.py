"""· The rest of a request's body that nothing reads, after its response.

It is taken and dropped, or a reset would destroy the response on its way (RFC 9112, 9.6).
"""

from __future__ import annotations

MAX_BYTES = 16 << 20


class Linger:
    """`keep_alive`: another request may follow the body."""

    __slots__ = ("_dropped", "keep_alive")

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self._dropped = 0

    def drop(self, count: int) -> bool:
        """Whether still more may come."""
        self._dropped += count
        return self._dropped <= MAX_BYTES
