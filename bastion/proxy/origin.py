"""Where did a request come from?

What a client says of it counts only when the client is a proxy that is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bastion.http.authority import is_authority
from bastion.http.fields import Field, values
from bastion.kube.errors import unreadable
from bastion.kube.requestinfo import Proxied
from bastion.message.headers import Forwarded
from bastion.network.addresses import Address, Network, parse_address, unmapped
from bastion.proxy.exchange import Exchange, Request
from bastion.signin.crosssite import elsewhere, provenance

MOST_HOPS = 32  # looked at


class Origins:
    """`trusted` are the networks of --trusted-proxy-cidr."""

    def __init__(self, trusted: Iterable[Network]) -> None:
        self._trusted = tuple(trusted)

    def forwarded(self, exchange: Exchange, info: Proxied) -> Forwarded:
        client = exchange.client.encode()
        if self.trusts(exchange.client):
            said = values(exchange.fields, b"x-forwarded-for")
            client = b", ".join((*said, client))
        proto, host = self.seen(exchange.client, exchange.scheme, exchange.host, exchange.fields)
        path = info.rest.partition(b"?")[0]
        return Forwarded(client, host, proto, info.prefix, info.prefix + path)

    def client(self, peer: str, fields: list[Field]) -> str:
        """The address whose doing a request is: the peer's, or the last one that X-Forwarded-For names which
        is no trusted proxy.

        Each proxy appends whom it was asked by, so the list is read from its end for as long as those who
        wrote it are trusted; what stands before an address that is not is that one's own word.  Where an
        entry is no address, the proxy that wrote it is all that is known; where all are trusted, the first of
        them.
        """
        if not self._trusted or not self.trusts(peer):
            return peer
        said = b",".join(values(fields, b"x-forwarded-for"))
        client = peer
        for hop in reversed(said.rsplit(b",", MOST_HOPS)[-MOST_HOPS:]):
            address = _address_of(hop)
            if address is None:
                return client
            client = str(unmapped(address))
            if not self.trusts(client):
                return client
        return client

    def sources(self, peer: str, fields: list[Field]) -> tuple[str, ...]:
        """All addresses that a request came over: what a trusted proxy says, and the peer's as the last."""
        if not self._trusted or not self.trusts(peer):
            return (peer,)
        said = b",".join(values(fields, b"x-forwarded-for"))
        found = [_address_of(hop) for hop in said.rsplit(b",", MOST_HOPS)[-MOST_HOPS:]]
        return (*(str(unmapped(address)) for address in found if address is not None), peer)

    def foreign(self, request: Request) -> bool:
        """Whether a page that is not of this host made a browser send it."""
        seen = self.seen(request.client, request.scheme, request.host, request.fields)
        return elsewhere(provenance(request.method, request.fields, *seen))

    def seen(self, client: str, scheme: bytes, host: bytes, fields: list[Field]) -> tuple[bytes, bytes]:
        """(scheme, host) as they were where the request first arrived.

        Raises StatusError 400 where a proxy does not say that clearly.
        """
        if self.trusts(client):
            host = _said_once(fields, b"x-forwarded-host", is_authority) or host
            scheme = _said_once(fields, b"x-forwarded-proto", bytes.isalpha) or scheme
        return scheme, host

    def trusts(self, client: str) -> bool:
        """Whether this address is one of a trusted proxy."""
        if not self._trusted:
            return False
        address = parse_address(client)
        return address is not None and any(
            a in network for network in self._trusted for a in (address, unmapped(address))
        )


def _said_once(fields: list[Field], name: bytes, fits: Callable[[bytes], bool]) -> bytes:
    """Empty where it is not said.  Of several values, one may be the client's own."""
    said = values(fields, name)
    if not said:
        return b""
    if len(said) > 1 or not fits(said[0]):
        raise unreadable(f"malformed request: {name.decode().title()} must be given once, as one value")
    return said[0]


def _address_of(hop: bytes) -> Address | None:
    """Of an entry, which may have a port behind it (Azure's gateways write one) and then brackets around an
    IPv6 address.
    """
    text = hop.strip(b" \t").decode("latin-1")
    if text[:1] == "[":
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return parse_address(text)
