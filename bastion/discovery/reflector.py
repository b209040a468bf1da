"""· List and watch as a state machine: what to request next, and what a response changes.

Pure: time and chance are arguments.  Source: client-go `tools/cache/reflector.go`.  It differs in two points.
Every failure, also a watch that ends at once, causes a back-off (a client that reconnected without one made
1 800 requests a second).  And a watch whose events are out of order causes a new list; so does data that went
back in time (etcd was restored, or emptied): a watch from a later version than the current one is silent, and
then omits what happened before.  Hence each watch that resumes after a break is checked once it has begun.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

import msgspec

from bastion.discovery.events import in_slices, read_event, read_page
from bastion.discovery.versions import age
from bastion.kube.compaction import compact
from bastion.kube.metadata import Metadata
from bastion.kube.objects import Object

O = TypeVar("O", bound=Object)  # noqa: E741

Key = tuple[str, str]

PAGE = 500  # objects, and fewer where these are large
PAGE_BYTES = 1 << 20  # of a page at most: it is split in one step, and held as a whole
WATCH_SECONDS = 30  # a stuck watch is noticed shortly after it should have ended
BACKOFF_FIRST, BACKOFF_MOST = 0.25, 8.0  # seconds
DOUBLINGS = 5  # from the first to the most
GONE = 410
CHECKS = 3  # failed ones in a row, after which it is watched without a check


@dataclass(frozen=True, slots=True)
class NextRequest:
    """The next request: a page of the list, or the watch."""

    watch: bool
    query: dict[str, str]


@dataclass(frozen=True, slots=True)
class ObjectChange(Generic[O]):
    """`object` is None where the key was deleted.  `of_known`: it can only happen to a known object."""

    key: Key
    object: O | None
    of_known: bool = False


@dataclass(frozen=True, slots=True)
class Listed(Generic[O]):
    """A page.

    `keys` are those of the whole list once it is complete (what is not among them is gone), None before.
    """

    changes: list[ObjectChange[O]]
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
        self._version: str | None = None  # where the watch continues; None: a list is due
        self._continue = ""
        self._keys: set[Key] = set()
        self._failures = 0
        self._expiries = 0  # in a row, without a watch that ended normally
        # after a break the API server may have older data: to be checked
        self._checking = False
        self._asked = False  # the check was requested
        self._unchecked = 0  # checks in a row that failed with a response
        self._events = 0
        self._retry_after = 0.0
        self._page = PAGE

    @property
    def version(self) -> str | None:
        """Everything up to this resourceVersion is known; None while a list is due."""
        return self._version

    def ask(self) -> NextRequest:
        if self._version is None:
            query = {"limit": str(self._page)}
            if self._continue:
                query["continue"] = self._continue
            else:
                self._keys = set()
            return NextRequest(False, query)
        self._events = 0
        query = {"watch": "true", "resourceVersion": self._version, "allowWatchBookmarks": "true"}
        return NextRequest(True, query | {"timeoutSeconds": str(self._watch_seconds)})

    def delay(self, chance: float) -> float:
        """Seconds to wait before the next request; `chance` in [0, 1) spreads those of many."""
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
        """Raises ValueError where the body is not a list."""
        changes = [change for some in self.slices(body) for change in some]
        return Listed(changes, self.listed())

    def slices(self, body: bytes) -> Iterator[list[ObjectChange[O]]]:
        """The changes of a page, some at a time; the page counts once the iterator is exhausted.

        Raises ValueError where the body is not a list.
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
        # kept for the next list: 500 slices of a thousand endpoints are tens of megabytes
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
        """The watch has begun.  Returns the query that checks the version of its API server.

        None where no check is due.
        """
        if not self._checking or self._version is None:
            return None
        self._asked = True
        return {"limit": "1", "resourceVersion": self._version, "resourceVersionMatch": "NotOlderThan"}

    def checked(self, body: bytes) -> None:
        """Raises ValueError where the body is not a list, WatchExpired where it is older than ours."""
        version = read_page(body).metadata.resource_version
        # a correct API server would have refused
        if self._version is not None and age(version, self._version) < 0:
            self.went_back(f"it is at version {version}, and was at {self._version}")
        self._checking, self._asked, self._unchecked = False, False, 0

    def went_back(self, why: str) -> NoReturn:
        """The API server's data went back in time: a list is due, and at once.  Raises WatchExpired."""
        self._succeeded()
        self._expired()
        raise WatchExpired(why)

    # --- watches

    def event(self, line: bytes) -> ObjectChange[O] | None:
        """None for what changes nothing.

        Raises ValueError for a line that is not an event, WatchExpired where a list is due.
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
        change: ObjectChange[O] | None = None
        if event.type == "DELETED":
            change = ObjectChange((metadata.namespace, metadata.name), None, of_known=True)
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
        """The watch ended normally, after `lasted` seconds.

        After one without events there is a pause.  A watch without a bookmark, or one that ended early, is
        followed by a check: an API server at our version sends a bookmark before it ends a watch, and ends
        one early only when it stops.
        """
        self._expiries = 0
        self._checking = not self._events or lasted < self._watch_seconds - 1
        if not self._events:
            self._failures = min(self._failures + 1, 2)

    def failed(
        self, status: int = 0, retry_after: float = 0.0, *, ahead: bool = False, lasted: float = 0.0
    ) -> None:
        """A request failed; `status` is that of the response, 0 where there was none; `ahead`: our version is
        later than the API server's; `lasted`: seconds since the response began.
        """
        if lasted > BACKOFF_MOST:  # it worked since the failures before
            self._succeeded()
        if ahead and self._version is not None:
            self._succeeded()
        if ahead or status == GONE:
            self._expired()
            return
        if self._asked and status:
            # An API server that refuses the check may still be watched.
            self._unchecked += 1
            self._checking = self._unchecked < CHECKS and (status in (401, 429) or status >= 500)
        elif not self._checking:
            self._checking, self._unchecked = True, 0
        self._asked = False
        self._failures += 1
        self._retry_after = min(retry_after, 60.0)

    def _expired(self) -> None:
        """Forgets where the watch or the list continues.

        Once is no reason to wait; repeatedly is.
        """
        self._version, self._continue = None, ""
        self._checking = self._asked = False
        self._expiries += 1

    def _succeeded(self) -> None:
        self._failures, self._retry_after = 0, 0.0

    def _change(self, decoded: O, *, of_known: bool = False) -> ObjectChange[O]:
        metadata: Metadata = decoded.metadata
        return ObjectChange((metadata.namespace, metadata.name), decoded, of_known)


class WatchExpired(Exception):
    """The watch cannot continue from its version: a list is due.  The argument is a code or the reason."""
