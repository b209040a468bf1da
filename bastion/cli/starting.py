"""Runs the coroutine of a command to its end, and tells the operator in one line why it could not."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from bastion.runtime.errors import StartError
from bastion.server.memory import tune_allocator

UNDONE = 1.0  # seconds for a start to be undone


def run_to_end(start: Callable[[], Coroutine[Any, Any, int | None]]) -> int:
    """The exit status, 0 for None.  Raises StartError for what a user may have got wrong."""
    tune_allocator()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_stoppable(start())) or 0
    except OSError as error:
        raise StartError(f"{error.filename or ''}{': ' if error.filename else ''}{cause(error)}") from error


async def _stoppable(work: Coroutine[Any, Any, int | None]) -> int | None:
    """SIGTERM before the server has handlers of its own: what was begun is undone, status 0.

    A second one ends at once.
    """
    loop, task, stopped = asyncio.get_running_loop(), asyncio.ensure_future(work), False

    def signalled() -> None:
        nonlocal stopped
        if stopped:
            os._exit(1)
        stopped = True
        task.cancel()
        # an exec plugin that hangs is waited for in a thread that nothing ends
        loop.call_later(UNDONE, os._exit, 0)

    loop.add_signal_handler(signal.SIGTERM, signalled)
    try:
        return await task
    except asyncio.CancelledError:
        if not stopped:
            raise
        return 0


def cause(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not a PEM certificate and key").lower().replace("_", " ")
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
