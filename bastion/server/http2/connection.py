"""What does one stream need of the client's connection that it is on?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from bastion.message.person import ErrorFacts, ErrorPage
from bastion.network.http2.codec import Code, Pair
from bastion.server.http1.connection import Peer
from bastion.server.http2.response import Written


class Shared(Protocol):
    """What all connections of a server have in common."""

    @property
    def body_grace(self) -> float: ...

    @property
    def date_line(self) -> Callable[[], bytes]: ...

    @property
    def audit_id(self) -> Callable[[], str]: ...

    @property
    def error_page(self) -> Callable[[ErrorFacts], ErrorPage] | None: ...


class Connection(Protocol):
    loop: asyncio.AbstractEventLoop
    peer: Peer

    @property
    def written(self) -> Written: ...

    @property
    def server(self) -> Shared: ...

    def send_head(self, stream: int, fields: Sequence[Pair], *, ended: bool = False) -> None: ...

    def send_interim(self, stream: int, fields: Sequence[Pair]) -> None: ...

    def send_data(self, stream: int, data: bytes, *, ended: bool = False) -> None: ...

    def send_trailers(self, stream: int, fields: Sequence[Pair]) -> None: ...

    def reset(self, stream: int, code: Code) -> None:
        """After what was written to it, as far as the client takes that."""
        ...

    def unsent(self, stream: int) -> int: ...

    def writable(self, stream: int) -> bool: ...

    async def drain(self, stream: int) -> None: ...

    def consumed(self, stream: int, count: int) -> None: ...

    def await_body(self, stream: int) -> None: ...

    def direct_done(self, exchange: Any) -> None: ...

    def go_on(self, exchange: Any) -> asyncio.Task[None]: ...
