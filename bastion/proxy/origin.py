"""Where did a request come from?  What a client says of it counts only when the client is a proxy that is trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bastion.kube.requestinfo import RequestInfo
from bastion.kube.status import bad_request
from bastion.message.authority import is_authority
from bastion.message.headers import Forwarded, values
from bastion.network.addresses import Network, parse_address, unmapped
from bastion.proxy.exchange import Exchange, Field


class Origins:
    """`trusted` are the networks of --trusted-proxy-cidr."""

    def __init__(self, trusted: Iterable[Network]) -> None:
        self._trusted = tuple(trusted)

    def forwarded(self, exchange: Exchange, info: RequestInfo) -> Forwarded:
        client = exchange.client.encode()
        if self.trusts(exchange.client):
            said = values(exchange.fields, b"x-forwarded-for")
            client = b", ".join((*said, client))
        proto, host = self.seen(exchange.client, exchange.scheme, exchange.host, exchange.fields)
        path = info.rest.partition(b"?")[0]
        return Forwarded(client, host, proto, info.prefix, info.prefix + path)

    def seen(self, client: str, scheme: bytes, host: bytes, fields: list[Field]) -> tuple[bytes, bytes]:
        """(scheme, host) as they were where the request first arrived.  Raises StatusError 400 where a proxy does not say that clearly."""
        if self.trusts(client):
            host = _said_once(fields, b"x-forwarded-host", is_authority) or host
            scheme = _said_once(fields, b"x-forwarded-proto", bytes.isalpha) or scheme
        return scheme, host

    def trusts(self, client: str) -> bool:
        """Whether this address is one of a trusted proxy."""
        if not self._trusted:
            return False
        address = parse_address(client)
        return address is not None and any(a in network for network in self._trusted for a in (address, unmapped(address)))


def _said_once(fields: list[Field], name: bytes, fits: Callable[[bytes], bool]) -> bytes:
    """Empty where it is not said.  Of several values, one may be the client's own."""
    said = values(fields, name)
    if not said:
        return b""
    if len(said) > 1 or not fits(said[0]):
        raise bad_request(f"malformed request: {name.decode().title()} must be given once, as one value")
    return said[0]
