"""`bastion lb controller`: addresses for Services of type LoadBalancer."""

from __future__ import annotations

from collections.abc import Sequence

from bastion.cli.flags import loaded
from bastion.cli.help import Manual
from bastion.runtime.errors import ConfigError
from bastion.settings.allocating import AllocatingOptions, check

OPTIONS = AllocatingOptions
MANUAL = Manual(
    "bastion lb controller",
    "Gives Services of type LoadBalancer addresses from pools; `bastion node --announce` announces them.",
    first=("pool",),
    examples=(
        ("a pool of each family", "bastion lb controller --pool 192.0.2.0/28,2001:db8::/120"),
        ("two pools by name", "bastion lb controller --pool inner=10.0.9.0/24 --pool outer=192.0.2.0/28"),
    ),
)


def run(argv: Sequence[str]) -> int:
    given = loaded(OPTIONS, argv, MANUAL)
    if given is None:
        return 0
    mistakes = given.collect()
    options = given.options.allocating
    check(options, mistakes)
    if mistakes.lines:
        raise ConfigError(mistakes.lines)
    from bastion.cli.starting import run_to_end
    from bastion.observe import logs
    from bastion.wiring import lbcontroller

    logs.configure(options.verbosity, options.log_format)
    pools = lbcontroller.pools(options.pools, options.pools_file)
    return run_to_end(lambda: lbcontroller.serve(options, pools))
