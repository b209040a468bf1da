"""May a request be sent again?  Every combination, and what the client is told where it may not."""

from __future__ import annotations

import itertools

import pytest

from bastion.network.errors import (
    DialError,
    NetworkError,
    ReceiveError,
    SendError,
    UpstreamTimeout,
)
from bastion.proxy.retry import may_resend

METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH", "TRACE", "get", "")
IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
ERRORS = (DialError, SendError, ReceiveError, UpstreamTimeout, NetworkError)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("error", ERRORS)
def test_only_where_nothing_can_be_done_twice(error: type[NetworkError], method: str) -> None:
    for reused, touched, resent in itertools.product((False, True), repeat=3):
        expected = (
            error is SendError and method in IDEMPOTENT and (reused, touched, resent) == (True, False, False)
        )
        assert may_resend(error("x"), method, reused=reused, body_touched=touched, resent=resent) is expected
