"""`bastion standalone`: manifests served as a small Kubernetes API."""

from __future__ import annotations

from collections.abc import Sequence

from bastion.cli.flags import loaded
from bastion.cli.help import Manual
from bastion.runtime.errors import ConfigError
from bastion.settings.commands import StandaloneOptions

OPTIONS = StandaloneOptions
MANUAL = Manual(
    "bastion standalone",
    "Serves manifests as a small Kubernetes API, and writes a kubeconfig for it.",
    examples=(("these objects", "bastion standalone --manifests cluster.yaml --token-auth-file tokens.csv"),),
)


def run(argv: Sequence[str]) -> int:
    given = loaded(OPTIONS, argv, MANUAL)
    if given is None:
        return 0
    if given.mistakes:
        raise ConfigError(list(given.mistakes))
    from bastion.cli.starting import run_to_end
    from bastion.observe import logs
    from bastion.standalone import run as embedded

    asked = given.options.standalone
    logs.configure(asked.verbosity, asked.log_format)
    return run_to_end(
        lambda: embedded.run(
            asked.manifests, asked.token_file, asked.bind_address, asked.port, asked.kubeconfig
        )
    )
