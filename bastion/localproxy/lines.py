"""What an operator reads on standard error: failures always, a line per request when asked."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable

from bastion.proxy.exchange import Exchange


class Log:
    """`verbosity` as kubectl's -v: from 3 on what the filter said.

    `counted` is told (method, status, seconds) of each request.
    """

    def __init__(
        self, verbosity: int, *, access: bool, counted: Callable[[str, int, float], None] | None = None
    ) -> None:
        self._filter = verbosity >= 3
        self._access = access
        self._counted = counted
        self._timed = access or counted is not None
        self._began: dict[int, float] = {}

    def began(self, exchange: Exchange) -> None:
        if self._timed:
            self._began[id(exchange)] = time.perf_counter()

    def ended(self, exchange: Exchange) -> None:
        if not self._timed:
            return
        seconds = time.perf_counter() - self._began.pop(id(exchange))
        if self._counted is not None:
            self._counted(exchange.method, exchange.status, seconds)
        if self._access:
            moment = datetime.datetime.now().astimezone().isoformat(timespec="milliseconds")
            path = exchange.target.partition(b"?")[0].decode("latin-1")  # a query may hold what is secret
            said = f"{moment} {exchange.client or 'unix'} {exchange.method} {path} {exchange.status or '-'}"
            write(f"{said} {exchange.bytes_out}B {seconds * 1000:.1f}ms")

    def judged(self, exchange: Exchange, *, accepted: bool) -> None:
        if self._filter:
            verb = "accepting" if accepted else "rejecting"
            path = exchange.target.partition(b"?")[0].decode("latin-1")
            host = exchange.host.decode("latin-1")
            write(f"Filter {verb} {exchange.method} {path} {host}")


def failed(why: str) -> None:
    write(f"Error while proxying request: {why}")


def write(line: str) -> None:
    """One line, whatever a client put into it."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in line)
    print(printable, file=sys.stderr, flush=True)
