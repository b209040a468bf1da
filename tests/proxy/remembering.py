"""A gateway on a listening socket, with all that decides and the backends behind it in one process: what it
remembers can be switched off, and its clocks stand still.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from bastion.authn.authenticator import Credentials, FirstOf, LocalAuthenticator, first_known
from bastion.authn.cached import CachedAuthenticator
from bastion.authn.tokenfile import TokenFileAuthenticator, TokenTable
from bastion.authz.cached import CachedAuthorizer
from bastion.authz.impersonation import ImpersonationAuthorizer
from bastion.balance.pool import Balancer
from bastion.discovery.pathrules import path_groups
from bastion.discovery.resolver import Resolver
from bastion.http.fields import field_of
from bastion.kube.attributes import Attributes
from bastion.kube.user import User
from bastion.message.answers import Policy
from bastion.message.lines import request_lines
from bastion.network.addresses import DialPolicy
from bastion.network.connections import ConnectionPool
from bastion.network.transport import Transport
from bastion.observe.observer import Observer
from bastion.observe.record import Record
from bastion.proxy.admission import Admission
from bastion.proxy.credentials import CredentialReader
from bastion.proxy.direct import DirectDelivery
from bastion.proxy.forward import Forwarder
from bastion.proxy.gateway import Gateway
from bastion.proxy.guard import Guard
from bastion.proxy.origin import Origins
from bastion.proxy.plan import Plans
from bastion.proxy.router import Router
from bastion.proxy.sending import Ways
from bastion.proxy.streams import Streams
from bastion.proxy.tunnel import Tunneller
from bastion.proxy.turns import Turns
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.follow import Followed
from bastion.runtime.limits import Shares
from bastion.runtime.validity import CachedResult, Generation
from bastion.server.http1.connection import Peer
from bastion.server.http1.known import HeadParser
from bastion.server.http1.protocol import HttpProtocol
from bastion.server.state import Remembering, ServerState
from bastion.settings.kinds import network
from bastion.settings.sections import Lifetimes, Limits, StreamLimits
from tests import fakes
from tests.fakes import Backend, Decides, Knows, catalog_of, until, wire

EPOCH = 1_800_000_000.0  # where the wall clock stands at first
CHAIN = (b"a certificate",)


def expiring(seconds: float) -> str:
    """A token that says when it ends: so long after EPOCH."""
    said = base64.urlsafe_b64encode(json.dumps({"exp": int(EPOCH + seconds)}).encode()).rstrip(b"=").decode()
    return f"h.{said}.s"


class ByAuthority(LocalAuthenticator):
    """Users of certificates that an authority signed, which `trusted` names."""

    def __init__(self, trusted: Callable[[], User | None]) -> None:
        self._trusted = trusted

    async def authenticate(self, credentials: Credentials, asker: object) -> User | None:
        return self.known(credentials).value

    def known(self, credentials: Credentials) -> CachedResult[User | None]:
        return CachedResult(self._trusted() if credentials.certificate else None)


async def _a_turn(asker: object) -> None:
    await asyncio.sleep(0)


class House:
    """`may` answers questions, `knows` tokens; `tokens` and `trusted` are what is in files."""

    def __init__(self, transport: Transport, pool: ConnectionPool, *, remember: bool, limit: int) -> None:
        loop = asyncio.get_running_loop()
        self.wall = EPOCH
        self.may: Callable[[User, Attributes], bool] = lambda user, attributes: True
        self.knows = Knows({"t": User("alice"), "u": User("bob"), expiring(5): User("alice")})
        self.tokens = {"static": User("alice")}
        self.trusted: User | None = User("carol")
        self.records: list[Record] = []
        self.catalog = catalog_of()
        generation = Generation()
        self.token_file = Followed("tokens", (), lambda: TokenTable(dict(self.tokens)), generation)
        self.authority = Followed("authority", (), lambda: self.trusted, generation)
        cached = CachedAuthenticator(self.knows, 10.0, lambda: self.wall)
        every: list[Any] = [ByAuthority(self.authority), TokenFileAuthenticator(self.token_file), cached]
        known = partial(first_known, every)
        self.decides = Decides(lambda user, attributes: self.may(user, attributes))
        authorizer = CachedAuthorizer(self.decides, Lifetimes())
        origins = Origins(())
        self.guard = guard = Guard(
            FirstOf(every), lambda credentials: True, Limits(exchanges_per_user=limit), lambda request: False
        )
        policy = DialPolicy([network("127.0.0.0/8")])
        balancer = Balancer()
        resolver = Resolver(self.catalog, policy, nodes=False)
        groups_of = partial(path_groups, self.catalog)
        router = Router(resolver, _a_turn, groups_of=groups_of)
        ways = Ways(transport, router, balancer, loop.time)
        self.deadlines = deadlines = Deadlines()
        self.waiting = waiting = Shares(0)
        self.watched: list[Any] = []
        self.streams = streams = Streams(deadlines, StreamLimits(), self._watch)
        observer = Observer([self])
        admission = Admission(
            credentials=CredentialReader(origins, None, None, lambda: self.wall),
            guard=guard,
            impersonator=ImpersonationAuthorizer(authorizer),
            authorizer=authorizer,
            groups_of=groups_of,
        )
        self.plans = Plans(
            request_lines(field_of),
            known,
            authorizer.known,
            generation,
            loop.time,
            lambda: self.wall,
            lambda key, asker: True,
        )
        turns = Turns()
        gateway = Gateway(
            admission=admission,
            guard=guard,
            router=router,
            origins=origins,
            forwarder=Forwarder(ways, waiting, Policy(), turns),
            tunneller=Tunneller(
                ways=ways,
                deadlines=deadlines,
                idle=0,
                policy=Policy(),
                turns=turns,
            ),
            streams=streams,
            observer=observer,
            plans=self.plans if remember else None,
        )
        direct = DirectDelivery(
            guard=guard,
            router=router,
            balancer=balancer,
            waiting=waiting,
            pool=pool,
            transport=transport,
            streams=streams,
            observer=observer,
            policy=Policy(),
            renewed=admission.renewed,
            crowded=lambda: False,
        )
        self.begun: list[bool] = []  # for each remembered request, whether it began without a task

        def begin(exchange: Any, plan: Any) -> bool:
            self.begun.append(direct.begin(exchange, plan))
            return self.begun[-1]

        self.pool = pool
        self.state = ServerState(
            gateway,
            deadlines,
            remembering=Remembering(self.plans, begin, gateway.go_on) if remember else None,
        )
        self.peer = Peer("127.0.0.1")
        self.port = 0

    def _watch(self, *what: Any) -> Callable[[], None]:
        self.watched.append(what)
        return lambda: None

    def observe(self, record: Record) -> None:
        self.records.append(record)

    def lasts(self, record: Record) -> None:
        """It is on record at its end."""

    def lead(self, name: str, backend: Backend, address: str = fakes.LOOPBACK) -> None:
        fakes.put(self.catalog, "pods", fakes.pod(name, address, containers=[[backend.port]]))

    async def connect(self, peer: Peer | None = None) -> Client:
        self.peer = peer or Peer("127.0.0.1")
        before = len(self.state.connections)
        reader, writer = await asyncio.open_connection(fakes.LOOPBACK, self.port)
        await until(lambda: len(self.state.connections) > before)
        return Client(reader, writer)

    def protocol(self) -> HttpProtocol:
        house = self

        class Shown(HttpProtocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                self.peer = house.peer
                self._parse = HeadParser(self.server.plans, self.peer)

        return Shown(self.state, asyncio.get_running_loop())

    @property
    def nothing_is_held(self) -> bool:
        return not (
            self.state.exchanges
            or len(self.waiting)
            or self.streams._young
            or len(self.guard.exchanges)
            or self.streams.statistics().long
        )


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(
        self, pod: str = "web", *lines: str, token: str = "t", path: str = "/x", method: str = "GET"
    ) -> None:
        named = pod if "/" in pod else f"pods/{pod}:{self.port}"
        target = f"/api/v1/namespaces/ns/{named}/proxy{path}"
        shown = [f"Authorization: Bearer {token}"] if token else []
        head = [f"{method} {target} HTTP/1.1", "Host: bastion.test", *shown, *lines, "", ""]
        self._writer.write("\r\n".join(head).encode("latin-1"))

    port = 0

    async def answer(self) -> tuple[int, bytes, bytes]:
        """(status, head, body)."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        at = lower.index(b"content-length: ") + 16
        length = int(lower[at : lower.index(b"\r\n", at)])
        return int(head.split()[1]), head, await self._reader.readexactly(length)

    async def ask(
        self, pod: str = "web", *lines: str, token: str = "t", path: str = "/x", method: str = "GET"
    ) -> int:
        self.send(pod, *lines, token=token, path=path, method=method)
        return (await self.answer())[0]

    def leave(self) -> None:
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def house(*, remember: bool = True, limit: int = 0) -> AsyncIterator[House]:
    async with wire() as (transport, pool):
        made = House(transport, pool, remember=remember, limit=limit)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(made.protocol, fakes.LOOPBACK, 0)
        made.port = server.sockets[0].getsockname()[1]
        try:
            yield made
        finally:
            server.close()
            for connection in list(made.state.connections):
                connection.abort()  # type: ignore[attr-defined]
            await until(lambda: not made.state.connections)


def always(body: bytes = b"ok", head: bytes = b"") -> Backend:
    """Answers every request alike."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))

    server = Backend(script)
    return server
