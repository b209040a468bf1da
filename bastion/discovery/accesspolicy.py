"""· Has a service rights by path, and is it told who asks?  As its annotations say now."""

from __future__ import annotations

from bastion.discovery.catalog import Catalog
from bastion.discovery.policy import policy_of
from bastion.kube.accesspolicy import AccessPolicy
from bastion.kube.attributes import Attributes
from bastion.kube.status import StatusError
from bastion.kube.target import parse_target

NOTHING_SAID = AccessPolicy()


def access_policy(catalog: Catalog, attributes: Attributes) -> AccessPolicy:
    """That of nothing said where the target is no service or is not known here: then only the right to all of
    its paths counts.
    """
    if attributes.resource != "services":
        return NOTHING_SAID
    name = attributes.name
    if ":" in name:
        try:
            name = parse_target("services", attributes.namespace, name).name
        except StatusError:
            return NOTHING_SAID  # refused once it is authorized
    key = (attributes.namespace, name)
    service = catalog.services.get(key)
    if service is None or service.metadata.annotations is None:
        return NOTHING_SAID
    return policy_of(catalog, AccessPolicy, "services", key)
