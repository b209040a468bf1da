"""· The parts of the API client that discovery uses."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from bastion.runtime.turns import Asker


class ObjectReader(Protocol):
    async def get(self, path: str, query: dict[str, str], asker: Asker) -> bytes:
        """Raises ApiError."""
        ...


class ListWatchClient(ObjectReader, Protocol):
    """All raise ApiError.  A watch begins with an empty line, as soon as its response begins."""

    async def list(self, path: str, query: dict[str, str]) -> bytes: ...

    def watch(self, path: str, query: dict[str, str]) -> AsyncGenerator[bytes, None]: ...
