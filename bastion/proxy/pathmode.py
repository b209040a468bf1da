"""An application that is opened in a browser by its path: what will not work there, and where it does.

Under a path its pages are sandboxed.  So a person is sent to its host name where it has one; where it has
none they are told once.  The path all the same is asked for in the query, and no backend sees that: it
becomes a cookie that names the target.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from bastion.http.fields import Field
from bastion.kube.hostname import Application, HostNames
from bastion.kube.requestinfo import Proxied
from bastion.message.cookies import PATHS, own_cookie, set_own
from bastion.message.ownorigin import DATA, CredentialKind
from bastion.message.person import ErrorPage
from bastion.proxy.admission import Admitted
from bastion.proxy.exchange import Exchange
from bastion.proxy.signin import is_navigation, see_other

STAY = b"bastion-path=1"
KEPT_SECONDS = 30 * 86400
MOST = 40  # targets of one browser


class PathFacts(msgspec.Struct, frozen=True):
    """What the page says: the target, where it was opened, and the request's audit id."""

    resource: str
    namespace: str
    id: str
    path: str
    stay: str
    origin: str
    user: str
    request: str


class PathMode:
    """`hosts` None: applications have no host names; `public_url` is where the main host is."""

    def __init__(
        self, hosts: HostNames | None, public_url: str, explain: Callable[[PathFacts], ErrorPage]
    ) -> None:
        self._hosts = hosts
        self._port = urlsplit(public_url).port
        self._explain = explain

    def answers(self, exchange: Exchange, admitted: Admitted, info: Proxied) -> bool:
        """Whether the request was answered here, and goes no further."""
        if (
            admitted.credentials.kind is not CredentialKind.COOKIE
            or not info.prefix
            or not is_navigation(exchange)
        ):
            return False
        mark, known = _mark(info), own_cookie(exchange.fields, PATHS)
        path, stays = _without_stay(exchange.target)
        if stays:
            see_other(exchange, path, set_own(PATHS, _with(known, mark), KEPT_SECONDS))
            return True
        if mark in known.split(b"."):
            return False
        location = self._host(info)
        if location:
            _redirect(exchange, location)
        elif self._hosts is None:
            self._tell(exchange, admitted, info)
        return bool(location) or self._hosts is None

    def _host(self, info: Proxied) -> bytes:
        """Empty where the target makes no host name."""
        named = info.attributes
        if self._hosts is None or named.resource == "nodes":
            return b""
        host = self._hosts.host_of(Application(named.resource, named.namespace, named.name))
        if host is None:
            return b""
        port = f":{self._port}" if self._port is not None else ""
        rest = info.rest if info.rest[:1] == b"/" else b"/" + info.rest
        return f"https://{host}{port}".encode() + rest

    def _tell(self, exchange: Exchange, admitted: Admitted, info: Proxied) -> None:
        path = exchange.target
        named = info.attributes
        page = self._explain(
            PathFacts(
                resource=named.resource,
                namespace=named.namespace,
                id=named.name,
                path=path.partition(b"?")[0].decode("ascii", "replace"),
                stay=(path + (b"&" if b"?" in path else b"?") + STAY).decode("ascii", "replace"),
                origin=f"https://{exchange.host.decode('ascii', 'replace')}",
                user=admitted.acting_as.name,
                request=exchange.audit_id,
            )
        )
        exchange.start(200, b"OK", list(page.fields), len(page.body))
        exchange.finish(page.body)


def _mark(info: Proxied) -> bytes:
    return hashlib.sha256(info.prefix).hexdigest()[:12].encode()


def _with(known: bytes, mark: bytes) -> bytes:
    """The newest last."""
    marks = [one for one in known.split(b".") if one.isalnum() and one != mark]
    return b".".join([*marks, mark][-MOST:])


def _without_stay(target: bytes) -> tuple[bytes, bool]:
    path, _, query = target.partition(b"?")
    parts = query.split(b"&")
    kept = [part for part in parts if part != STAY]
    if len(kept) == len(parts):
        return target, False
    return path + (b"?" + b"&".join(kept) if kept else b""), True


def _redirect(exchange: Exchange, location: bytes) -> None:
    fields: list[Field] = [
        (b"location", b"Location", location),
        (b"cache-control", b"Cache-Control", b"no-store"),
        *DATA,
    ]
    exchange.start(307, b"Temporary Redirect", fields, 0)
    exchange.finish()
