"""What does a supervisor pass on to its workers?"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from bastion.server.supervisor import NUMBER, told_by_supervisor
from bastion.settings.options import Options

CONFIGURATION = "configuration.yaml"  # in the supervisor's folder


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
            browsers=replace(
                options.browsers,
                key=bytes.fromhex(self.session_key),
                used=folder / "used",
                ended=folder / "ended",
            ),
            observing=replace(options.observing, folder=folder, number=os.environ.get(NUMBER, "0")),
        )

    def read(self, file: Path) -> str:
        """The file of --config, as it was when the supervisor started: all workers have the same options."""
        return (Path(self.folder) / CONFIGURATION).read_text()


def orders() -> Orders | None:
    """None where this is no worker."""
    text = told_by_supervisor()
    return Orders(**orjson.loads(text)) if text else None
