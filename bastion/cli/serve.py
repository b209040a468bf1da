"""`bastion serve`: pods, services and nodes of a cluster, or of manifests."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bastion.cli.dump import dumped
from bastion.cli.flags import loaded
from bastion.cli.help import Manual
from bastion.cli.orders import orders
from bastion.runtime.errors import ConfigError
from bastion.settings.options import Options

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


def run(argv: Sequence[str]) -> int:
    """The exit status."""
    # else Python writes the keys of its connections there, and with them every token
    os.environ.pop("SSLKEYLOGFILE", None)
    worker = orders()
    given = loaded(Options, argv, MANUAL, worker.read if worker is not None else Path.read_text)
    if given is None:
        return 0
    if given.options.start.dump_config:
        if given.mistakes:
            raise ConfigError(list(given.mistakes))
        sys.stdout.write(dumped(given))
        return 0
    from bastion.cli.serving import start  # only here: help needs nothing of the proxy

    return start(argv, given, worker)
