"""`bastion node`: kube-proxy's job on this node, with kube-proxy's flags and configuration file.

bastion node --config kube-proxy.yaml
bastion node --dry-run --manifests folder/ --hostname-override node1
bastion node why 10.96.0.10:443/tcp --from 10.244.1.7
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bastion import __version__
from bastion.cli.help import explained
from bastion.kube.documents import yaml_of
from bastion.node.config.reading import Read, from_flags, not_honoured, read_file, written
from bastion.node.config.settings import settings
from bastion.node.config.table import BY_PATH, FIELDS, WITH_FILE
from bastion.node.config.values import BOOLEAN
from bastion.runtime.errors import ConfigError, StartError
from bastion.settings.allocating import Announcing, AnnouncingOptions
from bastion.settings.load import load
from bastion.settings.option import PREFIX, Option, options_of

FAILED = 1  # kube-proxy's exit status for whatever ends a start


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(FAILED, f"{self.prog}: {message} (see {self.prog} --help)\n")


def run(argv: Sequence[str]) -> int:
    words = [*map(_dashed, argv)]
    why = words[:1] == ["why"]
    flags = _parser(why=why).parse_args(words[1:] if why else words)
    if flags.version:
        sys.stdout.write(f"bastion v{__version__}\n")
        return 0
    try:
        read = _read(flags)
        if flags.write_config_to:
            _write(flags.write_config_to, yaml_of(written(read.values)))
            return 0
        return _start(flags, read, why=why)
    except ConfigError as error:
        for mistake in error.mistakes:
            sys.stderr.write(f"bastion node: {mistake}\n")
        return FAILED
    except OSError as error:
        raise StartError(f"{error.filename}: {error.strerror}") from error


def _dashed(word: str) -> str:
    """kube-proxy takes `_` for `-` in a flag's name."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if word.startswith("--") else word


def _write(file: str, text: str) -> None:
    try:
        Path(file).write_text(text)
    except OSError as error:  # of a write that fails later the error has no name
        raise StartError(f"{file}: {error.strerror}") from error


def _start(flags: argparse.Namespace, read: Read, *, why: bool) -> int:
    import asyncio
    import socket

    from bastion.node.userspace.mapping import address_map
    from bastion.observe import logs
    from bastion.wiring import node, nodeasks
    from bastion.wiring.nodestart import Start

    configured = settings(read.values, socket.gethostname())
    logs.configure(configured.verbosity, configured.log_format if configured.log_format == "json" else "")
    notes = [*read.warnings, *(f"{path}: accepted, and changes nothing here" for path in not_honoured(read))]
    start = Start(
        settings=configured,
        configured=written(read.values),
        notes=tuple(notes),
        file=Path(flags.config) if flags.config else None,
        master=flags.master,
        manifests=tuple(flags.manifests),
        mapping=address_map(flags.userspace_address_map),
        announcing=_announcing(flags),
    )
    if flags.cleanup:
        return asyncio.run(node.clean_up(start))
    if flags.init_only:
        return node.initialise(start)
    if flags.dry_run:
        return asyncio.run(nodeasks.dry_run(start))
    if why:
        return asyncio.run(nodeasks.why(start, flags.target, flags.source))
    return node.serve(start)


def _announcing(flags: argparse.Namespace) -> Announcing:
    """Of the table of options, unlike kube-proxy's flags.  Raises ConfigError."""
    words = [
        f"--{row.flag}={text}"
        for row in options_of(AnnouncingOptions)
        for text in getattr(flags, row.key) or ()
    ]
    others: frozenset[str] = frozenset()
    if any(name.startswith(PREFIX) for name in os.environ):
        from bastion.settings.commands import variables  # every command's options: a tenth of a start

        others = variables()
    given = load(AnnouncingOptions, words, os.environ, others=others)
    if given.mistakes:
        raise ConfigError(list(given.mistakes))
    return given.options.announcing


def _read(flags: argparse.Namespace) -> Read:
    """With a file the other flags count for nothing, some excepted: kube-proxy's own rule."""
    given = {name: flags.kube_proxy[name] for name in flags.kube_proxy}
    if not flags.config:
        return from_flags(given)
    try:
        read = read_file(Path(flags.config).read_text())
    except UnicodeDecodeError as error:
        raise ConfigError([f"{flags.config}: is not UTF-8"]) from error
    except ConfigError as error:
        raise ConfigError([f"{flags.config}: {mistake}" for mistake in error.mistakes]) from error
    from_flags(given)  # one that cannot be read is a mistake, also where it would be ignored
    over = from_flags({name: text for name, text in given.items() if name in WITH_FILE})
    ignored = tuple(f"--{name}: ignored, for there is --config" for name in given if name not in WITH_FILE)
    chosen = {path: over.values[path] for path in over.named}
    return Read({**read.values, **chosen}, read.named | over.named, read.warnings + ignored)


def flag_names() -> set[str]:
    """Every flag, `--` included."""
    return {
        name
        for why in (False, True)
        for action in _parser(why=why)._actions
        for name in action.option_strings
    }


class _KubeProxy(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        namespace.kube_proxy = {**namespace.kube_proxy, self.dest: str(values)}


def _parser(*, why: bool) -> _Parser:
    parser = _Parser(
        prog="bastion node why" if why else "bastion node",
        description="kube-proxy's job: connections to Services reach their endpoints.",
        epilog="`bastion node why ADDRESS:PORT/tcp [--from ADDRESS]` says what happens to a connection.",
        allow_abbrev=False,
    )
    parser.set_defaults(kube_proxy={}, target="", source="", dry_run=False, cleanup=False, init_only=False)
    if why:
        parser.add_argument("target", metavar="ADDRESS:PORT[/PROTOCOL]", help="where the connection goes")
        parser.add_argument(
            "--from", dest="source", default="", metavar="ADDRESS", help="where it comes from"
        )
    parser.add_argument("--config", default="", metavar="FILE", help="a KubeProxyConfiguration")
    parser.add_argument("--master", default="", metavar="URL", help="instead of the kubeconfig's server")
    parser.add_argument(
        "--write-config-to", default="", metavar="FILE", help="write the configuration and end"
    )
    parser.add_argument("--version", action="store_true", help="print the version and end")
    parser.add_argument(
        "--manifests",
        action="append",
        type=Path,
        default=[],
        metavar="PATH",
        help="no cluster: Services, EndpointSlices and Nodes from these files or folders",
    )
    parser.add_argument(
        "--userspace-address-map",
        action="append",
        default=[],
        metavar="CIDR=ADDRESS",
        help="userspace mode without CAP_NET_ADMIN: listen there for Services of that range",
    )
    if not why:
        for name, help in (
            ("cleanup", "remove every rule of this program and of kube-proxy, and end"),
            ("init-only", "do what takes full root (connection tracking, route_localnet), and end"),
            ("dry-run", "print the ruleset for the objects at hand, and end"),
        ):
            parser.add_argument(f"--{name}", action="store_true", help=help)
    group = parser.add_argument_group("Services of type LoadBalancer")
    for row in options_of(AnnouncingOptions):
        _option(group, row)
    group = parser.add_argument_group("kube-proxy's flags; with --config most are ignored, as there")
    for field in FIELDS:
        if field.flag:
            _flag(group, field.flag, field.path, field.help)
    for name, path in (("healthz-port", "healthzBindAddress"), ("metrics-port", "metricsBindAddress")):
        _flag(group, name, path, "deprecated: the port alone; 0 for none")
    return parser


def _option(group: argparse._ArgumentGroup, row: Option) -> None:
    nargs = "?" if row.kind.is_switch else None
    group.add_argument(
        f"--{row.flag}",
        dest=row.key,
        action="append",
        nargs=nargs,
        const="true" if nargs else None,
        metavar=row.kind.metavar,
        help=explained(row).replace("%", "%%"),
    )


def _flag(group: argparse._ArgumentGroup, flag: str, path: str, help: str) -> None:
    names = [f"--{flag}"] if len(flag) > 1 else ["-v", "--v"]
    kind = BY_PATH[path].kind
    if kind is BOOLEAN:
        group.add_argument(
            *names, dest=flag, action=_KubeProxy, nargs="?", const="true", metavar=kind.name, help=help
        )
    else:
        group.add_argument(*names, dest=flag, action=_KubeProxy, metavar=kind.name.upper(), help=help)
