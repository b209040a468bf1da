"""· Which target does a request to a proxy name: CONNECT's authority, or that of an absolute URL?

`<name>.<namespace>.svc[.cluster.local]:<port>`, `<pod>.<namespace>.pod[.cluster.local]:<port>`, or a host
name of an application.  Never an address: a rule names a target, and to find the name of an address would be
to look before asking, and would tell who has it.  Never `<name>.<namespace>`, which may be any domain of the
world.
"""

from __future__ import annotations

import re
from typing import NoReturn

from bastion.kube.attributes import Attributes
from bastion.kube.errors import error_of
from bastion.kube.errorwords import BAD_TARGET
from bastion.kube.hostname import HostNames, is_dns_name
from bastion.kube.requestinfo import VERBS, Connect, Proxied
from bastion.kube.status import quoted

RESOURCES = {"svc": "services", "pod": "pods"}
CLUSTER_DOMAIN = ".cluster.local"
MAX_PORT = 65535
HTTP = "80"  # the port of a URL that names none
_NUMBER = re.compile(r"[1-9][0-9]{0,4}")  # 007 is 7 to some parsers
_NAME = re.compile(r"(?=.{1,15}\Z)(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*")  # IANA_SVC_NAME, RFC 6335, 5.1
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_FORM = "<name>.<namespace>.svc:<port> or <pod>.<namespace>.pod:<port>"


class Authorities:
    """`hosts`: the host names of applications, None where there are none.  `ports` may stand behind a host
    name that has a port of its own: tools add them.
    """

    def __init__(self, hosts: HostNames | None, own_port: int | None = None) -> None:
        self._hosts = hosts
        self._ports = {"", "443", "80", str(own_port or "")}

    def connect(self, authority: bytes) -> Connect:
        """Raises StatusError 400."""
        resource, namespace, id = self._target(authority, "", names=True)
        return Connect(_attributes("create", resource, namespace, id), b"", b"", True, plain=True)

    def forward(self, method: str, authority: bytes, rest: bytes) -> Proxied:
        """`rest`: path and query.  Raises StatusError 400."""
        resource, namespace, id = self._target(authority, HTTP, names=False)
        attributes = _attributes(VERBS.get(method, ""), resource, namespace, id)
        # TLS to a backend is never made up for a URL that begins with http:
        return Proxied(attributes, b"", rest, method in VERBS, plain=True)

    def _target(self, authority: bytes, default: str, *, names: bool) -> tuple[str, str, str]:
        """(resource, namespace, `name:port`); `names`: a port may be named."""
        if not authority.isascii():
            _refuse(authority)
        host, colon, port = authority.decode("ascii").lower().partition(":")
        host = host.removesuffix(".")
        if not colon or (not port and default):
            port = default
        if not is_dns_name(host):
            _refuse(authority)
        if self._hosts is not None and self._hosts.covers(host.encode()):
            return self._application(authority, host, port, names=names)
        if not _is_port(port, names=names):
            _refuse(authority, "the port is a number from 1 to 65535, without zeros in front")
        name, _, kind = host.removesuffix(CLUSTER_DOMAIN).rpartition(".")
        name, _, namespace = name.rpartition(".")
        resource = RESOURCES.get(kind, "")
        if not resource or not name or not _LABEL.fullmatch(namespace):
            _refuse(authority)
        if resource == "services" and not _LABEL.fullmatch(name):
            _refuse(authority, "a pod of a service is <pod>.<namespace>.pod:<port>")
        return resource, namespace, f"{name}:{port}"

    def _application(self, authority: bytes, host: str, port: str, *, names: bool) -> tuple[str, str, str]:
        assert self._hosts is not None
        application = self._hosts.application(host.encode())
        if application is None or application.id.count(":") > 1:
            _refuse(authority, "a host name here has no scheme: what flows is the client's own affair")
        named = application.id.partition(":")[2]
        if named:
            if port not in self._ports:
                _refuse(authority, "the host name has a port already")
            return application.resource, application.namespace, application.id
        if not _is_port(port, names=names):
            _refuse(authority, "the port is a number from 1 to 65535, without zeros in front")
        return application.resource, application.namespace, f"{application.id}:{port}"


def in_cluster(authority: bytes) -> bool:
    """Whether it has the form of a service's or a pod's name."""
    host = authority.lower().partition(b":")[0].removesuffix(b".").removesuffix(CLUSTER_DOMAIN.encode())
    return host.rpartition(b".")[2].decode("latin-1") in RESOURCES


def _is_port(text: str, *, names: bool) -> bool:
    if _NUMBER.fullmatch(text):
        return int(text) <= MAX_PORT
    return names and _NAME.fullmatch(text) is not None


def _attributes(verb: str, resource: str, namespace: str, id: str) -> Attributes:
    return Attributes(verb, "", "v1", namespace, resource, "proxy", name=id)


def _refuse(authority: bytes, why: str = "no addresses, and no other names") -> NoReturn:
    shown = quoted(authority[:255].decode("latin-1"))
    raise error_of(BAD_TARGET, f"{shown} names no target", f"a proxy request here is for {_FORM}; {why}")
