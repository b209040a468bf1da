"""· What does an encoded body hold, and how is another one encoded the same way?

Content-Encoding gzip and deflate (as RFC 9110 says, and raw as some servers send it).  Not br and zstd, whose
decoders remember up to 16 MiB of each page under way, against gzip's 32 KiB: pages in these are not asked for
(`accepted`).  Bodies are hostile: they are decoded in bounded steps, and one that grows beyond reason is
given up.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

MAX_RATIO = 100  # decoded bytes for each encoded one
UNJUDGED = 65536  # decoded bytes before the ratio counts
SLICE = 8192  # encoded bytes looked at at once
STEP = 16384  # decoded bytes at once
LEVEL = 1  # of compression: half the CPU of 4, for pages a tenth larger
_MEMBER = 1024  # decoded bytes that a gzip member must bring, beyond the first few
_FREE_MEMBERS = 64


class RewriteAborted(Exception):
    """An answer that cannot be finished: the client must see that it is broken."""


class NotEncoded(Exception):
    """What came is not in the encoding that was announced."""


class Encoder(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self, mode: int = ..., /) -> bytes: ...


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


ENCODINGS = frozenset((b"gzip", b"x-gzip", b"deflate"))


class Decoder:
    """Decodes one body.  `begun`: something was decoded; `ended`: its end was seen."""

    def __init__(self, encoding: bytes) -> None:
        self._encoding = encoding
        self._inflater: _Inflater | None = None
        self._wbits = 0
        self._held = b""  # a first byte that alone does not say what follows
        self._members = 0
        self._taken = 0
        self._given = 0
        self._more = False  # a step was filled: there may be more without further input
        self._surplus = False  # what follows belongs to no body
        self.ended = False

    @property
    def begun(self) -> bool:
        return self._given > 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the data decodes to, in steps: each takes at most SLICE bytes and gives at most STEP, or none.

        Raises NotEncoded and RewriteAborted.
        """
        for start in range(0, len(data), SLICE):
            rest = self._held + data[start : start + SLICE]
            self._held = b""
            while not self._surplus and (rest or self._more):
                if self._inflater is None and not self._begin(rest):
                    break
                before = len(rest)
                piece, rest = self._inflate(rest)
                self._count(before - len(rest), len(piece))
                yield piece

    def encoder(self) -> Encoder:
        """For a body in the encoding that was found."""
        return zlib.compressobj(LEVEL, zlib.DEFLATED, self._wbits)

    def _begin(self, data: bytes) -> bool:
        """False where it takes more bytes to know, or nothing but padding follows."""
        if len(data) < 2:
            self._held = data
            return False
        if self._encoding == b"deflate":
            # RFC 1950 section 2.2; what has no such header is raw, as kube-apiserver reads it.
            self._wbits = (
                15 if data[0] & 15 == 8 and data[0] >> 4 <= 7 and (data[0] << 8 | data[1]) % 31 == 0 else -15
            )
        elif self._members and data[:2] != b"\x1f\x8b":
            self._surplus = True  # as browsers and gzip do, what follows the last member is left out
            return False
        else:
            self._wbits = 31
        self._members += 1
        if self._members > _FREE_MEMBERS + self._given // _MEMBER:
            raise RewriteAborted("too many gzip members")
        self.ended = False
        self._inflater = zlib.decompressobj(self._wbits)
        return True

    def _inflate(self, data: bytes) -> tuple[bytes, bytes]:
        """One step: what was decoded, and what is still to be."""
        inflater = self._inflater
        assert inflater is not None
        try:
            piece = inflater.decompress(data, STEP)
        except zlib.error as error:
            if self._encoding != b"deflate" or self._wbits < 0 or self._taken:
                raise NotEncoded(str(error)) from error
            self._wbits = -15  # it only looked like a header
            self._inflater = zlib.decompressobj(self._wbits)
            return self._inflate(data)
        self._more = len(piece) >= STEP and not inflater.eof
        if not inflater.eof:
            return piece, inflater.unconsumed_tail
        self.ended = True
        rest = inflater.unused_data
        if self._encoding in (b"gzip", b"x-gzip"):
            self._inflater = None
        else:
            self._surplus = True
        return piece, rest

    def _count(self, taken: int, given: int) -> None:
        self._taken += taken
        self._given += given
        if self._given > UNJUDGED and self._given > MAX_RATIO * self._taken:
            raise RewriteAborted("the body decodes to more than a hundred times its size")
