"""`bastion probe`: is a target healthy, as a bastion sees it?  And is a probe configuration good?"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bastion.cli.asking import fetched
from bastion.cli.flags import loaded
from bastion.cli.help import Manual
from bastion.cli.named import DEFAULT, Named, named, split
from bastion.cli.place import place_of
from bastion.runtime.errors import ConfigError, StartError
from bastion.settings.commands import ProbeOptions
from bastion.settings.option import options_of

OPTIONS = ProbeOptions
PATH = "/.bastion/probe"
HEALTHY, UNHEALTHY, UNKNOWN = 0, 1, 2
EVERY = 2.0  # seconds, with --watch
MANUAL = Manual(
    "bastion probe [TARGET]",
    "Asks a bastion to probe a target, and shows each endpoint. The exit status is 0 where all are healthy,"
    " 1 where one is not, 2 where that could not be found out.",
    ("server", "token", "module"),
    (
        ("what the pods of a service declare", "bastion probe svc/shop/web:http"),
        ("a path", "bastion probe svc/shop/web:http/healthz --module http_2xx --watch"),
        ("is this file good?", "bastion probe --check-config modules.yaml"),
    ),
    ("TARGET is svc|pod|node/NAME in the namespace of -n, or svc/NAMESPACE/NAME:PORT/PATH.",),
)


def run(argv: Sequence[str]) -> int:
    words, flags, others = split(options_of(OPTIONS), argv)
    given = loaded(OPTIONS, flags, MANUAL)
    if given is None:
        return 0
    if given.mistakes:
        raise ConfigError(list(given.mistakes))
    asked = given.options
    if asked.probe.check_config is not None:
        return _check(asked.probe.check_config)
    if len(words) != 1 or others:
        raise ConfigError(["one TARGET is required (see bastion probe --help)"])
    target = named(words[0], asked.asked.namespace or DEFAULT)
    return _watch(asked, target) if asked.probe.watch else _once(asked, target)


def _check(file: Path) -> int:
    from bastion.probe.modulefile import modules_of
    from bastion.probe.reading import Mistaken

    try:
        found = modules_of(file.read_text())
    except Mistaken as error:
        for line in error.lines:
            sys.stderr.write(f"{file}: {line}\n")
        return 1
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"{file}: {getattr(error, 'strerror', None) or 'is not UTF-8'}\n")
        return 1
    for name, module in found.items():
        if module.has_credentials and module.bastion is None:
            sys.stderr.write(
                f"{file}: modules.{name}: has credentials and no section bastion that says where they may go:"
                " only callers who may open everything can use it, and the schedule does not\n"
            )
    sys.stdout.write(f"{file}: {len(found)} modules, all good\n")
    return 0


def _watch(asked: ProbeOptions, target: Named) -> int:
    while True:
        if sys.stdout.isatty():
            sys.stdout.write("\x1b[2J\x1b[H")
        _once(asked, target)
        sys.stdout.flush()
        time.sleep(EVERY)


def _once(asked: ProbeOptions, target: Named) -> int:
    seconds = asked.probe.timeout
    try:
        answer = fetched(
            place_of(asked.asked),
            PATH,
            {"target": target.target + target.rest, "module": asked.probe.module},
            accept="*/*",
            headers={"X-Prometheus-Scrape-Timeout-Seconds": f"{seconds + 0.5:g}"},
            timeout=seconds + 5,
        )
    except StartError as error:
        sys.stderr.write(f"bastion probe: {error}\n")
        return UNKNOWN
    from bastion.cli.probetable import rows, table

    found = rows(answer.text)
    sys.stdout.write(table(found, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    if not found:
        return UNKNOWN
    return HEALTHY if all(row.healthy for row in found) else UNHEALTHY
