"""`bastion lb`: a load balancer for TCP and UDP, in front of API servers above all."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import orjson

from bastion.cli.flags import loaded
from bastion.cli.help import Manual
from bastion.runtime.errors import ConfigError, StartError
from bastion.server.supervisor import NUMBER, Supervisor, told_by_supervisor
from bastion.settings.balancing import UDP, Balancing, BalancingOptions, check

OPTIONS = BalancingOptions
WORDS = ("controller",)  # for completion
MANUAL = Manual(
    "bastion lb",
    "Balances TCP or UDP among servers, byte for byte: TLS passes untouched, client certificates too.",
    first=("listen", "apiserver", "backend"),
    examples=(
        (
            "in front of three API servers",
            "bastion lb --listen :6443 --apiserver https://10.0.0.1:6443 --apiserver https://10.0.0.2:6443"
            " --apiserver https://10.0.0.3:6443 --certificate-authority ca.crt",
        ),
        (
            "two clusters on one port, by the name that clients ask for",
            "bastion lb --listen :443 --sni one.example=https://10.1.0.1:6443"
            " --sni two.example=https://10.2.0.1:6443 --certificate-authority ca.crt",
        ),
        ("any TCP service", "bastion lb --listen :5432 --backend 10.0.0.7:5432 --backend 10.0.0.8:5432"),
    ),
    notes=("`bastion lb controller` gives Services of type LoadBalancer their addresses.",),
)


def run(argv: Sequence[str]) -> int:
    if argv[:1] == ["controller"]:
        from bastion.cli import lbcontroller

        return lbcontroller.run(argv[1:])
    worker = told_by_supervisor()
    given = loaded(OPTIONS, argv, MANUAL)
    if given is None:
        return 0
    mistakes = given.collect()
    options = given.options.balancing
    check(options, mistakes)
    if mistakes.lines:
        raise ConfigError(mistakes.lines)
    from bastion.cli.starting import run_to_end
    from bastion.observe import logs
    from bastion.wiring import l4

    logs.configure(options.verbosity, options.log_format)
    if worker:
        told = orjson.loads(worker)
        number = os.environ[NUMBER]
        sockets = [socket.socket(fileno=fd) for fd in told["sockets"][int(number)]]
        for other in (fd for fds in told["sockets"] for fd in fds if fd not in told["sockets"][int(number)]):
            os.close(other)
        part = l4.Worker(Path(told["folder"]), number)
        return run_to_end(lambda: l4.serve(options, sockets, part, sys.stdin.fileno()))
    if options.workers > 1:
        return run_to_end(lambda: _supervise(options, argv))
    sockets = bound(options)
    return run_to_end(lambda: l4.serve(options, sockets, l4.Worker(), None))


def bound(options: Balancing) -> list[socket.socket]:
    """Raises StartError."""
    from bastion.network.tcp.listener import listening_socket

    kind = socket.SOCK_DGRAM if options.protocol == UDP else socket.SOCK_STREAM
    found = []
    for address, port in options.listen:
        # without IPv6 the other family is enough
        for one in [address] if address else ["0.0.0.0", *(["::"] if socket.has_ipv6 else [])]:  # noqa: S104
            try:
                found.append(listening_socket(one, port, kind))
            except OSError as error:
                if one == "::" and not address:
                    continue
                raise StartError(f"cannot listen at {one} port {port}: {error.strerror}") from error
    return found


async def _supervise(options: Balancing, argv: Sequence[str]) -> int:
    """Each worker has sockets of its own, among which the kernel spreads connections.

    They are the supervisor's and outlive a worker that dies: what waits there its successor accepts.
    """
    from bastion.observe.collecting import Collecting

    sockets = [bound(options) for _ in range(options.workers)]
    descriptors = [[sock.fileno() for sock in some] for some in sockets]
    numbers = [*map(str, range(options.workers))]
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bastion-lb-"))
        stack.callback((await Collecting(Path(folder), numbers).answering()).close)
        told = orjson.dumps({"sockets": descriptors, "folder": folder})
        command = [sys.executable, "-m", "bastion", "lb", *argv]
        flat = [fd for fds in descriptors for fd in fds]
        return await Supervisor(command, options.workers, flat, told).run()
