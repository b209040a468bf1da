"""All that is known of one target, for one reader; the same for its page and for its events."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bastion.discovery.catalog import Catalog
from bastion.observe.recent import Key, Recent, Summary
from bastion.web.figures import milliseconds, number
from bastion.web.health import Probes, endpoints_of
from bastion.web.openable.plan import Rights
from bastion.web.permitted import Permitted
from bastion.web.portal.inventory import SERVICES, Inventory
from bastion.web.portal.rows import Row, Subject
from bastion.web.reader import Reader
from bastion.web.streamlist import StreamList, StreamRow
from bastion.web.target.endpoints import EndpointRow, endpoint_rows

SPANS = ("24h", "7d")
MOST_FAILURES = 10


class FailureRow(msgspec.Struct, frozen=True):
    """`code` is the response's status, 0 where there was none."""

    at: float
    what: str
    where: str
    code: str


class Stat(msgspec.Struct, frozen=True):
    key: str
    name: str
    value: str
    unit: str = ""
    values: tuple[float, ...] = ()


class View(msgspec.Struct, frozen=True):
    """`in_flight` by the name of an endpoint; `probes` as the reports have them."""

    subject: Subject
    rights: Rights
    row: Row
    endpoints: Sequence[EndpointRow]
    in_flight: Mapping[str, int]
    streams: Sequence[StreamRow]
    failures: Sequence[FailureRow]
    stats: Sequence[Stat]
    probes: Sequence[Mapping[str, Any]]


class Views:
    """`now` is seconds since the epoch."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        inventory: Inventory,
        permitted: Permitted,
        streams: StreamList,
        recent: Recent,
        probes: Probes,
        now: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._inventory = inventory
        self._permitted = permitted
        self._streams = streams
        self._recent = recent
        self._probes = probes
        self.now = now

    async def of(self, reader: Reader, resource: str, namespace: str, name: str, window: str = "24h") -> View:
        """Raises StatusError 403, 404, 503."""
        subject, rights = await self._permitted.subject(reader, resource, namespace, name)
        await self._probes.look()
        probes = await self._probes.details(resource, namespace, name)
        addresses = await self._permitted.may_see_pods(reader, namespace)
        slices = self._catalog.slices_of(namespace, name).values() if resource == SERVICES else ()
        there = endpoints_of(slices)
        endpoints = endpoint_rows(there, probes, addresses=addresses, window=window)
        by_address = self._streams.in_flight(resource, namespace, name)
        place = (resource, namespace, name)
        streams = await self._streams.rows(reader, place)
        others = await self._permitted.may_with_streams(reader, "list", namespace)
        keys = self._recent.targets().get(place, [])
        return View(
            subject=subject,
            rights=rights,
            row=self._inventory.row(subject, rights),
            endpoints=endpoints,
            in_flight={
                one: sum(by_address.get(address, 0) for address in endpoint.addresses)
                for one, endpoint in there.items()
            },
            streams=streams,
            failures=self._failures(reader, keys, probes, names=others, addresses=addresses),
            stats=stats_of(self._recent.summary(keys), sum(by_address.values()), len(streams)),
            probes=probes,
        )

    def annotations(self, subject: Subject) -> Mapping[str, str] | None:
        """Those under our domain, as they are written."""
        key = (subject.namespace, subject.name)
        found = (self._catalog.services if subject.resource == SERVICES else self._catalog.pods).get(key)
        return found.metadata.annotations if found is not None else None

    def _failures(
        self,
        reader: Reader,
        keys: Sequence[Key],
        probes: Sequence[Mapping[str, Any]],
        *,
        names: bool,
        addresses: bool,
    ) -> list[FailureRow]:
        """`names`: whether the names of others may be told."""

        def who(user: str) -> str:
            return user if names or user == reader.user.name else "somebody"

        found = [
            FailureRow(
                one.at,
                one.reason,
                f"{one.method} from {who(one.user)}" + (f", to {one.endpoint}" if addresses else ""),
                str(one.code) if one.code else "cut",
            )
            for one in self._recent.failures(keys)
        ]
        found += list(_of_probes(probes))
        return sorted(found, key=lambda one: -one.at)[:MOST_FAILURES]


def _of_probes(probes: Sequence[Mapping[str, Any]]) -> Iterator[FailureRow]:
    for probe in probes:
        for endpoint in probe["endpoints"]:
            for one in itertools.islice(reversed(endpoint.get("failures", ())), MOST_FAILURES):
                where = f"probe of {endpoint['pod'] or 'it'}"
                what = one.get("reason") or "The probe failed"
                yield FailureRow(float(one["at"]), what, where, "probe")


def stats_of(summary: Summary, in_flight: int, streams: int) -> list[Stat]:
    return [
        Stat("rps", "Requests", number(summary.rate), "per s", summary.rates),
        Stat("p50", "p50 now", *_duration(summary.p50), summary.p50s),
        Stat("p99", "p99 now", *_duration(summary.p99), summary.p99s),
        Stat("err", "Errors", number(100 * summary.errors), "%", summary.error_shares),
        Stat("fly", "In flight", number(in_flight)),
        Stat("str", "Open streams", number(streams)),
    ]


def _duration(seconds: float | None) -> tuple[str, str]:
    if seconds is None:
        return "–", ""
    value, _, unit = milliseconds(seconds).rpartition(" ")
    return value, unit
