"""The command line of what asks for one TARGET: `bastion get`, `open` and `curl`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from bastion.cli.flags import loaded
from bastion.cli.help import Manual
from bastion.cli.named import split
from bastion.runtime.errors import ConfigError
from bastion.settings.option import options_of

T = TypeVar("T")


def one_target(
    options: type[T], manual: Manual, argv: Sequence[str], *, more: bool = False
) -> tuple[T, str, list[str]] | None:
    """(what the flags say, the TARGET, what stands behind `--` where there may be `more`).

    None where help was wanted, and has been printed.  Raises ConfigError.
    """
    words, flags, others = split(options_of(options), argv)
    given = loaded(options, flags, manual)
    if given is None:
        return None
    if given.mistakes or len(words) != 1 or (others and not more):
        command = " ".join(manual.command.split()[:2])
        raise ConfigError([*given.mistakes] or [f"one TARGET is required (see {command} --help)"])
    return given.options, words[0], others
