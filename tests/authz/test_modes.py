"""Constrained impersonation (KEP-5284): every case of kube-apiserver's own test (C-CI-1..21), and what they
leave open.
"""

from __future__ import annotations

from typing import Any

import pytest

from bastion.authz.authorizer import Decision
from bastion.authz.impersonation import REMEMBERED, ImpersonationAuthorizer
from bastion.authz.modes import LEGACY, MODES, mode
from bastion.authz.requested import RequestedIdentity
from bastion.http.fields import Field
from bastion.kube.attributes import Attributes
from bastion.kube.user import User
from bastion.runtime.turns import Asker
from tests.authz.test_impersonation import AUTHENTICATED, GET, assume, dev, fields
from tests.fakes import SOMEBODY, Decides, refused, run
from tests.present import present

NODE_NAME = "authentication.kubernetes.io/node-name"
MASKED = "authentication.kubernetes.io/associated-node-keys"


def on(mode: str, verb: str = "get") -> str:
    return f"impersonate-on:{mode}:{verb} pods/proxy bar/foo"


def identity(mode: str, resource: str, name: str, namespace: str = "") -> str:
    return f"impersonate:{mode} {resource} {namespace}/{name}"


def told(asked: Attributes) -> str:
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    return f"{asked.verb} {resource} {asked.namespace}/{asked.name}"


class Allows:
    """An authorizer that allows what is listed; `asked` is everything that was asked, `askers` about whom."""

    def __init__(self, *allowed: Any) -> None:
        self.allowed = set(allowed)
        self.asked, self.askers = [], []  # type: ignore[var-annotated]
        self.groups: dict[Any, Any] = {}

    async def authorize(self, user: User, attributes: Attributes, asker: Asker) -> Decision:
        self.asked.append(told(attributes))
        self.askers.append(user)
        self.groups[told(attributes)] = attributes.group
        return Decision(told(attributes) in self.allowed, "deny by default")


ANYONE = [on("user-info"), identity("user-info", "users", "anyone")]
ACCOUNT, NODE = "system:serviceaccount:default:sa", "system:node:node1"
BOUND = User(
    "system:serviceaccount:default:agent",
    "u",
    ("system:serviceaccounts",),
    ((NODE_NAME, ("node1",)), ("a.io/b", ("c",))),
)
FOUR = ["g1", "g2", "g3", "g4"]
VALUES = [("a.io/k", f"v{n}") for n in range(4)]


def ids(mode: str, resource: str, *names: Any) -> list[str]:
    return [identity(mode, resource, name) for name in names]


NAMED = identity("user-info", "users", "u")

CONSTRAINED = {
    # who, wants what, what is allowed, the identity or the refusal, what is asked in order
    "C-CI-1 the identity lacks": (
        dev(),
        fields("anyone"),
        ANYONE[:1],
        (
            'users.authentication.k8s.io "anyone" is forbidden: User "dev" cannot impersonate:user-info'
            ' resource "users" in API group "authentication.k8s.io" at the cluster scope: deny by default'
        ),
        [*ANYONE, "impersonate users /anyone"],
    ),
    "C-CI-2a both": (dev(), fields("anyone"), ANYONE, User("anyone", groups=(AUTHENTICATED,)), ANYONE),
    "C-CI-2c the action lacks": (
        dev(),
        fields("anyone"),
        ANYONE[1:],
        (
            'pods "foo" is forbidden: User "dev" cannot impersonate-on:user-info:get resource "pods/proxy" in'
            ' API group "" in the namespace "bar": deny by default'
        ),
        [ANYONE[0], "impersonate users /anyone"],
    ),
    "C-CI-3 a service account": (
        dev(),
        fields(ACCOUNT),
        [on("serviceaccount"), identity("serviceaccount", "serviceaccounts", "sa", "default")],
        User(ACCOUNT, groups=("system:serviceaccounts", "system:serviceaccounts:default", AUTHENTICATED)),
        [on("serviceaccount"), identity("serviceaccount", "serviceaccounts", "sa", "default")],
    ),
    "a service account is none of the others": (
        dev(),
        fields(ACCOUNT),
        [on("user-info"), identity("user-info", "users", ACCOUNT)],
        'impersonate-on:serviceaccount:get resource "pods/proxy"',
        [on("serviceaccount"), "impersonate serviceaccounts default/sa"],
    ),
    "a service account with a group is the legacy rules'": (
        dev(),
        fields(ACCOUNT, ["g"]),
        [
            on("serviceaccount"),
            identity("serviceaccount", "serviceaccounts", "sa", "default"),
            on("user-info"),
        ],
        'cannot impersonate resource "serviceaccounts" in API group "" in the namespace "default"',
        ["impersonate serviceaccounts default/sa"],
    ),
    "C-CI-4 a node's identity lacks": (
        dev(),
        fields(NODE),
        [on("arbitrary-node")],
        (
            'nodes.authentication.k8s.io "node1" is forbidden: User "dev" cannot impersonate:arbitrary-node'
            ' resource "nodes"'
        ),
        [on("arbitrary-node"), identity("arbitrary-node", "nodes", "node1"), f"impersonate users /{NODE}"],
    ),
    "C-CI-6 a node": (
        dev(),
        fields(NODE),
        [on("arbitrary-node"), identity("arbitrary-node", "nodes", "node1")],
        User(NODE, groups=("system:nodes", AUTHENTICATED)),
        [on("arbitrary-node"), identity("arbitrary-node", "nodes", "node1")],
    ),
    "a node by the legacy rules is a user": (
        dev(),
        fields(NODE),
        [f"impersonate users /{NODE}"],
        User(NODE, groups=(AUTHENTICATED,)),
        [on("arbitrary-node"), f"impersonate users /{NODE}"],
    ),
    "what only looks like a node is a user": (
        dev(),
        fields("system:node:Node_1"),
        [on("user-info"), identity("user-info", "users", "system:node:Node_1")],
        User("system:node:Node_1", groups=(AUTHENTICATED,)),
        [on("user-info"), identity("user-info", "users", "system:node:Node_1")],
    ),
    "C-CI-7 an extra lacks": (
        dev(),
        fields("u", ["g"], [("pandas.io/scopes", "a")]),
        [on("user-info"), NAMED, *ids("user-info", "groups", "g")],
        (
            'userextras.authentication.k8s.io "a" is forbidden: User "dev" cannot impersonate:user-info'
            ' resource "userextras/pandas.io/scopes"'
        ),
        [
            on("user-info"),
            NAMED,
            *ids("user-info", "groups", "g"),
            *ids("user-info", "userextras/pandas.io/scopes", "a"),
            "impersonate users /u",
        ],
    ),
    "C-CI-8 many extras, one by one": (
        dev(),
        fields("u", extra=VALUES),
        [on("user-info"), NAMED, *ids("user-info", "userextras/a.io/k", "v0", "v1", "v2", "v3")],
        User("u", groups=(AUTHENTICATED,), extra=(("a.io/k", ("v0", "v1", "v2", "v3")),)),
        [
            on("user-info"),
            NAMED,
            *ids("user-info", "userextras/*", "*"),
            *ids("user-info", "userextras/a.io/k", "v0", "v1", "v2", "v3"),
        ],
    ),
    "C-CI-9 the node that one is on": (
        BOUND,
        fields(NODE),
        [on("associated-node"), identity("associated-node", "nodes", "*")],
        User(NODE, groups=("system:nodes", AUTHENTICATED)),
        [on("associated-node"), identity("associated-node", "nodes", "*")],
    ),
    "C-CI-9c another node": (
        BOUND,
        fields("system:node:node2"),
        [on("associated-node"), identity("associated-node", "nodes", "*"), on("arbitrary-node")],
        'nodes.authentication.k8s.io "node2" is forbidden',
        [
            on("arbitrary-node"),
            identity("arbitrary-node", "nodes", "node2"),
            "impersonate users /system:node:node2",
        ],
    ),
    "C-CI-10 no service account": (
        User("dev", extra=BOUND.extra),
        fields(NODE),
        [on("associated-node"), identity("associated-node", "nodes", "*")],
        'impersonate-on:arbitrary-node:get resource "pods/proxy"',
        [on("arbitrary-node"), f"impersonate users /{NODE}"],
    ),
    "bound to two nodes is to none": (
        User(BOUND.name, extra=((NODE_NAME, ("node1", "node2")),)),
        fields(NODE),
        [on("associated-node"), identity("associated-node", "nodes", "*")],
        403,
        [on("arbitrary-node"), f"impersonate users /{NODE}"],
    ),
    "C-CI-11 the legacy rules at last": (
        dev(),
        fields("anyone"),
        [on("user-info"), "impersonate users /anyone"],
        User("anyone", groups=(AUTHENTICATED,)),
        [*ANYONE, "impersonate users /anyone"],
    ),
    "C-CI-12 system:masters": (
        dev(),
        fields("u", ["system:masters"]),
        [on("user-info"), NAMED, *ids("user-info", "groups", "system:masters", "*")],
        (
            'groups.authentication.k8s.io "system:masters" is forbidden: User "dev" cannot'
            ' impersonate:user-info resource "groups" in API group "authentication.k8s.io" at the cluster'
            " scope: impersonating the system:masters group is not allowed"
        ),
        [on("user-info"), NAMED, "impersonate users /u"],
    ),
    "system:masters among many": (
        dev(),
        fields("u", [*FOUR, "system:masters"]),
        [on("user-info"), NAMED, *ids("user-info", "groups", "*")],
        "impersonating the system:masters group is not allowed",
        [on("user-info"), NAMED, "impersonate users /u"],
    ),
    "a group without a name": (
        dev(),
        fields("u", ["g", ""]),
        [on("user-info"), NAMED, *ids("user-info", "groups", "g", "")],
        "impersonating the empty string group is not allowed",
        [on("user-info"), NAMED, "impersonate users /u"],
    ),
    "C-CI-13 many groups at once": (
        dev(),
        fields("u", FOUR),
        [on("user-info"), NAMED, *ids("user-info", "groups", "*")],
        User("u", groups=(*FOUR, AUTHENTICATED)),
        [on("user-info"), NAMED, *ids("user-info", "groups", "*")],
    ),
    "three groups are not many": (
        dev(),
        fields("u", FOUR[:3]),
        [on("user-info"), NAMED, *ids("user-info", "groups", "*")],
        'groups.authentication.k8s.io "g1" is forbidden',
        [on("user-info"), NAMED, *ids("user-info", "groups", "g1"), "impersonate users /u"],
    ),
    "C-CI-14 extras of many keys": (
        dev(),
        fields("u", extra=[(f"a.io/{n}", "v") for n in range(4)]),
        [on("user-info"), NAMED, *ids("user-info", "userextras/*", "*")],
        User("u", groups=(AUTHENTICATED,), extra=tuple((f"a.io/{n}", ("v",)) for n in range(4))),
        [on("user-info"), NAMED, *ids("user-info", "userextras/*", "*")],
    ),
    "C-CI-17 a uid": (
        dev(),
        fields("u", uid="1"),
        [on("user-info"), NAMED, *ids("user-info", "uids", "1")],
        User("u", "1", (AUTHENTICATED,)),
        [on("user-info"), NAMED, *ids("user-info", "uids", "1")],
    ),
}


@pytest.mark.parametrize(
    ("user", "headers", "allowed", "result", "asked"), CONSTRAINED.values(), ids=CONSTRAINED
)
def test_constrained_impersonation(
    user: User,
    headers: list[Field],
    allowed: list[str],
    result: Any,
    asked: list[str],
) -> None:
    inner = Allows(*allowed)
    if isinstance(result, User):
        assumed = run(ImpersonationAuthorizer(inner).impersonate(user, headers, (GET,), SOMEBODY))
        assert present(assumed).user == result
        # what a stream is asked about again
        assert {told(attributes) for _, attributes in present(assumed).questions} <= inner.allowed
        assert len(present(assumed).questions) >= 1
    else:
        with refused(403, result if isinstance(result, str) else ""):
            run(ImpersonationAuthorizer(inner).impersonate(user, headers, (GET,), SOMEBODY))
    assert inner.asked == asked
    constrained = {group for question, group in inner.groups.items() if question.startswith("impersonate:")}
    assert constrained <= {"authentication.k8s.io"}


KEYS = {
    b"scopes": "must be a domain-prefixed path",
    b"a.io/": "must be a domain-prefixed path",
    b"/k": "must be a domain-prefixed path",
    b"A%2Eio%2Fk": None,  # lower-cased before it is decoded
    b"%41.io/k": "must be a domain-prefixed path",
    b"a.io/%4b": "a non-lowercase key",
    b"a.io/k%20k": "must be a domain-prefixed path",
    b"": "the empty string key",
}


@pytest.mark.parametrize(("key", "why"), KEYS.items())
def test_an_extra_that_nobody_may_have_when_constrained(key: bytes, why: str | None) -> None:
    inner = Decides(lambda user, attributes: ":" in attributes.verb)
    headers = [*fields("u"), (b"impersonate-extra-" + key.lower(), b"", b"v")]
    if why is None:
        assert assume(inner, dev(), headers).extra == (("a.io/k", ("v",)),)
    else:
        with refused(403, why):
            assume(inner, dev(), headers)


def test_an_extra_without_a_value_is_nobodys_when_constrained() -> None:
    with refused(403, "the empty string value"):
        assume(
            Decides(lambda user, attributes: ":" in attributes.verb),
            dev(),
            fields("u", extra=[("a.io/k", "")]),
        )


def test_the_node_that_one_is_on_is_asked_for_without_its_name() -> None:
    """One answer is good for the service account on all its nodes."""
    inner = Allows(on("associated-node"), identity("associated-node", "nodes", "*"))
    run(ImpersonationAuthorizer(inner).impersonate(BOUND, fields(NODE), (GET,), SOMEBODY))
    assert inner.askers == [User(BOUND.name, "u", BOUND.groups, ((MASKED, ("a.io/b", NODE_NAME)),))] * 2


@pytest.mark.parametrize(
    ("required", "verbs"), [(("",), ["impersonate-on:user-info:"]), (("get", "create"), ["get", "create"])]
)
def test_every_verb_of_the_request_is_asked_for(required: tuple[str, ...], verbs: list[str]) -> None:
    """An upgrade of a node needs `create` as well, so acting as another for it does."""
    inner = Decides(lambda user, attributes: True)
    assume(
        inner,
        dev(),
        fields("u"),
        tuple(Attributes(verb, resource="nodes", subresource="proxy", name="n") for verb in required),
    )
    assert [
        asked.verb.removeprefix("impersonate-on:user-info:") or asked.verb
        for asked in inner.asked
        if "-on:" in asked.verb
    ] == verbs


def test_the_mode_that_admitted_last_is_tried_first() -> None:  # C-CI-21
    async def main() -> None:
        inner = Allows(on("user-info"), "impersonate users /anyone", *ANYONE[1:])
        impersonator = ImpersonationAuthorizer(inner)
        inner.allowed -= {ANYONE[1]}
        await impersonator.impersonate(dev(), fields("anyone"), (GET,), SOMEBODY)
        first, inner.asked = inner.asked, []
        await impersonator.impersonate(dev(), fields("anyone"), (GET,), SOMEBODY)
        assert (first, inner.asked) == ([*ANYONE, "impersonate users /anyone"], ["impersonate users /anyone"])
        inner.asked = []
        await impersonator.impersonate(User("another"), fields("anyone"), (GET,), SOMEBODY)
        assert inner.asked == first
        inner.asked, inner.allowed = [], set(ANYONE)
        # what was taken away does not stand in the way
        assert await impersonator.impersonate(dev(), fields("anyone"), (GET,), SOMEBODY)
        assert inner.asked == ["impersonate users /anyone", *ANYONE]

    run(main())


def test_not_everybodys_last_mode_is_known() -> None:
    async def main() -> None:
        inner = Allows("impersonate users /u")
        impersonator = ImpersonationAuthorizer(inner)
        for n in range(REMEMBERED + 1):
            await impersonator.impersonate(User(f"dev-{n}"), fields("u"), (GET,), SOMEBODY)
        for name, count in (("dev-0", 2), (f"dev-{REMEMBERED}", 1)):
            inner.asked = []
            await impersonator.impersonate(User(name), fields("u"), (GET,), SOMEBODY)
            assert len(inner.asked) == count

    run(main())


def test_the_legacy_rules_are_for_everybody() -> None:
    wanted = [
        RequestedIdentity("u"),
        RequestedIdentity(NODE),
        RequestedIdentity(ACCOUNT),
        RequestedIdentity(ACCOUNT, ("g",)),
        RequestedIdentity(NODE, uid="1"),
        RequestedIdentity(""),
    ]
    assert MODES[-1] == LEGACY
    assert all(mode(LEGACY, dev(), one, (GET,)) is not None for one in wanted)
