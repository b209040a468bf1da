"""The options of a list or a watch, read from the query; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bastion.kube.status import StatusError, bad_request, quoted
from bastion.standalone.lists import ListOptions
from bastion.standalone.selectors import Selectors, selection
from bastion.standalone.watches import WatchOptions

Query = Mapping[str, str]


def is_true(query: Query, name: str) -> bool:
    return name in query and query[name] not in ("false", "0")


def is_dry(values: Sequence[str]) -> bool:
    """`dryRun`.  Raises StatusError 400: what is not understood must not be taken for a write."""
    if any(value not in ("", "All") for value in values):
        raise bad_request(f"dryRun: must be All, not {quoted(values[0])}")
    return "All" in values


def chosen(query: Query) -> Selectors:
    return selection(query.get("labelSelector", ""), query.get("fieldSelector", ""))


def list_options(query: Query) -> ListOptions:
    """Raises StatusError 400, and 422 where the options do not go together."""
    revision, match = _number(query, "resourceVersion"), query.get("resourceVersionMatch", "")
    limit = _number(query, "limit") or 0
    if match:
        _check_match(match, revision, query)
    return ListOptions(
        chosen(query),
        limit=limit,
        cursor=query.get("continue", ""),
        revision=revision or None,  # 0 allows any revision, absent means the newest: the same here
        exact=match == "Exact" or (not match and limit > 0),
    )


def _check_match(match: str, revision: int | None, query: Query) -> None:
    """Source: apimachinery `meta/internalversion/validation`."""
    wrong = ""
    if revision is None:
        wrong = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
    elif query.get("continue"):
        wrong = "Forbidden: resourceVersionMatch is forbidden when continue is provided"
    elif match not in ("Exact", "NotOlderThan"):
        wrong = f'Unsupported value: {quoted(match)}: supported values: "Exact", "NotOlderThan"'
    elif match == "Exact" and revision == 0:
        wrong = 'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
    if wrong:
        raise StatusError(
            422, "Invalid", f'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: {wrong}'
        )


def watch_options(query: Query) -> WatchOptions:
    """Raises StatusError 400."""
    initial = is_true(query, "sendInitialEvents")
    bookmarks = is_true(query, "allowWatchBookmarks")
    timeout = _number(query, "timeoutSeconds")
    return WatchOptions(
        chosen(query),
        revision=None if initial else _number(query, "resourceVersion") or None,
        timeout=float(timeout) if timeout else None,
        bookmarks=bookmarks,
        marks_initial=initial and bookmarks,
    )


def _number(query: Query, name: str) -> int | None:
    """None where it is not given."""
    text = query.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise bad_request(f"{name}: must be a number that is not negative")
    return int(text)
