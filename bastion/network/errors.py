"""· What went wrong on the way to a backend, by phase, so that a retry can ask whether anything was sent."""

from __future__ import annotations

from bastion.kube.errorword import Word
from bastion.kube.errorwords import (
    ANSWER_NOT_UNDERSTOOD,
    ANSWER_TIMEOUT,
    CLOSED_BEFORE_ANSWER,
    CONNECT_TIMEOUT,
    CONNECTION_REFUSED,
)

NOT_DIALLED = "address not allowed: not one that this bastion may dial (--allow-target-cidr)"


class NetworkError(Exception):
    """The message is one for the client: an address and a cause, never bytes of either side."""

    word = CONNECT_TIMEOUT

    def __init__(self, message: str, word: Word | None = None) -> None:
        """`word`: where it is not that of all errors of this phase."""
        super().__init__(message)
        if word is not None:
            self.word = word


class DialError(NetworkError):
    """No connection: not one byte of the request was sent.

    `silent`: nothing answered, not even with a refusal, or no route leads there.
    """

    word = CONNECTION_REFUSED

    def __init__(self, message: str, word: Word | None = None, *, silent: bool = False) -> None:
        super().__init__(message, word)
        self.silent = silent


class SendError(NetworkError):
    """The request, or a part of it, was sent, and the connection broke before a byte of the response."""

    word = CLOSED_BEFORE_ANSWER


class NotProcessed(SendError):
    """The backend has said that it did nothing of the request (RFC 9113, 8.7): it may be sent again,
    whatever it is.
    """


class ReceiveError(NetworkError):
    """The response was cut short, or is not HTTP."""

    word = ANSWER_NOT_UNDERSTOOD


class UpstreamTimeout(NetworkError):
    """The backend has the request and sent nothing before the deadline."""

    word = ANSWER_TIMEOUT
