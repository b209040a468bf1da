"""What is a client told of an endpoint that could not be reached, or that did not answer?"""

from __future__ import annotations

import pytest

from bastion.kube.endpoint import Endpoint
from bastion.kube.errorwords import (
    ADDRESS_REFUSED,
    BACKEND_SPEAKS_PLAIN,
    BACKEND_SPEAKS_TLS,
    CONNECT_TIMEOUT,
)
from bastion.network.errors import DialError, NetworkError, ReceiveError, SendError, UpstreamTimeout
from bastion.proxy.unreached import unreachable
from tests.proxy.routes import route_to

ONE = Endpoint("192.0.2.1", 8080)
TOLD = [
    # the error, code, word, and how the message ends
    (DialError("x"), 503, "ConnectionRefused", "x: nothing listens there"),
    (DialError("x", CONNECT_TIMEOUT), 503, "ConnectTimeout", "x: a NetworkPolicy or a firewall, perhaps"),
    (DialError("x", ADDRESS_REFUSED), 503, "AddressRefused", "x"),
    (DialError("x", BACKEND_SPEAKS_PLAIN), 503, "BackendSpeaksPlain", "ask for http:web:80"),
    (ReceiveError("x", BACKEND_SPEAKS_TLS), 503, "BackendSpeaksTLS", "ask for https:web:80"),
    (SendError("x"), 503, "ClosedBeforeAnswer", "x"),
    (ReceiveError("x"), 503, "AnswerNotUnderstood", "x"),
    (UpstreamTimeout("x"), 504, "AnswerTimeout", "x"),
]


@pytest.mark.parametrize(("error", "code", "word", "end"), TOLD, ids=[row[2] for row in TOLD])
def test_what_the_client_is_told(error: NetworkError, code: int, word: str, end: str) -> None:
    status = unreachable(error, route_to(ONE))
    assert (status.code, status.name) == (code, word)
    assert status.message.startswith("error trying to reach service: x")
    assert status.message.endswith(end)
    assert not status.headers  # no Retry-After: kubectl would wait before it prints this


def test_of_several_endpoints_the_last_failure_is_told_and_how_many_there_were() -> None:
    message = unreachable(DialError("x"), route_to(ONE), 3).message
    assert message.endswith("nothing listens there (3 endpoints were tried)")
