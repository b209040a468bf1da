"""`bastion standalone`: the embedded API alone, until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path

from bastion.runtime.private import write_private
from bastion.standalone.apiserver import ApiServer


async def run(
    manifests: Sequence[Path], token_file: Path | None, address: str, port: int, kubeconfig_out: Path
) -> None:
    """Serves until SIGINT or SIGTERM.

    Raises ManifestError, TokenFileError, OSError, before it prints that it serves.
    """
    async with ApiServer(manifests, token_file, address=address, port=port) as server:
        ended = _ended()
        await asyncio.to_thread(write_private, kubeconfig_out, server.kubeconfig().encode())
        print(f"Kubernetes API at {server.url}", flush=True)
        print(f"export KUBECONFIG={shlex.quote(str(kubeconfig_out))}", flush=True)
        await ended.wait()


def _ended() -> asyncio.Event:
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    return ended
