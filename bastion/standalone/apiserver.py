"""The embedded API as a server: loads, listens with TLS, follows its files, stops.

It is reached over HTTPS like any API server and shares a process and a loop with whoever asks it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import logging
import secrets
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path

import uvicorn

from bastion.kube.kubeconfig import context_name, kubeconfig
from bastion.kube.user import User
from bastion.runtime.certificates import Authority
from bastion.runtime.trust import server_context
from bastion.standalone.app import Api
from bastion.standalone.discovery import documents
from bastion.standalone.files import FollowedFiles
from bastion.standalone.manifests import load, manifest_files
from bastion.standalone.rbac import SUPERUSERS
from bastion.standalone.state import Snapshot, State, snapshot
from bastion.standalone.store import HISTORY
from bastion.standalone.tokens import read_tokens
from bastion.standalone.watches import BOOKMARK_INTERVAL, Watches

BOOTSTRAP = Path(__file__).with_name("bootstrap.yaml")
INTERNAL_CONTEXT = "bastion"
INTERNAL_USER = User("system:bastion", groups=(SUPERUSERS,))
# seconds, kube-apiserver's; uvicorn's own 5 would close connections under a client's next request
KEEP_ALIVE = 90
GRACE = 1.0  # seconds for requests under way when the server stops

log = logging.getLogger("bastion.standalone")


class ApiServer:
    """Use as an asynchronous context manager; `url` is known inside of it.

    `poll_interval` and `bookmark_interval` in seconds.  `extra_tokens`: token -> user, beside those of the
    file.
    """

    def __init__(
        self,
        manifests: Sequence[Path],
        token_file: Path | None,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        poll_interval: float = 0.5,
        extra_tokens: Mapping[str, User] = {},
        bookmark_interval: float = BOOKMARK_INTERVAL,
        history: int = HISTORY,
    ) -> None:
        self.calls: Counter[str] = Counter()
        self.url = ""
        self._authority = Authority("bastion standalone")
        self.ca = self._authority.pem
        self._token = secrets.token_urlsafe(32)
        self._fixed = {**extra_tokens, self._token: INTERNAL_USER}
        self._listen = (address, port)
        self._poll_interval = poll_interval
        self._bookmark_interval = bookmark_interval
        self._history = history
        self._defaults = load([BOOTSTRAP]).objects
        self._manifests = FollowedFiles(
            lambda: manifest_files(manifests), lambda: snapshot(load(manifests), self._defaults)
        )
        self._tokens = (
            FollowedFiles(lambda: [token_file], lambda: read_tokens(token_file)) if token_file else None
        )
        self._warned: set[tuple[str, str]] = set()
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> ApiServer:
        """Raises ManifestError, TokenFileError, and OSError where the port is taken."""
        # Counting starts at the clock, so that a client of an earlier process is told to list again.
        self._state = State(self._fixed, int(_now().timestamp()), self._history)
        self._watches = Watches(self._state.store, self._bookmark_interval)
        self._show(await self._manifests.load())
        if self._tokens is not None:
            self._state.tokens = await self._tokens.load()
        listener = _listener(*self._listen)
        async with contextlib.AsyncExitStack() as opening:
            opening.callback(listener.close)
            await opening.enter_async_context(self._serving(listener))
            await opening.enter_async_context(_running(self._follow(), "standalone: follow files"))
            self._open = opening.pop_all()
        log.info("listening at %s", self.url)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def kubeconfig(self) -> str:
        """YAML with the internal identity as the first and current context, and one context per user of the
        token file.
        """
        of_user = {user.name: token for token, user in self._state.tokens.items()}
        contexts = {INTERNAL_CONTEXT: self._token}
        for name, token in of_user.items():
            contexts[context_name(name, contexts)] = token
        return kubeconfig(self.url, self.ca, contexts)

    # --- listening

    @contextlib.asynccontextmanager
    async def _serving(self, listener: socket.socket) -> AsyncIterator[None]:
        where = _where(listener, self._listen[0])
        api = Api(self._state, self._watches, documents(where), self.calls)
        pair = self._authority.issue(list(dict.fromkeys(("localhost", "127.0.0.1", "::1", self._listen[0]))))
        server = _Server(_config(api, server_context(pair)))
        task = asyncio.create_task(server.serve(sockets=[listener]), name="standalone: serve")
        task.add_done_callback(lambda _: server.listening.set())
        try:
            await server.listening.wait()
            if task.done():
                await task  # it could not listen, and raises why
            self.url = f"https://{where}"
            yield
        finally:
            self._watches.close()
            server.should_exit = True
            await task

    # --- following

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_interval)
            try:
                await self._look_again()
            except Exception as error:
                log.error("the files could not be read again: %r", error)

    async def _look_again(self) -> None:
        if (fresh := await self._manifests.changed()) is not None:
            self._show(fresh)
        if self._tokens is not None and (tokens := await self._tokens.changed()) is not None:
            self._state.tokens = tokens
            log.info("token file read again: %d tokens", len(tokens))

    def _show(self, snapshot: Snapshot) -> None:
        for file, kind in sorted(snapshot.skipped - self._warned):
            log.warning("%s: kind %s is not served here and was kept out", file, kind)
        self._warned |= snapshot.skipped
        changes = self._state.show(snapshot, _now().strftime("%Y-%m-%dT%H:%M:%SZ"))
        self._watches.notify()
        log.info(
            "manifests read: %d added, %d modified, %d deleted",
            changes.added,
            changes.modified,
            changes.deleted,
        )


class _Server(uvicorn.Server):
    """A guest in somebody else's process and loop: leaves the signals alone and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but quiet, and what has not ended by itself in time is cut off.

        A peer that does not answer the end of TLS would be waited for, half a minute long.
        """
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                while self.server_state.connections:  # noqa: ASYNC110 uvicorn keeps a set and tells nobody
                    await asyncio.sleep(0.02)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()


def _config(api: Api, tls: ssl.SSLContext) -> uvicorn.Config:
    return uvicorn.Config(
        api,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        ssl_context_factory=lambda *_: tls,
    )


def _listener(address: str, port: int) -> socket.socket:
    """Raises OSError that names the address."""
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen at {address}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(target)
        listener.listen(1024)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen at {address} port {port}: {error.strerror}") from error
    return listener


def _where(listener: socket.socket, address: str) -> str:
    """host:port for clients on this machine."""
    port = listener.getsockname()[1]
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return f"{address}:{port}"
    if ip.is_unspecified:
        ip = ipaddress.ip_address("::1" if ip.version == 6 else "127.0.0.1")
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"


@contextlib.asynccontextmanager
async def _running(work: Coroutine[None, None, None], name: str) -> AsyncIterator[None]:
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
