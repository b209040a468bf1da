"""What went wrong with a call to the API server."""

from __future__ import annotations


class ApiError(OSError):
    """`status` is the HTTP status, 0 where no answer came; `retry_after` in seconds, 0 where the server did
    not say.

    `broken`: the connection ended before the response did.  Not `answered`: the status stands for something
    that was found without a call.  `ahead`: the resourceVersion is newer than what the API server has.
    `within`: how many seconds an answer was waited for in vain, 0 where it was not that.
    """

    def __init__(
        self,
        message: str,
        status: int = 0,
        retry_after: float = 0.0,
        *,
        broken: bool = False,
        answered: bool = True,
        ahead: bool = False,
        within: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.ahead = ahead
        self.within = within
        self.status = status
        self.retry_after = retry_after
        self.broken = broken
        self.answered = answered
