"""`bastion version`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bastion import __version__
from bastion.runtime.errors import ConfigError


def run(argv: Sequence[str]) -> int:
    if argv and argv[0] not in ("--help", "-h"):
        raise ConfigError([f"{argv[0]}: unexpected argument"])
    sys.stdout.write("usage: bastion version\n" if argv else f"bastion v{__version__}\n")
    return 0
