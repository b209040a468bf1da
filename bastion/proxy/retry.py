"""· May a request that failed be sent again?"""

from __future__ import annotations

from bastion.network.errors import (
    DialError,
    NetworkError,
    NotProcessed,
    ReceiveError,
    SendError,
    UpstreamTimeout,
)

# RFC 9110, 9.2.2: sending these twice is as good as once.
IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))

# A timeout is the backend's, the rest are of the connection to it.
UPSTREAM_STATUS: dict[type[NetworkError], int] = {
    DialError: 503,
    SendError: 503,
    ReceiveError: 503,
    UpstreamTimeout: 504,
}


def may_resend(error: NetworkError, method: str, *, reused: bool, body_touched: bool, resent: bool) -> bool:
    """Once, on a fresh connection: where a kept connection died before a byte of the answer, and nothing was
    taken from the client.  Or once, whatever it is, where the backend has said that it did nothing of it.

    Whether the backend acted on the request before it closed cannot be known, hence idempotent methods only.
    """
    if resent or body_touched:
        return False
    if isinstance(error, NotProcessed):
        return True
    return isinstance(error, SendError) and reused and method in IDEMPOTENT
