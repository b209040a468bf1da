"""Which library is there?  It is loaded with the first connection that needs it."""

from __future__ import annotations

from bastion.network.http2.codec import NewCodec


def new_codec() -> NewCodec:
    from bastion.network.http2.nghttp import NgCodec

    return NgCodec
