"""Which input comes next?  Drawn by a seed from known ones, so that a failure can be had again."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

_BYTES = b"\x00\t\n\x0b\r \"#%&'(),-./0:;<=>?@\\_{\x7f\x80\xff"


def mutated(chance: Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.choice((0, 1, 1, 2, 4, 16)))
        what = chance.random()
        if what < 0.35:
            data[start:end] = chance.choice(words)
        elif what < 0.55:
            data[start:end] = bytes((chance.choice(_BYTES),))
        elif what < 0.65:
            del data[start:end]
        elif what < 0.75:
            data[start:start] = data[start : start + chance.randrange(64)]
        elif what < 0.85:
            other = chance.choice(seeds)
            data[start:] = other[chance.randrange(len(other) + 1) :]
        elif what < 0.95 and data:
            data[min(start, len(data) - 1)] ^= 1 << chance.randrange(8)
        else:
            data[start:end] = bytes((chance.randrange(256),))
    return bytes(data)
