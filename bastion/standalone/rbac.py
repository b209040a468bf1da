"""· Does RBAC allow this?  Evaluated as by kube-apiserver; pure.

Bindings are indexed by their subjects, so that a decision costs a few look-ups however many bindings there
are.  Aggregated ClusterRoles come with their rules filled in (`contents`).  Sources:
`plugin/pkg/auth/authorizer/rbac/rbac.go`, `pkg/apis/rbac/v1/evaluation_helpers.go`,
`pkg/registry/rbac/validation/rule.go`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bastion.kube.attributes import Attributes
from bastion.kube.status import quoted
from bastion.kube.user import SERVICE_ACCOUNT_PREFIX, User
from bastion.standalone.resources import RBAC_GROUP, Object

ALL = "*"
SUPERUSERS = "system:masters"


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """`names` empty means any name."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    paths: tuple[str, ...]

    def allows(self, asked: Attributes) -> bool:
        if ALL not in self.verbs and asked.verb not in self.verbs:
            return False
        if not asked.resource:
            return any(path_matches(path, asked.path) for path in self.paths)
        return (
            (ALL in self.groups or asked.group in self.groups)
            and resource_matches(self.resources, asked.resource, asked.subresource)
            and (not self.names or asked.name in self.names)
        )


def resource_matches(resources: frozenset[str], resource: str, subresource: str) -> bool:
    """`pods` does not cover `pods/proxy`, and `pods/*` covers nothing; `*/proxy` covers the proxy of all."""
    if ALL in resources:
        return True
    if not subresource:
        return resource in resources
    return f"{resource}/{subresource}" in resources or f"*/{subresource}" in resources


def path_matches(pattern: str, path: str) -> bool:
    """Equal, or the pattern's part before its trailing stars begins the path."""
    return pattern in (ALL, path) or (pattern.endswith(ALL) and path.startswith(pattern.rstrip(ALL)))


_ALL: frozenset[str] = frozenset((ALL,))
EVERYTHING = PolicyRule(_ALL, _ALL, _ALL, frozenset(), ())
EVERYWHERE = PolicyRule(_ALL, frozenset(), frozenset(), frozenset(), (ALL,))


@dataclass(frozen=True, slots=True)
class Grant:
    """What one subject gets from one binding.  `order` is (binding, subject), as they are evaluated.

    `rules` is None where the role does not exist: `text` says so then, and else names the binding, role and
    subject.
    """

    order: tuple[int, int]
    rules: tuple[PolicyRule, ...] | None
    text: str


Subject = tuple[str, bool, str]  # namespace of the binding ("" for the whole cluster), is it a group?, name


class RBAC:
    """Roles and bindings out of `objects`, which may hold anything else."""

    def __init__(self, objects: Iterable[Object]) -> None:
        by_kind: dict[str, list[Object]] = {}
        for object in objects:
            by_kind.setdefault(object["kind"], []).append(object)
        self._roles: dict[tuple[str, str, str], tuple[PolicyRule, ...]] = {}
        for kind in ("Role", "ClusterRole"):
            for role in by_kind.get(kind, ()):
                key = (kind, role["metadata"].get("namespace", ""), role["metadata"]["name"])
                self._roles[key] = tuple(_rule(rule) for rule in role.get("rules", ()))
        self._grants: dict[Subject, list[Grant]] = {}
        bindings = [*_sorted(by_kind.get("ClusterRoleBinding", ())), *_sorted(by_kind.get("RoleBinding", ()))]
        for number, binding in enumerate(bindings):
            self._add(binding, number)

    def authorize(self, user: User, attributes: Attributes) -> tuple[bool, str]:
        """(allowed, why).

        A denial has a reason only where a role is missing.
        """
        if SUPERUSERS in user.groups:
            return True, ""
        missing: list[str] = []
        for grant in self._of(user, attributes.namespace if attributes.resource else ""):
            if grant.rules is None:
                missing.append(grant.text)
            elif any(rule.allows(attributes) for rule in grant.rules):
                return True, grant.text
        return False, _errors(missing)

    def rules(self, user: User, namespace: str) -> list[PolicyRule]:
        """All that the user may do in a namespace and in the whole cluster, none twice."""
        found = [rule for grant in self._of(user, namespace) for rule in grant.rules or ()]
        if SUPERUSERS in user.groups:
            found.insert(0, EVERYTHING)
            found.insert(1, EVERYWHERE)
        return list(dict.fromkeys(found))

    def _of(self, user: User, namespace: str) -> list[Grant]:
        found: list[Grant] = []
        for where in ("", namespace) if namespace else ("",):
            found += self._grants.get((where, False, user.name), ())
            for group in user.groups:
                found += self._grants.get((where, True, group), ())
        if len(found) < 2:
            return found
        found.sort(key=_order)
        # A binding counts once, by the first of its subjects that is this user.
        return [grant for i, grant in enumerate(found) if i == 0 or found[i - 1].order[0] != grant.order[0]]

    def _add(self, binding: Object, number: int) -> None:
        namespace = binding["metadata"].get("namespace", "")
        ref, name = binding["roleRef"], binding["metadata"]["name"]
        rules = self._roles.get((ref["kind"], namespace if ref["kind"] == "Role" else "", ref["name"]))
        called = f"{name}/{namespace}" if binding["kind"] == "RoleBinding" else name
        for index, subject in enumerate(binding.get("subjects", ())):
            holder, described = _subject(subject, namespace)
            if rules is None:
                text = f"{ref['kind'].lower()}.{RBAC_GROUP} {quoted(ref['name'])} not found"
            else:
                given = f"{binding['kind']} {quoted(called)} of {ref['kind']} {quoted(ref['name'])}"
                text = f"RBAC: allowed by {given} to {described}"
            if holder:
                is_group = subject["kind"] == "Group"
                self._grants.setdefault((namespace, is_group, holder), []).append(
                    Grant((number, index), rules, text)
                )


def _order(grant: Grant) -> tuple[int, int]:
    return grant.order


def _sorted(bindings: Iterable[Object]) -> list[Object]:
    return sorted(bindings, key=lambda b: (b["metadata"].get("namespace", ""), b["metadata"]["name"]))


def _subject(subject: Object, namespace: str) -> tuple[str, str]:
    """(user or group it stands for, its description); a service account without a namespace is one of the
    binding's.
    """
    name = subject["name"]
    if subject["kind"] != "ServiceAccount":
        return name, f"{subject['kind']} {quoted(name)}"
    home = subject.get("namespace") or namespace
    return (
        f"{SERVICE_ACCOUNT_PREFIX}{home}:{name}" if home else ""
    ), f"ServiceAccount {quoted(f'{name}/{home}')}"


def _rule(rule: Object) -> PolicyRule:
    verbs, groups, resources, names = (
        frozenset(rule.get(f, ())) for f in ("verbs", "apiGroups", "resources", "resourceNames")
    )
    return PolicyRule(verbs, groups, resources, names, tuple(rule.get("nonResourceURLs", ())))


def _errors(messages: list[str]) -> str:
    """As Go's error aggregate writes them: one as it is, several in brackets, none twice."""
    distinct = list(dict.fromkeys(messages))
    if not distinct:
        return ""
    return f"RBAC: {distinct[0]}" if len(distinct) == 1 else f"RBAC: [{', '.join(distinct)}]"
