"""· What do we need of an HTTP/2 library, for either side of a connection?

Bytes in, calls out; nothing here or below it touches a socket or a clock.  The library frames, compresses,
keeps the windows and the states of streams, and refuses what is malformed (RFC 9113); who may do how much of
what is not its affair (`floods`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Protocol

Pair = tuple[bytes, bytes]  # a field's lower-case name and its value

# What this side announces (RFC 9113, 6.5.2).
STREAM_WINDOW = 65536  # bytes of a body that are on their way, or here and not read yet
CONNECTION_WINDOW = 1 << 20  # of a client's connection
# Of one to a backend, which users share: all of its streams may have a reader that takes nothing, and no
# other is to wait for that.
SHARED_WINDOW = 101 * STREAM_WINDOW
MAX_FRAME = 16384
MAX_HEAD = 65536  # bytes of a head, each field counted with 32 more
MAX_FIELDS = 100
# What is decoded of a head that is refused as too large, so that the compression's tables stay equal.
MOST_DECODED, MOST_FIELDS = 4 * MAX_HEAD, 1024
# A head in frames of a few bytes each is legal.
MAX_CONTINUATIONS = 128
TABLE = 4096  # bytes of our compression's table, whatever the peer allows


class Code(IntEnum):
    """RFC 9113, 7."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    HTTP_1_1_REQUIRED = 0xD


class Setting(IntEnum):
    """RFC 9113, 6.5.2 and RFC 8441, 3."""

    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_HEADER_LIST_SIZE = 0x6
    ENABLE_CONNECT_PROTOCOL = 0x8
    NO_RFC7540_PRIORITIES = 0x9


class ConnectionFault(Exception):
    """The peer broke the connection's rules, and nothing of it can be used any more.  `code` is why, for a
    GOAWAY; None where the library has written one.
    """

    def __init__(self, message: str, code: Code | None = None) -> None:
        super().__init__(message)
        self.code = code


class Handler(Protocol):
    """What is told of what came."""

    def head_came(self, stream: int, fields: Sequence[Pair], ended: bool) -> None:
        """The head of a request or of a final response."""
        ...

    def interim_came(self, stream: int, fields: Sequence[Pair]) -> None: ...

    def data_came(self, stream: int, data: bytes, ended: bool) -> None: ...

    def trailers_came(self, stream: int, fields: Sequence[Pair]) -> None:
        """The stream's other side has ended with them."""
        ...

    def reset_came(self, stream: int, code: int) -> None: ...

    def closed(self, stream: int, code: int) -> None:
        """Nothing more happens on the stream; `code` is not 0 where it did not end in good order."""
        ...

    def settings_came(self, settings: Mapping[int, int]) -> None: ...

    def going_away(self, last: int, code: int) -> None:
        """The peer takes no stream above `last`."""
        ...


class Codec(Protocol):
    """One connection.  What is written to a stream that is gone is dropped."""

    def receive(self, data: bytes) -> None:
        """Calls the handler.  Raises ConnectionFault."""
        ...

    def outgoing(self) -> bytes:
        """What may be written now, about `MAX_FRAME` bytes at once; all of it where that is less."""
        ...

    @property
    def over(self) -> bool:
        """Nothing more is to be read or written."""
        ...

    def open(self, fields: Sequence[Pair], *, ended: bool) -> int:
        """A request's stream.  Raises ConnectionFault where none can be opened any more."""
        ...

    def send_head(self, stream: int, fields: Sequence[Pair], *, ended: bool = False) -> None: ...

    def send_interim(self, stream: int, fields: Sequence[Pair]) -> None: ...

    def send_data(self, stream: int, data: bytes, *, ended: bool = False) -> None: ...

    def send_trailers(self, stream: int, fields: Sequence[Pair]) -> None: ...

    def reset(self, stream: int, code: Code) -> None: ...

    def consumed(self, stream: int, count: int) -> None:
        """So many bytes of its body were taken, and as many more may come.  The stream may be gone."""
        ...

    def unsent(self, stream: int) -> int:
        """Bytes given to `send_data` that wait for the peer's windows."""
        ...

    @property
    def unsent_in_all(self) -> int: ...

    def announce_end(self) -> None:
        """Soon no further stream is taken: a first GOAWAY (RFC 9113, 6.8)."""
        ...

    def end(self, code: Code = Code.NO_ERROR) -> None:
        """No further stream is taken; the connection is over once those that are open have ended."""
        ...


class NewCodec(Protocol):
    def __call__(self, handler: Handler, *, client: bool, settings: Mapping[int, int]) -> Codec: ...


def goaway(last: int, code: Code) -> bytes:
    """The frame, for where the library can no longer write one."""
    return b"\0\0\x08\x07\0\0\0\0\0" + last.to_bytes(4, "big") + code.to_bytes(4, "big")
