"""· Where in the bytes of a connection does the next request's head end?  Bytes in; a head, a refusal, or
"more" out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bastion.kube.errors import unreadable
from bastion.server.http1.head import MAX_HEAD, oversized, read_request_line

H = TypeVar("H")


class HeadReader:
    """`pending` is what came and belongs to no exchange yet; `any_target` as in `read_request_line`."""

    __slots__ = ("_any_target", "_scanned", "pending")

    def __init__(self, any_target: bool = False) -> None:
        self._any_target = any_target
        self.pending = b""
        self._scanned = 0  # bytes of it known to hold no end of a head, and no bare CR or LF

    def read(self, parse: Callable[[bytes], H], data: bytes = b"") -> H | None:
        """The next head; None where more of it must come.  Raises StatusError where that cannot help."""
        if self.pending:
            data = self.pending + data
        if data[:2] == b"\r\n":
            data = _without_empty_lines(data)
            self._scanned = 0
        end = data.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if end < 0:
            self.pending = data
            if data:
                self._check_unfinished(data)
            return None
        if end > MAX_HEAD:
            raise oversized(data)
        head = parse(data[:end])
        self.pending = data[end + 4 :]
        self._scanned = 0
        return head

    def hold(self, data: bytes) -> None:
        """For later: the exchange under way comes first."""
        self.pending += data

    def take(self) -> bytes:
        """What is pending, for another reader."""
        data, self.pending = self.pending, b""
        self._scanned = 0
        return data

    def _check_unfinished(self, data: bytes) -> None:
        """What is wrong already is refused before the rest has come."""
        if len(data) > MAX_HEAD:
            raise oversized(data)
        end = len(data) - 1 if data[-1:] == b"\r" else len(data)
        fresh = data[self._scanned : end]
        if not fresh.count(b"\r\n") == fresh.count(b"\n") == fresh.count(b"\r"):
            raise unreadable("malformed request: a line that does not end in CRLF", close=True)
        line_end = data.find(b"\r\n")
        if line_end >= 0 and line_end + 2 > self._scanned:
            read_request_line(data[:line_end], any_target=self._any_target)
        self._scanned = end


def _without_empty_lines(data: bytes) -> bytes:
    """RFC 9112, 2.2: empty lines before the request line are ignored, whether they come with it or alone."""
    start = 0
    while data.startswith(b"\r\n", start):
        start += 2
    return data[start:]
