"""· What is audited of a request, and at which stages?  `audit.k8s.io/v1` Policy, as kube-apiserver reads it.

The first rule that matches decides.  Source: apiserver `pkg/audit/policy/checker.go`.
"""

from __future__ import annotations

import msgspec

from bastion.kube.attributes import Attributes
from bastion.kube.user import User

RECEIVED, STARTED, COMPLETE, PANIC = "RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"
STAGES = (RECEIVED, STARTED, COMPLETE, PANIC)
NONE, METADATA, REQUEST, REQUEST_RESPONSE = "None", "Metadata", "Request", "RequestResponse"
LEVELS = (NONE, METADATA, REQUEST, REQUEST_RESPONSE)


class Resources(msgspec.Struct, frozen=True):
    """Resources of one group; no `resources`: all of it, no `names`: all objects."""

    group: str = ""
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True):
    """An empty field matches everything; `paths` are nonResourceURLs."""

    level: str
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    resources: tuple[Resources, ...] = ()
    namespaces: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    omit: frozenset[str] = frozenset()


class Policy(msgspec.Struct, frozen=True):
    rules: tuple[Rule, ...]
    omit: frozenset[str] = frozenset()


class Verdict(msgspec.Struct, frozen=True):
    """What is written of a request: nothing at the level None."""

    level: str = NONE
    received: bool = False
    started: bool = False
    complete: bool = False


NOTHING = Verdict()


def judge(policy: Policy, user: User | None, attributes: Attributes) -> Verdict:
    """`user` is the one who signed in, None where none did.

    An impersonated user matches nothing here: else rules could be escaped by acting as another.
    """
    for rule in policy.rules:
        if _matches(rule, user, attributes):
            if rule.level == NONE:
                return NOTHING
            omit = policy.omit | rule.omit
            return Verdict(rule.level, RECEIVED not in omit, STARTED not in omit, COMPLETE not in omit)
    return NOTHING


def _matches(rule: Rule, user: User | None, attributes: Attributes) -> bool:
    if rule.users and (user is None or user.name not in rule.users):
        return False
    if rule.groups and (user is None or not set(user.groups).intersection(rule.groups)):
        return False
    if rule.verbs and attributes.verb not in rule.verbs:
        return False
    if rule.namespaces or rule.resources:
        return bool(attributes.resource) and _matches_resource(rule, attributes)
    return not rule.paths or (not attributes.resource and _matches_path(rule.paths, attributes.path))


def _matches_resource(rule: Rule, attributes: Attributes) -> bool:
    if rule.namespaces and attributes.namespace not in rule.namespaces:
        return False
    return not rule.resources or any(_includes(one, attributes) for one in rule.resources)


def _includes(of: Resources, attributes: Attributes) -> bool:
    if of.group != attributes.group:
        return False
    if not of.resources:
        return True
    if of.names and attributes.name not in of.names:
        return False
    resource, subresource = attributes.resource, attributes.subresource
    wanted = {"*", f"{resource}/*", f"{resource}/{subresource}" if subresource else resource}
    if subresource:
        wanted.add(f"*/{subresource}")
    return not wanted.isdisjoint(of.resources)


def _matches_path(patterns: tuple[str, ...], path: str) -> bool:
    return any(
        path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern for pattern in patterns
    )
