"""`--workers`: the same program several times, on sockets of one supervisor."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson

from bastion.authn.authenticators import trusts_of
from bastion.cli.check import examine
from bastion.cli.listening import Sockets, inherited, open_sockets, self_signed, serving_tls
from bastion.observe.collecting import Collecting
from bastion.runtime.errors import StartError
from bastion.runtime.private import write_private
from bastion.server.capacity import this_machine, too_many
from bastion.server.supervisor import NUMBER, Supervisor, told_by_supervisor
from bastion.settings.config import Config
from bastion.settings.options import Options
from bastion.wiring.bastion import embedded_api, session_key


@dataclass(frozen=True, slots=True)
class Orders:
    """What the supervisor has for its workers.  The sockets are descriptors; `kubeconfig` is that of the
    embedded API, empty where there is none.
    """

    certificate: str
    key: str
    self_signed: bool
    session_key: str
    folder: str
    tls: list[int]
    plain: list[int]
    metrics: list[int]
    kubeconfig: str = ""

    def apply(self, options: Options) -> Options:
        """These go before every flag."""
        source, folder = options.source, Path(self.folder)
        if self.kubeconfig:
            source = replace(source, manifests=(), token_file=None, kubeconfig=Path(self.kubeconfig))
        return replace(
            options,
            source=source,
            serving=replace(
                options.serving,
                tls_cert_file=Path(self.certificate),
                tls_private_key_file=Path(self.key),
                self_signed=self.self_signed,
            ),
            browsers=replace(options.browsers, key=bytes.fromhex(self.session_key), used=folder / "used"),
            observing=replace(options.observing, folder=folder, number=os.environ.get(NUMBER, "0")),
        )

    def sockets(self) -> Sockets:
        return Sockets(*([inherited(fd) for fd in some] for some in (self.tls, self.plain, self.metrics)))


def orders() -> Orders | None:
    """None where this is no worker."""
    text = told_by_supervisor()
    return Orders(**orjson.loads(text)) if text else None


def refuse_too_many(workers: int) -> None:
    if (reason := too_many(workers, this_machine())) is not None:
        raise StartError(reason)


async def supervise(config: Config, argv: Sequence[str]) -> int:
    """The certificate and the embedded API are one for all workers; a mistake is found here, not in each."""
    workers = config.serving.workers
    refuse_too_many(workers)
    sockets = open_sockets(config)
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bastion-")))
        serving_tls(config)
        trusts_of(config.authentication)
        (folder / "used").mkdir(mode=0o700)
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
