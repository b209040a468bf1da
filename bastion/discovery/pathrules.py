"""· Has a service rights by path?  As its annotation says now."""

from __future__ import annotations

from bastion.discovery.catalog import Catalog
from bastion.discovery.policy import policy_of
from bastion.kube.annotations import PathPolicy
from bastion.kube.attributes import Attributes
from bastion.kube.pathgroups import PathGroups
from bastion.kube.status import StatusError
from bastion.kube.target import parse_target


def path_groups(catalog: Catalog, attributes: Attributes) -> PathGroups | None:
    """None where the target is no service, has no groups, or is not known here: then only the right to all of
    its paths counts.
    """
    if attributes.resource != "services":
        return None
    name = attributes.name
    if ":" in name:
        try:
            name = parse_target("services", attributes.namespace, name).name
        except StatusError:
            return None  # refused once it is authorized
    key = (attributes.namespace, name)
    service = catalog.services.get(key)
    if service is None or service.metadata.annotations is None:
        return None
    return policy_of(catalog, PathPolicy, "services", key).groups
