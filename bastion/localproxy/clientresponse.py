"""A response as the client is to have it, where that is not as it came."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from bastion.http.fields import Field
from bastion.network.http1.response import Response
from bastion.proxy.exchange import Exchange


def _nothing() -> bytes:
    return b""


class ClientResponse(msgspec.Struct, frozen=True, gc=False):
    """`length` in bytes, None where it is not known.

    `feed` changes pieces of the body and may raise ValueError, `finish` gives what is left.
    """

    fields: list[Field]
    length: int | None
    feed: Callable[[bytes], Iterator[bytes]] | None = None
    finish: Callable[[], bytes] = _nothing


Present = Callable[[Exchange, Response], ClientResponse]
