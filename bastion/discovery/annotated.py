"""Which annotations change nothing?  Each is told in the log, once until it changes."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from bastion.discovery.listeners import Annotated
from bastion.kube.annotation import DOMAIN, Mistake, read
from bastion.kube.annotations import BackendProtocol, mistakes
from bastion.kube.metadata import AnnotatedMetadata
from bastion.kube.objects import Service
from bastion.kube.values import quoted

MOST_OF_A_NAMESPACE = 64  # mistakes told: a tenant may write any number of them
MOST = 4096
SHOWN = 64  # characters of a value

_log = logging.getLogger("bastion.discovery")


class Mistakes:
    """`insecure`: whether the owner of a backend may say that it is not verified."""

    def __init__(self, *, insecure: bool = False) -> None:
        self._insecure = insecure
        self._told: set[tuple[str, ...]] = set()
        self._of: dict[str, int] = {}  # namespace -> told

    def look(self, object: Annotated) -> None:
        """At one that is new or has changed."""
        metadata = object.metadata
        kind = "Service" if isinstance(object, Service) else "Pod"
        for key, text, why in (*mistakes(kind, metadata.annotations), *self._refused(metadata)):
            told = (kind, metadata.namespace, metadata.name, key, text)
            if told in self._told or not self._may_tell(metadata.namespace):
                continue
            self._told.add(told)
            _log.warning(
                "%s %s/%s: the annotation %s is ignored: %s",
                kind,
                metadata.namespace,
                metadata.name,
                quoted(key[:SHOWN]),
                why,
            )

    def _refused(self, metadata: AnnotatedMetadata) -> Iterator[Mistake]:
        """What is well said, and not allowed here."""
        if not self._insecure and not read(BackendProtocol, metadata.annotations).tls_verify:
            yield Mistake(f"{DOMAIN}/tls-verify", "false", "it needs --allow-insecure-backends")

    def _may_tell(self, namespace: str) -> bool:
        count = self._of.get(namespace, 0)
        if count >= MOST_OF_A_NAMESPACE or len(self._told) >= MOST:
            return False
        self._of[namespace] = count + 1
        return True
