"""Which library is there?  It is loaded with the first connection that needs it."""

from __future__ import annotations

from bastion.network.http2.codec import NewCodec


def new_codec() -> NewCodec:
    """nghttp2's; Python's own where this platform has no wheel of it."""
    try:
        from bastion.network.http2.nghttp import NgCodec
    except ImportError:
        from bastion.network.http2.purepython import PureCodec

        return PureCodec
    return NgCodec
