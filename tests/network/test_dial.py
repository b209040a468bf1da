"""Is the address checked before it is dialled, is what went wrong told in one line, and who is shown which
certificate?
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bastion.kube.endpoint import KUBELET, UNVERIFIED, Endpoint
from bastion.network.addresses import DialPolicy
from bastion.network.dial import Dialer
from bastion.network.errors import NOT_DIALLED, DialError
from bastion.network.tls.contexts import ClientTLS
from bastion.runtime.certificates import Authority
from bastion.runtime.deadlines import Deadlines
from bastion.settings.targets import Kubelet
from tests.fakes import (
    LOOPBACK,
    NO_KUBELET,
    Backend,
    ask,
    backend,
    begin,
    files,
    run,
    server_tls,
    until,
    wire,
)

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
AUTHORITY = Authority("kubelets")
CLIENTS = Authority("clients")


def refusal(endpoint: Any, kubelet: Any = NO_KUBELET, connect_timeout: float = 5.0) -> Any:
    """What a dial fails with."""

    async def main() -> Any:
        async with wire(kubelet, connect_timeout) as (_, pool):
            with pytest.raises(DialError) as caught:
                await pool.dial(endpoint)
            assert (pool.statistics().dialled, pool.statistics().open) == (0, 0)
            return str(caught.value)

    return run(main())


@contextlib.contextmanager
def nobody_listening() -> Iterator[Any]:
    """A port that is taken and refuses."""
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        yield sock.getsockname()[1]


@contextlib.contextmanager
def kubelet_files(authority: Any = AUTHORITY, clients: Any = CLIENTS) -> Iterator[Any]:
    """The configuration of a kubelet client: whom it trusts, and its own certificate."""
    with files(clients.issue([], common_name="bastion", client=True), authority.issue([])) as [
        (certificate, key),
        (other, _),
    ]:
        trusted = other.with_name("ca.crt")
        trusted.write_bytes(authority.pem)
        yield Kubelet(trusted, certificate, key, False)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "::1", "0.0.0.0", "::ffff:169.254.169.254", "localhost", "fe80::1%lo"]
)
def test_an_address_that_may_not_be_dialled_is_not(address: Any) -> None:
    endpoint = Endpoint(address, 80)
    assert refusal(endpoint) == NOT_DIALLED


def test_without_leave_loopback_is_not_dialled() -> None:
    async def main() -> None:
        async with backend(EMPTY) as server, Deadlines() as clock:
            with pytest.raises(DialError, match="address not allowed"):
                await Dialer(DialPolicy(), ClientTLS(NO_KUBELET), clock, 5.0).dial(
                    server.endpoint(), asyncio.Protocol
                )
            assert server.connections == 0

    run(main())


def test_a_port_that_refuses_says_so() -> None:
    with nobody_listening() as port:
        assert refusal(Endpoint(LOOPBACK, port)) == f"dial 127.0.0.1:{port}: connection refused"
        assert refusal(Endpoint(LOOPBACK, port, UNVERIFIED)) == f"dial 127.0.0.1:{port}: connection refused"


def test_an_address_of_six_is_bracketed() -> None:
    assert refusal(Endpoint("fe80::1", 80)) == NOT_DIALLED


@pytest.fixture
def deaf() -> Iterator[Any]:
    """A port whose backlog is full: nothing is refused, nothing accepted."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((LOOPBACK, 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            assert waiting.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)
        yield listener.getsockname()[1]


def test_a_dial_that_nobody_answers_ends(deaf: Any) -> None:
    assert (
        refusal(Endpoint(LOOPBACK, deaf), connect_timeout=0.05)
        == f"dial 127.0.0.1:{deaf}: timed out after 0.05 s"
    )


def test_the_deadline_covers_the_handshake() -> None:
    async def main() -> None:
        async def script(reader: Any, writer: Any) -> None:
            await reader.read()

        async with Backend(script) as server, wire(connect_timeout=0.05) as (_, pool):
            with pytest.raises(DialError, match=r"timed out after 0.05 s$"):
                await pool.dial(server.endpoint(tls=True))
            assert pool.statistics().open == 0

    run(main())


HANDSHAKES = [
    pytest.param(
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        "wait",
        r"TLS handshake failed: [a-z ]+$",
        id="a-plain-server",
    ),
    pytest.param(b"", "close", r"(the connection was closed|TLS handshake failed: [a-z ]+)$", id="closed"),
    pytest.param(
        b"",
        "reset",
        r"(connection reset by peer|the connection was closed|TLS handshake failed: [a-z ]+)$",
        id="reset",
    ),
]


@pytest.mark.parametrize(("data", "then", "cause"), HANDSHAKES)
def test_a_handshake_that_fails_is_a_dial_that_failed(data: Any, then: Any, cause: Any) -> None:
    async def main() -> None:
        async def script(reader: Any, writer: Any) -> None:
            await reader.read(5)
            writer.write(data)
            await writer.drain()
            if then == "wait":
                await reader.read()
            elif then == "close":
                writer.close()
            else:
                writer.transport.abort()

        async with Backend(script) as server, wire() as (_, pool):
            with pytest.raises(DialError) as caught:
                await pool.dial(server.endpoint(tls=True))
            assert re.fullmatch(rf"dial 127\.0\.0\.1:{server.port}: {cause}", str(caught.value)), str(
                caught.value
            )
            assert pool.statistics().open == 0

    run(main())


def shown(server_context: Any, kubelet: Any, *, identity: Any) -> Any:
    """The certificate a backend sees, and the names that were asked for."""

    async def main() -> Any:
        seen: list[Any] = []

        async def script(reader: Any, writer: Any) -> None:
            await server.read_request(reader)
            certificate = writer.get_extra_info("peercert") or {}
            seen.append(
                dict(pair for names in certificate.get("subject", ()) for pair in names).get("commonName")
            )
            seen.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
            writer.write(EMPTY)
            await reader.read()

        async with Backend(script, server_context) as server, wire(kubelet) as (transport, _):
            await ask(transport, server.endpoint(tls=True, identity=identity))
            return seen

    return run(main())


@pytest.mark.parametrize(
    ("identity", "name"), [(KUBELET, "bastion"), (UNVERIFIED, None)], ids=["kubelet", "anybody-else"]
)
def test_the_kubelet_certificate_is_shown_to_kubelets_alone(
    caplog: pytest.LogCaptureFixture, identity: Any, name: Any
) -> None:
    context = server_tls(AUTHORITY, clients=CLIENTS)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with kubelet_files() as kubelet:
        assert shown(context, kubelet, identity=identity) == [name, "http/1.1"]
    assert ("not verified" in caplog.text) is (identity != KUBELET)


def test_a_kubelets_connection_never_serves_a_pod() -> None:
    async def main(kubelet: Any) -> None:
        async with (
            backend(EMPTY, tls=server_tls(AUTHORITY, clients=CLIENTS)) as server,
            wire(kubelet) as (transport, pool),
        ):
            await ask(transport, server.endpoint(tls=True, identity=KUBELET))
            assert pool.take(server.endpoint(tls=True)) is None
            await ask(transport, server.endpoint(tls=True))
            assert (server.connections, pool.statistics().idle) == (2, 2)

    with kubelet_files() as kubelet:
        run(main(kubelet))


def test_a_pods_certificate_is_taken_as_it_is_and_that_is_said_once_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> Any:
        async with (
            backend(EMPTY, tls=server_tls(Authority("nobody"), "example.com")) as server,
            wire() as (transport, pool),
        ):
            await ask(transport, server.endpoint(tls=True))
            await pool.dial(server.endpoint(tls=True))
            return server.port

    port = run(main())
    assert [record.getMessage() for record in caplog.records] == [
        f"TLS to 127.0.0.1:{port} is not verified: the backend's certificate is taken as it is"
    ]


UNTRUSTED = [
    pytest.param(lambda: server_tls(Authority("nobody")), id="another-authority"),
    pytest.param(lambda: server_tls(AUTHORITY, "127.0.0.2"), id="another-address"),
    pytest.param(lambda: server_tls(AUTHORITY, "example.com"), id="a-name-only"),
]


@pytest.mark.parametrize("context", UNTRUSTED)
def test_a_kubelet_that_cannot_be_trusted_is_not_spoken_to(context: Any) -> None:
    async def main(kubelet: Any) -> None:
        async with backend(EMPTY, tls=context()) as server, wire(kubelet) as (_, pool):
            with pytest.raises(DialError, match="TLS handshake failed: certificate verification failed: "):
                await pool.dial(server.endpoint(tls=True, identity=KUBELET))
            assert server.heads == []

    with kubelet_files() as kubelet:
        run(main(kubelet))


def test_without_an_authority_a_self_made_kubelet_is_not_trusted() -> None:
    async def main() -> None:
        async with backend(EMPTY, tls=server_tls(AUTHORITY)) as server, wire(NO_KUBELET) as (_, pool):
            with pytest.raises(DialError, match="certificate verification failed"):
                await pool.dial(server.endpoint(tls=True, identity=KUBELET))

    run(main())


def test_a_kubelet_may_be_trusted_blindly_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async def main(kubelet: Any) -> None:
        async with (
            backend(EMPTY, tls=server_tls(Authority("nobody"), "example.com")) as server,
            wire(kubelet) as (transport, _),
        ):
            await ask(transport, server.endpoint(tls=True, identity=KUBELET))

    with kubelet_files() as kubelet:
        run(main(Kubelet(None, kubelet.client_certificate, kubelet.client_key, True)))
    assert "is not verified" in caplog.text


@pytest.mark.parametrize(
    "broken",
    [
        lambda path: Kubelet(path / "none", None, None, False),
        lambda path: Kubelet(path, None, None, False),
        lambda path: Kubelet(None, path / "none", path / "none", False),
    ],
    ids=["no-authority", "a-folder", "no-certificate"],
)
def test_a_file_that_cannot_be_read_is_found_out_at_the_start(tmp_path: Path, broken: Any) -> None:
    with pytest.raises(OSError):  # ssl.SSLError is one
        ClientTLS(broken(tmp_path))


def test_a_connection_that_is_lost_at_once_is_known_to_be() -> None:
    async def main() -> None:
        async def script(reader: Any, writer: Any) -> None:
            writer.close()

        async with Backend(script) as server, wire() as (_, pool):
            for _ in range(20):
                connection = await pool.dial(server.endpoint())
                with contextlib.suppress(Exception):
                    await begin(pool, connection).answer()
            await until(lambda: pool.statistics().open == 0)

    run(main())


def test_no_socket_is_left_behind() -> None:
    async def main(port: Any) -> None:
        async with wire() as (_, pool):
            with socket.socket() as probe:
                before = probe.fileno()
            for _ in range(50):
                with pytest.raises(DialError):
                    await pool.dial(Endpoint(LOOPBACK, port))
            with socket.socket() as probe:
                assert probe.fileno() <= before + 5

    with nobody_listening() as port:
        run(main(port))


def test_a_dial_may_be_cancelled(deaf: Any) -> None:
    async def main() -> None:
        async with wire() as (_, pool):
            dialling = asyncio.ensure_future(pool.dial(Endpoint(LOOPBACK, deaf)))
            await asyncio.sleep(0.01)
            dialling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dialling
            assert pool.statistics().open == 0

    run(main())
