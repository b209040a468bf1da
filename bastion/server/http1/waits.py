"""What does a client's connection wait for, how long, and what follows when that time has passed?

Beside these, whatever a connection waits for: one whose client does not take what is written is given up when
it takes nothing for `response_stall`, and one that is not read from is looked at each second, because it sees
neither FIN nor RST.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Protocol

import msgspec

from bastion.kube.errors import unreadable
from bastion.kube.status import StatusError
from bastion.settings.sections import Timeouts

LINGER_SECONDS = 10.0
LOOK_SECONDS = 1.0  # between looks at a client that is not read from


class Waiter(Protocol):
    """The connection, as far as the end of a wait concerns it."""

    def close(self) -> None: ...

    def refuse(self, error: StatusError) -> None: ...

    def give_up_body(self, error: StatusError) -> None: ...

    def check_stall(self) -> None: ...


class Wait(msgspec.Struct, frozen=True):
    """`seconds` is None where nothing ends the wait."""

    seconds: Callable[[Timeouts], float] | None
    passed: Callable[[Waiter], None]


def _refuse(connection: Waiter) -> None:
    connection.refuse(unreadable("timed out waiting for the request's head", code=408, close=True))


def _give_up_body(connection: Waiter) -> None:
    connection.give_up_body(unreadable("timed out waiting for the request's body", code=408, close=True))


FIRST_BYTE = Wait(attrgetter("request_header"), lambda connection: connection.close())
HEAD = Wait(attrgetter("request_header"), _refuse)
NEXT_REQUEST = Wait(attrgetter("keep_alive"), lambda connection: connection.close())
BODY = Wait(attrgetter("request_body_idle"), _give_up_body)
RESPONSE = Wait(None, lambda connection: None)  # of ours: nothing is waited for from this client
LINGER = Wait(lambda timeouts: LINGER_SECONDS, lambda connection: connection.close())
# for what is written to go out after the last response
CLOSE = Wait(attrgetter("response_stall"), lambda connection: connection.check_stall())
