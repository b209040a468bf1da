"""What exists, since when, and what happened last?

Whole contents in; entries, lists and events out; no clock, no I/O.

Revisions only grow.  Objects that stay what they are keep theirs; an object that changes keeps its uid.
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

HISTORY = 10_000  # events kept for watches that come back
GENERATIONS = 8  # contents kept for lists that are read page by page
_UIDS = uuid.UUID("6f0a3c5e-2a0b-5c5d-9d3e-0c6b0f6f7a11")

Table = dict[tuple[str, str], "Entry"]  # (namespace, name), in this order


class Expired(Exception):
    """What was asked for is no longer known.  `oldest` is the first revision that is."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"the oldest revision known is {oldest}")
        self.oldest = oldest


class FromTheFuture(Exception):
    """A revision that has not been yet: of another server, or of this one before it was started again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object as it is served.  `content` is what was given, to see a change by; `body` is the JSON."""

    content: Object
    metadata: Mapping[str, Any]
    body: bytes

    def at(self, revision: int) -> bytes:
        """The body with another resourceVersion: an object's last words carry the revision of its end."""
        return _body(self.content, {**self.metadata, "resourceVersion": str(revision)})


@dataclass(frozen=True, slots=True)
class Event:
    """`old` is None where the object is new, `new` where it is gone."""

    revision: int
    resource: str
    old: Entry | None
    new: Entry | None


@dataclass(frozen=True, slots=True)
class Generation:
    """What there was from `revision` until the next one."""

    revision: int
    tables: Mapping[str, Table]


@dataclass(frozen=True, slots=True)
class Changes:
    added: int = 0
    modified: int = 0
    deleted: int = 0

    def __bool__(self) -> bool:
        return bool(self.added or self.modified or self.deleted)


class Store:
    """`revision` is where counting starts: later than that of any former process, if it is made of the
    clock.
    """

    def __init__(self, revision: int = 1, history: int = HISTORY) -> None:
        self._history = history
        self._events: list[Event] = []
        self._generations: deque[Generation] = deque([Generation(revision, {})], maxlen=GENERATIONS)
        self._filled = False

    # --- looking

    @property
    def now(self) -> Generation:
        return self._generations[-1]

    @property
    def revision(self) -> int:
        return self.now.revision

    def get(self, key: Key) -> Entry | None:
        resource, namespace, name = key
        return self.now.tables.get(resource, {}).get((namespace, name))

    def generation(self, revision: int) -> Generation:
        """What there was at `revision`.  Raises Expired, FromTheFuture."""
        if revision > self.revision:
            raise FromTheFuture
        index = bisect.bisect_right([g.revision for g in self._generations], revision) - 1
        if index < 0:
            raise Expired(self._generations[0].revision)
        return self._generations[index]

    def since(self, revision: int) -> list[Event]:
        """Every event after `revision`.  Raises Expired, FromTheFuture."""
        oldest = self.revision - len(self._events)  # every event has a revision of its own, without gaps
        if revision > self.revision:
            raise FromTheFuture
        if revision < oldest:
            raise Expired(oldest)
        return self._events[revision - oldest :]

    # --- changing

    def replace(self, contents: Mapping[Key, Object], time: str) -> Changes:
        """From now on there is exactly this.  `time` (RFC 3339) is when new objects came to be.

        The first contents are a beginning, not a change: nobody has seen anything else, so they are no
        events.
        """
        tables: dict[str, Table] = {}
        events: list[Event] = []
        for key in sorted(contents):
            old, content = self.get(key), contents[key]
            entry = old
            if old is None or old.content != content:
                entry = _entry(key, content, old, self._next(events), time, reborn=self._filled)
                events.append(Event(self._next(events), key[0], old, entry))
            assert entry is not None
            tables.setdefault(key[0], {})[key[1:]] = entry
        for resource, table in self.now.tables.items():
            for place in table.keys() - tables.get(resource, {}).keys():
                events.append(Event(self._next(events), resource, table[place], None))
        return self._commit(tables, events)

    def _next(self, events: list[Event]) -> int:
        return self.revision + 1 + (len(events) if self._filled else 0)

    def _commit(self, tables: dict[str, Table], events: list[Event]) -> Changes:
        if not self._filled:
            self._filled = True
            self._generations = deque([Generation(self.revision + 1, tables)], maxlen=GENERATIONS)
            return Changes(added=len(events))
        if events:
            self._generations.append(Generation(self.revision + len(events), tables))
            self._events = (self._events + events)[-self._history :]
        added = sum(event.old is None for event in events)
        deleted = sum(event.new is None for event in events)
        return Changes(added, len(events) - added - deleted, deleted)


def _entry(key: Key, content: Object, old: Entry | None, revision: int, time: str, *, reborn: bool) -> Entry:
    """A uid says which object of this name: the same at every start, another after a deletion."""
    given = content["metadata"]
    uid = (
        old.metadata["uid"]
        if old
        else str(uuid.uuid5(_UIDS, "/".join(key) + (f"@{revision}" if reborn else "")))
    )
    created = old.metadata["creationTimestamp"] if old else time
    own = {"uid": given.get("uid") or uid, "creationTimestamp": given.get("creationTimestamp") or created}
    metadata = {**given, **own, "resourceVersion": str(revision)}
    return Entry(content, metadata, _body(content, metadata))


def _body(content: Object, metadata: Mapping[str, Any]) -> bytes:
    head = {"apiVersion": content["apiVersion"], "kind": content["kind"], "metadata": metadata}
    return orjson.dumps({**head, **{name: value for name, value in content.items() if name not in head}})
