"""· A call to the API server, before it is made."""

from __future__ import annotations

from dataclasses import dataclass

from bastion.runtime.turns import BACKGROUND, Asker

MAX_REVIEW = 1 << 20  # bytes of the response to a review
MAX_LIST = 256 << 20  # bytes of a page of a list
MAX_EVENT = 8 << 20  # bytes of one watch event

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True, slots=True)
class Call:
    """`limit`: bytes of the response; `timeout` in seconds; `asker`: on whose behalf it is made."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes | None
    limit: int
    timeout: float
    asker: Asker = BACKGROUND

    @property
    def verb(self) -> str:
        """As Kubernetes names it."""
        if self.method in _VERBS:
            return _VERBS[self.method]
        if "watch" in self.query:
            return "watch"
        return "list" if {"limit", "labelSelector"} & self.query.keys() else "get"

    @property
    def resource(self) -> str:
        """Empty for a path of no object's."""
        parts = self.path.removesuffix("/status").split("/")
        return parts[-2] if self.verb in ("get", "update", "patch") else parts[-1]

    @property
    def content_type(self) -> str:
        return "application/merge-patch+json" if self.method == "PATCH" else "application/json"


def get(path: str, query: dict[str, str], timeout: float, asker: Asker = BACKGROUND) -> Call:
    return Call("GET", path, query, None, MAX_LIST, timeout, asker=asker)


def create(path: str, body: bytes, timeout: float, asker: Asker) -> Call:
    return Call("POST", path, {}, body, MAX_REVIEW, timeout, asker=asker)


def update(path: str, body: bytes, timeout: float, asker: Asker) -> Call:
    return Call("PUT", path, {}, body, MAX_REVIEW, timeout, asker=asker)


def patch(path: str, body: bytes, timeout: float, asker: Asker) -> Call:
    """RFC 7386: what `body` has is merged."""
    return Call("PATCH", path, {}, body, MAX_REVIEW, timeout, asker=asker)


def watch(path: str, query: dict[str, str], timeout: float) -> Call:
    return Call("GET", path, query, None, MAX_EVENT, timeout)


def probe() -> Call:
    return Call("GET", "/readyz", {}, None, MAX_REVIEW, 0)
