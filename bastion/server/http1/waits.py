"""What does a client's connection wait for, how long, and what follows when that time has passed?

Beside these, whatever a connection waits for: one whose client does not take what is written is given up when
it takes nothing for `write_stall`, and one that is not read from is looked at each second, because it hears
neither FIN nor RST.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Protocol

import msgspec

from bastion.kube.status import StatusError
from bastion.server.state import Timeouts

LINGER_SECONDS = 10.0
LOOK_SECONDS = 1.0  # between looks at a client that is not read from


class Waiting(Protocol):
    """The connection, as far as the end of a wait concerns it."""

    def close(self) -> None: ...

    def refuse(self, error: StatusError) -> None: ...

    def give_up_body(self, error: StatusError) -> None: ...

    def check_stall(self) -> None: ...


class Wait(msgspec.Struct, frozen=True):
    """`seconds` is None where nothing ends the wait."""

    seconds: Callable[[Timeouts], float] | None
    passed: Callable[[Waiting], None]


def _refuse(connection: Waiting) -> None:
    connection.refuse(StatusError(408, "Timeout", "timed out waiting for the request's head", close=True))


def _give_up_body(connection: Waiting) -> None:
    connection.give_up_body(
        StatusError(408, "Timeout", "timed out waiting for the request's body", close=True)
    )


def _linger_seconds(timeouts: Timeouts) -> float:
    return LINGER_SECONDS


FIRST_BYTE = Wait(attrgetter("head"), lambda connection: connection.close())
HEAD = Wait(attrgetter("head"), _refuse)
NEXT_REQUEST = Wait(attrgetter("keep_alive"), lambda connection: connection.close())
BODY = Wait(attrgetter("body_idle"), _give_up_body)
RESPONSE = Wait(None, lambda connection: None)  # of ours: nothing is waited for from this client
LINGER = Wait(_linger_seconds, lambda connection: connection.close())
# for what is written to go out after the last response
CLOSE = Wait(attrgetter("write_stall"), lambda connection: connection.check_stall())
