"""What the commands do, once their flags are read."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import uvloop

from bastion.authn.authenticators import trusts_of
from bastion.cli.checking import check, examine, ready_line
from bastion.observe import logs
from bastion.observe.collecting import Collecting
from bastion.runtime.certificates import Authority, Pair
from bastion.runtime.errors import StartError
from bastion.runtime.follow import Followed, follow
from bastion.runtime.private import write_private
from bastion.runtime.trust import server_context
from bastion.server.capacity import this_machine, too_many
from bastion.server.listener import bind
from bastion.server.memory import keep_small, settle_memory, tune_allocator
from bastion.server.run import Endings, Server
from bastion.server.supervisor import NUMBER, Supervisor, told_by_supervisor
from bastion.server.tls import ask_for_certificates, own_names, serving_context
from bastion.settings.config import INSECURE_ADDRESS, Config, Serving, serve_config
from bastion.wiring.bastion import Bastion, open_bastion
from bastion.wiring.cluster import embedded_api
from bastion.wiring.signin import session_key

_log = logging.getLogger("bastion.server")
_start_log = logging.getLogger("bastion.start")
WORKER_READY = 10.0  # seconds
UNDONE = 1.0  # seconds for a start to be undone


@dataclass(frozen=True, slots=True)
class Sockets:
    """Where it listens: with TLS, in plain, and for whoever wants metrics and nothing else."""

    tls: list[socket.socket]
    plain: list[socket.socket]
    aside: list[socket.socket]

    @property
    def all(self) -> tuple[socket.socket, ...]:
        return (*self.tls, *self.plain, *self.aside)


def serve(flags: argparse.Namespace, argv: Sequence[str]) -> int:
    """The exit status."""
    # else Python writes the keys of its connections there, and with them every token
    os.environ.pop("SSLKEYLOGFILE", None)
    told = orjson.loads(told_by_supervisor() or b"{}")
    if told.get("kubeconfig"):  # the supervisor runs the embedded API
        flags.manifests, flags.token_auth_file, flags.kubeconfig = [], None, Path(told["kubeconfig"])
    if told:
        flags.tls_cert_file, flags.tls_private_key_file = Path(told["certificate"]), Path(told["key"])
    config = serve_config(flags)
    if told:
        config = replace(
            config,
            browsers=replace(
                config.browsers, key=bytes.fromhex(told["session_key"]), used=Path(told["used"])
            ),
        )
        config = replace(config, serving=replace(config.serving, self_signed=told["self_signed"]))
        config = replace(
            config,
            observing=replace(
                config.observing, folder=Path(told["metrics"]), number=os.environ.get(NUMBER, "0")
            ),
        )
    logs.configure(config.verbosity, config.observing.log_format)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to be read again
    # what one worker says is said for all
    logging.getLogger("bastion.start").disabled = os.environ.get(NUMBER, "0") != "0"
    if flags.check:
        return _run(lambda: _check(config))
    if told:
        inherited = Sockets(
            *([_inherited(fd) for fd in told[kind]] for kind in ("sockets", "plain", "aside"))
        )
        return _run(lambda: _serve(config, inherited, ready_within=WORKER_READY))
    if config.serving.workers > 1:
        return _run(lambda: _supervise(config, argv))
    return _run(lambda: _serve(config, _sockets(config)))


def standalone(flags: argparse.Namespace) -> int:
    from bastion.standalone import run

    logs.configure(flags.verbosity, flags.log_format)
    return _run(
        lambda: _finally(
            run.run(flags.manifests, flags.token_auth_file, flags.bind_address, flags.port, flags.kubeconfig)
        )
    )


def demo(flags: argparse.Namespace) -> int:
    from bastion.demo import run as demo

    logs.configure(flags.verbosity, flags.log_format)
    return _run(lambda: demo.run(flags.directory, flags.port, flags.log_format))


async def _serve(config: Config, sockets: Sockets, *, ready_within: float = 0.0) -> int:
    """`ready_within`: seconds that a worker waits for the objects before it accepts; others serve
    meanwhile.
    """
    tls = _serving_tls(config.serving, config.authentication.authorities)
    began = asyncio.get_running_loop().time()
    async with open_bastion(config, sys.stdout.fileno()) as bastion:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, bastion, tls)
        endings = Endings(config.serving.shutdown_delay, tunnels=config.streams.drain)
        aside = [(sock, bastion.metrics) for sock in sockets.aside]
        server = Server(bastion.state, endings, tls, sockets.plain, bastion.app, aside)
        if ready_within:
            server.stop_after(sys.stdin.fileno())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(bastion.synced(), ready_within)
        _announce(config.serving, sockets)
        settle_memory()
        background = [
            asyncio.create_task(work) for work in (follow([tls]), _settle(bastion, began), keep_small())
        ]
        await server.serve(sockets=sockets.tls)
        for task in background:
            task.cancel()
    return 0


async def _settle(bastion: Bastion, began: float) -> None:
    await bastion.synced()
    seconds = asyncio.get_running_loop().time() - began
    settle_memory()
    _start_log.info("%s", ready_line(bastion, seconds))


def _reload(bastion: Bastion, tls: Followed[ssl.SSLContext]) -> None:
    _log.info("SIGHUP: reading all files again")
    tls.again()
    bastion.reload()


async def _check(config: Config) -> int:
    """Everything that a start does but serving."""
    _refuse_too_many(config.serving.workers)
    sockets = _sockets(config)
    _serving_tls(config.serving, config.authentication.authorities)
    for sock in sockets.all:
        sock.close()
    logging.getLogger("bastion").setLevel(logging.CRITICAL)  # all of it is in what is told at the end
    return await check(config)


def _refuse_too_many(workers: int) -> None:
    if (reason := too_many(workers, this_machine())) is not None:
        raise StartError(reason)


async def _supervise(config: Config, argv: Sequence[str]) -> int:
    """Workers are this program anew, on sockets of ours; the certificate and the embedded API are one for
    all.
    """
    _refuse_too_many(config.serving.workers)
    sockets = _sockets(config)
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bastion-")))
        # A mistake is found here, not in each worker.
        _serving_tls(config.serving, config.authentication.authorities)
        trusts_of(config.authentication)
        certificate, key = config.serving.certificate, config.serving.key
        if certificate is None or key is None:
            certificate, key = _write_pair(folder, _self_signed(config.serving))
        told: dict[str, Any] = {
            "certificate": str(certificate),
            "key": str(key),
            "self_signed": config.serving.certificate is None,
        }
        (folder / "used").mkdir(mode=0o700)
        told["used"] = str(folder / "used")
        told["session_key"] = session_key(config.browsers).hex()
        told |= {
            kind: [sock.fileno() for sock in some]
            for kind, some in (("sockets", sockets.tls), ("plain", sockets.plain), ("aside", sockets.aside))
        }
        told["metrics"] = str(folder)
        stack.callback(
            (await Collecting(folder, [*map(str, range(config.serving.workers))]).answering()).close
        )
        if config.source.manifests:
            told["kubeconfig"] = str(folder / "kubeconfig")
            write_private(folder / "kubeconfig", (await embedded_api(config, stack)).kubeconfig())
        await examine(config)
        command = [sys.executable, "-m", "bastion", *argv]
        return await Supervisor(
            command, config.serving.workers, [sock.fileno() for sock in sockets.all], orjson.dumps(told)
        ).run()


def _announce(serving: Serving, sockets: Sockets) -> None:
    host = f"[{serving.bind_address}]" if ":" in serving.bind_address else serving.bind_address
    for sock in sockets.tls:
        _log.info("serving https://%s:%d", host, sock.getsockname()[1])
    for sock in sockets.aside:
        _log.info(
            "serving /metrics in plain HTTP, to whoever can reach it, at %s port %d", *sock.getsockname()[:2]
        )
    if serving.self_signed:
        _start_log.warning("no --tls-cert-file: the certificate was made just now, and no client trusts it")


async def _finally(work: Coroutine[Any, Any, None]) -> int:
    await work
    return 0


# --- what may go wrong before the first request


def _tls(serving: Serving) -> ssl.SSLContext:
    if serving.certificate is None or serving.key is None:
        return server_context(_self_signed(serving))
    try:
        return serving_context(serving.certificate, serving.key)
    except (OSError, ssl.SSLError) as error:
        raise StartError(
            f"cannot use the certificate {serving.certificate} with the key {serving.key}: {_cause(error)}"
        ) from error


def _serving_tls(serving: Serving, authorities: Sequence[Path]) -> Followed[ssl.SSLContext]:
    """`authorities` sign clients' certificates.

    Raises StartError; what is wrong with a file later on is said in the log.
    """
    pair = _self_signed(serving) if serving.certificate is None or serving.key is None else None

    def read() -> ssl.SSLContext:
        if pair is not None:
            context = server_context(pair)
        else:
            assert serving.certificate is not None and serving.key is not None
            context = serving_context(serving.certificate, serving.key)
        ask_for_certificates(context, authorities)
        return context

    if pair is None:
        _tls(serving)
    try:
        what = (
            "the certificate" if pair is not None else f"the certificate {serving.certificate} with its key"
        )
        return Followed(what, (serving.certificate, serving.key, *authorities), read)
    except (OSError, ssl.SSLError) as error:
        raise StartError(
            f"cannot use the clients' authorities {', '.join(map(str, authorities))}: {_cause(error)}"
        ) from error


def _self_signed(serving: Serving) -> Pair:
    return Authority("bastion").issue(
        [*own_names(serving.bind_address), *serving.names], common_name="bastion"
    )


def _write_pair(folder: Path, pair: Pair) -> tuple[Path, Path]:
    certificate, key = folder / "tls.crt", folder / "tls.key"
    certificate.write_bytes(pair.certificate)
    write_private(key, pair.key.decode())
    return certificate, key


def _sockets(config: Config) -> Sockets:
    serving, aside = config.serving, config.observing.metrics_address
    return Sockets(
        [_bind(serving.bind_address, serving.port)],
        [_bind(INSECURE_ADDRESS, serving.insecure_port)] if serving.insecure_port else [],
        [_bind(*aside)] if aside is not None else [],
    )


def _inherited(descriptor: int) -> socket.socket:
    """The supervisor's socket, for this process and none that it starts."""
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)


def _bind(address: str, port: int) -> socket.socket:
    try:
        return bind(address, port)
    except OSError as error:
        raise StartError(f"cannot listen on {address}:{port}: {_cause(error)}") from error


def _run(start: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run to the end; what a user may have got wrong becomes a StartError."""
    tune_allocator()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_stoppable(start()))
    except OSError as error:
        raise StartError(f"{error.filename or ''}{': ' if error.filename else ''}{_cause(error)}") from error


async def _stoppable(work: Coroutine[Any, Any, int]) -> int:
    """SIGTERM before whatever serves has handlers of its own: what was begun is undone, status 0.

    A second one ends at once.
    """
    loop, task, told = asyncio.get_running_loop(), asyncio.ensure_future(work), False

    def signalled() -> None:
        nonlocal told
        if told:
            os._exit(1)
        told = True
        task.cancel()
        # an exec plugin that hangs is waited for in a thread that nothing ends
        loop.call_later(UNDONE, os._exit, 0)

    loop.add_signal_handler(signal.SIGTERM, signalled)
    try:
        return await task
    except asyncio.CancelledError:
        if not told:
            raise
        return 0


def _cause(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not a PEM certificate and key").lower().replace("_", " ")
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
