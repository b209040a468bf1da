"""· May a user give these rights to others?  Only rights that the user has: no role can be written past them.

As kube-apiserver: a role's rules need the user's own, or the verb `escalate` on it; a binding needs the rules
of its role, or the verb `bind` on that.  Sources: `pkg/registry/rbac/*/policybased`,
`pkg/registry/rbac/validation/policy_comparator.go`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from bastion.kube.attributes import Attributes
from bastion.kube.status import StatusError, quoted
from bastion.kube.user import User
from bastion.standalone.rbac import RBAC
from bastion.standalone.resources import RBAC_GROUP, Key, Object

ROLES = {"Role": "roles", "ClusterRole": "clusterroles"}


def check(rbac: RBAC, user: User, key: Key, object: Object, role: Object | None) -> None:
    """`role`: the one that a binding refers to, where it is there.  Raises StatusError 403."""
    resource, namespace, name = key
    if resource in ROLES.values():
        verb, target, rules = "escalate", name, object.get("rules") or ()
        if object.get("aggregationRule"):
            rules = [*rules, {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    elif resource.endswith("rolebindings"):
        verb, target, rules = "bind", object["roleRef"]["name"], (role or {}).get("rules") or ()
        resource = ROLES[object["roleRef"]["kind"]]
    else:
        return
    asked = Attributes(verb, RBAC_GROUP, "v1", namespace=namespace, resource=resource, name=target)
    if rbac.authorize(user, asked)[0]:
        return
    if verb == "bind" and role is None:
        raise _refused(key, f"{resource}.{RBAC_GROUP} {quoted(target)} not found")
    for rule in rules:
        if not all(rbac.authorize(user, one)[0] for one in _rights(rule, namespace)):
            raise _refused(
                key, f"user {quoted(user.name)} is attempting to grant RBAC permissions not currently held"
            )


def _rights(rule: Object, namespace: str) -> Iterator[Attributes]:
    for verb, path in product(rule.get("verbs") or (), rule.get("nonResourceURLs") or ()):
        yield Attributes(verb, path=path, version="")
    for verb, group, resource, name in product(
        rule.get("verbs") or (),
        rule.get("apiGroups") or (),
        rule.get("resources") or (),
        rule.get("resourceNames") or ("",),
    ):
        whole, _, part = resource.partition("/")
        yield Attributes(verb, group, "v1", namespace=namespace, resource=whole, subresource=part, name=name)


def _refused(key: Key, why: str) -> StatusError:
    resource, _, name = key
    return StatusError(403, "Forbidden", f"{resource}.{RBAC_GROUP} {quoted(name)} is forbidden: {why}")
