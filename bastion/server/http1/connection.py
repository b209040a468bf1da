"""What does one exchange need of the client's connection that it came over?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from bastion.message.person import ErrorFacts, ErrorPage
from bastion.network.flow import WriteGate
from bastion.network.relay import Stream


class Peer(msgspec.Struct, frozen=True):
    """The client's address, how it speaks, and what it showed in the TLS handshake: DER, its own first."""

    address: str = ""
    scheme: bytes = b"http"
    certificate: tuple[bytes, ...] = ()


class Shared(Protocol):
    """What all connections of a server have in common."""

    @property
    def draining(self) -> bool: ...

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
    gate: WriteGate
    peer: Peer

    @property
    def server(self) -> Shared: ...

    def await_body(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def write(self, data: bytes) -> None: ...

    def write_pieces(self, pieces: list[bytes]) -> None: ...

    def write_continue(self) -> None: ...

    def direct_done(self, exchange: Any) -> None: ...

    def go_on(self, exchange: Any) -> asyncio.Task[None]: ...

    def hand_over(self) -> Stream: ...

    def break_off(self) -> None: ...

    def abort(self) -> None: ...
