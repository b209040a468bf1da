"""How does a copy of a list stay true?  List-watch as a state machine: what to ask next, what an answer changes.

Pure: time and chance are arguments.  Source: client-go `tools/cache/reflector.go`; what goes beyond it is that every
failure, also of a watch that ends at once, is answered with a back-off (a client that reconnects without one was seen
to make 1 800 requests a second), and that a watch whose events are out of order is not believed: a list is due.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from bastion.kube.objects import Metadata, Object, compact

O = TypeVar("O", bound=Object)  # noqa: E741

Key = tuple[str, str]

PAGE = 500  # objects, and fewer where these are large
PAGE_BYTES = 1 << 20  # what a page should take: it is taken apart in one step, and held as a whole
SLICE = 25  # objects decoded at a time, or so many bytes of them: others want the processor, too
SLICE_BYTES = 65536
WATCH_SECONDS = 30  # a watch that is stuck is noticed shortly after it should have ended
BACKOFF_FIRST, BACKOFF_MOST = 0.25, 8.0  # seconds
DOUBLINGS = 5  # from the first to the most
GONE = 410


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _EventMeta(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class _EventHead(msgspec.Struct):
    metadata: _EventMeta
    code: int = 0


class _Event(msgspec.Struct):
    """All that can be told of an event whatever its object is: an ERROR's is a Status."""

    type: str
    object: _EventHead


_page = msgspec.json.Decoder(_Page)
_event = msgspec.json.Decoder(_Event)


@dataclass(frozen=True, slots=True)
class Ask:
    """The next request: a page of the list, or the watch."""

    watch: bool
    query: dict[str, str]


@dataclass(frozen=True, slots=True)
class Change(Generic[O]):
    """`object` is None where the key was deleted."""

    key: Key
    object: O | None


@dataclass(frozen=True, slots=True)
class Listed(Generic[O]):
    """A page.  `keys` are those of the whole list once it is complete (what is not among them is gone), None before."""

    changes: list[Change[O]]
    keys: set[Key] | None


class Reflector(Generic[O]):
    """`struct` is what an object is decoded to; `watch_seconds` how long one watch is asked to last."""

    def __init__(self, struct: type[O], watch_seconds: int = WATCH_SECONDS) -> None:
        self._object = msgspec.json.Decoder(struct)
        # An event's object without a copy of its bytes in between.
        self._object_of_event: msgspec.json.Decoder[Any] = msgspec.json.Decoder(msgspec.defstruct("EventObject", [("object", struct)]))
        self._watch_seconds = watch_seconds
        self._version: str | None = None  # where the watch goes on; None: a list is due
        self._continue = ""
        self._keys: set[Key] = set()
        self._failures = 0
        self._expiries = 0  # in a row: without a watch that ended well
        self._events = 0
        self._retry_after = 0.0
        self._page = PAGE

    @property
    def version(self) -> str | None:
        """What is known is all that was up to this resourceVersion; None: not known."""
        return self._version

    def ask(self) -> Ask:
        if self._version is None:
            query = {"limit": str(self._page)}
            if self._continue:
                query["continue"] = self._continue
            else:
                self._keys = set()
            return Ask(False, query)
        self._events = 0
        query = {"watch": "true", "resourceVersion": self._version, "allowWatchBookmarks": "true"}
        return Ask(True, query | {"timeoutSeconds": str(self._watch_seconds)})

    def delay(self, chance: float) -> float:
        """Seconds to wait before asking; `chance` in [0, 1) spreads many of these over time."""
        if self._retry_after:
            return self._retry_after * (1 + chance / 4)
        failures = max(self._failures, self._expiries - 1 if self._version is None and not self._continue else 0)
        if not failures:
            return 0.0
        return float(min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** min(failures - 1, DOUBLINGS)) * (1 - chance / 2))

    # --- lists

    def page(self, body: bytes) -> Listed[O]:
        """Raises ValueError where the body is no list."""
        changes = [change for some in self.slices(body) for change in some]
        return Listed(changes, self.listed())

    def slices(self, body: bytes) -> Iterator[list[Change[O]]]:
        """The changes of a page, some at a time; the page counts once all were taken.  Raises ValueError where the body is no list."""
        page = _page.decode(body)
        if not page.metadata.resource_version:
            raise ValueError("a list without a resourceVersion")
        items = page.items or []
        keys: list[Key] = []
        for some in _at_once(items):
            changes = [self._change(compact(self._object.decode(raw))) for raw in some]
            keys += [change.key for change in changes]
            yield changes
        if items:  # also for the next list: a slice may have a thousand endpoints, and then there are tens of megabytes in 500
            self._page = max(1, min(PAGE, PAGE_BYTES * len(items) // len(body)))
        self._keys.update(keys)
        self._continue = page.metadata.continue_
        if not self._continue:
            self._version = page.metadata.resource_version
        self._succeeded()

    def listed(self) -> set[Key] | None:
        """The keys of the whole list, once, when it is complete; else None."""
        if self._version is None:
            return None
        keys, self._keys = self._keys, set()
        return keys

    # --- watches

    def event(self, line: bytes) -> Change[O] | None:
        """None for what changes nothing.  Raises ValueError for a line that is no event, WatchExpired where a new list is due."""
        event = _event.decode(line)
        metadata = event.object.metadata
        if event.type == "ERROR":
            self._expired()
            raise WatchExpired(event.object.code)
        version = metadata.resource_version
        if self._version and age(version, self._version) < 0:
            disorder = WatchExpired(f"{version} after {self._version}")
            self._expired()
            raise disorder
        change: Change[O] | None = None
        if event.type == "DELETED":
            change = Change((metadata.namespace, metadata.name), None)
        elif event.type in ("ADDED", "MODIFIED"):
            change = self._change(compact(self._object_of_event.decode(line).object))
        self._events += 1
        self._succeeded()
        if version:
            self._version = version
        return change

    def ended(self) -> None:
        """The watch ended in good order.  One that ends without an event is not asked for again at once."""
        self._expiries = 0
        if not self._events:
            self._failures = min(self._failures + 1, 2)

    def failed(self, status: int = 0, retry_after: float = 0.0) -> None:
        """A request failed; `status` is the answer's, 0 where there was none."""
        if status == GONE:
            self._expired()
            return
        self._failures += 1
        self._retry_after = min(retry_after, 60.0)

    def _expired(self) -> None:
        """Where the watch, or the list, was to go on is forgotten.  Once that is no reason to wait, again and again it is."""
        self._version, self._continue = None, ""
        self._expiries += 1

    def _succeeded(self) -> None:
        self._failures, self._retry_after = 0, 0.0

    def _change(self, decoded: O) -> Change[O]:
        metadata: Metadata = decoded.metadata
        return Change((metadata.namespace, metadata.name), decoded)


def _at_once(items: list[msgspec.Raw]) -> Iterator[list[msgspec.Raw]]:
    some: list[msgspec.Raw] = []
    size = 0
    for raw in items:
        some.append(raw)
        size += len(memoryview(raw))
        if len(some) == SLICE or size >= SLICE_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


class WatchExpired(Exception):
    """The server no longer knows what came after the version asked for; the argument is its code, or what was out of order."""


def age(version: str, than: str) -> int:
    """Below 0 where a resourceVersion is older, above where it is younger, as far as can be told (KEP-5504: they are numbers)."""
    if not all(text.isascii() and text.isdigit() for text in (version, than)):
        return 0
    return int(version) - int(than)
