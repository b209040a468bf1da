"""Watches: events of the store as lines of JSON, until the client or this API ends the watch.

A watch has no queue: it keeps its revision and reads on from there.  So a slow client costs nothing, and gets
410 once the history no longer reaches back to it, as from kube-apiserver.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import orjson

from bastion.kube.status import StatusError
from bastion.standalone.lists import expired, too_old
from bastion.standalone.resources import Resource
from bastion.standalone.selectors import Selectors
from bastion.standalone.store import ObjectEvent, RevisionExpired, RevisionTooLarge, Store, StoredObject

BOOKMARK_INTERVAL = 30.0


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """`revision` None: begin with the current objects.

    `timeout` in seconds, None for as long as both sides live.

    `marks_initial` (sendInitialEvents) asks for a bookmark after these.
    """

    selection: Selectors
    revision: int | None = None
    timeout: float | None = None
    bookmarks: bool = False
    marks_initial: bool = False


class Watches:
    """All open watches of one store.  Call `notify` after each change of the store; `close` ends them all."""

    def __init__(self, store: Store, bookmark_interval: float = BOOKMARK_INTERVAL) -> None:
        self._store = store
        self._interval = bookmark_interval
        self._changed = asyncio.Event()
        self._closed = False

    def notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def close(self) -> None:
        self._closed = True
        self.notify()

    async def lines(self, resource: Resource, namespace: str, options: WatchOptions) -> AsyncIterator[bytes]:
        revision = self._store.revision if options.revision is None else options.revision
        if options.revision is None:
            for entry in self._state(resource, namespace, options.selection):
                yield _line(b"ADDED", entry.body)
            if options.marks_initial:
                yield _bookmark(resource, revision, {"k8s.io/initial-events-end": "true"})
        clock = asyncio.get_running_loop().time
        ends = clock() + options.timeout if options.timeout is not None else None
        marks = clock() + self._interval if options.bookmarks else None
        while not self._closed:
            changed = self._changed
            try:
                events = self._store.since(revision)
            except (RevisionExpired, RevisionTooLarge) as error:
                yield _line(b"ERROR", _forgotten(error, revision, self._store.revision).body().rstrip())
                return
            for event in events:
                revision = event.revision
                if (line := event_line(event, resource, namespace, options.selection)) is not None:
                    yield line
            if marks is not None and clock() >= marks:
                yield _bookmark(resource, revision, {})
                marks = clock() + self._interval
            if ends is not None and clock() >= ends:
                return
            await _wait(changed, _earlier(ends, marks), clock())

    def _state(self, resource: Resource, namespace: str, selection: Selectors) -> Iterator[StoredObject]:
        for entry in list(self._store.now.tables.get(resource.name, {}).values()):
            if _wanted(entry, namespace, selection):
                yield entry


async def _wait(changed: asyncio.Event, until: float | None, now: float) -> None:
    try:
        async with asyncio.timeout(None if until is None else max(until - now, 0)):
            await changed.wait()
    except TimeoutError:
        pass


def _earlier(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)


def event_line(event: ObjectEvent, resource: Resource, namespace: str, selection: Selectors) -> bytes | None:
    """The line of an event for one watch: an object that begins to match is ADDED, one that no longer does
    is DELETED.
    """
    if event.resource != resource.name:
        return None
    old = event.old if event.old is not None and _wanted(event.old, namespace, selection) else None
    new = event.new if event.new is not None and _wanted(event.new, namespace, selection) else None
    if new is not None:
        return _line(b"MODIFIED" if old is not None else b"ADDED", new.body)
    return _line(b"DELETED", old.at(event.revision)) if old is not None else None


def _wanted(entry: StoredObject, namespace: str, selection: Selectors) -> bool:
    if namespace and entry.metadata.get("namespace") != namespace:
        return False
    return not selection or selection.chooses(entry.metadata, entry.content)


def _forgotten(error: Exception, revision: int, current: int) -> StatusError:
    """410 in both cases: kube-apiserver would let a watch from a later revision wait, and it would miss the
    events before that one.
    """
    if isinstance(error, RevisionExpired):
        return expired(too_old(revision, error.oldest))
    return expired(f"too large resource version: {revision} ({current})")


def _line(type: bytes, body: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (type, body)


def _bookmark(resource: Resource, revision: int, annotations: dict[str, str]) -> bytes:
    metadata = {"resourceVersion": str(revision)} | ({"annotations": annotations} if annotations else {})
    return _line(
        b"BOOKMARK",
        orjson.dumps({"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}),
    )
