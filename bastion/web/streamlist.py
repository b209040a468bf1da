"""The open streams of this replica: who, whither, since when, how much; and closing one.

Their own everybody sees and closes.  Those of others are for who may `list` and `delete` the resource
`streams` of our API group in the namespace.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import msgspec

from bastion.kube.attributes import Attributes
from bastion.kube.errors import forbidden, not_found
from bastion.kube.errorwords import STREAM_NOT_FOUND
from bastion.kube.target import parse_target
from bastion.proxy.streams import Streams, UnderWay
from bastion.web.permitted import Permitted
from bastion.web.reader import Reader

_log = logging.getLogger("bastion.web")


class StreamRow(msgspec.Struct, frozen=True):
    """`since` in seconds since the epoch; `endpoint` is address and port."""

    id: str
    user: str
    kind: str
    target: str
    page: str
    since: float
    received: int
    sent: int
    endpoint: str
    own: bool
    closes: bool


class StreamList:
    """`now` is seconds since the epoch."""

    def __init__(self, streams: Streams, permitted: Permitted, now: Callable[[], float]) -> None:
        self._streams = streams
        self._permitted = permitted
        self._now = now

    def in_flight(self, resource: str, namespace: str, name: str) -> dict[str, int]:
        """How many exchanges are under way, by the address of the endpoint."""
        found: dict[str, int] = {}
        for one in self._streams.under_way():
            if _place(one) == (resource, namespace, name):
                address = one.endpoint.address if one.endpoint is not None else ""
                found[address] = found.get(address, 0) + 1
        return found

    async def rows(
        self, reader: Reader, place: tuple[str, str, str] | None = None, most: int = 200
    ) -> list[StreamRow]:
        """Oldest first; of one target, or of all."""
        allowed: dict[str, tuple[bool, bool]] = {}
        found = []
        for one in sorted(self._long(place), key=lambda one: one.began):
            namespace = _place(one)[1]
            own = one.admitted.user.name == reader.admitted.user.name
            if not own and namespace not in allowed:
                allowed[namespace] = (
                    await self._permitted.may_with_streams(reader, "list", namespace),
                    await self._permitted.may_with_streams(reader, "delete", namespace),
                )
            sees, closes = (True, True) if own else allowed[namespace]
            if sees:
                found.append(self._row(one, own=own, closes=closes))
        return found[:most]

    async def close(self, reader: Reader, id: str) -> UnderWay:
        """Raises StatusError: 404 for what the reader may not see, 403 for what they may not close."""
        for one in self._long(None):
            if one.record.audit_id != id:
                continue
            namespace, own = _place(one)[1], one.admitted.user.name == reader.admitted.user.name
            if not own and not await self._permitted.may_with_streams(reader, "list", namespace):
                break
            if not own and not await self._permitted.may_with_streams(reader, "delete", namespace):
                raise forbidden(
                    reader.user.name, Attributes("delete", "bastion.dev", "v1", namespace, "streams")
                )
            _log.warning(
                "%s closed a stream of %s (audit id %s)", reader.user.name, one.admitted.user.name, id
            )
            one.end(f"closed by {reader.user.name}")
            return one
        raise not_found("streams", id, word=STREAM_NOT_FOUND)

    def _long(self, place: tuple[str, str, str] | None) -> Iterator[UnderWay]:
        for one in self._streams.under_way():
            if one.long is not None and _place(one)[0] and (place is None or _place(one) == place):
                yield one

    def _row(self, one: UnderWay, *, own: bool, closes: bool) -> StreamRow:
        received, sent = one.bytes_moved
        resource, namespace, name = _place(one)
        upgrade = one.admitted.upgrade
        user = one.admitted.acting_as
        return StreamRow(
            id=one.record.audit_id,
            user=user.name,
            kind="Transfer" if upgrade is None else "WebSocket" if upgrade.websocket else "SPDY/3.1",
            target=f"{namespace}/{name}" if namespace else name,
            page=f"/ui/namespaces/{namespace}/{resource}/{name}" if namespace else f"/ui/{resource}/{name}",
            since=self._now() - (self._streams.now() - one.began),
            received=received,
            sent=sent,
            endpoint=str(one.endpoint) if one.endpoint is not None else "",
            own=own,
            closes=closes,
        )


def _place(one: UnderWay) -> tuple[str, str, str]:
    """Resource, namespace and name; empty for what goes to no target."""
    attributes = one.admitted.info.attributes
    if attributes.subresource != "proxy":
        return ("", "", "")
    target = parse_target(attributes.resource, attributes.namespace, attributes.name)
    return (attributes.resource, attributes.namespace, target.name)
