"""What does a request to this API ask?

Method, path and query in; the question for RBAC and the options out; pure.

Source: apiserver `endpoints/request/requestinfo.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from bastion.kube.attributes import Attributes
from bastion.kube.status import StatusError, bad_request, quoted
from bastion.standalone.lists import ListOptions
from bastion.standalone.selectors import Selection, selection
from bastion.standalone.watches import WatchOptions

VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
Query = Mapping[str, str]


def attributes(method: str, raw_path: str, query: Query) -> Attributes:
    """What RBAC is asked.  A resource where the path names one, else the path.  Raises StatusError 400."""
    segments = [unquote(segment) for segment in raw_path.split("/")[1:]]
    if segments and not segments[-1]:
        segments.pop()
    group, version, rest = _group(segments)
    if not rest:
        return Attributes(method.lower(), path=unquote(raw_path), version="")
    namespace, rest = _namespace(rest)
    resource, name, subresource = (*rest, "", "")[:3]
    verb = VERBS.get(method, "")
    if not name and verb == "get":
        # A list or watch of one object by its name is a question about that object (resourceNames apply).
        verb, name = "watch" if is_true(query, "watch") else "list", chosen(query).name
    elif not name and verb == "delete":
        verb = "deletecollection"
    return Attributes(verb, group, version, namespace, resource, subresource, name)


def _group(segments: list[str]) -> tuple[str, str, list[str]]:
    """(group, version, what follows); nothing follows where the path is no resource's."""
    if segments[:1] == ["api"] and len(segments) > 2:
        return "", segments[1], segments[2:]
    if segments[:1] == ["apis"] and len(segments) > 3:
        return segments[1], segments[2], segments[3:]
    return "", "", []


def _namespace(rest: list[str]) -> tuple[str, list[str]]:
    if rest[0] != "namespaces" or len(rest) == 1:
        return "", rest
    return rest[1], rest[2:] if len(rest) > 2 else rest


def is_true(query: Query, name: str) -> bool:
    return name in query and query[name] not in ("false", "0")


def chosen(query: Query) -> Selection:
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
        revision=revision or None,  # 0 is any revision, absent the newest: here they are the same
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
