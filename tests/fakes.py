"""Stand-ins for what is outside: a clock, an API server, backends, authenticators; and the objects they speak
of.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import orjson
import pytest
import uvloop

from bastion.authn.authenticator import Authenticator, Credentials, CredentialsRefused
from bastion.authz.authorizer import Decision
from bastion.discovery.catalog import Catalog
from bastion.kube.attributes import Attributes
from bastion.kube.compaction import compact
from bastion.kube.endpoint import UNVERIFIED, Endpoint, TLSProfile
from bastion.kube.errors import error_of
from bastion.kube.errorwords import API_SERVER_AWAY
from bastion.kube.objects import STRUCTS
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.network.addresses import DialPolicy
from bastion.network.connections import ConnectionPool
from bastion.network.dial import Dialer
from bastion.network.http1.connection import Connection
from bastion.network.http1.response import Response
from bastion.network.tls.contexts import ClientTLS
from bastion.network.transport import Http1Trip, Request, Transport
from bastion.runtime.certificates import Authority, CertificatePair
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.turns import USER, Asker, Key
from bastion.settings.kinds import network
from bastion.settings.sections import Timeouts
from bastion.settings.targets import Kubelet

T = TypeVar("T")

LOOPBACK = "127.0.0.1"
SOMEBODY: Key = (USER, "somebody")  # who asks, where it does not matter
PATIENCE = 30.0  # seconds after which a test has hung


# --- running, and time


class ClockLoop(asyncio.SelectorEventLoop):
    """A loop whose clock stands still until it is put forward: what lasts an hour is tested in no time, on a
    busy machine as well.

    So `asyncio.sleep` lasts until the test says so; what takes real time (a socket, a thread) is awaited with
    `until` or `moment`.
    """

    def __init__(self) -> None:
        self._now = float(int(time.monotonic()))  # whole seconds: halves and quarters add up exactly
        super().__init__()

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


def run(
    work: Coroutine[Any, Any, T], loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
) -> T:
    """Run `work` to its end, on the loop that the program itself runs on; on ClockLoop where a test moves the
    clock.
    """

    async def bounded() -> T:
        if loop is ClockLoop:
            return await work  # its own deadline would pass with the others
        async with asyncio.timeout(PATIENCE):
            return await work

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(bounded())


async def settle() -> None:
    """Let everything run that can run without waiting."""
    for _ in range(50):
        await asyncio.sleep(0)


async def pass_time(seconds: float) -> None:
    """Put the clock of a ClockLoop forward and let everything happen that was due until then."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ClockLoop)
    await settle()
    loop.advance(seconds)
    await settle()


async def moment(seconds: float) -> None:
    """Real time, on every loop."""
    if isinstance(asyncio.get_running_loop(), ClockLoop):
        await asyncio.to_thread(time.sleep, seconds)
    else:
        await asyncio.sleep(seconds)


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition()` is true; the deadline of the whole test ends a wait for what never comes."""
    while not condition():
        await moment(0.001)


async def a_turn(user: Key) -> None:
    """A step of long work may be done after the next turn of the loop, whoever's it is."""
    await asyncio.sleep(0)


async def delivered() -> None:
    """Long enough for what was written on loopback to be read at the other end: a reset would destroy it."""
    for _ in range(10):
        await moment(0.002)


def unavailable(message: str, retry_after: int | None = None) -> StatusError:
    """503: the API server is away; `retry_after` in seconds."""
    return error_of(API_SERVER_AWAY, message, retry_after=retry_after)


@contextlib.contextmanager
def refused(code: int, containing: str = "", *, close: bool | None = None) -> Iterator[None]:
    """What is inside raises a StatusError of this code; `close` says whether it ends the connection, None
    where no matter.
    """
    with pytest.raises(StatusError) as caught:
        yield
    assert caught.value.code == code, caught.value.message
    assert containing in caught.value.message
    assert close is None or caught.value.close is close


# --- whom to ask


class Knows:
    """An authenticator of these tokens; `asked` are the tokens it was asked for, `failing` is raised instead
    of an answer.
    """

    def __init__(self, users: Mapping[str, User] = {}, failing: Exception | None = None) -> None:
        self.users = users
        self.failing = failing
        self.asked: list[str | None] = []

    async def authenticate(self, credentials: Credentials, asker: Asker) -> User | None:
        self.asked.append(credentials.token)
        if self.failing is not None:
            raise self.failing
        return self.users.get(credentials.token or "")


async def owner(
    authenticator: Authenticator, credentials: Credentials, asker: Asker = SOMEBODY
) -> User | None:
    """Whose they are; None also where it is known why they are nobody's."""
    try:
        return await authenticator.authenticate(credentials, asker)
    except CredentialsRefused:
        return None


async def why_not(authenticator: Authenticator, credentials: Credentials) -> str:
    """Why they are nobody's."""
    with pytest.raises(CredentialsRefused) as refused:
        await authenticator.authenticate(credentials, SOMEBODY)
    return refused.value.cause


class Decides:
    """An authorizer that decides by a function; `asked` are its questions."""

    def __init__(
        self, decide: Callable[[User, Attributes], bool | Decision], failing: Exception | None = None
    ) -> None:
        self.decide = decide
        self.failing = failing
        self.asked: list[Attributes] = []

    async def authorize(self, user: User, attributes: Attributes, asker: Asker) -> Decision:
        self.asked.append(attributes)
        if self.failing is not None:
            raise self.failing
        decision = self.decide(user, attributes)
        return decision if isinstance(decision, Decision) else Decision(decision)


class Reviews:
    """The API server as reviews see it: each call takes the next answer (an exception is raised), the last
    one stays.
    """

    def __init__(self, *answers: dict[str, Any] | bytes | Exception) -> None:
        self._answers = deque(answers)
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def create(self, path: str, body: bytes, asker: Asker) -> bytes:
        self.calls.append((path, orjson.loads(body)))
        answer = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else orjson.dumps({"status": answer})


# --- backends

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Backend:
    """A server on loopback that plays `script` on each connection.  Use as an asynchronous context manager.

    `connections` counts them, `heads` are the request heads that `read_request` took.
    """

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.connections = 0
        self.heads: list[bytes] = []
        self.port = 0

    async def __aenter__(self) -> Backend:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def endpoint(self, *, tls: bool = False, identity: TLSProfile = UNVERIFIED) -> Endpoint:
        return Endpoint(LOOPBACK, self.port, identity if tls else None)

    async def read_request(self, reader: asyncio.StreamReader) -> bytes:
        """A request's head; its body is the script's affair."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        return head

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the peer has left, or the test is over
        finally:
            self._tasks.discard(task)


def backend(*answers: bytes, then: str = "wait", tls: ssl.SSLContext | None = None) -> Backend:
    """Answers one request after the other with these bytes, the first again on each new connection.

    `then`, after the last: "wait" for the peer to go, "close" in good order, or "reset".
    """

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await server.read_request(reader)
            writer.write(answer)
            await writer.drain()
        if then == "close":
            writer.close()
        elif then == "reset":
            await delivered()
            reset(writer)
        else:
            await reader.read()
            writer.close()

    server = Backend(script, tls)
    return server


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a RST instead of a FIN."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# --- our side of the wire

NO_KUBELET = Kubelet(None, None, None, False)
NO_KUBELET_TLS = ClientTLS(NO_KUBELET)  # made once: it reads all the authorities of the system
USUAL = Timeouts()


@contextlib.asynccontextmanager
async def wire(
    kubelet: Kubelet = NO_KUBELET, connect_timeout: float = USUAL.connect, timeouts: Timeouts = USUAL
) -> AsyncIterator[tuple[Transport, ConnectionPool]]:
    """A transport and its pool, that may dial loopback."""
    async with Deadlines() as clock:
        pool = ConnectionPool(
            Dialer(
                DialPolicy([network("127.0.0.0/8")]),
                NO_KUBELET_TLS if kubelet is NO_KUBELET else ClientTLS(kubelet),
                clock,
                connect_timeout,
            ),
            clock,
        )
        try:
            yield Transport(pool, timeouts), pool
        finally:
            pool.close()
            await asyncio.sleep(0)


class Upload:
    """A request body of these pieces; `taken` counts those that were read."""

    def __init__(self, pieces: Iterable[bytes | Exception], *, chunked: bool = False) -> None:
        self._pieces = iter(pieces)
        self.chunked = chunked
        self.length: int | None = None if chunked else -1  # how long nobody asks, only whether it is nothing
        self.taken = 0

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        piece = next(self._pieces, b"")
        if isinstance(piece, Exception):
            raise piece
        self.taken += 1
        return piece


def head(method: str = "GET", fields: bytes = b"") -> bytes:
    return method.encode() + b" / HTTP/1.1\r\nHost: backend\r\n" + fields + b"\r\n"


async def start(
    transport: Transport,
    endpoint: Endpoint,
    method: str = "GET",
    upload: Upload | None = None,
    owner: str = "alice",
) -> Http1Trip:
    """A request on a kept connection or a new one."""
    framing = b"Transfer-Encoding: chunked\r\n" if upload is not None and upload.chunked else b""
    trip = await transport.round_trip(endpoint, Request(method, head(method, framing), upload, owner))
    assert isinstance(trip, Http1Trip)
    trip.send()
    return trip


def begin(pool: ConnectionPool, connection: Connection, raw: bytes = b"") -> Http1Trip:
    """A GET on a connection of the test's own."""
    trip = Http1Trip(pool, USUAL, connection, Request("GET", raw or head()))
    trip.send()
    return trip


async def whole(answer: Response) -> bytes:
    """The body to its end.  Raises NetworkError."""
    pieces = []
    while piece := await answer.read():
        pieces.append(piece)
    return b"".join(pieces)


async def ask(
    transport: Transport,
    endpoint: Endpoint,
    method: str = "GET",
    upload: Upload | None = None,
    owner: str = "alice",
) -> tuple[Response, bytes]:
    """One whole exchange."""
    trip = await start(transport, endpoint, method, upload, owner)
    clean = False
    try:
        answer = await trip.answer()
        body = await whole(answer)
        clean = True
        return answer, body
    finally:
        trip.close(clean=clean)


# --- certificates


@contextlib.contextmanager
def files(*pairs: CertificatePair) -> Iterator[list[tuple[Path, Path]]]:
    """The pairs as files, for as long as the block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for i, pair in enumerate(pairs):
            certificate, key = Path(folder, f"{i}.crt"), Path(folder, f"{i}.key")
            certificate.write_bytes(pair.certificate)
            key.write_bytes(pair.key)
            paths.append((certificate, key))
        yield paths


def server_tls(authority: Authority, *names: str, clients: Authority | None = None) -> ssl.SSLContext:
    """For a backend named `names`; it asks for a certificate of `clients`, and takes none as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with files(authority.issue(names or (LOOPBACK,))) as [(certificate, key)]:
        context.load_cert_chain(certificate, key)
    if clients is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=clients.pem.decode())
    return context


# --- objects, as the API writes them


def pod(
    name: str,
    *ips: str,
    namespace: str = "ns",
    containers: Iterable[Iterable[int | tuple[str, int]]] = (),
    phase: str = "Running",
    host_network: bool = False,
    created: str = "2026-01-01T00:00:00Z",
    uid: str = "",
) -> dict[str, Any]:
    """`containers` are lists of ports, each a number or (name, number)."""
    ports = [
        [{"containerPort": p} if isinstance(p, int) else {"name": p[0], "containerPort": p[1]} for p in c]
        for c in containers
    ]
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-{name}",
            "creationTimestamp": created,
        },
        "spec": {"containers": [{"ports": p} if p else {} for p in ports], "hostNetwork": host_network},
        "status": {"phase": phase, "podIPs": [{"ip": ip} for ip in ips]} | ({"podIP": ips[0]} if ips else {}),
    }


def service(
    name: str,
    *ports: dict[str, Any],
    namespace: str = "ns",
    type: str = "ClusterIP",
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {"type": type, "ports": list(ports), **spec},
    }


def endpoints(
    of: str,
    ports: Mapping[str | None, int | None],
    *endpoints: dict[str, Any],
    name: str = "",
    namespace: str = "ns",
) -> dict[str, Any]:
    """An EndpointSlice of the service `of`; `ports` by name."""
    return {
        "metadata": {
            "name": name or f"{of}-1",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": of},
        },
        "ports": [{"name": n, "port": p} for n, p in ports.items()],
        "endpoints": list(endpoints),
    }


def backed_by(
    target: str, *addresses: str, ready: bool | None = True, kind: str = "Pod", namespace: str = "ns"
) -> dict[str, Any]:
    """An endpoint of a slice."""
    return {
        "addresses": list(addresses),
        "conditions": {"ready": ready},
        "targetRef": {"kind": kind, "name": target, "namespace": namespace},
    }


def node(name: str, *addresses: tuple[str, str], kubelet_port: int = 0) -> dict[str, Any]:
    """`addresses` are (type, address)."""
    status: dict[str, Any] = {
        "addresses": [{"type": kind, "address": address} for kind, address in addresses]
    }
    if kubelet_port:
        status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": kubelet_port}}
    return {"metadata": {"name": name}, "status": status}


# --- a catalog of such objects


def put(catalog: Catalog, resource: str, raw: dict[str, Any]) -> None:
    """An object was added or changed."""
    object = compact(msgspec.convert(raw, STRUCTS[resource]))
    catalog.apply(resource, object, (object.metadata.namespace, object.metadata.name))


def remove(catalog: Catalog, resource: str, name: str, namespace: str = "ns") -> None:
    catalog.apply(resource, None, ("" if resource == "nodes" else namespace, name))


def catalog_of(**objects: Iterable[dict[str, Any]]) -> Catalog:
    """A catalog that has seen these objects, by resource, and all lists to their end."""
    catalog = Catalog()
    catalog.synced = dict.fromkeys(STRUCTS, True)
    for resource, raws in objects.items():
        for raw in raws:
            put(catalog, resource, raw)
    return catalog
