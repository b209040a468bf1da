"""What do the flags of a command say, or is its help wanted?"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from bastion.cli.help import Manual, help_text
from bastion.settings.commands import variables
from bastion.settings.load import Loaded, load

T = TypeVar("T")


def loaded(
    whole: type[T], argv: Sequence[str], manual: Manual, read: Callable[[Path], str] = Path.read_text
) -> Loaded[T] | None:
    """None where help was wanted, and has been printed."""
    if not {"-h", "--help"}.isdisjoint(argv):
        sys.stdout.write(help_text(whole, manual, shutil.get_terminal_size((100, 24)).columns))
        return None
    return load(whole, argv, os.environ, read, variables())
