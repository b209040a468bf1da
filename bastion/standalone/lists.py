"""Lists: one page of a revision of the store, and the token for the next page; pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import orjson

from bastion.kube.status import StatusError, bad_request
from bastion.standalone.resources import Resource
from bastion.standalone.selectors import Selectors
from bastion.standalone.store import RevisionExpired, RevisionTooLarge, Store, StoredObject, StoreRevision

NamespacedName = tuple[str, str]  # (namespace, name), by which a list is ordered


@dataclass(frozen=True, slots=True)
class ListOptions:
    """`limit` 0: no limit.  `revision` None: the current one.  `exact`: that revision and no later one."""

    selection: Selectors
    limit: int = 0
    cursor: str = ""
    revision: int | None = None
    exact: bool = False


def list_body(store: Store, resource: Resource, namespace: str, options: ListOptions) -> bytes:
    """The JSON of a list.

    Raises StatusError: 400, 410 (the revision of the token is no longer kept), 504 (a revision that is yet to
    come).
    """
    generation, after = _beginning(store, options)
    entries = _chosen(generation, resource, namespace, options.selection, after)
    page = list(islice(entries, options.limit)) if options.limit else list(entries)
    metadata: dict[str, str | int] = {"resourceVersion": str(generation.revision)}
    if options.limit and (rest := sum(1 for _ in entries)):
        metadata["continue"] = _cursor(generation.revision, page[-1])
        if not options.selection:
            metadata["remainingItemCount"] = rest
    head = orjson.dumps(
        {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata}
    )
    return b'%b,"items":[%b]}\n' % (head[:-1], b",".join(entry.body for entry in page))


def _chosen(
    g: StoreRevision, resource: Resource, namespace: str, selection: Selectors, after: NamespacedName | None
) -> Iterator[StoredObject]:
    for place, entry in g.tables.get(resource.name, {}).items():
        if namespace and place[0] != namespace:
            continue
        if (after is None or place > after) and (
            not selection or selection.chooses(entry.metadata, entry.content)
        ):
            yield entry


def _beginning(store: Store, options: ListOptions) -> tuple[StoreRevision, NamespacedName | None]:
    if options.cursor:
        revision, after = _read_cursor(options.cursor)
        try:
            return store.generation(revision), after
        except (RevisionExpired, RevisionTooLarge):
            raise expired(
                "The provided continue parameter is too old to display a consistent list result."
            ) from None
    if options.revision is None:
        return store.now, None
    try:
        generation = store.generation(options.revision)
    except RevisionTooLarge:
        raise too_large(options.revision, store.revision) from None
    except RevisionExpired as error:
        if options.exact:
            raise expired(too_old(options.revision, error.oldest)) from None
        generation = store.now
    return (generation if options.exact else store.now), None


def _cursor(revision: int, last: StoredObject) -> str:
    place = [revision, last.metadata.get("namespace", ""), last.metadata["name"]]
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode()


def _read_cursor(text: str) -> tuple[int, NamespacedName]:
    try:
        revision, namespace, name = orjson.loads(base64.urlsafe_b64decode(text))
        return int(revision), (str(namespace), str(name))
    except (binascii.Error, ValueError, TypeError):
        raise bad_request("continue key is not valid") from None


# --- revisions that cannot be served (apimachinery `api/errors`, apiserver `storage/errors.go`)


def expired(message: str) -> StatusError:
    return StatusError(410, "Expired", message)


def too_old(revision: int, oldest: int) -> str:
    return f"too old resource version: {revision} ({oldest})"


def too_large(revision: int, current: int) -> StatusError:
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    message = f"Too large resource version: {revision}, current: {current}"
    return StatusError(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1})
