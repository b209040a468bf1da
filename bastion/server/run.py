"""Starts a server, stops it, and waits for what is under way.

uvicorn's Server is the frame (configuration, loop); its start and stop are replaced: it sets no handshake
deadline, cannot pause accepting, re-raises SIGTERM (exit 143) and has one budget for everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import uvicorn

from bastion.server.http1.protocol import HttpProtocol
from bastion.server.listener import Listener
from bastion.server.state import ServerState
from bastion.settings.sections import Serving, StreamLimits

CLOSING_SECONDS = 1.5  # for the last connections to be closed

_log = logging.getLogger("bastion.server")

_SERVING, _STREAMS = Serving(), StreamLimits()


@dataclass(frozen=True, slots=True)
class Endings:
    """Seconds: `delay` from the signal to stop to the end of accepting, `exchanges` and `tunnels` for those
    under way after that; a long exchange counts as a tunnel.
    """

    delay: float = _SERVING.shutdown_delay
    exchanges: float = 30.0
    tunnels: float = _STREAMS.drain


class Server(uvicorn.Server):
    """Without `tls` all `sockets` are plain HTTP; those in `plain` always are, and those in `aside` have a
    state of their own.
    """

    def __init__(
        self,
        state: ServerState,
        endings: Endings,
        tls: Callable[[], ssl.SSLContext] | None,
        plain: list[socket.socket],
        app: object,
        aside: Sequence[tuple[socket.socket, ServerState]] = (),
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,  # type: ignore[arg-type]
                http=HttpProtocol,
                ws="none",
                lifespan="off",
                loop="uvloop",
                log_config=None,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                access_log=False,
            )
        )
        self.state = state
        self._endings = endings
        self._tls = tls
        self._plain = plain
        self._aside = tuple(aside)
        self._stop = state.stopping
        self._listeners: list[Listener] = []

    def stop_after(self, pipe: int) -> None:
        """Stop in good order once the other end of this pipe is closed."""
        loop = asyncio.get_running_loop()

        def readable() -> None:
            if not os.read(pipe, 1):
                loop.remove_reader(pipe)
                self._stop.set()

        loop.add_reader(pipe, readable)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._listeners = [Listener(sock, self._tls, self.state) for sock in sockets or []]
        self._listeners += [Listener(sock, None, self.state) for sock in self._plain]
        self._listeners += [Listener(sock, None, state) for sock, state in self._aside]
        for listener in self._listeners:
            listener.start()
        self.started = True

    async def main_loop(self) -> None:
        await self._stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._endings.delay:
            _log.info("stopping: not ready any more, accepting for another %g s", self._endings.delay)
            await asyncio.sleep(self._endings.delay)
        for listener in self._listeners:
            listener.stop()
        for state in (self.state, *(state for _, state in self._aside)):
            state.draining = True
            for connection in list(state.connections):
                connection.shut_down()
        self.state.end_watches()
        _log.info("stopping: %d exchanges under way", self.state.exchanges)
        await self._end_by(
            self._endings.exchanges, self._end_exchanges, self._endings.tunnels, self.state.end_tunnels
        )

    async def _end_by(
        self,
        exchanges: float,
        end_exchanges: Callable[[], None],
        tunnels: float,
        end_tunnels: Callable[[], None],
    ) -> None:
        """Each kind has its own budget, in seconds; what is left after the larger one has CLOSING_SECONDS to
        be closed.
        """
        began = asyncio.get_running_loop().time()
        for budget, end in sorted(
            ((exchanges, end_exchanges), (tunnels, end_tunnels)), key=lambda pair: pair[0]
        ):
            await self._idle(began + budget)
            end()
        await self._idle(asyncio.get_running_loop().time() + CLOSING_SECONDS)

    async def _idle(self, until: float) -> None:
        """Until there is no connection any more, or that moment of the loop's clock."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self.state.idle.wait()

    def _end_exchanges(self) -> None:
        """But for long ones: they have the time of tunnels."""
        for connection in self.state.connections - self.state.hijacked:
            if not connection.lasting:
                connection.end_exchange("the bastion is stopping")

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """The first SIGTERM or SIGINT stops in good order (exit 0), the second at once: exit 1 where one
        was under way.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
                if self._stop.is_set():  # all is over, and the exit status is not to be that of a signal
                    signal.signal(number, signal.SIG_IGN)

    def _signalled(self) -> None:
        if self._stop.is_set():
            os._exit(1 if self.state.exchanges else 0)
        self._stop.set()
