"""How do the bytes of an input come: what stream, in which pieces, and on what loop?"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any


def size_of_pieces(data: bytes) -> int:
    """The first byte of an input says."""
    return 1 + data[0] % 64 if data else 1


def cut(data: bytes, start: int = 1) -> tuple[bytes, list[bytes]]:
    """(the stream, which begins at `start`; the same in pieces)."""
    return data[start:], in_pieces(data[start:], size_of_pieces(data))


def in_pieces(stream: bytes, size: int) -> list[bytes]:
    return [stream[at : at + size] for at in range(0, len(stream), size)]


class HandLoop:
    """An event loop without time or sockets: `run` does all that is ready, and returns."""

    def __init__(self) -> None:
        self._ready: deque[Callable[[], Any]] = deque()

    def run(self) -> None:
        while self._ready:
            self._ready.popleft()()

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> None:
        self._ready.append(lambda: context.run(callback, *args) if context else callback(*args))

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)  # type: ignore[arg-type]

    def create_task(self, work: Any) -> asyncio.Task[Any]:
        return asyncio.Task(work, loop=self)  # type: ignore[arg-type]

    def time(self) -> float:
        return 0.0

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        raise AssertionError(context)


class HandTransport:
    """Takes what is written.  `closed` is "" as long as it is open."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = ""

    def write(self, data: bytes) -> None:
        self.written += data

    def writelines(self, pieces: list[bytes]) -> None:
        self.written += b"".join(pieces)

    def close(self) -> None:
        self.closed = self.closed or "close"

    def abort(self) -> None:
        self.closed = self.closed or "abort"

    def is_closing(self) -> bool:
        return bool(self.closed)

    def get_extra_info(self, name: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass
