"""· The body as the module says it is encoded, no more of it than the limit."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import Any

import brotli

CAP = 10 << 20  # bytes of a body, whatever a module says


class TooLarge(ValueError):
    """More than the limit."""


class Undecodable(ValueError):
    """Not what the module's `compression` says; `at_once`: not even its first bytes; `found`: before that."""

    def __init__(self, message: str, *, at_once: bool = False, found: Iterable[bytes] = ()) -> None:
        super().__init__(message)
        self.at_once = at_once
        self.found = tuple(found)


class Body:
    """Counts what was read, after decompression; keeps it where something looks at it."""

    def __init__(self, compression: str, limit: int, *, keep: bool) -> None:
        self._limit = min(limit, CAP) if limit > 0 else CAP
        self._keep = keep
        self._pieces: list[bytes] = []
        self._decoder: Any = _DECODERS[compression]()
        self.length = 0

    def feed(self, data: bytes) -> None:
        """Raises TooLarge or Undecodable."""
        try:
            pieces = self._decoder.decode(data, self._limit - self.length + 1)
        except Undecodable as error:
            self._keep_all(error.found)
            raise
        self._keep_all(pieces)

    def _keep_all(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            room = self._limit - self.length
            self._take(piece[:room])
            if len(piece) > room:
                raise TooLarge(f"the body has more than {self._limit} bytes")

    def end(self) -> None:
        """Raises Undecodable where it is cut short."""
        self._decoder.end()

    def _take(self, piece: bytes) -> None:
        self.length += len(piece)
        if self._keep:
            self._pieces.append(piece)

    @property
    def content(self) -> bytes:
        return b"".join(self._pieces)


class _Identity:
    def decode(self, data: bytes, room: int) -> list[bytes]:
        return [data]

    def end(self) -> None: ...


class _Zlib:
    """`bits` as zlib.decompressobj takes them; gzip may have several members one behind the other."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._inner = zlib.decompressobj(bits)
        self._fed = self._any = False

    def decode(self, data: bytes, room: int) -> list[bytes]:
        found: list[bytes] = []
        self._fed = self._fed or bool(data)
        try:
            while data and room > 0:
                if self._inner.eof:
                    if self._bits < 0:
                        break
                    self._inner = zlib.decompressobj(self._bits)
                before = self._inner.copy()
                try:
                    piece = self._inner.decompress(data, room)
                except zlib.error:
                    found.append(_as_far_as_it_goes(before, data, room))
                    raise
                data = self._inner.unconsumed_tail or self._inner.unused_data
                found.append(piece)
                self._any = self._any or bool(piece)
                room -= len(piece)
        except zlib.error as error:
            raise Undecodable(str(error), at_once=self._bits > 0 and not self._any, found=found) from error
        return found

    def end(self) -> None:
        if not self._inner.eof and not self._fed:
            raise Undecodable("the body is empty", at_once=self._bits > 0)
        if not self._inner.eof:
            raise Undecodable("the compressed body is cut short")


def _as_far_as_it_goes(decoder: Any, data: bytes, room: int) -> bytes:
    """What comes before the fault."""
    found = b""
    try:
        for at in range(len(data)):
            if len(found) >= room:
                break
            found += decoder.decompress(data[at : at + 1], room - len(found))
    except zlib.error:
        pass
    return found


class _Brotli:
    def __init__(self) -> None:
        self._inner = brotli.Decompressor()

    def decode(self, data: bytes, room: int) -> list[bytes]:
        found: list[bytes] = []
        try:
            piece = self._inner.process(data, output_buffer_limit=max(room, 1))
            while piece:
                found.append(piece)
                room -= len(piece)
                if room <= 0 or self._inner.can_accept_more_data():
                    break
                piece = self._inner.process(b"", output_buffer_limit=room)
        except brotli.error as error:
            raise Undecodable(str(error)) from error
        return found

    def end(self) -> None:
        """What is cut short is good as far as it goes: the exporter does not tell it from an end."""


_DECODERS: dict[str, Callable[[], Any]] = {
    "": _Identity,
    "identity": _Identity,
    "gzip": lambda: _Zlib(31),
    "deflate": lambda: _Zlib(-15),
    "br": _Brotli,
}
