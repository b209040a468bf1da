"""· What does the file of an audit policy say, and which mistakes are in it?  Every one, by its path.

Source: apiserver `pkg/apis/audit/validation`; as there a field that is unknown, or given twice, is no mistake
but is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bastion.kube.documents import documents
from bastion.kube.names import is_subdomain
from bastion.observe.audit.policy import LEVELS, STAGES, Policy, Resources, Rule

GROUP, KIND = "audit.k8s.io/v1", "Policy"
_POLICY = frozenset(("apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"))
_RULE = frozenset(
    (
        "level",
        "users",
        "userGroups",
        "verbs",
        "resources",
        "namespaces",
        "nonResourceURLs",
        "omitStages",
        "omitManagedFields",
    )
)
_RESOURCES = frozenset(("group", "resources", "resourceNames"))


class PolicyError(ValueError):
    """All mistakes, in one line."""


def read_policy(text: str) -> tuple[Policy, list[str]]:
    """(the policy, what the operator should know of it).  Raises PolicyError."""
    try:
        document = next(documents(text), None)
    except ValueError as error:
        raise PolicyError(f"is not YAML: {error}") from error
    value = document.value if document is not None else None
    if document is None or value is None:
        raise PolicyError("is empty")
    if not isinstance(value, dict):
        raise PolicyError("is not an object")
    reading = _Reading()
    reading.warnings += [f"{path} is given twice; the last one counts" for path in document.repeated]
    policy = reading.policy(value)
    if reading.mistakes:
        raise PolicyError("; ".join(reading.mistakes))
    return policy, reading.warnings


class _Reading:
    """One document: what is wrong is collected, and something fit is returned in its place."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []
        self.warnings: list[str] = []

    def policy(self, value: Mapping[str, Any]) -> Policy:
        if value.get("apiVersion") != GROUP or value.get("kind") != KIND:
            self.mistakes.append(f"apiVersion and kind: must be {GROUP} and {KIND}")
        self._only(value, _POLICY, "")
        if not isinstance(value.get("metadata", {}), dict | None):
            self.mistakes.append("metadata: must be an object")
        self._flag(value, "omitManagedFields", "")
        rules = value.get("rules")
        if not isinstance(rules, list | None):
            self.mistakes.append("rules: must be a list")
        elif not rules:
            self.mistakes.append("rules: at least one rule is needed, or nothing would be audited")
        return Policy(tuple(self._rules(rules) if isinstance(rules, list) else ()), self._stages(value, ""))

    def _rules(self, rules: list[Any]) -> Iterator[Rule]:
        for number, rule in enumerate(rules):
            path = f"rules[{number}]"
            if isinstance(rule, dict):
                yield self._rule(rule, f"{path}.")
            else:
                self.mistakes.append(f"{path}: must be an object")

    def _rule(self, rule: Mapping[str, Any], path: str) -> Rule:
        self._only(rule, _RULE, path)
        self._flag(rule, "omitManagedFields", path)
        paths = self._texts(rule, "nonResourceURLs", path)
        resources, namespaces = self._resources(rule, path), self._texts(rule, "namespaces", path)
        if paths and (resources or namespaces):
            self.mistakes.append(
                f"{path}nonResourceURLs: cannot stand beside resources or namespaces: no request has both"
            )
        for number, one in enumerate(paths):
            self._path(one, f"{path}nonResourceURLs[{number}]")
        return Rule(
            self._level(rule, path),
            users=self._texts(rule, "users", path),
            groups=self._texts(rule, "userGroups", path),
            verbs=self._texts(rule, "verbs", path),
            resources=resources,
            namespaces=namespaces,
            paths=paths,
            omit=self._stages(rule, path),
        )

    def _level(self, rule: Mapping[str, Any], path: str) -> str:
        level = rule.get("level")
        if isinstance(level, str) and level in LEVELS:
            return level
        found = "is missing" if level in (None, "") else f"{level!r} is not one"
        self.mistakes.append(f"{path}level: {found}; there are {', '.join(LEVELS)}")
        return LEVELS[0]

    def _stages(self, of: Mapping[str, Any], path: str) -> frozenset[str]:
        stages = self._texts(of, "omitStages", path)
        for number, stage in enumerate(stages):
            if stage not in STAGES:
                self.mistakes.append(
                    f"{path}omitStages[{number}]: {stage!r} is not one; there are {', '.join(STAGES)}"
                )
        return frozenset(stages)

    def _path(self, one: str, path: str) -> None:
        if one != "*" and not one.startswith("/"):
            self.mistakes.append(f"{path}: {one!r} must begin with /, or be *")
        elif "*" in one[:-1]:
            self.mistakes.append(f"{path}: {one!r} may have a * only at its end")

    def _resources(self, rule: Mapping[str, Any], path: str) -> tuple[Resources, ...]:
        given = rule.get("resources")
        if not isinstance(given, list | None):
            self.mistakes.append(f"{path}resources: must be a list")
        found = []
        for number, one in enumerate(given if isinstance(given, list) else ()):
            where = f"{path}resources[{number}]"
            if isinstance(one, dict):
                found.append(self._of_group(one, f"{where}."))
            else:
                self.mistakes.append(f"{where}: must be an object with group and resources")
        return tuple(found)

    def _of_group(self, one: Mapping[str, Any], path: str) -> Resources:
        self._only(one, _RESOURCES, path)
        group = one.get("group") if one.get("group") is not None else ""
        if not isinstance(group, str):
            self.mistakes.append(f"{path}group: must be a string")
            group = ""
        elif group and not is_subdomain(group):
            self.mistakes.append(f"{path}group: {group!r} is not the name of a group (without a version)")
        resources, names = self._texts(one, "resources", path), self._texts(one, "resourceNames", path)
        if names and not resources:
            self.mistakes.append(f"{path}resourceNames: needs resources beside it")
        return Resources(group, resources, names)

    def _texts(self, of: Mapping[str, Any], name: str, path: str) -> tuple[str, ...]:
        given = of.get(name)
        if given is None:
            return ()
        if isinstance(given, list) and all(isinstance(one, str) for one in given):
            return tuple(given)
        self.mistakes.append(f"{path}{name}: must be a list of strings")
        return ()

    def _flag(self, of: Mapping[str, Any], name: str, path: str) -> None:
        """Nothing that is audited here has managed fields, so it only has to be well said."""
        if not isinstance(of.get(name), bool | None):
            self.mistakes.append(f"{path}{name}: must be true or false")

    def _only(self, of: Mapping[str, Any], known: frozenset[str], path: str) -> None:
        self.warnings += [
            f"{path}{name} is not a field of a policy; it is ignored" for name in of if name not in known
        ]
