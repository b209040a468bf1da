"""Puts the parts of `bastion proxy` together, serves until a signal or a command's end, and cleans up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import uvloop

from bastion.localproxy import listen
from bastion.localproxy.app import App, Parts
from bastion.localproxy.connection import LocalConnection
from bastion.localproxy.contexts import Contexts
from bastion.localproxy.filter import Filter
from bastion.localproxy.forward import Forwarder
from bastion.localproxy.gate import PARAMETER, Gate, admit_all
from bastion.localproxy.lines import Log, failed, write
from bastion.localproxy.loading import Kubeconfig
from bastion.localproxy.options import Options
from bastion.localproxy.request import Rules
from bastion.localproxy.routing import Router
from bastion.localproxy.static import Folder
from bastion.localproxy.tunnels import Tunnels
from bastion.localproxy.upstream import Upstream
from bastion.network.tls.layer import SharedBuffers, TLSLayer
from bastion.proxy.exchange import Exchange
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.errors import StartError
from bastion.runtime.listening import BACKLOG
from bastion.server import plaintext
from bastion.server.memory import settle_memory, tune_allocator
from bastion.server.state import ServerState
from bastion.settings.sections import Timeouts

FOREVER = float("inf")
# A local program may hold an idle connection for as long as it likes, as with kubectl; only a head must come.
TIMEOUTS = Timeouts(
    request_header=60.0, keep_alive=FOREVER, request_body_idle=FOREVER, response_stall=FOREVER
)


def run(options: Options, environ: Mapping[str, str] = os.environ) -> int:
    """The exit status.  Raises StartError, ListenError and ValueError, each a line for the user."""
    tune_allocator()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        status = runner.run(_served(LocalProxy(options, environ), options))
    if status < 0:  # by a signal: end by it, as whoever sent it expects
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


async def _served(proxy: LocalProxy, options: Options) -> int:
    async with proxy.open() as listening:
        settle_memory()
        ended = None if options.command else _signalled()  # before anybody knows that it serves
        # what a command puts out is its own
        out = sys.stderr if options.command else sys.stdout
        print(f"Starting to serve on {listening.shown}", file=out, flush=True)
        url = proxy.url(listening)
        if options.auth_token:
            print(f"Open {url}/?{PARAMETER.decode()}{proxy.token}", file=out, flush=True)
        return await (proxy.run_command(url) if ended is None else ended)


class LocalProxy:
    """`token` is what may be shown, or has to be with --auth-token; empty for none."""

    def __init__(self, options: Options, environ: Mapping[str, str]) -> None:
        """Raises what a mistake of the user's raises, before anything is opened."""
        if options.command and options.unix_socket:
            raise StartError("-- COMMAND needs a port: kubectl cannot use a Unix socket")
        if options.command and options.auth_token and not options.tls:
            raise StartError(
                "-- COMMAND with --auth-token needs --tls: kubectl sends no token over plain HTTP"
            )
        self._options = options
        self._environ = environ
        self._router = Router(options)
        Filter(options, lambda host: False)  # flags are looked at before files are
        self._kubeconfig = Kubeconfig(options.connection, environ)
        self._several = options.all_contexts or bool(options.contexts)
        # over TLS kubectl asks for a user name where a kubeconfig holds no credential at all
        shows_token = options.auth_token or (options.tls and bool(options.command))
        self.token = secrets.token_urlsafe(32) if shows_token else ""
        self._authority = b""

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[listen.ListenSocket]:
        """It serves until this is left."""
        options = self._options
        async with contextlib.AsyncExitStack() as stack:
            deadlines = await stack.enter_async_context(Deadlines())
            self.upstreams = self._upstreams(deadlines)
            for upstream in self.upstreams.values():
                stack.callback(upstream.close)
            tunnels = Tunnels(deadlines, options.websocket_ping, failed)
            stack.callback(tunnels.end)
            listening = listen.listen(options)
            if options.unix_socket:
                stack.callback(listen.Removal(options.unix_socket))
            _warn(options, self.upstreams)
            tls = self._tls() if options.tls else None
            counted = await stack.enter_async_context(self._metrics(deadlines, tunnels))
            app = self._app(self.upstreams, tunnels, counted)
            self._state = ServerState(app, deadlines, timeouts=TIMEOUTS, any_target=True, body_grace=FOREVER)
            await stack.enter_async_context(_accepting(self._state, listening, options, tls))
            yield listening

    def url(self, listening: listen.ListenSocket) -> str:
        scheme = "https" if self._options.tls else "http"
        return f"{scheme}://{_reachable(listening)}{self._options.api_prefix.rstrip('/')}"

    async def run_command(self, url: str) -> int:
        """Its exit status."""
        from bastion.localproxy import command

        names = tuple(self.upstreams) if self._several else ()
        config = command.kubeconfig(url, names, self._kubeconfig.context, self.token, self._authority)
        return await command.run(self._options.command, url, config, self._environ)

    def _upstreams(self, deadlines: Deadlines) -> dict[str, Upstream]:
        options, kubeconfig = self._options, self._kubeconfig
        names = options.contexts or ((kubeconfig.contexts) if options.all_contexts else ())
        if options.all_contexts and kubeconfig.context in names:
            names = (kubeconfig.context, *(name for name in names if name != kubeconfig.context))
        if options.all_contexts and not names:
            raise StartError("--all-contexts: the kubeconfig has no context")
        return {
            name: Upstream(
                name,
                *kubeconfig.reach(name),
                deadlines,
                append_path=options.append_server_path,
                keepalive=options.keepalive,
            )
            for name in names or (kubeconfig.context,)
        }

    def _app(self, upstreams: Mapping[str, Upstream], tunnels: Tunnels, counted: object) -> App:
        options = self._options
        log = Log(options.verbosity, access=options.access_log, counted=counted)  # type: ignore[arg-type]
        authorities = frozenset(one.server.netloc.lower().encode() for one in upstreams.values())
        presenter = None
        if options.rewrite:
            from bastion.localproxy.applications import Presenter

            presenter = Presenter(authorities)
        contexts = Contexts(upstreams, several=self._several, presenter=presenter)
        rules = Rules(
            options.allow_impersonation, options.pass_authorization, not options.disable_compression
        )
        return App(
            Parts(
                filter=Filter(options, contexts.serves_host),
                router=self._router,
                contexts=contexts,
                forwarder=Forwarder(rules, tunnels, failed),
                folder=Folder(Path(options.www)) if options.www else None,
                log=log,
                admit=self._gate(),
            )
        )

    def _gate(self) -> Callable[[Exchange], bool]:
        if not self.token:
            return admit_all
        return Gate(self.token, secure=self._options.tls, required=self._options.auth_token).admit

    def _tls(self) -> ssl.SSLContext:
        from bastion.localproxy.certificate import made

        context, self._authority = made(self._options.address)
        return context

    @contextlib.asynccontextmanager
    async def _metrics(self, deadlines: Deadlines, tunnels: Tunnels) -> AsyncIterator[object]:
        address = self._options.metrics_bind_address
        if not address:
            yield None
            return
        from bastion.localproxy.metrics import Metrics

        host, _, port = address.rpartition(":")
        if not port.isdigit():
            raise StartError(f"--metrics-bind-address: {address!r} is no HOST:PORT")
        sock = listen.tcp(host, int(port))
        metrics = Metrics(lambda: len(tunnels), lambda: len(self._state.connections))
        state = ServerState(metrics, deadlines)
        async with _accepting(state, listen.ListenSocket(sock, address), self._options, None):
            yield metrics.count


def _reachable(listening: listen.ListenSocket) -> str:
    host, _, port = listening.shown.rpartition(":")
    return f"127.0.0.1:{port}" if host in ("[::]", "0.0.0.0") else listening.shown  # noqa: S104


@contextlib.asynccontextmanager
async def _accepting(
    state: ServerState, listening: listen.ListenSocket, options: Options, tls: ssl.SSLContext | None
) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    buffers = SharedBuffers()

    def connection() -> asyncio.BaseProtocol:
        http = LocalConnection(state, loop, only_user=options.only_user)
        if tls is None:
            return http
        return TLSLayer(http, tls, state.deadlines, buffers, server_side=True, not_tls=plaintext.answer)

    if options.unix_socket and listening.port == 0:
        server = await loop.create_unix_server(connection, sock=listening.sock)
    else:
        server = await loop.create_server(connection, sock=listening.sock, backlog=BACKLOG)
    try:
        yield
    finally:
        server.close()
        for one in list(state.connections):
            one.end_exchange("the proxy is stopping")


def _signalled() -> asyncio.Future[int]:
    """Done by a signal: its number, negative."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[int] = loop.create_future()

    def end(number: int) -> None:
        if not came.done():
            came.set_result(-number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, end, number)
    return came


def _warn(options: Options, upstreams: Mapping[str, Upstream]) -> None:
    """What works, and is probably not meant."""
    if options.disable_filter and not options.unix_socket:
        write("Request filter disabled, your proxy is vulnerable to XSRF attacks, please be cautious")
    if options.www and not Path(options.www).is_dir():
        write(f"--www: {options.www} is no folder that is there")
    for upstream in upstreams.values():
        if upstream.server.path and not options.append_server_path:
            write(
                f"The path {upstream.server.path} of the server in the kubeconfig is left out of"
                f" every request;"
                " to put it in front use --append-server-path"
            )
    local = options.unix_socket or options.address in ("localhost", "::1", "[::1]")
    if not (local or options.address.startswith("127.") or options.auth_token):
        write(
            f"--address={options.address}: whoever reaches this port acts as you; --accept-hosts is"
            f" no protection"
            " against other programs, --auth-token is"
        )
