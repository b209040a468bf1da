"""`bastion tunnel TARGET [LOCAL:]REMOTE…`: local ports that lead through a bastion to a service or pod."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence

from bastion.cli.flags import loaded
from bastion.cli.help import Manual
from bastion.cli.named import DEFAULT, Named, named, split
from bastion.cli.place import place_of
from bastion.cli.tunnel.connecting import Connecting, Refused, told
from bastion.cli.tunnel.listening import Accepted, Joining, bound, serve
from bastion.cli.tunnel.ports import LOCALHOST, Ports, addresses_of, ports_of, shown
from bastion.cli.tunnel.socks import Socks
from bastion.cli.tunnel.stdio import carry
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.errors import ConfigError, StartError
from bastion.settings.option import options_of
from bastion.settings.people import TunnelOptions

OPTIONS = TunnelOptions
SOCKS_PORT = "1080"
MANUAL = Manual(
    "bastion tunnel TARGET [LOCAL:]REMOTE [[LOCAL:]REMOTE ...]",
    "Listens on local ports whose connections go through the bastion, under the user's own rules: create on"
    " services/proxy or pods/proxy. The bastion must run with --enable-tunnels. The exit status is 0 after an"
    " interrupt, 1 where it could not begin, 2 for a mistake in the command line.",
    ("server", "token"),
    (
        ("a database", "bastion tunnel svc/db 5432"),
        ("two ports of a service, on other local ones", "bastion tunnel -n shop svc/web 8080:80 8443:443"),
        ("anything, by name", "bastion tunnel --socks 1080"),
        ("ssh into a pod", "ssh -o ProxyCommand='bastion tunnel --stdio pod/%h 22' dev-0"),
    ),
    (
        "TARGET is svc/NAME or pod/NAME in the namespace of -n, svc/NAMESPACE/NAME, or the name of a pod.",
        "A port without LOCAL is the same here; with `:REMOTE` a free one is taken, and printed.",
    ),
)


def run(argv: Sequence[str]) -> int:
    words, flags, others = split(options_of(OPTIONS), _with_socks_port(argv))
    given = loaded(OPTIONS, flags, MANUAL)
    if given is None:
        return 0
    if given.mistakes or others:
        raise ConfigError([*given.mistakes, *(f"{word}: unexpected argument" for word in others)])
    asked = given.options
    target, ports = _target(words, asked)
    try:
        return asyncio.run(_Session(asked, target, ports).run())
    except (Refused, OSError) as error:
        raise StartError(f"error: {told(error)}") from error


def _with_socks_port(argv: Sequence[str]) -> list[str]:
    """--socks alone means a usual port."""
    words = list(argv)
    for at, word in enumerate(words):
        if word == "--socks" and not (at + 1 < len(words) and words[at + 1].isdigit()):
            words[at] = f"--socks={SOCKS_PORT}"
    return words


def _target(words: Sequence[str], asked: TunnelOptions) -> tuple[Named | None, list[Ports]]:
    """Raises ConfigError."""
    if asked.tunnel.socks and not words:
        return None, []
    if asked.tunnel.stdio and len(words) == 1 and ":" in words[0]:
        words = words[0].rsplit(":", 1)
        if "/" not in words[0] and (name := words[0].split("."))[-1] in ("svc", "pod") and len(name) == 3:
            words = [f"{name[2]}/{name[1]}/{name[0]}", words[1]]
    if not words:
        raise ConfigError(["TARGET and a port are required (see bastion tunnel --help)"])
    target = named(words[0], asked.asked.namespace or DEFAULT, bare="pod")
    if target.resource == "nodes" or target.rest or target.scheme:
        raise ConfigError([f"{words[0]}: a tunnel leads to svc/NAME or pod/NAME"])
    ports = [ports_of(word) for word in words[1:]]
    if target.port:
        ports.insert(0, ports_of(target.port))
    if not ports:
        raise ConfigError([f"{words[0]}: at least one port is required: [LOCAL:]REMOTE"])
    return target, ports


class _Session:
    def __init__(self, asked: TunnelOptions, target: Named | None, ports: Sequence[Ports]) -> None:
        self._asked = asked
        self._target = target
        self._ports = ports

    async def run(self) -> int:
        """The exit status."""
        addresses = addresses_of(self._asked.tunnel.address)
        async with Deadlines() as deadlines:
            connecting = Connecting(place_of(self._asked.asked), deadlines)
            if self._asked.tunnel.stdio and self._target is not None:
                await carry(await connecting.open(self._target.authority(self._ports[0].remote)))
                return 0
            stop = _on_signals()
            joining, servers = Joining(connecting, deadlines), []
            if self._asked.tunnel.socks:
                sockets = bound([(LOCALHOST[0], True)], ports_of(self._asked.tunnel.socks).local)
                servers += await serve(sockets, Socks(joining).serve)
                _say(f"SOCKS5 on {shown(*sockets[0].getsockname()[:2])}")
            for ports in self._ports if self._target is not None else ():
                assert self._target is not None
                servers += await self._forward(addresses, ports, self._target, connecting, joining)
            await stop.wait()
            for server in servers:
                server.close()
        return 0

    async def _forward(
        self,
        addresses: Sequence[tuple[str, bool]],
        ports: Ports,
        target: Named,
        connecting: Connecting,
        joining: Joining,
    ) -> list[asyncio.Server]:
        """Access and existence are found out before anything listens; that nothing answers there may pass."""
        authority = target.authority(ports.remote)
        try:
            await connecting.check(authority)
        except Refused as error:
            if error.code < 500:
                raise
            sys.stderr.write(f"bastion tunnel: for now: {error}\n")
        sockets = bound(addresses, ports.local)

        async def open_(local: Accepted) -> None:
            await joining.join(local, authority)

        servers = await serve(sockets, open_)
        for sock in sockets:
            _say(f"Forwarding from {shown(*sock.getsockname()[:2])} -> {ports.remote}")
        return servers


def _on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
