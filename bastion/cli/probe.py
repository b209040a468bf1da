"""`bastion probe`: is a target healthy, as a bastion sees it?  And is a probe configuration good?"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bastion.cli.asking import context_of, message_of
from bastion.cli.flags import loaded
from bastion.cli.help import Manual
from bastion.cli.named import long_form, one_name
from bastion.runtime.errors import ConfigError
from bastion.settings.commands import TOKEN, Probe, ProbeOptions

OPTIONS = ProbeOptions
HEALTHY, UNHEALTHY, UNKNOWN = 0, 1, 2
EVERY = 2.0  # seconds, with --watch
MANUAL = Manual(
    "bastion probe [TARGET]",
    "Asks a bastion to probe a target, and shows each endpoint. The exit status is 0 where all are healthy,"
    " 1 where one is not, 2 where that could not be found out.",
    ("server", "module"),
    (
        ("what the pods of a service declare", "bastion probe services/shop/web:http"),
        ("a path", "bastion probe services/shop/web:http/healthz --module http_2xx --watch"),
        ("is this file good?", "bastion probe --check-config modules.yaml"),
    ),
    ("TARGET goes before the flags: pods|services/NAMESPACE/[SCHEME:]NAME[:PORT][/PATH] or nodes/…",),
)


def run(argv: Sequence[str]) -> int:
    argv = [one_name(word) for word in argv]
    target = long_form(argv[0]) if argv and not argv[0].startswith("-") else ""
    given = loaded(OPTIONS, argv[1:] if target else argv, MANUAL)
    if given is None:
        return 0
    if given.mistakes:
        raise ConfigError(list(given.mistakes))
    asked = given.options.probe
    if asked.check_config is not None:
        return _check(asked.check_config)
    if not target:
        raise ConfigError(["a TARGET is required (see bastion probe --help)"])
    return _watch(asked, target) if asked.watch else _once(asked, target)


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


def _watch(asked: Probe, target: str) -> int:
    while True:
        if sys.stdout.isatty():
            sys.stdout.write("\x1b[2J\x1b[H")
        _once(asked, target)
        sys.stdout.flush()
        time.sleep(EVERY)


def _once(asked: Probe, target: str) -> int:
    import httpx

    token = asked.token or (
        asked.token_file.read_text().strip() if asked.token_file is not None else os.environ.get(TOKEN, "")
    )
    headers = {"X-Prometheus-Scrape-Timeout-Seconds": f"{asked.timeout + 0.5:g}"}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.get(
            f"{asked.server.rstrip('/')}/probe",
            params={"target": target, "module": asked.module},
            headers=headers,
            timeout=asked.timeout + 5,
            verify=context_of(asked.certificate_authority, verify=not asked.insecure_skip_tls_verify),
            trust_env=False,
        )
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        sys.stderr.write(f"bastion probe: {asked.server}: {error}\n")
        return UNKNOWN
    if answer.status_code != 200:
        sys.stderr.write(f"bastion probe: {message_of(answer.text)}\n")
        return UNKNOWN
    from bastion.cli.probetable import rows, table

    found = rows(answer.text)
    sys.stdout.write(table(found, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    if not found:
        return UNKNOWN
    return HEALTHY if all(row.healthy for row in found) else UNHEALTHY
