"""As what does a call leave for an API server?"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bastion.http.fields import values
from bastion.kube.aliases import origin_form
from bastion.kube.errors import unreadable
from bastion.message import upgrade
from bastion.message.apicall import to_api_server
from bastion.message.identity import asserts_identity
from bastion.message.trailers import passing, takes_trailers
from bastion.message.upgrade import UpgradeRequest
from bastion.proxy.exchange import Exchange
from bastion.proxy.onbehalf import Authority

# Which names are not passed on, by whether the client's own impersonation is.
Withheld = Mapping[bool, Callable[[bytes], bool]]


def call_head(
    exchange: Exchange,
    authority: Authority,
    client: str,
    withheld: Withheld,
    asked: UpgradeRequest | None,
    trace: bytes,
) -> bytes:
    """The whole request head, its framing written anew.  `trace`: lines of it, empty where nothing is traced.

    Raises StatusError 400.
    """
    body, fields = exchange.body, exchange.fields
    target = origin_form(exchange.method, exchange.target)
    if target is None:
        raise unreadable("malformed request: the request target is not a path")
    lines = to_api_server(
        fields, withheld[authority.impersonation], with_credentials=authority.with_credentials
    )
    lines += (*exchange.passed, *authority.lines)
    lines.append(b"X-Forwarded-For: %b\r\n%b" % (client.encode(), trace))
    if not any(line[:9].lower() == b"audit-id:" for line in lines):
        lines.append(b"Audit-ID: %b\r\n" % exchange.audit_id.encode())
    if asked is not None:
        lines.append(upgrade.request_lines(asked))
    elif takes_trailers(fields):
        lines.append(b"TE: trailers\r\nConnection: TE\r\n")
    if not exchange.host:  # HTTP/1.0 may leave it out, HTTP/1.1 may not (RFC 9112, 3.2)
        lines.append(b"Host: kubernetes.default.svc\r\n")
    if body is not None and body.chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
        lines += [b"Trailer: %b\r\n" % announced for announced in values(fields, b"trailer")]
    elif body is not None:
        lines.append(b"Content-Length: %d\r\n" % (body.length or 0))
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (exchange.method.encode(), target, b"".join(lines))


def trailer_lines(exchange: Exchange) -> bytes:
    """Those of the request, once its body was read to its end."""
    body = exchange.body
    trailers = passing(body.trailers, asserts_identity) if body is not None else ()
    return b"".join(b"%b: %b\r\n" % field[1:] for field in trailers)
