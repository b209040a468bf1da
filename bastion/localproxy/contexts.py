"""Which context's API server does a URL mean?

`/contexts/NAME/…` on every host, the host `NAME.localhost`, else the first one.  `*.localhost` is this
machine by RFC 6761, so that no name of somebody else's can be turned into one of these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from bastion.kube.hostname import Application, HostNames, host_name
from bastion.localproxy.answer import Refusal
from bastion.localproxy.clientresponse import Present
from bastion.localproxy.spelling import decoded

if TYPE_CHECKING:  # it brings the rewriting of pages along
    from bastion.localproxy.applications import Presenter

U = TypeVar("U")
PREFIX = b"/contexts/"
SUFFIX = "localhost"


@dataclass(frozen=True, slots=True)
class Place(Generic[U]):
    """`prefix` was taken off and stands before every location; `before` is put before the path at the API
    server; `application`: the host is an application's own, where nothing but it is served.
    """

    upstream: U
    path: bytes
    prefix: bytes = b""
    before: bytes = b""
    application: bool = False
    present: Present | None = None


class Contexts(Generic[U]):
    """`upstreams` by context name, the first of them the default; `several`: they can be asked for by
    name.
    """

    def __init__(self, upstreams: Mapping[str, U], *, several: bool, presenter: Presenter | None) -> None:
        self._default = next(iter(upstreams.values()))
        self._by_name = dict(upstreams) if several else {}
        hosts = Counter(f"{name.lower()}.{SUFFIX}" for name in self._by_name)
        # hosts are without case: of `prod` and `Prod` neither may stand for the other
        self._by_host = {
            host: upstream
            for name, upstream in self._by_name.items()
            if hosts[host := f"{name.lower()}.{SUFFIX}"] == 1
        }
        self._slashed = sorted(
            (name.encode() for name in self._by_name if "/" in name), key=len, reverse=True
        )
        self._presenter = presenter
        # the longest suffix first: that of a context ends with that of all
        self._names = [HostNames(host) for host in self._by_host] + [HostNames(SUFFIX)]

    def serves_host(self, host: str) -> bool:
        """Whether a host is one of our own making, beside --accept-hosts."""
        return host in self._by_host or (
            self._presenter is not None and any(_is_application(host, names.suffix) for names in self._names)
        )

    def place(self, host: bytes, path: bytes) -> Place[U]:
        """Raises StatusError 400 for a host under our suffix that means nothing, Refusal for an unknown
        context.
        """
        if not self._by_name and self._presenter is None:
            return Place(self._default, path)
        name = host_name(host)
        found = self._application(name)
        if found is not None:
            return self._of_application(*found, path)
        upstream, prefix = self._by_host.get(name, self._default), b""
        if self._by_name and path.startswith(PREFIX):
            segment = self._segment(path[len(PREFIX) :])
            named = self._by_name.get(decoded(segment))
            if named is None:
                known = ", ".join(self._by_name)
                raise Refusal(404, f"no context {decoded(segment)!r} is served here; there are {known}")
            prefix = PREFIX + segment
            upstream, path = named, path[len(prefix) :] or b"/"
        present = self._presenter.of_path(prefix, path) if self._presenter is not None else None
        return Place(upstream, path, prefix, present=present)

    def _segment(self, rest: bytes) -> bytes:
        """The raw name at the beginning.

        One with slashes (EKS names contexts so) may stand there as it is: kubectl cannot keep `%2F` in a
        server's path.
        """
        for name in self._slashed:
            if rest.startswith(name + b"/") or rest == name:
                return name
        return rest.partition(b"/")[0]

    def _application(self, name: str) -> tuple[U, Application] | None:
        if self._presenter is None:
            return None
        for names in self._names:
            if _is_application(name, names.suffix):
                application = names.application(name.encode())
                if application is not None:
                    return self._by_host.get(names.suffix, self._default), application
        return None

    def _of_application(self, upstream: U, application: Application, path: bytes) -> Place[U]:
        assert self._presenter is not None
        kind, namespace = application.resource, application.namespace
        prefix = f"/api/v1/namespaces/{namespace}/{kind}/{application.id}/proxy".encode()
        if path.startswith(prefix + b"/"):  # a link as the API server has rewritten it
            path = path[len(prefix) :]
        present = self._presenter.of_host(prefix, path)
        return Place(upstream, path, before=prefix, application=True, present=present)


def _is_application(host: str, suffix: str) -> bool:
    return host.endswith((f".svc.{suffix}", f".pod.{suffix}"))
