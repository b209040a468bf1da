"""· The permissions that impersonation needs: kube-apiserver's rules as of 1.36.

Sources: apiserver `pkg/endpoints/filters/impersonation` (`constrained_impersonation.go`, `mode.go`) and
KEP-5284.

1. There are five modes, tried in the order associated-node, arbitrary-node, serviceaccount, user-info,
   legacy.  The first
   that allows everything it asks decides as whom the request is made; the one that last did so for this user
   is tried
   before the others.  Where none does, the answer is the refusal of the one tried first.
2. A mode is for some identities only.  The node modes: `system:node:<name>` and nothing else (no group, uid
   or extra);
   serviceaccount: `system:serviceaccount:<namespace>:<name>` and nothing else; user-info: every name that is
   neither a
   node's nor a service account's; legacy: all.  associated-node is for service accounts alone, whose token is
   bound to
   that very node (one value of the extra `authentication.kubernetes.io/node-name`).
3. The first four are constrained: they ask for verb `impersonate-on:<mode>:<verb>` on what the request is
   for, and for
   verb `impersonate:<mode>` on the identity.  legacy asks for verb `impersonate` on the identity alone.
4. The identity is its name (resource `nodes`, `serviceaccounts` in their namespace, or `users`), `uids`, each
   of `groups`,
   each value of `userextras/<key>`, in this order.  All are of group `authentication.k8s.io`; but for legacy,
   which knows
   no nodes, names and groups are of the core group.
5. Constrained, four groups and more are first asked for as one, by the name `*`; so are extras of four keys
   or four
   values and more, as `userextras/*`.  Where that is refused they are asked for one by one.
6. Constrained, nobody may act in group `system:masters` or in one without a name, nor with an extra whose key
   is no
   lower-case path under a domain, or which is empty.
7. associated-node asks for the node by the name `*`, and tells the authorizer the keys of the user's extras
   only: one
   answer is good for the service account on all its nodes.
8. A constrained node is in group `system:nodes`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from msgspec import structs

from bastion.authz.requested import RequestedIdentity, impersonated
from bastion.kube.attributes import Attributes
from bastion.kube.names import is_subdomain
from bastion.kube.user import User, node_name, service_account

LEGACY = "legacy"
MODES = ("associated-node", "arbitrary-node", "serviceaccount", "user-info", LEGACY)

MANY = 4  # from so many on the wildcard is asked first
NODE_NAME = "authentication.kubernetes.io/node-name"
_KEYS_OF_EXTRAS = "authentication.kubernetes.io/associated-node-keys"
_AUTHENTICATION = "authentication.k8s.io"
_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")


class Step(msgspec.Struct, frozen=True):
    """Allowed where `at_once` is allowed, or else all of `each`.

    `never`: why no user is allowed this; `each` then has the attributes for the message.
    """

    each: tuple[Attributes, ...]
    at_once: Attributes | None = None
    never: str = ""


class ImpersonationMode(msgspec.Struct, frozen=True):
    """`asker` is the user whose permissions are checked, `acting_as` the user that results."""

    asker: User
    steps: tuple[Step, ...]
    acting_as: User


def mode(
    name: str, user: User, wanted: RequestedIdentity, required: Sequence[Attributes]
) -> ImpersonationMode | None:
    """The mode of this name, None where it does not apply to such an identity.

    `required`: what the request itself needs.
    """
    if not _fits(name, user, wanted):
        return None
    if name == LEGACY:
        return ImpersonationMode(user, _identity("impersonate", wanted, ""), impersonated(wanted))
    on = Step(tuple(structs.replace(asked, verb=f"impersonate-on:{name}:{asked.verb}") for asked in required))
    node = name in ("associated-node", "arbitrary-node")
    steps = (on, *_identity(f"impersonate:{name}", wanted, _AUTHENTICATION))
    acting_as = impersonated(wanted, ("system:nodes",) if node else ())
    return ImpersonationMode(_masked(user) if name == "associated-node" else user, steps, acting_as)


def _fits(name: str, user: User, wanted: RequestedIdentity) -> bool:
    node, account = node_name(wanted.user), service_account(wanted.user)
    if name == "associated-node":
        bound = next((values for key, values in user.extra if key == NODE_NAME), ())
        return (
            node is not None and wanted.bare and service_account(user.name) is not None and bound == (node,)
        )
    if name == "arbitrary-node":
        return node is not None and wanted.bare
    if name == "serviceaccount":
        return account is not None and wanted.bare
    return name == LEGACY or (node is None and account is None)


def _masked(user: User) -> User:
    return structs.replace(user, extra=((_KEYS_OF_EXTRAS, tuple(sorted(key for key, _ in user.extra))),))


def _identity(verb: str, wanted: RequestedIdentity, group: str) -> tuple[Step, ...]:
    """`group`: of names and groups."""
    steps = [Step((_name(verb, wanted.user, group),))]
    if wanted.uid:
        steps.append(Step((Attributes(verb, _AUTHENTICATION, resource="uids", name=wanted.uid),)))
    if wanted.groups:
        steps.append(
            _groups(Attributes(verb, group, resource="groups"), wanted.groups, constrained=bool(group))
        )
    if wanted.extra:
        steps.append(
            _extras(
                Attributes(verb, _AUTHENTICATION, resource="userextras"),
                wanted.extra,
                constrained=bool(group),
            )
        )
    return tuple(steps)


def _name(verb: str, name: str, group: str) -> Attributes:
    account, node = service_account(name), node_name(name) if group else None
    if account is not None:
        return Attributes(verb, group, namespace=account[0], resource="serviceaccounts", name=account[1])
    if node is not None:
        return Attributes(
            verb, group, resource="nodes", name="*" if verb == "impersonate:associated-node" else node
        )
    return Attributes(verb, group, resource="users", name=name)


def _groups(asked: Attributes, groups: tuple[str, ...], *, constrained: bool) -> Step:
    if constrained and "" in groups:
        return Step((asked,), never="impersonating the empty string group is not allowed")
    if constrained and "system:masters" in groups:
        return Step(
            (structs.replace(asked, name="system:masters"),),
            never="impersonating the system:masters group is not allowed",
        )
    at_once = structs.replace(asked, name="*") if constrained and len(groups) >= MANY else None
    return Step(tuple(structs.replace(asked, name=group) for group in groups), at_once)


def _extras(asked: Attributes, extra: tuple[tuple[str, tuple[str, ...]], ...], *, constrained: bool) -> Step:
    if constrained and (wrong := next(filter(None, map(_wrong_extra, extra)), "")):
        return Step((asked,), never=wrong)
    values = [(key, value) for key, values in extra for value in values]
    at_once = (
        structs.replace(asked, subresource="*", name="*") if constrained and len(values) >= MANY else None
    )
    return Step(tuple(structs.replace(asked, subresource=key, name=value) for key, value in values), at_once)


def _wrong_extra(extra: tuple[str, tuple[str, ...]]) -> str:
    """Why it is never allowed; empty where it can be.

    The key was decoded after its header was lower-cased, so it may have upper case.
    """
    key, values = extra
    if not key:
        return "impersonating the empty string key in extra is not allowed"
    domain, slash, path = key.partition("/")
    if not slash or not is_subdomain(domain) or not _PATH.fullmatch(path):
        return (
            "impersonating an invalid key in extra is not allowed: must be a domain-prefixed path (such as"
            " acme.io/foo)"
        )
    if key != key.lower():
        return "impersonating a non-lowercase key in extra is not allowed"
    return "impersonating the empty string value in extra is not allowed" if "" in values else ""
