"""The objects of the cluster: those of the manifests, and those that controllers would add; pure."""

from __future__ import annotations

from collections.abc import Mapping

from bastion.standalone.resources import RBAC_GROUP, Key, Object
from bastion.standalone.selectors import label_selector_matches
from bastion.standalone.slices import derived_slices


def contents(own: Mapping[Key, Object], defaults: Mapping[Key, Object]) -> dict[Key, Object]:
    """`own` (the manifests') wins over `defaults`.  Nothing that was passed in is changed."""
    objects = {**defaults, **own}
    objects = {**_mentioned_namespaces(objects), **objects}
    objects |= {
        key: _with_api_group(object) for key, object in objects.items() if key[0].endswith("rolebindings")
    }
    objects |= _aggregated(objects)
    return objects | {key: slice for key, slice in derived_slices(objects).items() if key not in objects}


def _mentioned_namespaces(objects: Mapping[Key, Object]) -> dict[Key, Object]:
    return {
        ("namespaces", "", name): {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
            "status": {"phase": "Active"},
        }
        for name in {namespace for _, namespace, _ in objects if namespace}
    }


def _with_api_group(binding: Object) -> Object:
    """kube-apiserver fills in a group that was left out, and clients require it."""
    subjects = [
        {"apiGroup": RBAC_GROUP} | s if s["kind"] != "ServiceAccount" else s
        for s in binding.get("subjects", ())
    ]
    return {**binding, "roleRef": {"apiGroup": RBAC_GROUP} | binding["roleRef"], "subjects": subjects}


# --- aggregated ClusterRoles


def _aggregated(objects: Mapping[Key, Object]) -> dict[Key, Object]:
    """A role with an aggregationRule has the rules of the roles that it selects, and none of its own."""
    roles = {name: role for (resource, _, name), role in objects.items() if resource == "clusterroles"}
    return {
        ("clusterroles", "", name): {**role, "rules": _rules(name, roles, set())}
        for name, role in roles.items()
        if role.get("aggregationRule", {}).get("clusterRoleSelectors")
    }


def _rules(name: str, roles: Mapping[str, Object], visited: set[str]) -> list[Object]:
    """`visited`: each role counts once, also where roles select each other."""
    visited.add(name)
    selectors = roles[name].get("aggregationRule", {}).get("clusterRoleSelectors")
    if not selectors:
        return list(roles[name].get("rules", ()))
    rules: list[Object] = []
    for other in sorted(roles):
        labels = roles[other]["metadata"].get("labels", {})
        if other not in visited and any(label_selector_matches(selector, labels) for selector in selectors):
            rules += [rule for rule in _rules(other, roles, visited) if rule not in rules]
    return rules
