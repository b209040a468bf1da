"""· Where does a request's body end?  Framing by length or by chunks; bytes in, body bytes out.

RFC 9112, sections 6 and 7.  Chunk extensions are read, bounded and dropped; trailers are kept apart.  A
quarter of a megabyte may hold 43 000 chunks, 25 ms of work: that is spread over turns of the loop.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bastion.kube.errors import unreadable
from bastion.kube.status import StatusError

MAX_CHUNK_LINE = 256  # bytes of a size and its extensions
MAX_TRAILERS = 8192  # bytes
AT_ONCE = 128  # chunks, 75 microseconds: another request takes half a dozen turns of the loop

# RFC 9112, 7.1: chunk-size = 1*HEXDIG; 15 digits are far more than a file.  Extensions without control
# characters.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t -~\x80-\xff]*)?")
_PLAIN_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")  # as nearly all are
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*")


class LengthFraming:
    """A body of `remaining` bytes, behind which there are no trailers."""

    __slots__ = ("done", "remaining")
    trailers: Sequence[bytes] = ()

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.done = length == 0

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """(pieces of the body, what follows it)."""
        if self.done:
            return [], data
        if len(data) < self.remaining:
            self.remaining -= len(data)
            return [data] if data else [], b""
        piece, rest = data[: self.remaining], data[self.remaining :]
        self.remaining = 0
        self.done = True
        return [piece], rest


class ChunkedFraming:
    """A chunked body; bytes of an unfinished line are held back until it is whole.

    `trailers` are the lines behind the last chunk.
    """

    __slots__ = ("_held", "_in_trailers", "_remaining", "_trailer_bytes", "done", "trailers")

    def __init__(self) -> None:
        self._held = b""
        self._remaining = 0  # of the chunk's data and the CRLF behind it
        self._in_trailers = False
        self._trailer_bytes = 0
        self.trailers: list[bytes] = []
        self.done = False

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """(pieces of the body, what follows it, or what is to be fed again later).

        Raises StatusError 400.
        """
        if self._held:
            data, self._held = self._held + data, b""
        pieces: list[bytes] = []
        at = lines = 0
        if not self._remaining and not self._in_trailers:
            pieces, at, lines = _whole_chunks(data)
        while not self.done:
            if self._remaining:
                at = self._data(data, at, pieces)
                if self._remaining:
                    break
            if lines == AT_ONCE and not self._in_trailers:
                return pieces, data[at:]
            lines += 1
            end = data.find(b"\n", at)
            if end < 0:
                self._check_unfinished(data, at)
                break
            if end == at or data[end - 1] != 0x0D:
                raise _malformed("a line that does not end in CRLF")
            self._line(data[at : end - 1])
            at = end + 1
        if self.done:
            return pieces, data[at:]
        self._held = data[at:]
        return pieces, b""

    def _data(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Of the chunk at hand, and the CRLF behind it; returns where it stopped."""
        end = min(at + max(self._remaining - 2, 0), len(data))
        if end > at:
            pieces.append(data[at:end])
            self._remaining -= end - at
        if self._remaining > 2:
            return end
        if not b"\r\n".startswith(data[end : end + 2]):
            raise _malformed("a chunk is not followed by CRLF")
        if len(data) - end < 2:
            return end  # held until it is whole
        self._remaining = 0
        return end + 2

    def _check_unfinished(self, data: bytes, at: int) -> None:
        if len(data) - at > (MAX_TRAILERS if self._in_trailers else MAX_CHUNK_LINE) + 1:  # and the CR
            raise _malformed("a chunk's size line, or the trailers, are too long")

    def _line(self, line: bytes) -> None:
        if self._in_trailers:
            self._trailer(line)
            return
        match = _CHUNK_LINE.fullmatch(line) if len(line) <= MAX_CHUNK_LINE else None
        if match is None:
            raise _malformed("an invalid chunk size line")
        size = int(match[1], 16)
        if size:
            self._remaining = size + 2
        else:
            self._in_trailers = True

    def _trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line) + 2
        if not line:
            self.done = True
        elif self._trailer_bytes > MAX_TRAILERS:
            raise _malformed("more than 8 KiB of trailers")
        elif _TRAILER.fullmatch(line) is None:
            raise _malformed("an invalid trailer field")
        else:
            self.trailers.append(line)


def _whole_chunks(data: bytes) -> tuple[list[bytes], int, int]:
    """(the data of the first plain chunks that are complete, where the rest begins, how many they are).

    A client may send thousands of chunks of one byte at once, and every other client waits for that work.
    """
    pieces: list[bytes] = []
    at = size = 0
    line = b"-"  # the last size line: most chunks are as large as the one before
    while len(pieces) < AT_ONCE:
        if not data.startswith(line, at):
            match = _PLAIN_SIZE.match(data, at)
            if match is None:
                break
            line, size = match[0], int(match[1], 16)
        start = at + len(line)
        end = start + size
        if not size or not data.startswith(b"\r\n", end):
            break
        pieces.append(data[start:end])
        at = end + 2
    return pieces if len(pieces) < 2 else [b"".join(pieces)], at, len(pieces)


Framing = LengthFraming | ChunkedFraming


def _malformed(why: str) -> StatusError:
    return unreadable(f"malformed request body: {why}", close=True)
