"""HTTP/2 by hand: frames are written as they are told, good or bad, and read into a list."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

import hpack

from bastion.network.http2.codec import Code

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Pairs = Iterable[tuple[str, str]]


def frame(
    kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", length: int | None = None
) -> bytes:
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def block(fields: Pairs) -> bytes:
    """A head as literals without index, which say what they say whatever came before."""
    out = b""
    for name, value in fields:
        out += b"\0" + _text(name.encode("latin-1")) + _text(value.encode("latin-1"))
    return out


def _text(text: bytes) -> bytes:
    """RFC 7541, 5.2, without Huffman's code."""
    length = len(text)
    if length < 127:
        return bytes((length,)) + text
    out, rest = b"\x7f", length - 127
    while rest >= 128:
        out += bytes((rest % 128 + 128,))
        rest //= 128
    return out + bytes((rest,)) + text


def headers(stream: int, fields: Pairs, *, end: bool = True) -> bytes:
    """In as many frames as it takes."""
    data = block(fields)
    pieces = [data[at : at + 16384] for at in range(0, len(data), 16384)] or [b""]
    out = b""
    for number, piece in enumerate(pieces):
        last = END_HEADERS if number == len(pieces) - 1 else 0
        if number:
            out += frame(CONTINUATION, last, stream, piece)
        else:
            out += frame(HEADERS, last | (END_STREAM if end else 0), stream, piece)
    return out


def data(stream: int, piece: bytes, *, end: bool = False) -> bytes:
    return frame(DATA, END_STREAM if end else 0, stream, piece)


def reset(stream: int, code: int = Code.CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def window(stream: int, count: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", count))


def settings(**values: int) -> bytes:
    keys = {"max_streams": 3, "initial_window": 4, "max_frame": 5, "table": 1, "connect": 8}
    return frame(
        SETTINGS, 0, 0, b"".join(struct.pack(">HI", keys[key], value) for key, value in values.items())
    )


def request(path: str = "/", method: str = "GET", *fields: tuple[str, str], authority: str = "h") -> Pairs:
    return [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path), *fields]


@dataclass
class Answer:
    """What came on one stream; `end`: whole, or the code of a reset."""

    heads: list[dict[str, str]] = field(default_factory=list)
    body: bytes = b""
    end: str = ""
    reset: str = ""
    raw: list[list[tuple[bytes, bytes]]] = field(default_factory=list)  # the heads, as they came

    @property
    def status(self) -> int:
        return next((int(head[":status"]) for head in self.heads if head.get(":status", "1")[0] != "1"), 0)

    @property
    def trailers(self) -> dict[str, str]:
        return self.heads[-1] if self.heads and ":status" not in self.heads[-1] else {}


@dataclass
class Reader:
    """Bytes of a peer in, streams out."""

    answers: dict[int, Answer] = field(default_factory=dict)
    settings: dict[int, int] = field(default_factory=dict)
    goaways: list[int] = field(default_factory=list)
    windows: dict[int, int] = field(default_factory=dict)
    pongs: int = 0
    decoder: hpack.Decoder = field(default_factory=hpack.Decoder)
    _held: bytes = b""
    _block: bytes = b""

    def feed(self, came: bytes) -> None:
        self._held += came
        while len(self._held) >= 9:
            length = int.from_bytes(self._held[:3], "big")
            if len(self._held) < 9 + length:
                return
            kind, flags = self._held[3], self._held[4]
            stream = int.from_bytes(self._held[5:9], "big")
            payload, self._held = self._held[9 : 9 + length], self._held[9 + length :]
            self._frame(kind, flags, stream, payload)

    def answer(self, stream: int) -> Answer:
        return self.answers.setdefault(stream, Answer())

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self.settings |= dict(struct.iter_unpack(">HI", payload))
        elif kind == PING:
            self.pongs += flags & ACK
        elif kind == GOAWAY:
            self.goaways.append(int.from_bytes(payload[4:8], "big"))
        elif kind == WINDOW_UPDATE:
            self.windows[stream] = self.windows.get(stream, 0) + int.from_bytes(payload, "big")
        elif kind == RST_STREAM:
            answer = self.answer(stream)
            answer.reset = Code(int.from_bytes(payload, "big")).name
            answer.end = answer.end or answer.reset
        elif kind == DATA:
            self.answer(stream).body += payload
        elif kind in (HEADERS, CONTINUATION):
            self._block += payload
            if flags & END_HEADERS:
                fields = self.decoder.decode(self._block, raw=True)
                self._block = b""
                answer = self.answer(stream)
                answer.raw.append([(bytes(name), bytes(value)) for name, value in fields])
                answer.heads.append({n.decode("latin-1"): v.decode("latin-1") for n, v in fields})
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            self.answer(stream).end = "whole"
