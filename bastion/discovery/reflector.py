"""· How does a copy of a list stay true?

List-watch as a state machine: what to ask next, what an answer changes.

Pure: time and chance are arguments.  Source: client-go `tools/cache/reflector.go`; what goes beyond it is
that every failure, also of a watch that ends at once, is answered with a back-off (a client that reconnects
without one was seen to make 1 800 requests a second), and that a watch whose events are out of order is not
believed: a list is due.  So it is where the API server's data went back in time (etcd was restored, or
emptied): a watch from a version that is yet to come is silent, and then leaves out what happened before;
hence the check of each that goes on after a break, once it has begun.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

import msgspec

from bastion.discovery.events import in_slices, read_event, read_page
from bastion.discovery.versions import age
from bastion.kube.compaction import compact
from bastion.kube.objects import Metadata, Object

O = TypeVar("O", bound=Object)  # noqa: E741

Key = tuple[str, str]

PAGE = 500  # objects, and fewer where these are large
PAGE_BYTES = 1 << 20  # what a page should take: it is taken apart in one step, and held as a whole
WATCH_SECONDS = 30  # a watch that is stuck is noticed shortly after it should have ended
BACKOFF_FIRST, BACKOFF_MOST = 0.25, 8.0  # seconds
DOUBLINGS = 5  # from the first to the most
GONE = 410
CHECKS = 3  # that are answered with something else, and then it is watched again


@dataclass(frozen=True, slots=True)
class Ask:
    """The next request: a page of the list, or the watch."""

    watch: bool
    query: dict[str, str]


@dataclass(frozen=True, slots=True)
class Change(Generic[O]):
    """`object` is None where the key was deleted.  `of_known`: it can only happen to what is known."""

    key: Key
    object: O | None
    of_known: bool = False


@dataclass(frozen=True, slots=True)
class Listed(Generic[O]):
    """A page.

    `keys` are those of the whole list once it is complete (what is not among them is gone), None before.
    """

    changes: list[Change[O]]
    keys: set[Key] | None


class Reflector(Generic[O]):
    """`struct` is what an object is decoded to; `watch_seconds` how long one watch is asked to last."""

    def __init__(self, struct: type[O], watch_seconds: int = WATCH_SECONDS) -> None:
        self._object = msgspec.json.Decoder(struct)
        # An event's object without a copy of its bytes in between.
        self._object_of_event: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
            msgspec.defstruct("EventObject", [("object", struct)])
        )
        self._watch_seconds = watch_seconds
        self._version: str | None = None  # where the watch goes on; None: a list is due
        self._continue = ""
        self._keys: set[Key] = set()
        self._failures = 0
        self._expiries = 0  # in a row: without a watch that ended well
        # nothing was heard for a while, and the API server may have been given older data
        self._checking = False
        self._asked = False  # it is being checked
        self._unchecked = 0  # in a row: checks that were answered, and with something else
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
        failures = max(
            self._failures, self._expiries - 1 if self._version is None and not self._continue else 0
        )
        if not failures:
            return 0.0
        return float(min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** min(failures - 1, DOUBLINGS)) * (1 - chance / 2))

    # --- lists

    def page(self, body: bytes) -> Listed[O]:
        """Raises ValueError where the body is no list."""
        changes = [change for some in self.slices(body) for change in some]
        return Listed(changes, self.listed())

    def slices(self, body: bytes) -> Iterator[list[Change[O]]]:
        """The changes of a page, some at a time; the page counts once all were taken.

        Raises ValueError where the body is no list.
        """
        page = read_page(body)
        if not page.metadata.resource_version:
            raise ValueError("a list without a resourceVersion")
        items = page.items or []
        keys: list[Key] = []
        for some in in_slices(items):
            changes = [self._change(compact(self._object.decode(raw))) for raw in some]
            keys += [change.key for change in changes]
            yield changes
        # also for the next list: a slice may have a thousand endpoints, and then there are tens of megabytes
        # in 500
        if items:
            self._page = max(1, min(PAGE, PAGE_BYTES * len(items) // len(body)))
        self._keys.update(keys)
        self._continue = page.metadata.continue_
        if not self._continue:
            self._version = page.metadata.resource_version
            self._checking = True
        self._succeeded()

    def listed(self) -> set[Key] | None:
        """The keys of the whole list, once, when it is complete; else None."""
        if self._version is None:
            return None
        keys, self._keys = self._keys, set()
        return keys

    # --- the check

    def begun(self) -> dict[str, str] | None:
        """The watch has begun, and ends where its API server does.

        What that is to be asked now: has it come as far as we have?
        """
        if not self._checking or self._version is None:
            return None
        self._asked = True
        return {"limit": "1", "resourceVersion": self._version, "resourceVersionMatch": "NotOlderThan"}

    def checked(self, body: bytes) -> None:
        """Raises ValueError where the body is no list, WatchExpired where it is of a time before ours."""
        version = read_page(body).metadata.resource_version
        # it should have said that it has not come so far
        if self._version is not None and age(version, self._version) < 0:
            self.went_back(f"it is at {version}, and was at {self._version}")
        self._checking, self._asked, self._unchecked = False, False, 0

    def went_back(self, why: str) -> NoReturn:
        """What is known was taken back: a list is due, and at once.  Raises WatchExpired."""
        self._succeeded()
        self._expired()
        raise WatchExpired(why)

    # --- watches

    def event(self, line: bytes) -> Change[O] | None:
        """None for what changes nothing.

        Raises ValueError for a line that is no event, WatchExpired where a new list is due.
        """
        event = read_event(line)
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
            change = Change((metadata.namespace, metadata.name), None, of_known=True)
        elif event.type in ("ADDED", "MODIFIED"):
            change = self._change(
                compact(self._object_of_event.decode(line).object), of_known=event.type == "MODIFIED"
            )
        self._events += 1
        self._succeeded()
        if version:
            self._version = version
        return change

    def ended(self, lasted: float = WATCH_SECONDS) -> None:
        """The watch ended in good order, after so many seconds.

        One that ends without an event is not asked for again at once.

        An API server that has come as far as we have says so with a bookmark before it ends a watch, and ends
        none before its time unless it ends itself.
        """
        self._expiries = 0
        self._checking = not self._events or lasted < self._watch_seconds - 1
        if not self._events:
            self._failures = min(self._failures + 1, 2)

    def failed(
        self, status: int = 0, retry_after: float = 0.0, *, ahead: bool = False, lasted: float = 0.0
    ) -> None:
        """A request failed; `status` is the answer's, 0 where there was none; `ahead`: the API server has not
        come as far as we have; `lasted`: so many seconds after it began to be answered.
        """
        if lasted > BACKOFF_MOST:  # what failed before has been well since
            self._succeeded()
        if ahead and self._version is not None:
            self._succeeded()
        if ahead or status == GONE:
            self._expired()
            return
        if self._asked and status:
            # One that lets nobody list, or cannot be asked this, may well be watched.
            self._unchecked += 1
            self._checking = self._unchecked < CHECKS and (status in (401, 429) or status >= 500)
        elif not self._checking:
            self._checking, self._unchecked = True, 0
        self._asked = False
        self._failures += 1
        self._retry_after = min(retry_after, 60.0)

    def _expired(self) -> None:
        """Where the watch, or the list, was to go on is forgotten.

        Once that is no reason to wait, again and again it is.
        """
        self._version, self._continue = None, ""
        self._checking = self._asked = False
        self._expiries += 1

    def _succeeded(self) -> None:
        self._failures, self._retry_after = 0, 0.0

    def _change(self, decoded: O, *, of_known: bool = False) -> Change[O]:
        metadata: Metadata = decoded.metadata
        return Change((metadata.namespace, metadata.name), decoded, of_known)


class WatchExpired(Exception):
    """What came after the version asked for is no longer known, or never came to be; the argument is a code,
    or what was out of order.
    """
