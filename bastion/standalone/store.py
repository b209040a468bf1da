"""The objects the API serves, their revisions, and the events between these; no clock, no I/O.

Revisions only grow.  An object that does not change keeps its revision; one that changes keeps its uid.
"""

from __future__ import annotations

import bisect
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bastion.standalone.resources import Key, Object

HISTORY = 10_000  # events kept for watches that resume
GENERATIONS = 8  # contents kept for lists that are read page by page
_UIDS = uuid.UUID("6f0a3c5e-2a0b-5c5d-9d3e-0c6b0f6f7a11")

Table = dict[tuple[str, str], "StoredObject"]  # (namespace, name), in this order


class RevisionExpired(Exception):
    """The revision asked for is no longer kept.  `oldest` is the first one that is."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"the oldest revision known is {oldest}")
        self.oldest = oldest


class RevisionTooLarge(Exception):
    """A revision beyond the current one: of another server, or of this one before a restart."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as served.  `content` is the manifest's, to detect a change by; `body` is the JSON."""

    content: Object
    metadata: Mapping[str, Any]
    body: bytes

    def at(self, revision: int) -> bytes:
        """The body with another resourceVersion: a DELETED event carries the revision of the deletion."""
        return _body(self.content, {**self.metadata, "resourceVersion": str(revision)})


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """`old` is None where the object is new, `new` where it is gone."""

    revision: int
    resource: str
    old: StoredObject | None
    new: StoredObject | None


@dataclass(frozen=True, slots=True)
class StoreRevision:
    """What there was from `revision` until the next one."""

    revision: int
    tables: Mapping[str, Table]


@dataclass(frozen=True, slots=True)
class ChangeCounts:
    added: int = 0
    modified: int = 0
    deleted: int = 0

    def __bool__(self) -> bool:
        return bool(self.added or self.modified or self.deleted)


class Store:
    """Counts from `revision` on: made of the clock it is later than that of any earlier process."""

    def __init__(self, revision: int = 1, history: int = HISTORY) -> None:
        self._history = history
        self._events: list[ObjectEvent] = []
        self._generations: deque[StoreRevision] = deque([StoreRevision(revision, {})], maxlen=GENERATIONS)
        self._filled = False

    # --- looking

    @property
    def now(self) -> StoreRevision:
        return self._generations[-1]

    @property
    def revision(self) -> int:
        return self.now.revision

    def get(self, key: Key) -> StoredObject | None:
        resource, namespace, name = key
        return self.now.tables.get(resource, {}).get((namespace, name))

    def generation(self, revision: int) -> StoreRevision:
        """What there was at `revision`.  Raises RevisionExpired, RevisionTooLarge."""
        if revision > self.revision:
            raise RevisionTooLarge
        index = bisect.bisect_right([g.revision for g in self._generations], revision) - 1
        if index < 0:
            raise RevisionExpired(self._generations[0].revision)
        return self._generations[index]

    def since(self, revision: int) -> list[ObjectEvent]:
        """Every event after `revision`.  Raises RevisionExpired, RevisionTooLarge."""
        oldest = self.revision - len(self._events)  # every event has a revision of its own, without gaps
        if revision > self.revision:
            raise RevisionTooLarge
        if revision < oldest:
            raise RevisionExpired(oldest)
        return self._events[revision - oldest :]

    def preview(self, key: Key, content: Object, time: str) -> StoredObject:
        """What `content` would be served as."""
        old = self.get(key)
        if old is not None and old.content == content:
            return old
        return _stored(key, content, old, self.revision + 1, time, reborn=True)

    # --- changing

    def replace(self, contents: Mapping[Key, Object], time: str) -> ChangeCounts:
        """Replaces all objects.  `time` (RFC 3339) is the creation time of new ones.

        The first contents cause no events: no client has seen others.
        """
        tables: dict[str, Table] = {}
        events: list[ObjectEvent] = []
        for key in sorted(contents):
            old, content = self.get(key), contents[key]
            entry = old
            if old is None or old.content != content:
                entry = _stored(key, content, old, self._next(events), time, reborn=self._filled)
                events.append(ObjectEvent(self._next(events), key[0], old, entry))
            assert entry is not None
            tables.setdefault(key[0], {})[key[1:]] = entry
        for resource, table in self.now.tables.items():
            for place in table.keys() - tables.get(resource, {}).keys():
                events.append(ObjectEvent(self._next(events), resource, table[place], None))
        return self._commit(tables, events)

    def _next(self, events: list[ObjectEvent]) -> int:
        return self.revision + 1 + (len(events) if self._filled else 0)

    def _commit(self, tables: dict[str, Table], events: list[ObjectEvent]) -> ChangeCounts:
        if not self._filled:
            self._filled = True
            self._generations = deque([StoreRevision(self.revision + 1, tables)], maxlen=GENERATIONS)
            return ChangeCounts(added=len(events))
        if events:
            self._generations.append(StoreRevision(self.revision + len(events), tables))
            self._events = (self._events + events)[-self._history :]
        added = sum(event.old is None for event in events)
        deleted = sum(event.new is None for event in events)
        return ChangeCounts(added, len(events) - added - deleted, deleted)


def _stored(
    key: Key, content: Object, old: StoredObject | None, revision: int, time: str, *, reborn: bool
) -> StoredObject:
    """The uid of an object is the same at every start, and another one after a deletion."""
    given = content["metadata"]
    uid = (
        old.metadata["uid"]
        if old
        else str(uuid.uuid5(_UIDS, "/".join(key) + (f"@{revision}" if reborn else "")))
    )
    created = old.metadata["creationTimestamp"] if old else time
    own = {"uid": given.get("uid") or uid, "creationTimestamp": given.get("creationTimestamp") or created}
    metadata = {**given, **own, "resourceVersion": str(revision)}
    return StoredObject(content, metadata, _body(content, metadata))


def _body(content: Object, metadata: Mapping[str, Any]) -> bytes:
    head = {"apiVersion": content["apiVersion"], "kind": content["kind"], "metadata": metadata}
    return orjson.dumps({**head, **{name: value for name, value in content.items() if name not in head}})
