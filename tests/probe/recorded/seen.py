"""What reached a backend, and how a backend tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple


class Said(NamedTuple):
    """`method` is `tcp` or `h2` where it is no HTTP/1.1."""

    pod: str
    method: str
    target: str = ""
    fields: tuple[tuple[str, str], ...] = ()


Tell = Callable[..., None]  # given method, target and fields
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Tell], Awaitable[None]]
