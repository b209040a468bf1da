"""· The catalog as JSON, for programs: what the portal shows, and not a name more."""

from __future__ import annotations

from dataclasses import dataclass

from bastion.web.health import WORDS
from bastion.web.portal.rows import Row


@dataclass(frozen=True, slots=True)
class CatalogPort:
    """`id` is `[scheme:]name[:port]` as in a proxy path, absent where the port may not be opened."""

    name: str
    port: int
    id: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class CatalogItem:
    """`url` is where a browser opens it and `path` where programs do; both are empty where it has no port
    that may be opened.  `state` is up, degraded, down, maintenance or not probed.  `tls` is verified,
    unverified, or empty for plain text.
    """

    ref: str
    kind: str
    namespace: str
    name: str
    title: str
    description: str
    group: str
    icon: str
    state: str
    since: float
    ready: int
    endpoints: int
    milliseconds: float
    url: str
    path: str
    page: str
    ports: list[CatalogPort]
    tls: str = ""


@dataclass(frozen=True, slots=True)
class CatalogList:
    """`complete`: about all namespaces is known what its reader may open; `total`: how many fit the filter.
    `at` in seconds since the epoch.
    """

    at: float
    complete: bool
    total: int
    items: list[CatalogItem]


def item_of(row: Row, origin: str, root: str) -> CatalogItem:
    """`origin` is where this bastion is, `root` what is in front of its pages' paths."""
    subject, probed = row.subject, row.probed
    return CatalogItem(
        ref=subject.ref,
        kind=subject.resource,
        namespace=subject.namespace,
        name=subject.name,
        title=subject.title,
        description=subject.card.description,
        group=subject.group,
        icon=subject.icon,
        state=WORDS[row.state].lower(),
        since=probed.since if probed is not None else 0.0,
        ready=row.ready,
        endpoints=row.of,
        milliseconds=round(probed.seconds * 1000, 3) if probed is not None else 0.0,
        url=absolute(row.href, origin),
        path=row.path,
        page=origin + root + row.page,
        ports=[CatalogPort(p.name, p.number, p.id, absolute(p.href, origin)) for p in row.ports],
        tls=row.tls,
    )


def absolute(href: str, origin: str) -> str:
    return origin + href if href.startswith("/") else href
