"""`bastion serve`: pods, services and nodes of a cluster, or of manifests."""

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
from bastion.cli.dump import dumped
from bastion.cli.flags import loaded
from bastion.cli.help import Manual
from bastion.cli.listening import Sockets, announce, open_sockets, serving_tls
from bastion.cli.reread import Reread
from bastion.cli.starting import run_to_end
from bastion.cli.workers import Orders, orders, refuse_too_many, supervise
from bastion.observe import logs
from bastion.runtime.errors import ConfigError
from bastion.runtime.follow import Followed, follow
from bastion.server.memory import keep_small, settle_memory
from bastion.server.run import Endings, Server
from bastion.server.supervisor import NUMBER
from bastion.settings.config import Config, config_of
from bastion.settings.load import Loaded
from bastion.settings.options import Options
from bastion.wiring.bastion import Bastion, open_bastion

OPTIONS = Options
MANUAL = Manual(
    "bastion serve",
    "Serves pods, services and nodes of a cluster over HTTPS, at the URLs of the API server's own proxy.",
    ("kubeconfig", "bind-address", "tls-cert-file", "tls-private-key-file"),
    (
        (
            "a cluster, for everybody who can reach this machine",
            "bastion serve --kubeconfig ~/.kube/config --bind-address 0.0.0.0"
            " --tls-cert-file tls.crt --tls-private-key-file tls.key",
        ),
        ("would it start?", "bastion serve --check --kubeconfig ~/.kube/config"),
        ("without a cluster", "bastion serve --manifests cluster.yaml --token-auth-file tokens.csv"),
        ("all options as a file", "bastion serve --dump-config > bastion.yaml"),
    ),
    (
        "Each option is also an environment variable (BASTION_SERVING_PORT) and a field of the --config file"
        " (serving.port); docs/reference/flags.md lists them. A flag goes before a variable, and that before"
        " the file. What is reloadable may change in the file while the program runs.",
    ),
)

WORKER_READY = 10.0  # seconds

_log = logging.getLogger("bastion.server")
_start_log = logging.getLogger("bastion.start")


def run(argv: Sequence[str]) -> int:
    """The exit status."""
    # else Python writes the keys of its connections there, and with them every token
    os.environ.pop("SSLKEYLOGFILE", None)
    worker = orders()
    given = loaded(Options, argv, MANUAL)
    if given is None:
        return 0
    if given.options.command.dump_config:
        return _dump(given)
    config = config_of(given, worker.apply) if worker is not None else config_of(given)
    logs.configure(config.observing.verbosity, config.observing.log_format)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to be read again
    # what one worker says is said for all
    _start_log.disabled = os.environ.get(NUMBER, "0") != "0"
    reread = Reread(argv, given, worker.apply if worker is not None else None)
    if given.options.command.check:
        return run_to_end(lambda: _check(config))
    if worker is None and config.serving.workers > 1:
        return run_to_end(lambda: supervise(config, argv))
    return run_to_end(lambda: _serve(config, worker, reread))


def _dump(given: Loaded[Options]) -> int:
    if given.mistakes:
        raise ConfigError(list(given.mistakes))
    sys.stdout.write(dumped(given))
    return 0


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
    sockets = open_sockets(config) if worker is None else worker.sockets()
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
    server = Server(bastion.state, endings, tls, sockets.plain, bastion.app, metrics)
    bastion.stopping = lambda: server.stopping
    return server


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
