"""What is there to measure of a load balancer?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bastion.balance.readiness import State
from bastion.l4.servers import Group, Server
from bastion.observe.families import Family, Together, counter, gauge

_SERVER = ("group", "server")


def families(groups: Iterable[Group], inside: int, most: int, turned_away: Mapping[str, int]) -> list[Family]:
    servers = {(group.name, server.name): server for group in groups for server in group.servers}
    states = {
        (*key, state.value): float(server.health.state is state)
        for key, server in servers.items()
        for state in State
    }
    moved = {
        (*key, direction): _moved(server, index)
        for key, server in servers.items()
        for index, direction in enumerate(("in", "out"))
    }
    return [
        gauge("bastion_lb_connections", "Connections of clients at present.", (), {(): inside}),
        gauge("bastion_lb_connections_limit", "How many there may be at once.", (), {(): most}),
        gauge(
            "bastion_lb_server_connections",
            "Connections at a server at present, those being made included.",
            _SERVER,
            {key: server.load.busy for key, server in servers.items()},
        ),
        counter(
            "bastion_lb_server_connections_made",
            "Connections that a server took.",
            _SERVER,
            {key: server.made for key, server in servers.items()},
        ),
        counter(
            "bastion_lb_server_connections_failed",
            "Connections that could not be made.",
            _SERVER,
            {key: server.failed for key, server in servers.items()},
        ),
        counter(
            "bastion_lb_server_bytes",
            "Bytes from clients to a server (in) and back (out).",
            (*_SERVER, "direction"),
            moved,
        ),
        gauge(
            "bastion_lb_server_state",
            "1 for the state that a server is in.",
            (*_SERVER, "state"),
            states,
            Together.LEAST,
        ),
        counter(
            "bastion_lb_turned_away",
            "Connections that no server got, by reason.",
            ("reason",),
            {(reason,): count for reason, count in turned_away.items()},
        ),
    ]


def _moved(server: Server, index: int) -> int:
    """Also of connections that go on."""
    now = sum((relay.backend if index else relay.client).received for relay in server.relays)
    return server.moved[index] + now
