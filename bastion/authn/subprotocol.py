"""A bearer token that a browser sends as a WebSocket subprotocol, because it cannot set headers there.

As kube-apiserver reads it (`authentication/request/websocket/protocol.go`).
"""

from __future__ import annotations

import base64
import binascii
import re

from msgspec import structs

from bastion.authn.authenticator import Chain, Credentials
from bastion.authn.bearer import MAX_TOKEN, bearer_credentials, proxy_credentials
from bastion.authn.requestheader import FrontProxyHeaders
from bastion.http.fields import Field
from bastion.kube.errors import unauthorized
from bastion.message.headers import TOKEN_SUBPROTOCOL, subprotocols

MALFORMED = "the bearer token among the WebSocket subprotocols is malformed"

_BASE64URL = re.compile(rb"[A-Za-z0-9_-]+")


def subprotocol_token(fields: list[Field]) -> str | None:
    """None where no token is offered.  Raises StatusError 401 where it is malformed.

    Well-formed is one token entry, unpadded base64url of visible ASCII, and at least one other protocol
    beside it.
    """
    offered = subprotocols(fields)
    tokens = [entry for entry in offered if entry.startswith(TOKEN_SUBPROTOCOL)]
    if not tokens or (len(tokens) == 1 and len(tokens[0]) == len(TOKEN_SUBPROTOCOL)):
        return None
    encoded = tokens[0][len(TOKEN_SUBPROTOCOL) :]
    if (
        len(tokens) > 1
        or len(tokens) == len(offered)
        or not _BASE64URL.fullmatch(encoded)
        or len(encoded) > MAX_TOKEN * 4 // 3 + 1
    ):
        raise unauthorized(cause=MALFORMED)
    try:
        token = base64.urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise unauthorized(cause=MALFORMED) from error
    if not token.isprintable() or " " in token:
        raise unauthorized(cause=MALFORMED)
    return token


def request_credentials(
    fields: list[Field],
    *,
    websocket: bool,
    certificate: Chain = (),
    front_proxy: FrontProxyHeaders | None = None,
    to_proxy: bool = False,
) -> Credentials:
    """Those in the headers; on a WebSocket handshake without any, the one among the subprotocols.

    `to_proxy`: only what is shown to a proxy counts.  Raises StatusError.

    The connection's certificate is added, unless X-Bastion-Authorization excludes all other credentials.
    """
    credentials = proxy_credentials(fields) if to_proxy else bearer_credentials(fields)
    if (
        websocket
        and not to_proxy
        and credentials.token is None
        and (token := subprotocol_token(fields)) is not None
    ):
        credentials = Credentials(token)
    if not certificate or credentials.explicit:
        return credentials
    asserted = front_proxy.asserted(fields) if front_proxy is not None else None
    return structs.replace(credentials, certificate=certificate, asserted=asserted)
