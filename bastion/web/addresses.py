"""· Where does a browser open a target?  At its host name where it has one, else under a path."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import msgspec

from bastion.kube.hostname import Application, HostNames

_NAMED = re.compile(r"(?:/\.bastion)?/ui/(?:namespaces/([^/]+)/(services|pods)/([^/]+)|(nodes)/([^/]+))")


class Addresses(msgspec.Struct, frozen=True):
    """`public_url` is where the main host is, empty where there are no `hosts` of applications."""

    public_url: str = ""
    hosts: HostNames | None = None

    def open(self, resource: str, namespace: str, id: str, rest: str = "/") -> str:
        """`rest` begins with a slash."""
        if self.hosts is not None:
            host = self.hosts.host_of(Application(resource, namespace, id))
            if host is not None:
                port = urlsplit(self.public_url).port
                return f"https://{host}{f':{port}' if port is not None else ''}{rest}"
        return proxy_path(resource, namespace, id) + rest.removeprefix("/")


def proxy_path(resource: str, namespace: str, id: str) -> str:
    where = f"namespaces/{namespace}/" if namespace else ""
    return f"/api/v1/{where}{resource}/{id}/proxy/"


def named(path: str) -> tuple[str, str, str] | None:
    """Resource, namespace and name that the path of such a page names; None where it names none."""
    match = _NAMED.fullmatch(path)
    if match is None:
        return None
    namespace, resource, name = match[1] or "", match[2] or match[4], match[3] or match[5]
    return resource, unquote(namespace), unquote(name)


def page_path(resource: str, namespace: str, name: str) -> str:
    """Of its own page, below the root of the bastion's pages."""
    where = f"namespaces/{namespace}/" if namespace else ""
    return f"/ui/{where}{resource}/{name}"
