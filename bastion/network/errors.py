"""· What went wrong on the way to a backend, by phase, so that a retry can ask whether anything was sent."""

from __future__ import annotations


class NetworkError(Exception):
    """The message is one for the client: an address and a cause, never bytes of either side."""


class DialError(NetworkError):
    """No connection: not one byte of the request was sent.

    `silent`: nobody is there who would say no, or no way leads there.
    """

    def __init__(self, message: str, *, silent: bool = False) -> None:
        super().__init__(message)
        self.silent = silent


class SendError(NetworkError):
    """The request, or a part of it, was sent and the connection broke before a byte of the answer."""


class ReceiveError(NetworkError):
    """The answer broke off, or is no HTTP."""


class UpstreamTimeout(NetworkError):
    """The backend holds the request and stays silent past its deadline."""
