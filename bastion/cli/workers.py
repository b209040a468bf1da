"""`--workers`: the same program several times, on sockets of one supervisor."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import orjson

from bastion.authn.authenticators import trusts_of
from bastion.cli.check import examine
from bastion.cli.listening import Sockets, inherited, open_sockets, self_signed, serving_tls
from bastion.cli.orders import CONFIGURATION, Orders
from bastion.observe.collecting import Collecting
from bastion.runtime.errors import StartError
from bastion.runtime.private import write_private
from bastion.server.capacity import this_machine, too_many
from bastion.server.supervisor import Supervisor
from bastion.settings.config import Config
from bastion.wiring.cluster import embedded_api
from bastion.wiring.signin import session_key


def refuse_too_many(workers: int) -> None:
    if (reason := too_many(workers, this_machine())) is not None:
        raise StartError(reason)


def inherited_sockets(worker: Orders) -> Sockets:
    return Sockets(*([inherited(fd) for fd in some] for some in (worker.tls, worker.plain, worker.metrics)))


async def supervise(config: Config, argv: Sequence[str], configuration: str) -> int:
    """The certificate and the embedded API are one for all workers; a mistake is found here, not in each.

    `configuration`: the text of the file of --config.
    """
    workers = config.serving.workers
    refuse_too_many(workers)
    sockets = open_sockets(config)
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bastion-")))
        serving_tls(config)
        trusts_of(config.authentication)
        for name in ("used", "ended"):
            (folder / name).mkdir(mode=0o700)
        write_private(folder / CONFIGURATION, configuration.encode())
        stack.callback((await Collecting(folder, [*map(str, range(workers))]).answering()).close)
        kubeconfig = await _embedded(config, folder, stack)
        await examine(config)
        text = orjson.dumps(asdict(_orders(config, folder, sockets, kubeconfig)))
        command = [sys.executable, "-m", "bastion", "serve", *argv]
        return await Supervisor(command, workers, [sock.fileno() for sock in sockets.all], text).run()


async def _embedded(config: Config, folder: Path, stack: contextlib.AsyncExitStack) -> str:
    if not config.source.manifests:
        return ""
    file = folder / "kubeconfig"
    write_private(file, (await embedded_api(config, stack)).kubeconfig().encode())
    return str(file)


def _orders(config: Config, folder: Path, sockets: Sockets, kubeconfig: str) -> Orders:
    certificate, key = config.serving.tls_cert_file, config.serving.tls_private_key_file
    if certificate is None or key is None:
        pair = self_signed(config)
        certificate, key = folder / "tls.crt", folder / "tls.key"
        certificate.write_bytes(pair.certificate)
        write_private(key, pair.key)
    return Orders(
        certificate=str(certificate),
        key=str(key),
        self_signed=config.serving.self_signed,
        session_key=session_key(config.browsers).hex(),
        folder=str(folder),
        tls=[sock.fileno() for sock in sockets.tls],
        plain=[sock.fileno() for sock in sockets.plain],
        metrics=[sock.fileno() for sock in sockets.metrics],
        kubeconfig=kubeconfig,
    )
