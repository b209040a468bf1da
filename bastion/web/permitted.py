"""May the reader see a datum, or do something to it?  One review each, of the cluster's own rules."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bastion.authz.authorizer import Authorizer, Decision
from bastion.kube.annotation import DOMAIN
from bastion.kube.attributes import Attributes
from bastion.kube.errors import forbidden, not_found
from bastion.kube.status import StatusError
from bastion.web.openable.listing import PATIENCE, Openable
from bastion.web.openable.plan import Ask, Rights, ids_of
from bastion.web.portal.inventory import Inventory, may_any
from bastion.web.portal.rows import Subject
from bastion.web.reader import Reader

MOST_NEAR = 3  # names told with a 404
MOST_IDS = 24  # of one object that are asked about


class Permitted(msgspec.Struct, frozen=True):
    authorizer: Authorizer
    openable: Openable
    inventory: Inventory

    async def decided(self, reader: Reader, attributes: Attributes) -> Decision:
        return await self.authorizer.authorize(reader.user, attributes, reader.asker)

    async def may(self, reader: Reader, attributes: Attributes) -> bool:
        return (await self.decided(reader, attributes)).allowed

    async def may_see_pods(self, reader: Reader, namespace: str) -> bool:
        """The addresses of endpoints, and on which node they are."""
        return await self.may(reader, Attributes("get", "", "v1", namespace, "pods"))

    async def may_with_streams(self, reader: Reader, verb: str, namespace: str) -> bool:
        """`list` for those of others, `delete` to close them.  A name in RBAC: no such object exists."""
        return await self.may(reader, Attributes(verb, DOMAIN, "v1", namespace, "streams"))

    async def names(self, reader: Reader, resource: str) -> Callable[[str, str], bool]:
        """Which objects, by namespace and name, may be named where their numbers stand: those that the reader
        may open; all of them where they may see the streams of all.
        """
        if await self.may_with_streams(reader, "list", ""):
            return lambda namespace, name: True
        rights = await self._remembered(reader, resource)

        def may(namespace: str, name: str) -> bool:
            found = self.inventory.subject(resource, namespace, name)
            return found is not None and may_any(rights, found)

        return may

    async def subject(
        self, reader: Reader, resource: str, namespace: str, name: str
    ) -> tuple[Subject, Rights]:
        """Raises StatusError: 403, the same whether or not there is such an object; 404 for who may know."""
        found = self.inventory.subject(resource, namespace, name)
        rights = await self._rights(reader, resource, namespace, found.ids if found else ids_of(name, ()))
        if found is not None and may_any(rights, found):
            return found, rights
        if found is None and rights.may(namespace, name):
            raise not_found(resource, name, near=self._near(rights, resource, namespace, name))
        asked = Ask(resource, namespace, name).attributes
        decision = await self.decided(reader, asked)
        raise forbidden(reader.user.name, asked, decision.reason)

    def _near(self, rights: Rights, resource: str, namespace: str, name: str) -> list[str]:
        """Of what the reader may open, the nearest."""
        where, found = f"{resource}/{namespace}/" if namespace else f"{resource}/", []
        for _, near in self.inventory.near(resource, namespace, name):
            subject = self.inventory.subject(resource, namespace, near)
            if subject is not None and may_any(rights, subject):
                found.append(where + near)
        return found[:MOST_NEAR]

    async def _rights(self, reader: Reader, resource: str, namespace: str, ids: tuple[str, ...]) -> Rights:
        """What is remembered, and where that is not enough what is asked about this object alone."""
        known = await self._remembered(reader, resource)
        if known.some(namespace, ids):
            return known
        allowed = [
            id for id in ids[:MOST_IDS] if await self.may(reader, Ask(resource, namespace, id).attributes)
        ]
        return Rights(ids={namespace: frozenset(allowed) | known.ids.get(namespace, frozenset())})

    async def _remembered(self, reader: Reader, resource: str) -> Rights:
        """None where the API server cannot be asked."""
        try:
            return (await self.openable.of(reader.user, reader.asker, resource, PATIENCE)).rights
        except StatusError as error:
            if error.code != 503:
                raise
            return Rights()
