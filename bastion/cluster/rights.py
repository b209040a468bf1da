"""What does the bastion need to be allowed at the API server, and which kubectl command allows what is
missing? Pure.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

READING = {"endpointslices": ("list", "watch")}  # all others can be looked for by name, too
DISCOVERY, AUTHENTICATION, AUTHORIZATION = "discovery.k8s.io", "authentication.k8s.io", "authorization.k8s.io"
GROUPS = {"endpointslices": DISCOVERY}
_SERVICE_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """`namespace` empty: in all of them."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""

    @property
    def qualified(self) -> str:
        """As kubectl names it."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


REVIEW_TOKENS = Right("create", "tokenreviews", AUTHENTICATION)
REVIEW_ACCESS = Right("create", "subjectaccessreviews", AUTHORIZATION)
REVIEWS = (REVIEW_TOKENS, REVIEW_ACCESS)


def reading(resource: str, namespace: str = "") -> tuple[Right, ...]:
    """To keep a copy of this resource, and to look for one of its objects."""
    verbs = READING.get(resource, ("get", "list", "watch"))
    return tuple(Right(verb, resource, GROUPS.get(resource, ""), namespace) for verb in verbs)


def needed(watched: Iterable[tuple[str, str]]) -> tuple[Right, ...]:
    """`watched`: resources and their namespaces."""
    return (*REVIEWS, *(right for resource, namespace in watched for right in reading(resource, namespace)))


def listed(rights: Iterable[Right]) -> str:
    """In words: `get, list pods, services; create tokenreviews`."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for right in dict.fromkeys(rights):
        verbs.setdefault((right.resource, right.namespace), []).append(right.verb)
    resources: dict[tuple[str, str], list[str]] = {}
    for (resource, namespace), lacking in verbs.items():
        resources.setdefault((", ".join(sorted(lacking)), namespace), []).append(resource)
    return "; ".join(
        f"{lacking} {', '.join(names)}{f' in {namespace}' if namespace else ''}"
        for (lacking, namespace), names in resources.items()
    )


def commands(rights: Iterable[Right], identity: str) -> str:
    """What a cluster's administrator pastes: one role for a namespace.  `identity` empty: not known."""
    subject, made, lacking = _subject(identity), [], set(rights)
    if lacking & set(REVIEWS):
        made.append(
            "kubectl create clusterrolebinding bastion-auth-delegator --clusterrole=system:auth-delegator"
            f" {subject}"
        )
    read = sorted(right for right in lacking if right not in REVIEWS)
    for namespace in sorted({right.namespace for right in read}):
        here = [right for right in read if right.namespace == namespace]
        verbs = ",".join(dict.fromkeys(right.verb for right in here))
        resources = ",".join(dict.fromkeys(right.qualified for right in here))
        kind, where = ("role", f" -n {namespace}") if namespace else ("clusterrole", "")
        made.append(f"kubectl create{where} {kind} bastion-discovery --verb={verbs} --resource={resources}")
        made.append(
            f"kubectl create{where} {kind}binding bastion-discovery --{kind}=bastion-discovery {subject}"
        )
    return " && ".join(made)


def _subject(identity: str) -> str:
    account = identity.removeprefix(_SERVICE_ACCOUNT)
    if account != identity:
        return f"--serviceaccount={account}"
    return shlex.quote(f"--user={identity}") if identity else "--user=NAME"
