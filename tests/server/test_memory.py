"""Does what was used for a while go back to the system?"""

from __future__ import annotations

import asyncio
import ctypes

import pytest

from bastion.server import memory
from bastion.server.memory import GROWN, give_back, idle, keep_small
from tests.fakes import run, until

PIECE = 4096
HELD = 8 * GROWN


def test_pages_that_are_free_again_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie between others that are in use, so that the C library keeps them."""
    monkeypatch.setattr(memory, "LOOK_SECONDS", 0.02)
    libc = ctypes.CDLL("libc.so.6")
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]

    async def main() -> None:
        give_back()
        keeping = asyncio.create_task(keep_small())
        await asyncio.sleep(0)
        before = idle()
        pieces = [libc.malloc(PIECE * 3) for _ in range(HELD // PIECE // 3)]
        for piece in pieces:
            ctypes.memset(piece, 1, PIECE * 3)
        await asyncio.sleep(0.1)
        assert idle() < before + GROWN
        for piece in pieces[1::2] + pieces[2::4]:
            libc.free(piece)
        assert idle() > before + HELD // 2
        await until(lambda: idle() < before + GROWN)
        for piece in pieces[::4]:
            libc.free(piece)
        keeping.cancel()

    run(main())
