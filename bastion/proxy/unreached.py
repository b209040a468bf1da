"""What is a client told of an endpoint that could not be reached, or that did not answer?"""

from __future__ import annotations

from bastion.kube.errors import UNREACHED, error_of
from bastion.kube.errorwords import (
    ADDRESS_REFUSED,
    BACKEND_SPEAKS_PLAIN,
    BACKEND_SPEAKS_TLS,
    CLOSED_BEFORE_ANSWER,
    CONNECT_TIMEOUT,
    CONNECTION_REFUSED,
)
from bastion.kube.status import StatusError
from bastion.kube.target import parse_target
from bastion.network.errors import NetworkError
from bastion.proxy.router import Route

_HINTS = {
    CONNECTION_REFUSED: "nothing listens there",
    CONNECT_TIMEOUT: "a NetworkPolicy or a firewall, perhaps",
}
_SCHEMES = {
    BACKEND_SPEAKS_PLAIN: ("it does not speak TLS: ask for", "http"),
    BACKEND_SPEAKS_TLS: ("it speaks TLS: ask for", "https"),
}
_TLS_PORTS = (443, 8443)


def unreachable(error: NetworkError, route: Route, tried: int = 1) -> StatusError:
    """`tried`: how many endpoints; `error` is that of the last."""
    hint = _hint(error, route)
    sentence = f"{error}: {hint}" if hint else str(error)
    if tried > 1:
        sentence += f" ({tried} endpoints were tried)"
    code = 503 if error.word is ADDRESS_REFUSED else 0
    return error_of(error.word, UNREACHED, sentence, code=code)


def _hint(error: NetworkError, route: Route) -> str:
    if error.word in _SCHEMES:
        why, scheme = _SCHEMES[error.word]
        return f"{why} {_id(route, scheme)}"
    closed = error.word is CLOSED_BEFORE_ANSWER and route.endpoints[0].tls is None
    if closed and route.key[3] in _TLS_PORTS:
        return f"perhaps it speaks TLS, then ask for {_id(route, 'https')}"
    return _HINTS.get(error.word, "")


def _id(route: Route, scheme: str) -> str:
    """Of the same target, as it is to be asked for."""
    asked = route.info.attributes
    target = parse_target(asked.resource, asked.namespace, asked.name)
    return f"{scheme}:{target.name}:{target.port or route.key[3]}"
