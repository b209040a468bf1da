"""· Does a peer make more work than its requests are worth?

Frames that say nothing (SETTINGS, PING, PRIORITY, unknown ones, empty DATA, empty or endless CONTINUATION,
windows opened a byte at a time), and streams that end before they were of use, whichever side resets them
(CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2024-27316, CVE-2025-8671).  Frames are counted by their nine
bytes of head, before any library has looked at them.
"""

from __future__ import annotations

from bastion.network.http2.codec import MAX_FRAME, Code, ConnectionFault

PREFACE = 24  # bytes of a client's connection before its first frame (RFC 9113, 3.4)
HEAD = 9  # bytes of a frame before its payload
DATA, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE, CONTINUATION = 0x0, 0x1, 0x3, 0x4, 0x8, 0x9
END_STREAM, END_HEADERS, PADDED = 0x1, 0x4, 0x8

GAPS = 64  # stretches of streams that were passed over, as far as they are remembered

RESETS, RESETS_A_SECOND = 100.0, 33.0
IDLE_FRAMES, IDLE_FRAMES_A_SECOND = 1000.0, 100.0
# A peer that reads what it is sent answers each piece with a window for the stream and one for all.
WINDOWS_A_PIECE, BYTES_A_WINDOW = 2.0, 2048


class Frames:
    """Where the frames of one direction begin.

    `in_head`: a head has begun and not ended.  `backwards`: a head came on a stream that was passed over
    before, and so can never be opened (RFC 9113, 5.1.1).  `oversized`: a frame is larger than was announced.
    """

    __slots__ = ("_begun", "_highest", "_passed_over", "_skip", "backwards", "in_head", "oversized")

    def __init__(self, preface: int = 0) -> None:
        self._begun = b""  # of a frame's first bytes
        self._skip = preface  # bytes up to the next frame
        self._highest = 0
        self._passed_over: list[tuple[int, int]] = []
        self.in_head = False
        self.backwards = self.oversized = False

    def feed(self, data: bytes) -> tuple[int, int]:
        """(how many of the frames that began in it say nothing, how many open windows)."""
        if self._begun:
            data, self._begun = self._begun + data, b""
        at, end = self._skip, len(data)
        idle = windows = 0
        while at + HEAD <= end:
            length = int.from_bytes(data[at : at + 3], "big")
            kind, flags = data[at + 3], data[at + 4]
            if length > MAX_FRAME:  # a library may wait for all of it
                self.oversized = True
            if kind == HEADERS:
                self.in_head = not flags & END_HEADERS
                self._head(int.from_bytes(data[at + 5 : at + 9], "big") & 0x7FFFFFFF)
            elif kind == DATA:
                if not flags & END_STREAM and not _carries(data, at, length, flags):
                    idle += 1
            elif kind == CONTINUATION:
                self.in_head = not flags & END_HEADERS
                idle += length < 2
            elif kind == WINDOW_UPDATE:
                windows += 1
            elif kind != RST_STREAM:  # these are counted as streams
                idle += 1
            at += HEAD + length
        if at < end:
            self._begun, self._skip = data[at:], 0
        else:
            self._skip = at - end
        return idle, windows

    def _head(self, stream: int) -> None:
        highest = self._highest
        if stream > highest:
            self._highest = stream
            if stream > highest + 2 and len(self._passed_over) < GAPS:
                self._passed_over.append((highest, stream))
        elif self._passed_over and any(low < stream < high for low, high in self._passed_over):
            self.backwards = True


def _carries(data: bytes, at: int, length: int, flags: int) -> bool:
    """Whether a DATA frame holds a byte of a body; taken for one while its length of padding has not come."""
    if not flags & PADDED:
        return length > 0
    return at + HEAD >= len(data) or length > data[at + HEAD] + 1


class Bucket:
    """`burst` tokens at once, `rate` a second on average; it may hold more where some are given."""

    __slots__ = ("_burst", "_left", "_rate", "_since")

    def __init__(self, burst: float, rate: float) -> None:
        self._burst, self._rate = burst, rate
        self._left = burst
        self._since = 0.0

    def take(self, count: float, now: float) -> bool:
        """False where there are not so many."""
        if count:
            if self._left < self._burst:
                self._left = min(self._burst, self._left + (now - self._since) * self._rate)
            self._since = now
            self._left -= count
        return self._left >= 0

    def give(self, count: float) -> None:
        self._left += count


class Floods:
    """What one peer may do; every method says whether that is still within bounds."""

    __slots__ = ("_frames", "_idle", "_opens", "_resets", "_windows")

    def __init__(self, preface: int = 0) -> None:
        self._frames = Frames(preface)
        self._opens = preface > 0  # it is the peer that opens streams
        self._idle = Bucket(IDLE_FRAMES, IDLE_FRAMES_A_SECOND)
        self._resets = Bucket(RESETS, RESETS_A_SECOND)
        self._windows = Bucket(IDLE_FRAMES, IDLE_FRAMES_A_SECOND)

    @property
    def in_head(self) -> bool:
        """A head has begun and not ended."""
        return self._frames.in_head

    def check(self, data: bytes, now: float) -> None:
        """What came, before anything else reads it.  Raises ConnectionFault."""
        if not self.came(data, now):
            raise ConnectionFault("too many frames that say nothing", Code.ENHANCE_YOUR_CALM)
        if self._frames.oversized:
            raise ConnectionFault(f"a frame of more than {MAX_FRAME} bytes", Code.FRAME_SIZE_ERROR)
        if self._opens and self._frames.backwards:
            raise ConnectionFault("a stream below one that was opened", Code.PROTOCOL_ERROR)

    def came(self, data: bytes, now: float) -> bool:
        idle, windows = self._frames.feed(data)
        if not (idle or windows):
            return True
        return self._idle.take(idle, now) and self._windows.take(windows, now)

    def reset(self, now: float, weight: float = 1.0) -> bool:
        """A stream ended early."""
        return self._resets.take(weight, now)

    def wrote(self, count: int) -> None:
        """So many bytes in one piece, which the peer will open windows for."""
        self._windows.give(WINDOWS_A_PIECE + count // BYTES_A_WINDOW)
