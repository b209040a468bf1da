"""TLS over a plain transport.

The peer is OpenSSL by hand on a blocking socket, because asyncio's cannot end one direction alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from bastion.network.tls.layer import CLOSE_SECONDS, HANDSHAKE_SECONDS, SharedBuffers, TLSLayer
from bastion.runtime.certificates import Authority
from bastion.runtime.deadlines import Deadlines
from tests import fakes
from tests.fakes import LOOPBACK, ClockLoop, pass_time, server_tls, settle, until
from tests.tunnel.peer import PIECE, Peer

MIB = 1 << 20
IN_THE_KERNEL = 12 * MIB  # what the buffers of one connection may hold at the very most

AUTHORITY = Authority("peers")
SERVER = server_tls(AUTHORITY, "peer.test")
CLIENT = ssl.create_default_context(cadata=AUTHORITY.pem.decode())

both_sides = pytest.mark.parametrize("server_side", [True, False], ids=["server", "client"])


def run(
    work: Coroutine[Any, Any, None], loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
) -> None:
    fakes.run(work, loop)


class Application(asyncio.Protocol):
    """Keeps what it is told.  `stays` is its answer to the end of input."""

    def __init__(self, *, stays: bool = True) -> None:
        self.stays = stays
        self.made = self.ends = self.pauses = self.resumes = 0
        self.data = bytearray()
        self.lost: list[Exception | None] = []
        self.late: list[str] = []  # said after the connection was lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made += 1
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        assert data
        self.data += data
        if self.lost:
            self.late.append("data")

    def eof_received(self) -> bool:
        self.ends += 1
        if self.lost:
            self.late.append("eof")
        return self.stays

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)

    def pause_writing(self) -> None:
        self.pauses += 1

    def resume_writing(self) -> None:
        self.resumes += 1


class Layered:
    """The layer under test between an application and a peer."""

    def __init__(self, layer: TLSLayer, application: Application, peer: Peer, deadlines: Deadlines) -> None:
        self.layer, self.application, self.peer, self.deadlines = layer, application, peer, deadlines

    @property
    def transport(self) -> asyncio.Transport:
        return self.application.transport

    async def lost(self) -> Exception | None:
        """Why; it was said once, nothing was said after it, and nothing waits any more."""
        await until(lambda: self.application.lost)
        await settle()
        assert len(self.application.lost) == 1
        assert not self.application.late
        assert len(self.deadlines) == 0
        return self.application.lost[0]


@contextlib.asynccontextmanager
async def layered(
    *,
    server_side: bool = True,
    handshake: bool = True,
    stays: bool = True,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext] = (SERVER, CLIENT),
    name: str = "peer.test",
) -> AsyncIterator[Layered]:
    """`contexts` are the server's and the client's; `name` is what a layer that is the client asks for."""
    loop = asyncio.get_running_loop()
    ours, theirs = contexts if server_side else contexts[::-1]
    with socket.create_server((LOOPBACK, 0)) as listener, socket.socket() as far:
        far.connect(listener.getsockname())
        near, _ = listener.accept()
        near.setblocking(False)
        peer = Peer(far, theirs, server_side=not server_side, name="peer.test")
        async with Deadlines() as deadlines:
            application = Application(stays=stays)
            hostname = None if server_side else name
            layer = TLSLayer(
                application,
                ours,
                deadlines,
                SharedBuffers(),
                server_side=server_side,
                server_hostname=hostname,
            )
            await loop.create_connection(lambda: layer, sock=near)
            try:
                if handshake:
                    await asyncio.gather(asyncio.to_thread(peer.handshake), layer.established)
                    assert application.made == 1
                yield Layered(layer, application, peer, deadlines)
            finally:
                with contextlib.suppress(OSError):
                    far.shutdown(socket.SHUT_RDWR)  # ends what a thread still waits for
                layer.abort()
                await settle()


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


# --- bytes

SIZES = [1, 2, 1000, 16383, 16384, 16385, PIECE - 1, PIECE, PIECE + 1, MIB, 5 * MIB + 1]


@both_sides
@pytest.mark.parametrize("size", SIZES)
def test_bytes_arrive_as_they_were_sent_both_ways_at_once(server_side: bool, size: int) -> None:
    async def main() -> None:
        there, back = noise(size), noise(size + 1)
        async with layered(server_side=server_side) as link:
            link.transport.write(there)
            at_peer, _ = await asyncio.gather(
                asyncio.to_thread(link.peer.read, size), asyncio.to_thread(link.peer.send, back)
            )
            assert at_peer == there
            await until(lambda: len(link.application.data) == len(back))
            assert link.application.data == back

    run(main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
@both_sides
def test_both_versions_are_spoken(server_side: bool, version: ssl.TLSVersion) -> None:
    async def main() -> None:
        server, client = (
            server_tls(AUTHORITY, "peer.test"),
            ssl.create_default_context(cadata=AUTHORITY.pem.decode()),
        )
        client.maximum_version = client.minimum_version = version
        async with layered(server_side=server_side, contexts=(server, client)) as link:
            link.transport.write(b"hello")
            assert await asyncio.to_thread(link.peer.read, 5) == b"hello"
            assert link.transport.get_extra_info("ssl_object").version() == version.name.replace("_", ".")
            link.peer.send(b"and back")
            await until(lambda: link.application.data == b"and back")
            link.peer.end()
            await until(lambda: link.application.ends)
            link.transport.write(b"after its end")
            assert await asyncio.to_thread(link.peer.read, 13) == b"after its end"

    run(main())


@both_sides
def test_byte_by_byte(server_side: bool) -> None:
    async def main() -> None:
        async with layered(server_side=server_side) as link:
            link.peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in link.peer.sealed(b"a record cut into its bytes"):
                link.peer.sock.send(bytes((byte,)))
                await asyncio.sleep(0)
            await until(lambda: link.application.data == b"a record cut into its bytes")
            for byte in b"hello":
                link.transport.write(bytes((byte,)))
            assert await asyncio.to_thread(link.peer.read, 5) == b"hello"

    run(main())


@pytest.mark.parametrize(
    "data",
    [bytearray(b"abc"), memoryview(b"abc"), memoryview(bytearray(b"x" * 40_000))],
    ids=["array", "view", "large"],
)
def test_whatever_holds_bytes_may_be_written(data: bytearray | memoryview) -> None:
    async def main() -> None:
        async with layered() as link:
            link.transport.write(data)
            link.transport.writelines([data, b"-", data])
            expected = bytes(data) * 2 + b"-" + bytes(data)
            assert await asyncio.to_thread(link.peer.read, len(expected)) == expected

    run(main())


def test_what_comes_with_the_end_of_the_handshake_is_not_lost() -> None:
    async def main() -> None:
        async with layered(handshake=False) as link:

            def talk() -> bytes:
                link.peer.handshake()
                link.peer.send(noise(100_000))
                link.peer.end()
                return link.peer.read(5)

            answered = asyncio.create_task(asyncio.to_thread(talk))
            await until(lambda: link.application.ends)
            assert link.application.data == noise(100_000)
            link.transport.write(b"heard")
            assert await answered == b"heard"

    run(main())


def test_another_application_takes_over_where_the_first_one_was_left() -> None:
    async def main() -> None:
        async with layered() as link:
            link.peer.send(b"for the first")
            await until(lambda: link.application.data == b"for the first")
            second = Application()
            link.transport.set_protocol(second)
            assert link.transport.get_protocol() is second
            link.peer.send(b"for the second")
            await until(lambda: second.data == b"for the second")
            link.peer.end()
            await until(lambda: second.ends)
            link.transport.close()
            await until(lambda: second.lost)
            assert (link.application.data, link.application.ends, link.application.lost) == (  # type: ignore[comparison-overlap]
                b"for the first",
                0,
                [],
            )

    run(main())


# --- the end of one direction


@both_sides
def test_the_peer_ends_and_is_written_to_all_the_same(server_side: bool) -> None:
    async def main() -> None:
        async with layered(server_side=server_side) as link:
            link.peer.send(b"the last of it")
            link.peer.end()
            await until(lambda: link.application.ends)
            assert link.application.data == b"the last of it"
            much = noise(3 * MIB)
            link.transport.write(much)
            link.transport.close()
            assert await asyncio.to_thread(link.peer.rest) == much
            assert await link.lost() is None

    run(main())


@both_sides
def test_we_end_and_read_on(server_side: bool) -> None:
    async def main() -> None:
        async with layered(server_side=server_side) as link:
            link.transport.write(b"the last of it")
            assert link.transport.can_write_eof()
            link.transport.write_eof()
            assert await asyncio.to_thread(link.peer.rest) == b"the last of it"
            much = noise(3 * MIB)
            await asyncio.to_thread(link.peer.send, much)
            link.peer.end()
            await until(lambda: link.application.ends)
            assert link.application.data == much

    run(main())


@both_sides
def test_we_end_in_the_midst_of_a_record_of_the_peers(server_side: bool) -> None:
    async def main() -> None:
        async with layered(server_side=server_side) as link:
            wire = link.peer.sealed(noise(16000))
            link.peer.sock.sendall(wire[:7000])
            await asyncio.sleep(0.02)
            link.transport.write_eof()
            assert await asyncio.to_thread(link.peer.rest) == b""
            link.peer.sock.sendall(wire[7000:])
            await until(lambda: len(link.application.data) == 16000)
            assert link.application.data == noise(16000)
            link.peer.send(b"and more")
            link.peer.end()
            await until(lambda: link.application.ends)
            assert link.application.data == noise(16000) + b"and more"

    run(main())


def test_to_end_twice_is_to_end_once() -> None:
    async def main() -> None:
        async with layered() as link:
            link.transport.write_eof()
            link.transport.write_eof()
            assert await asyncio.to_thread(link.peer.rest) == b""
            link.peer.send(b"still heard")
            await until(lambda: link.application.data == b"still heard")
            link.transport.close()
            assert await link.lost() is None

    run(main())


@both_sides
def test_a_fin_without_close_notify_is_an_end_too(server_side: bool) -> None:
    async def main() -> None:
        async with layered(server_side=server_side) as link:
            link.peer.send(b"cut")
            link.peer.fin()
            await until(lambda: link.application.ends)
            assert link.application.data == b"cut"
            link.transport.write(b"written to")
            assert await asyncio.to_thread(link.peer.read, 10) == b"written to"

    run(main())


def test_the_end_of_input_is_told_once() -> None:
    """close_notify, and then the FIN of a peer that is gone."""

    async def main() -> None:
        async with layered() as link:
            link.peer.end()
            await until(lambda: link.application.ends)
            link.peer.fin()
            await asyncio.sleep(0.05)
            assert link.application.ends == 1

    run(main())


def test_an_application_that_does_not_stay_is_closed_by_the_end() -> None:
    async def main() -> None:
        async with layered(stays=False) as link:
            link.peer.send(b"all")
            link.peer.end()
            assert await asyncio.to_thread(link.peer.rest) == b""
            assert await link.lost() is None
            assert link.application.data == b"all"

    run(main())


def test_what_follows_the_end_of_input_is_not_kept() -> None:
    """RFC 8446, 6.1: what comes after close_notify must be ignored.  A peer could fill the memory with it."""

    async def main() -> None:
        async with layered() as link:
            link.peer.end()
            await until(lambda: link.application.ends)
            before = resident()
            rest = bytes(MIB)
            for _ in range(64):
                try:
                    await asyncio.get_running_loop().run_in_executor(None, link.peer.sock.sendall, rest)
                except ConnectionError:
                    break
            assert resident() - before < 16 * MIB
            assert link.application.data == b""

    run(main())


def resident() -> int:
    """Bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


# --- the end of both


def test_close_lets_out_what_was_written() -> None:
    async def main() -> None:
        async with layered() as link:
            link.transport.write(noise(2 * MIB))
            assert not link.transport.is_closing()
            link.transport.close()
            assert link.transport.is_closing()
            link.transport.close()
            link.transport.write(b"too late")
            assert await asyncio.to_thread(link.peer.rest) == noise(2 * MIB)
            assert await link.lost() is None

    run(main())


def test_close_does_not_wait_for_whoever_does_not_read() -> None:
    async def main() -> None:
        async with layered() as link:
            while not link.application.pauses:
                link.transport.write(bytes(PIECE))
                await settle()
            link.transport.close()
            await settle()
            assert not link.application.lost
            await pass_time(CLOSE_SECONDS + 1)
            await link.lost()

    run(main(), ClockLoop)


def test_abort_lets_nothing_out() -> None:
    async def main() -> None:
        async with layered() as link:
            link.transport.abort()
            assert link.transport.is_closing()
            with pytest.raises(ConnectionError):
                await asyncio.to_thread(link.peer.rest)  # the connection ends, and TLS does not
            assert await link.lost() is None

    run(main())


@both_sides
def test_a_reset_is_told(server_side: bool) -> None:
    async def main() -> None:
        async with layered(server_side=server_side) as link:
            link.peer.reset()
            assert isinstance(await link.lost(), ConnectionResetError)
            link.transport.write(b"to nobody")
            link.transport.write_eof()
            link.transport.close()
            link.transport.pause_reading()
            link.transport.resume_reading()
            link.transport.set_write_buffer_limits(high=1)
            assert link.transport.is_closing()
            assert link.transport.get_write_buffer_size() == 0
            assert link.transport.get_extra_info("peername", "gone") == "gone"

    run(main())


@both_sides
@pytest.mark.parametrize("leaving", [Peer.reset, Peer.fin], ids=["RST", "FIN"])
def test_to_close_what_one_hears_is_lost_waits_for_nothing(
    server_side: bool, leaving: Callable[[Peer], None]
) -> None:
    class Closing(Application):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self.transport.write(b"to nobody")
            self.transport.close()

    async def main() -> None:
        async with layered(server_side=server_side) as link:
            application = Closing(stays=False)
            application.transport = link.transport
            link.transport.set_protocol(application)
            leaving(link.peer)
            await until(lambda: application.lost)
            await settle()
            assert len(application.lost) == 1
            assert len(link.deadlines) == 0

    run(main())


@both_sides
@pytest.mark.parametrize("what", ["another record", "no TLS at all"])
def test_a_broken_record_ends_it(server_side: bool, what: str) -> None:
    async def main() -> None:
        async with layered(server_side=server_side) as link:
            link.peer.send(b"good")
            wire = (
                bytearray(link.peer.sealed(b"bad"))
                if what == "another record"
                else bytearray(b"GET / HTTP/1.1\r\n\r\n" * 10_000)
            )
            wire[-1] ^= 1
            link.peer.sock.sendall(wire)
            assert isinstance(await link.lost(), ssl.SSLError)
            assert link.application.data == b"good"

    run(main())


# --- the handshake


@both_sides
@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00" * 200_000,
        b"\x16\x03\x01\xff\xff" + b"x" * 70_000,
        b"\x80",
    ],
    ids=repr,
)
def test_garbage_instead_of_tls_never_reaches_the_application(server_side: bool, garbage: bytes) -> None:
    garbage_alone = len(garbage) == 1  # the beginning of something: only its end shows that it was nothing

    async def main() -> None:
        async with layered(server_side=server_side, handshake=False) as link:
            with contextlib.suppress(ConnectionError):
                link.peer.sock.sendall(garbage)
            if garbage_alone:
                link.peer.fin()
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await link.layer.established
            await until(lambda: link.layer.plain is None)
            assert (link.application.made, link.application.lost, link.application.ends) == (0, [], 0)
            assert len(link.deadlines) == 0

    run(main())


@both_sides
@pytest.mark.parametrize("leaving", [Peer.fin, Peer.reset], ids=["FIN", "RST"])
def test_a_peer_that_leaves_during_the_handshake(server_side: bool, leaving: Callable[[Peer], None]) -> None:
    async def main() -> None:
        async with layered(server_side=server_side, handshake=False) as link:
            leaving(link.peer)
            with pytest.raises(ConnectionResetError):
                await link.layer.established
            await until(lambda: link.layer.plain is None)
            assert link.application.made == 0
            assert len(link.deadlines) == 0

    run(main())


@both_sides
@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01"], ids=["silent", "slow"])
def test_a_handshake_takes_only_so_long(server_side: bool, said: bytes) -> None:
    async def main() -> None:
        async with layered(server_side=server_side, handshake=False) as link:
            link.peer.sock.sendall(said)
            await pass_time(HANDSHAKE_SECONDS - 1)
            assert not link.layer.established.done()
            await pass_time(2)
            with pytest.raises(TimeoutError):
                await link.layer.established
            await until(lambda: link.layer.plain is None)
            assert link.application.made == 0
            assert len(link.deadlines) == 0

    run(main(), ClockLoop)


def test_a_finished_handshake_waits_for_nothing() -> None:
    async def main() -> None:
        async with layered() as link:
            assert len(link.deadlines) == 0
            assert link.layer.deadline is None

    run(main())


@pytest.mark.parametrize(
    ("client", "name", "why"),
    [
        (ssl.create_default_context(), "peer.test", "certificate verify"),
        (CLIENT, "other.test", "certificate verify"),
    ],
    ids=["an unknown authority", "another name"],
)
def test_a_certificate_that_is_not_good_is_refused(client: ssl.SSLContext, name: str, why: str) -> None:
    async def main() -> None:
        async with layered(server_side=False, handshake=False, contexts=(SERVER, client), name=name) as link:
            shaking = asyncio.create_task(asyncio.to_thread(link.peer.handshake))
            with pytest.raises(ssl.SSLCertVerificationError, match=why):
                await link.layer.established
            with pytest.raises(ssl.SSLError):  # the peer is told by an alert
                await shaking
                await asyncio.to_thread(link.peer.read, 1)
            assert link.application.made == 0

    run(main())


def test_the_dialler_sees_what_the_handshake_agreed_on() -> None:
    async def main() -> None:
        async with layered(server_side=False) as link:
            names = link.transport.get_extra_info("ssl_object").getpeercert()["subjectAltName"]
            assert ("DNS", "peer.test") in names
            assert link.transport.get_extra_info("peername")[0] == LOOPBACK
            assert link.transport.get_extra_info("nothing", 5) == 5

    run(main())


# --- as fast as the slower reads


@both_sides
def test_an_application_that_does_not_read_stops_the_peer(server_side: bool) -> None:
    async def main() -> None:
        async with layered(server_side=server_side) as link:
            link.transport.pause_reading()
            sent = 0

            def pour() -> None:
                nonlocal sent
                with contextlib.suppress(OSError):
                    while sent < 64 * MIB:
                        link.peer.send(bytes(PIECE))
                        sent += PIECE

            pouring = asyncio.create_task(asyncio.to_thread(pour))
            assert 0 < await settled(lambda: sent) < IN_THE_KERNEL
            assert len(link.application.data) <= PIECE  # one read that was under way
            link.transport.resume_reading()
            await pouring
            await until(lambda: len(link.application.data) == sent == 64 * MIB)

    run(main())


@both_sides
def test_a_peer_that_does_not_read_stops_the_application(server_side: bool) -> None:
    async def main() -> None:
        async with layered(server_side=server_side) as link:
            link.transport.set_write_buffer_limits(high=PIECE)
            written = 0
            while not link.application.pauses:
                link.transport.write(bytes(PIECE))
                written += PIECE
                await asyncio.sleep(0)
            assert PIECE < link.transport.get_write_buffer_size() < MIB
            assert written < IN_THE_KERNEL
            await asyncio.to_thread(link.peer.read, written)
            await until(lambda: link.application.resumes)
            assert link.transport.get_write_buffer_size() <= PIECE

    run(main())


async def settled(count: Callable[[], int]) -> int:
    """What is counted once it does not grow any more."""
    seen, last = 0, -1
    while seen < 20:
        seen = seen + 1 if count() == last else 0
        last = count()
        await asyncio.sleep(0.01)
    return last
