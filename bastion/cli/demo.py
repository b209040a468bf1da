"""`bastion demo`: sample workloads and a bastion in front of them."""

from __future__ import annotations

from collections.abc import Sequence

from bastion.cli.flags import loaded
from bastion.cli.help import Manual
from bastion.runtime.errors import ConfigError
from bastion.settings.commands import DemoOptions

OPTIONS = DemoOptions
MANUAL = Manual(
    "bastion demo",
    "Starts a small cluster with sample workloads and a bastion in front of it, and prints what to try.",
)


def run(argv: Sequence[str]) -> int:
    given = loaded(OPTIONS, argv, MANUAL)
    if given is None:
        return 0
    if given.mistakes:
        raise ConfigError(list(given.mistakes))
    from bastion.cli.starting import run_to_end
    from bastion.demo import run as demo
    from bastion.observe import logs

    asked = given.options.demo
    logs.configure(asked.verbosity, asked.log_format)
    return run_to_end(lambda: demo.run(asked.directory, asked.port, asked.log_format))
