"""What `bastion serve` does, once its options are known."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import sys
from collections.abc import Sequence
from typing import Any

from bastion.cli.check import check, ready_line
from bastion.cli.listening import Sockets, announce, open_sockets, serving_tls
from bastion.cli.orders import Orders
from bastion.cli.reread import Reread
from bastion.cli.starting import run_to_end
from bastion.cli.workers import inherited_sockets, refuse_too_many, supervise
from bastion.observe import logs
from bastion.runtime.follow import Followed, follow
from bastion.server.memory import keep_small, settle_memory
from bastion.server.run import Endings, Server
from bastion.server.supervisor import NUMBER
from bastion.settings.config import Config, config_of
from bastion.settings.load import Loaded
from bastion.settings.options import Options
from bastion.wiring.bastion import Bastion, open_bastion

WORKER_READY = 10.0  # seconds

_log = logging.getLogger("bastion.server")
_start_log = logging.getLogger("bastion.start")


def start(argv: Sequence[str], given: Loaded[Options], worker: Orders | None) -> int:
    """The exit status.  Raises ConfigError, StartError."""
    adjust = worker.apply if worker is not None else None
    config = config_of(given, adjust) if adjust is not None else config_of(given)
    logs.configure(config.observing.verbosity, config.observing.log_format)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to be read again
    # what one worker says is said for all
    _start_log.disabled = os.environ.get(NUMBER, "0") != "0"
    if given.options.start.check:
        return run_to_end(lambda: _check(config))
    if worker is None and config.serving.workers > 1:
        return run_to_end(lambda: supervise(config, argv, given.text))
    reread = Reread(argv, given, adjust)
    return run_to_end(lambda: _serve(config, worker, reread))


async def _check(config: Config) -> int:
    """Everything that a start does but serving."""
    refuse_too_many(config.serving.workers)
    sockets = open_sockets(config)
    serving_tls(config)
    for sock in sockets.all:
        sock.close()
    logging.getLogger("bastion").setLevel(logging.CRITICAL)  # all of it is in what is printed at the end
    return await check(config)


async def _serve(config: Config, worker: Orders | None, reread: Reread) -> int:
    sockets = open_sockets(config) if worker is None else inherited_sockets(worker)
    tls = serving_tls(config)
    began = asyncio.get_running_loop().time()
    async with open_bastion(config, sys.stdout.fileno()) as bastion:
        followed: list[Followed[Any]] = [tls, *reread.followed(bastion.adjust)]
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, bastion, followed)
        server = _server(config, bastion, sockets, tls)
        if worker is not None:
            server.stop_after(sys.stdin.fileno())
            # others serve meanwhile
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(bastion.synced(), WORKER_READY)
        announce(config.serving, sockets)
        settle_memory()
        works = (follow(followed), _settle(bastion, began), keep_small())
        background = [asyncio.create_task(work) for work in works]
        await server.serve(sockets=sockets.tls)
        for task in background:
            task.cancel()
    return 0


def _server(config: Config, bastion: Bastion, sockets: Sockets, tls: Followed[ssl.SSLContext]) -> Server:
    endings = Endings(config.serving.shutdown_delay, tunnels=config.streams.drain)
    metrics = [(sock, bastion.metrics) for sock in sockets.metrics]
    return Server(bastion.state, endings, tls, sockets.plain, bastion.app, metrics)


async def _settle(bastion: Bastion, began: float) -> None:
    await bastion.synced()
    seconds = asyncio.get_running_loop().time() - began
    settle_memory()
    _start_log.info("%s", ready_line(bastion, seconds))


def _reload(bastion: Bastion, followed: list[Followed[Any]]) -> None:
    _log.info("SIGHUP: reading all files again")
    for one in followed:
        one.again()
    bastion.reload()
