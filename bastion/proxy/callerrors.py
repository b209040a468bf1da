"""· What is a client told of a call that no API server answered?"""

from __future__ import annotations

from bastion.kube.errors import error_of
from bastion.kube.errorwords import API_SERVER_AWAY
from bastion.kube.status import StatusError
from bastion.network.errors import DialError, NetworkError, UpstreamTimeout

SAFE = frozenset(("GET", "HEAD", "OPTIONS"))  # sent again where no response has begun


def none_ready() -> StatusError:
    return error_of(API_SERVER_AWAY, "no API server is ready; try again shortly", retry_after=1)


def unreachable(error: NetworkError) -> StatusError:
    """Nothing was sent: client-go repeats any call that is answered so."""
    return error_of(API_SERVER_AWAY, f"no API server could be reached: {error}", retry_after=1)


def broken(error: NetworkError, method: str) -> StatusError:
    """It was sent, and what became of it is not known: Retry-After would have client-go send a POST twice."""
    if isinstance(error, UpstreamTimeout):
        return error_of(API_SERVER_AWAY, f"the API server did not answer in time: {error}", code=504)
    if isinstance(error, DialError) or method in SAFE:
        return error_of(API_SERVER_AWAY, f"the API server broke off: {error}", retry_after=1)
    message = f"the API server broke off, and may have done what was asked: {error}"
    return error_of(API_SERVER_AWAY, message, code=502)


def wrong_switch() -> StatusError:
    return error_of(API_SERVER_AWAY, "the API server switched to a protocol that was not asked for")
