"""One HTTP/1.1 connection to a backend: requests sent, every wait ended, and may it be used again?"""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING

from bastion.kube.endpoint import Endpoint
from bastion.network.errors import ReceiveError, SendError, UpstreamTimeout
from bastion.network.http1.reader import Expected, not_http
from bastion.network.http1.receiver import Direct, Early, Receiver, Upload
from bastion.network.http1.response import Interim, Response
from bastion.network.relay import Stream
from bastion.settings.sections import Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable


class Connection(Receiver):
    """Used for one exchange at a time.  `lost` is called once, when the connection is gone.

    `place` is the endpoint, in words.  `used`: it has carried an exchange before.  `owner`: of what this user
    sent something may have been left unread, so that no other user is given the connection.
    """

    def __init__(
        self, endpoint: Endpoint, loop: asyncio.AbstractEventLoop, lost: Callable[[Connection], None]
    ) -> None:
        super().__init__(endpoint, loop)
        self.place = str(endpoint)
        self.used = False
        self.owner: str | None = None
        self._lost = lost
        self._answer_within = 0.0

    # --- one exchange

    def begin(
        self,
        head: bytes,
        *,
        to_head: bool,
        answer_within: float,
        body_idle: float,
        to_switch: bool = False,
        with_body: bool = False,
        interim: Interim | None = None,
    ) -> None:
        """Send a request head.

        In seconds: the response is due `answer_within` after `sent`, each piece of its body within
        `body_idle`.  `interim` is told of 1xx responses before it.
        """
        self._upload = Upload.UNDER_WAY if with_body else Upload.NONE
        self._answer_within, self._body_idle = answer_within, body_idle
        self._head = self.loop.create_future()
        self.interim = interim
        self._reader.begin(self, _expected(to_head, to_switch))
        if self._unasked and not self.used:  # a greeting, of what is not a server of HTTP/1.1
            self._malformed(not_http(self._unasked))
        elif self._transport is None or self._gate.closed:
            self._broken(SendError(f"{self.endpoint} closed the connection"))
        else:
            self._transport.write(head)

    def begin_directly(self, head: bytes, direct: Direct, now: float, timeouts: Timeouts) -> None:
        """Send a whole request that has no body, and is not HEAD; `direct` is called with the response.

        On a kept connection that is alive.  `now` by the loop's clock.
        """
        self._upload = Upload.NONE
        self._direct = direct
        self._answer_within, self._body_idle = timeouts.response_header, timeouts.response_idle
        self.deadline = now + timeouts.response_header
        if self._transport is not None:
            self._transport.write(head)

    def end_directly(self) -> bool:
        """The response was a whole one, that keeps the connection; whether another exchange may follow."""
        self._direct = self.deadline = None
        return not (self._gate.closed or self._reader.last)

    def abandon_direct(self) -> None:
        """Nothing waits for the response any more."""
        self._direct = None
        self.close()

    def sent(self) -> None:
        """The request is wholly sent: from here on the backend is waited for."""
        if self._upload is Upload.UNDER_WAY:
            self._upload = Upload.SENT
        if self._reader.response is None:
            self.deadline = self.loop.time() + self._answer_within

    def answer(self) -> asyncio.Future[Response]:
        """The response, once its head is there; or a NetworkError."""
        assert self._head is not None
        return self._head

    def send(self, data: bytes) -> None:
        """A piece of the request's body, framed as the head said.

        Does nothing once the connection is lost.
        """
        if self._transport is not None and not self._gate.closed:
            self._transport.write(data)

    @property
    def writable(self) -> bool:
        return self._gate.writable

    async def drain(self) -> None:
        """Returns when the backend takes more bytes, or is gone."""
        if self._reader.response is None:
            self.deadline = self.loop.time() + self._answer_within
        await self._gate.drain()
        if self._reader.response is None:
            self.deadline = None

    # --- may it be used again?

    @property
    def reusable(self) -> bool:
        """The exchange ended cleanly: the response wholly read, nothing left over, the backend keeps the
        connection, and nothing speaks against another exchange on it.
        """
        response = self._reader.response
        if (
            response is None
            or not response.complete
            or not response.keep_alive
            or not self.alive
            or self._reader.last
        ):
            return False
        # A backend that refuses or redirects may not have read the body, and would take what is left of it
        # for the next request.
        return self._upload is Upload.NONE or 200 <= response.status < 300

    @property
    def alive(self) -> bool:
        return not self._gate.closed and not self._reader.surplus

    @property
    def busy(self) -> bool:
        """An exchange is under way, or about to be: a new connection was dialled for one."""
        return self._head is not None or self._direct is not None or not self.used

    @property
    def kept_for(self) -> float | None:
        """Seconds for which the backend keeps it, where its last response said so."""
        return self._reader.kept_for

    def retire(self) -> None:
        """It is not used again after the exchange under way."""
        self._reader.last = True
        if self._head is None and self._direct is None:
            self.close()

    def rest(self) -> None:
        """Between exchanges: a byte that comes now was not asked for."""
        self.used = True
        self._head = self._reader.response = self.interim = None
        self.deadline = None

    def has_ended(self) -> bool:
        """Between exchanges: whether the system has an end, or an unexpected byte, which the loop has yet to
        read.
        """
        if self._transport is None or self._gate.closed:
            return True
        looking = select.poll()
        looking.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLRDHUP)
        return bool(looking.poll(0))

    def take_over(self) -> Stream:
        """The raw connection, after a 101, to what sets a protocol of its own on it and resumes reading."""
        assert self._transport is not None
        self.deadline = None
        self._reader.close()
        early = self._early or Early(b"")
        return Stream(self._transport, early.data, lambda: self._lost(self), early.ended)

    # --- asyncio.Protocol

    def connection_lost(self, exc: Exception | None) -> None:
        self._reading.left = b""
        self.leave_direct()
        response = self._reader.response
        if response is not None and response.until_close and exc is None:
            response.end()
        if response is None and not self._reader.begun:
            self._broken(SendError(f"{self.endpoint} closed the connection before it answered"))
        else:
            self._broken(
                ReceiveError(f"{self.endpoint} closed the connection before the end of its response")
            )
        self.deadline = None
        self._gate.close()
        self._reader.close()
        self._lost(self)

    def pause_writing(self) -> None:
        self._gate.pause()

    def resume_writing(self) -> None:
        self._gate.resume()

    # --- failures

    def expired(self) -> None:
        self.leave_direct()
        if self._reader.response is None:
            what, seconds = "response", self._answer_within
        else:
            what, seconds = "rest of its response", self._body_idle
        self._broken(
            UpstreamTimeout(
                f"timed out waiting for the {what} from {self.endpoint}: nothing within {seconds:g} s"
            )
        )
        self.close()


def _expected(to_head: bool, to_switch: bool) -> Expected:
    if to_switch:
        return Expected.SWITCH
    return Expected.BODILESS if to_head else Expected.ORDINARY
