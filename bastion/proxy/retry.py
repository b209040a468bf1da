"""· May a request that failed be sent again?"""

from __future__ import annotations

from bastion.network.errors import NetworkError, SendError, UpstreamTimeout

# RFC 9110, 9.2.2: sending these twice is as good as once.
IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))
MOST_SENDS = 5  # of one request, where each endpoint fails

# What `bastion.dev/retry-on` calls them.  Once a byte of the response came, it is the response.
REASONS: dict[type[NetworkError], str] = {SendError: "reset", UpstreamTimeout: "timeout"}
UNAVAILABLE = "503"


def is_stale(error: NetworkError, *, reused: bool, checked: bool) -> bool:
    """Whether a kept connection only ended meanwhile, as it may at any moment: that says nothing of its
    endpoint.  `checked`: it was still there when the request was sent.
    """
    return isinstance(error, SendError) and reused and not checked


def may_resend(error: NetworkError, method: str, *, reused: bool, body_touched: bool, resent: bool) -> bool:
    """Once, on a fresh connection: where a kept connection died before a byte of the answer, and nothing was
    taken from the client.

    Whether the backend acted on the request before it closed cannot be known, hence idempotent methods only.
    """
    return (
        isinstance(error, SendError) and reused and not resent and not body_touched and method in IDEMPOTENT
    )
