"""The file of --config has changed: which options count at once, and which need a restart?"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace

from bastion.runtime.errors import ConfigError
from bastion.runtime.follow import Followed
from bastion.settings.commands import variables
from bastion.settings.config import Config, config_of
from bastion.settings.load import Loaded, load, value_of
from bastion.settings.option import Option, options_of
from bastion.settings.options import Options

_log = logging.getLogger("bastion.start")


class Reread:
    """`adjust`: what a worker's supervisor gave it, None for no worker."""

    def __init__(
        self, argv: Sequence[str], given: Loaded[Options], adjust: Callable[[Options], Options] | None
    ) -> None:
        self._argv = tuple(argv)
        self._environment = dict(os.environ)
        self._running = given.options  # as started, with what was reloaded since
        self._started = False
        self._adjust = adjust or (lambda options: options)

    def followed(self, apply: Callable[[Config], None]) -> Iterable[Followed[None]]:
        """The file, if there is one.  `apply` is called with what counts from then on."""
        file = self._running.start.config
        if file is not None:
            followed = Followed(f"the configuration {file}", (file,), lambda: self._read(apply))
            self._started = True
            followed.again()  # it may have changed since it was read for the start, long ago for a worker
            yield followed

    def _read(self, apply: Callable[[Config], None]) -> None:
        """Raises ValueError with every mistake."""
        if not self._started:
            return
        loaded = load(Options, self._argv, self._environment, others=variables())
        try:
            config = config_of(self._with_these_workers(loaded), self._adjust)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        changed = changes(self._running, loaded.options)
        if waiting := [loaded.at(row.key) for row in changed if not row.reloadable]:
            _log.warning("%s: changed, needs a restart", ", ".join(waiting))
        adjusted = [row for row in changed if row.reloadable]
        if adjusted:
            self._running = replaced(self._running, loaded.options, adjusted)
            apply(config)
            _log.info("%s: changed", ", ".join(loaded.at(row.key) for row in adjusted))

    def _with_these_workers(self, loaded: Loaded[Options]) -> Loaded[Options]:
        """Limits are divided by as many as there are."""
        workers = self._running.serving.workers
        serving = replace(loaded.options.serving, workers=workers)
        return replace(loaded, options=replace(loaded.options, serving=serving))


def changes(old: Options, new: Options) -> list[Option]:
    return [row for row in options_of(Options) if value_of(old, row) != value_of(new, row)]


def replaced(old: Options, new: Options, rows: Iterable[Option]) -> Options:
    """`old` with these rows of `new`."""
    wanted = {row.key for row in rows}
    sections = {}
    for item in fields(Options):
        own = [row for row in options_of(Options) if row.key in wanted and row.section == item.name]
        values = {row.name: value_of(new, row) for row in own}
        sections[item.name] = replace(getattr(old, item.name), **values)
    return Options(**sections)
