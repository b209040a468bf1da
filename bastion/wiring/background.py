"""Tasks that run as long as the program does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

_log = logging.getLogger("bastion")


def in_background(stack: AsyncExitStack, work: Coroutine[Any, Any, None], name: str) -> None:
    """Runs `work` until the stack closes.  It should not end before: if it does, the log says so."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            _log.critical("%s ended: %r", name, task.exception())

    task = asyncio.create_task(work, name=name)
    task.add_done_callback(ended)
    stack.callback(task.cancel)
