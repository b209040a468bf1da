"""Do reviews get answers?  Who asks only hears that there is none; why is news for the operator, now and then."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from bastion.cluster.errors import ApiError
from bastion.turns import Asker

EVERY = 30.0  # seconds between two lines about the same reviews
HINTS = {401: " to the bastion's own credentials", 403: " (the bastion itself needs the role system:auth-delegator)"}

_log = logging.getLogger("bastion.cluster")


class Creates(Protocol):
    async def create(self, path: str, body: bytes, asker: Asker) -> bytes: ...


class Reviews:
    """`api`, and its failures in the log."""

    def __init__(self, api: Creates) -> None:
        self._api = api
        self._said: dict[str, float] = {}  # path -> when

    async def create(self, path: str, body: bytes, asker: Asker) -> bytes:
        """Raises ApiError, or StatusError 429 where too much of this asker waits already."""
        try:
            return await self._api.create(path, body, asker)
        except ApiError as error:
            self._say(path, error)
            raise

    def _say(self, path: str, error: ApiError) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._said.get(path, float("-inf")) < EVERY:
            return
        self._said[path] = now
        _log.warning(
            "no %s: %s%s; what is not remembered is answered with 503", path.rpartition("/")[2], error, HINTS.get(error.status, "")
        )
