"""Userspace mode: whose turn it is, who may come, what is mapped where."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from bastion.network.tcp.listener import listening_socket
from bastion.network.tcp.places import Places
from bastion.network.tcp.poller import Poller
from bastion.node.fronts import Scope
from bastion.node.kernel import local_addresses
from bastion.node.rules import Detection, Rules
from bastion.node.userspace import writer as writer_module
from bastion.node.userspace.choosing import MOST_REMEMBERED, Turns, backends_for
from bastion.node.userspace.interface import Interface, remove_interface
from bastion.node.userspace.mapping import address_map, mapped
from bastion.node.userspace.tcp import Connections, TcpListener
from bastion.node.userspace.writer import UserspaceWriter
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.errors import ConfigError
from tests.loopback import free_port
from tests.node.bed import NODE, PODS, TCP, Bed, inside
from tests.node.build import endpoint, endpoints, fronts, service

A, B, C = ("10.244.1.10", 80), ("10.244.1.11", 80), ("10.244.2.10", 80)


def in_order(_: list[tuple[str, int]]) -> None:
    """A shuffle that leaves the order."""


def test_endpoints_take_turns() -> None:
    turns = Turns(in_order)
    assert [turns.take((A, B, C), "client", 0, 0.0) for _ in range(6)] == [A, B, C, A, B, C]
    assert [turns.take((A, C), "client", 0, 0.0) for _ in range(4)] == [A, C, A, C]
    assert turns.take((B,), "client", 0, 0.0) == B


def test_a_client_keeps_its_endpoint_for_as_long_as_it_comes_back() -> None:
    turns = Turns(in_order)
    assert turns.take((A, B), "x", 10, 0.0) == A
    assert turns.take((A, B), "y", 10, 0.0) == B
    assert turns.take((A, B), "x", 10, 9.0) == A
    assert turns.take((A, B), "x", 10, 18.0) == A  # each connection begins the time anew
    assert turns.take((B,), "x", 10, 19.0) == B  # gone
    turns.failed("x")
    assert turns.take((A, B), "x", 10, 19.5) in (A, B)
    assert [turns.take((A, B), "z", 10, 100.0 * n) for n in range(4)] != [A] * 4


def test_the_memory_is_bounded() -> None:
    turns = Turns(in_order)
    for number in range(MOST_REMEMBERED + 10):
        turns.take((A, B), str(number), 10, 0.0)
    assert len(turns._remembered) == MOST_REMEMBERED


RULES = Rules("IPv4", Detection(("10.244.0.0/16",)))
OWN = frozenset({"172.30.0.11"})
SLICE = endpoints(endpoint(A[0]), endpoint(C[0], "node2"), port=80)
WANTED = [  # scope, client, how many endpoints it may go to
    (Scope.CLUSTER, "172.30.0.100", 2),
    (Scope.NODE, "172.30.0.100", 1),
    (Scope.NODE, "10.244.2.10", 2),
    (Scope.NODE, "172.30.0.11", 2),
    (Scope.BALANCER, "172.30.0.100", 1),
    (Scope.BALANCER, "203.0.113.9", 0),
]


@pytest.mark.parametrize(("scope", "client", "number"), WANTED)
def test_policies_and_source_ranges_hold_for_the_clients_address(
    scope: Scope, client: str, number: int
) -> None:
    one = service(
        ports=({"name": "http", "port": 80, "nodePort": 30080},),
        externalTrafficPolicy="Local",
        ingress=({"ip": "192.0.2.1"},),
        loadBalancerSourceRanges=["172.30.0.0/24"],
    )
    front = next(front for front in fronts(one, SLICE).values() if front.scope is scope)
    assert len(backends_for(front, RULES, client, OWN)) == number


def test_mapping() -> None:
    mapping = address_map(["10.96.0.0/12=127.0.0.1", "fd96::/96=::1"])
    assert mapped("10.96.1.1", mapping) == "127.0.0.1"
    assert mapped("fd96::7", mapping) == "::1"
    assert mapped("198.51.100.1", mapping) == ""


@pytest.mark.parametrize(
    "text", ["", "10.96.0.0/12", "10.96.0.0/12=::1", "10.96.0.1=127.0.0.1", "x=127.0.0.1"]
)
def test_mappings_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError):
        address_map([text])


def test_two_services_that_are_mapped_to_one_port_do_not_share_it() -> None:
    async def main() -> None:
        async with Deadlines() as deadlines:
            port = free_port()
            mapping = address_map(["10.96.0.0/12=127.0.0.1"])
            writer = UserspaceWriter(
                "IPv4", Connections(Poller(), deadlines, 8), None, mapping, lambda: ["127.0.0.1"]
            )
            one, two = (
                fronts(service(name, (address,), ({"name": "http", "port": port},)), SLICE)
                for name, address in (("one", "10.96.1.1"), ("two", "10.96.1.2"))
            )
            await writer.full(RULES, {**one, **two})
            assert [len(found) for found in writer._listeners.values()] == [1, 0]
            await writer.change(dict.fromkeys(one))  # the other one has it at once
            assert [len(found) for found in writer._listeners.values()] == [1]
            await writer.change(one)
            assert sorted(len(found) for found in writer._listeners.values()) == [0, 1]
            await writer.change({**dict.fromkeys(two), **dict.fromkeys(one)})
            await writer.change(two)
            assert [len(found) for found in writer._listeners.values()] == [1]
            writer.close()

    asyncio.run(main())


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_a_port_that_another_program_has_is_listened_at_once_it_is_free(
    protocol: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "AGAIN", 0.01)

    async def main() -> None:
        async with Deadlines() as deadlines:
            kind = socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM
            with socket.socket(socket.AF_INET, kind) as holder:
                holder.bind(("127.0.0.1", 0))
                if protocol == "TCP":
                    holder.listen()
                port = holder.getsockname()[1]
                mapping = address_map(["10.96.0.0/12=127.0.0.1"])
                connections = Connections(Poller(), deadlines, 8)
                writer = UserspaceWriter("IPv4", connections, None, mapping, lambda: ["127.0.0.1"])
                one = {"name": "http", "port": port, "protocol": protocol}
                piece = endpoints(endpoint(A[0]), protocol=protocol)
                (key,) = wanted = fronts(service(ports=(one,)), piece)
                await writer.full(RULES, wanted)
                await writer.full(RULES, wanted)
                await asyncio.sleep(0.05)
                assert writer._listeners[key] == []
            async with asyncio.timeout(5):
                while not writer._listeners[key]:
                    await asyncio.sleep(0.005)
                while not (trying := writer._trying) or not trying.done():
                    await asyncio.sleep(0.005)
            with pytest.raises(OSError, match="in use"), socket.socket(socket.AF_INET, kind) as other:
                other.bind(("127.0.0.1", port))
            await writer.change(dict.fromkeys(wanted))
            assert not writer._listeners
            writer.close()

    asyncio.run(main())
    assert len([one for one in caplog.messages if "cannot listen" in one]) == 1


def test_a_port_that_is_given_up_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "AGAIN", 0.01)

    async def main() -> None:
        async with Deadlines() as deadlines:
            with socket.create_server(("127.0.0.1", 0)) as holder:
                mapping = address_map(["10.96.0.0/12=127.0.0.1"])
                connections = Connections(Poller(), deadlines, 8)
                writer = UserspaceWriter("IPv4", connections, None, mapping, lambda: ["127.0.0.1"])
                one = {"name": "http", "port": holder.getsockname()[1]}
                wanted = fronts(service(ports=(one,)), endpoints(endpoint(A[0])))
                await writer.full(RULES, wanted)
                await writer.change(dict.fromkeys(wanted))
                assert writer._trying is not None
                await asyncio.wait_for(writer._trying, 5)
                assert not writer._listeners
            writer.close()

    asyncio.run(main())


def test_half_a_connection_may_end_before_the_other() -> None:
    async def main() -> None:
        async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(str(len(await reader.read())).encode())
            writer.close()

        server = await asyncio.start_server(count, "127.0.0.1", 0)
        backend = server.sockets[0].getsockname()
        async with Deadlines() as deadlines:
            connections = Connections(Poller(), deadlines, 8)
            listener = TcpListener(connections, lambda _: backend, lambda _: None)
            sock = listening_socket("127.0.0.1", free_port())
            listener.listen(sock)
            reader, writer = await asyncio.open_connection(*sock.getsockname())
            writer.write(b"x" * 300_000)
            writer.write_eof()
            assert await reader.read() == b"300000"
            writer.close()
            listener.close()
            connections.close()
        server.close()

    asyncio.run(main())


def test_one_client_does_not_take_every_place() -> None:
    connections = Places(8)
    assert [connections.enter("10.244.1.10") for _ in range(6)] == [True] * 4 + [False] * 2
    # with each client that comes the share becomes smaller; all places are never exceeded
    assert [connections.enter("10.244.1.11") for _ in range(4)] == [True, True, False, False]
    assert [connections.enter(f"2001:db8::{n}") for n in range(3)] == [True, True, False]
    assert not connections.enter("10.244.1.12")
    connections.leave("10.244.1.10")
    assert connections.enter("10.244.1.12")


def test_a_client_without_a_place_is_reset_and_places_are_given_back() -> None:
    async def main() -> None:
        async def here(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"here")
            await reader.read()
            writer.close()

        server = await asyncio.start_server(here, "127.0.0.1", 0)
        backend = server.sockets[0].getsockname()
        async with Deadlines() as deadlines:
            connections = Connections(Poller(), deadlines, 2)
            listener = TcpListener(connections, lambda _: backend, lambda _: None)
            sock = listening_socket("127.0.0.1", free_port())
            listener.listen(sock)
            to = sock.getsockname()
            reader, writer = await asyncio.open_connection(*to)
            assert await reader.readexactly(4) == b"here"
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                other, _ = await asyncio.open_connection(*to)  # it may be reset before it is seen connected
                await other.readexactly(4)
            writer.transport.abort()
            async with asyncio.timeout(5):
                while connections.places.inside:
                    await asyncio.sleep(0.005)
            reader, writer = await asyncio.open_connection(*to)
            assert await reader.readexactly(4) == b"here"
            writer.transport.abort()
            listener.close()
            connections.close()
        server.close()

    asyncio.run(main())


def test_the_next_endpoint_is_tried_and_after_four_the_client_is_told() -> None:
    async def main() -> None:
        async with Deadlines() as deadlines:
            connections = Connections(Poller(), deadlines, 8)
            failed: list[Any] = []
            nowhere = ("127.0.0.1", free_port())
            listener = TcpListener(connections, lambda _: nowhere, failed.append)
            sock = listening_socket("127.0.0.1", free_port())
            listener.listen(sock)
            reader, writer = await asyncio.open_connection(*sock.getsockname())
            with pytest.raises(ConnectionResetError):
                await reader.read()
            assert failed == ["127.0.0.1"] * 4
            writer.close()
            listener.close()
            connections.close()

    asyncio.run(main())


def test_addresses_of_an_earlier_run_go_with_their_interface(bed: Bed) -> None:
    """As those of a program that was killed; also where the kernel has no dummy interfaces."""
    with inside("node"):
        first = Interface()
        for address in ("10.96.1.1", "fd96::1:1"):
            first.add(address)
            first.add(address)  # that it is there is fine
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
                sock.bind((address, 0))
        second = Interface()
        assert not {"10.96.1.1", "fd96::1:1"} & set(local_addresses())
        second.add("10.96.1.2")
        remove_interface()
        assert "10.96.1.2" not in local_addresses()


def test_whom_the_policy_local_has_no_endpoint_for_meets_silence(bed: Bed) -> None:
    """And the others get through; the next change takes everybody again."""
    ports = ({"name": "http", "port": 80, "nodePort": 30080},)
    one = service(addresses=("10.96.1.1",), ports=ports, externalTrafficPolicy="Local")
    pod, others = PODS["a"][0], (endpoint(PODS["far"][0], "node2"),)

    async def main() -> list[dict[str, str]]:
        asked = []
        async with Deadlines() as deadlines:
            connections = Connections(Poller(), deadlines, 8)
            writer = UserspaceWriter("IPv4", connections, None, (), lambda: [NODE[0]])
            for found in (endpoints(*others, port=TCP), endpoints(endpoint(pod), *others, port=TCP)):
                await writer.full(RULES, fronts(one, found))
                for place in ("client", "b"):
                    asked.append(await asyncio.to_thread(bed.asked, place, (NODE[0], 30080), times=4))
            writer.close()
            connections.close()
        return asked

    with inside("node"):
        assert asyncio.run(main()) == [
            {"silence": ""},
            {"far": "node"},
            {"a": "node"},
            {"a": "node", "far": "node"},
        ]
