"""· Does a WebSocket stream stand at the end of a frame?

Counts header lengths and looks at nothing else (RFC 6455, 5.2).
"""

from __future__ import annotations

POLICY_VIOLATION = b"\x88\x02" + (1008).to_bytes(2, "big")  # a close frame, unmasked, as a server sends it
GOING_AWAY = b"\x88\x02" + (1001).to_bytes(2, "big")

MOST = 8192  # frames in one piece, 1.4 ms: beyond that no frame of ours is inserted


class FrameCounter:
    """Feed it one direction of a stream; `at_boundary` says whether our frame could be inserted here."""

    __slots__ = ("_head", "_lost", "_payload")

    def __init__(self) -> None:
        self._lost = False  # too many frames to count: every other client would wait for that
        self._head = b""  # of a frame whose length is not known yet
        self._payload = 0  # bytes of the frame still to come

    @property
    def at_boundary(self) -> bool:
        return not self._payload and not self._head and not self._lost

    def feed(self, data: bytes) -> None:
        if self._lost:
            return
        size = len(data)
        if size <= self._payload:
            self._payload -= size
            return
        at = self._payload
        self._payload = 0
        if self._head:
            data, at, self._head = self._head + data, 0, b""
            size = len(data)
        frames = 0
        while at < size:
            if size - at < 2:
                break
            frames += 1
            if frames > MOST:
                self._lost = True
                return
            length = data[at + 1] & 0x7F
            head = 2
            if length == 126:
                head = 4
                if size - at < head:
                    break
                length = int.from_bytes(data[at + 2 : at + 4], "big")
            elif length == 127:
                head = 10
                if size - at < head:
                    break
                length = int.from_bytes(data[at + 2 : at + 10], "big")
            if data[at + 1] & 0x80:
                head += 4
            at += head + length
        if at > size:
            self._payload = at - size
        elif at < size:
            self._head = data[at:]
