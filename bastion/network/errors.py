"""· What went wrong on the way to a backend, by phase, so that a retry can ask whether anything was sent."""

from __future__ import annotations


class NetworkError(Exception):
    """The message is one for the client: an address and a cause, never bytes of either side."""


class DialError(NetworkError):
    """No connection: not one byte of the request was sent.

    `silent`: nothing answered, not even with a refusal, or no route leads there.
    """

    def __init__(self, message: str, *, silent: bool = False) -> None:
        super().__init__(message)
        self.silent = silent


class SendError(NetworkError):
    """The request, or a part of it, was sent, and the connection broke before a byte of the response."""


class NotProcessed(SendError):
    """The backend has said that it did nothing of the request (RFC 9113, 8.7): it may be sent again,
    whatever it is.
    """


class ReceiveError(NetworkError):
    """The response was cut short, or is not HTTP."""


class UpstreamTimeout(NetworkError):
    """The backend has the request and sent nothing before the deadline."""
