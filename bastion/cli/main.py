"""Which command is meant?  Each has a file, which is imported only when it runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from bastion.runtime.errors import ConfigError, StartError
from bastion.settings.words import did_you_mean

USAGE = 2  # the exit status of a mistake in flags or settings


@dataclass(frozen=True, slots=True)
class Command:
    """`module` has `run(argv) -> int` (argv without the command's name; the exit status), which may raise
    ConfigError or StartError.
    """

    name: str
    help: str
    module: str

    def load(self) -> ModuleType:
        return import_module(self.module)


COMMANDS = (
    Command("serve", "serve pods, services and nodes of a cluster, or of manifests", "bastion.cli.serve"),
    Command(
        "proxy", "serve a kubeconfig's API server on localhost, as `kubectl proxy` does", "bastion.cli.proxy"
    ),
    Command("lb", "balance TCP and UDP among servers: API servers, or any others", "bastion.cli.lb"),
    Command("node", "reach Services from this node: kube-proxy's job", "bastion.cli.node"),
    Command("standalone", "serve manifests as a small Kubernetes API", "bastion.cli.standalone"),
    Command("demo", "start sample workloads and a bastion in front of them", "bastion.cli.demo"),
    Command(
        "probe",
        "ask a bastion for the health of a target, or check a probe configuration",
        "bastion.cli.probe",
    ),
    Command("why", "ask a bastion what it would do with a request, and why", "bastion.cli.why"),
    Command("login", "sign in at an OpenID Connect issuer, for kubectl", "bastion.cli.login.command"),
    Command("kubeconfig", "write a kubeconfig entry for a bastion", "bastion.cli.kubeconfig"),
    Command("targets", "list what may be opened through a bastion", "bastion.cli.targets"),
    Command("status", "show how these are", "bastion.cli.status"),
    Command("get", "print what a target answers", "bastion.cli.get"),
    Command("curl", "run curl with token, CA and URL put in", "bastion.cli.curl"),
    Command("open", "open a target in the browser", "bastion.cli.openurl"),
    Command("tunnel", "local ports that lead through a bastion", "bastion.cli.tunnel.command"),
    Command("completion", "print a script with which a shell completes these", "bastion.cli.completion"),
    Command("version", "print the version", "bastion.cli.version"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0 success, 1 could not start, 2 a mistake in flags or settings."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] in (["--help"], ["-h"], ["help"]):
        sys.stdout.write(_help())
        return 0
    if not words:
        return _fail("bastion", ["a command is required (see bastion --help)"], USAGE)
    command = next((command for command in COMMANDS if command.name == words[0]), None)
    if command is None:
        return _fail("bastion", [f"{words[0]}: unknown command{_hint(words[0])}"], USAGE)
    return _run(command, words[1:])


def _run(command: Command, words: Sequence[str]) -> int:
    try:
        return int(command.load().run(words))
    except ConfigError as error:
        return _fail(f"bastion {command.name}", error.mistakes, USAGE)
    except StartError as error:
        return _fail(f"bastion {command.name}", [str(error)], 1)
    except KeyboardInterrupt:
        return 130


def _hint(word: str) -> str:
    return did_you_mean(word, [command.name for command in COMMANDS], " (see bastion --help)")


def _help() -> str:
    lines = "".join(f"  {command.name:<12}{command.help}\n" for command in COMMANDS)
    return (
        "usage: bastion COMMAND [FLAGS]\n\n"
        "A standalone, apiserver-style bastion proxy for Kubernetes.\n\n"
        f"commands:\n{lines}\n`bastion COMMAND --help` shows the flags of a command.\n"
    )


def _fail(who: str, lines: Sequence[str], status: int) -> int:
    for line in lines:
        sys.stderr.write(f"{who}: {line}\n")
    return status
