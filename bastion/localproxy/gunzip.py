"""· A body that was compressed for this hop alone, as the client is to have it: plain."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from bastion.http.fields import Field

STEP = 65536  # bytes unfolded at once: a small piece may hold a very large one


class Gunzip:
    """Several members may follow each other (RFC 1952, 2.2)."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(31)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises ValueError where it is no gzip."""
        while data:
            if self._inflate.eof:
                self._inflate = zlib.decompressobj(31)
            self._begun = True
            try:
                plain = self._inflate.decompress(data, STEP)
            except zlib.error as error:
                raise ValueError("the response's body is not the gzip that it says it is") from error
            if plain:
                yield plain
            data = self._inflate.unconsumed_tail or self._inflate.unused_data

    def finish(self) -> bytes:
        """Raises ValueError where the body ends within a member."""
        if self._begun and not self._inflate.eof:
            raise ValueError("the response's compressed body breaks off")
        return b""


def is_gzip(fields: list[Field]) -> bool:
    codings = [value.lower() for lower, _, value in fields if lower == b"content-encoding"]
    return codings == [b"gzip"]


def plain_fields(fields: list[Field]) -> list[Field]:
    return [field for field in fields if field[0] != b"content-encoding"]
