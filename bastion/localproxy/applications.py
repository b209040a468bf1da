"""What must a web application behind a service be told, and the browser of its responses, so that it works?

The API server rewrites links and redirects for the path form; cookies, and everything on a host name of the
application's own, are left to us.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from bastion.http.fields import Field
from bastion.localproxy.clientresponse import ClientResponse, Present
from bastion.localproxy.request import response_fields
from bastion.message.answers import Policy, RequestContext, present
from bastion.message.mount import Mount
from bastion.message.page.html import HtmlRewriter, RewriteAborted
from bastion.network.http1.response import Response
from bastion.proxy.exchange import Exchange

_PROXIED = re.compile(rb"/api/v1/(?:namespaces/[^/]+/(?:services|pods)|nodes)/[^/]+/proxy(?=/|$)")
_POLICY = Policy(edit_html=True, sandbox=False)


class Presenter:
    """`authorities`: those of the API server, which its own redirects name."""

    def __init__(self, authorities: frozenset[bytes]) -> None:
        self._authorities = authorities

    def of_path(self, context: bytes, path: bytes) -> Present | None:
        """For an application under a path; `context` is the prefix that was taken off."""
        match = _PROXIED.match(path)
        if match is None:
            return None
        inner = match[0]

        def placed(exchange: Exchange, answer: Response) -> ClientResponse:
            mount = Mount(
                context + inner,
                self._authorities,
                path[len(inner) :],
                exchange.scheme == b"https",
                exchange.host.lower(),
            )
            asked = RequestContext(exchange.method, exchange.fields, prefixed=True, ambient=False)
            fields = answer.fields
            if context:  # what the API server rewrote is under its own path, not yet under the context's
                fields = [_moved(field, inner, b"") for field in fields]
            shown = present(asked, answer.status, fields, answer.length, lambda: mount, _POLICY)
            if shown.rewriter is None:
                return ClientResponse(shown.fields, shown.length)
            return ClientResponse(shown.fields, shown.length, _edited(shown.rewriter), shown.rewriter.finish)

        return placed

    def of_host(self, prefix: bytes, path: bytes) -> Present:
        """For an application on a host of its own: what the API server put under a path comes back to it."""

        def placed(exchange: Exchange, answer: Response) -> ClientResponse:
            fields = [_moved(field, prefix, b"") for field in response_fields(answer.fields)]
            return ClientResponse(fields, answer.length)

        return placed


def _moved(field: Field, prefix: bytes, to: bytes) -> Field:
    """A location that begins with `prefix`, as a path or behind an authority."""
    lower, name, value = field
    if lower not in (b"location", b"content-location"):
        return field
    path = value
    if b"://" in value:
        _, slash, rest = value.partition(b"://")[2].partition(b"/")
        path = slash + rest
    if path == prefix or path.startswith(prefix + b"/"):
        return lower, name, to + (path[len(prefix) :] or b"/")
    return field


def _edited(rewriter: HtmlRewriter) -> Callable[[bytes], Iterator[bytes]]:
    def feed(data: bytes) -> Iterator[bytes]:
        try:
            yield from rewriter.feed(data)
        except RewriteAborted as error:
            raise ValueError(str(error)) from error

    return feed
