"""What a cluster's own controllers would add: namespaces, default roles, aggregated rules, slices."""

from __future__ import annotations

import pytest

from bastion.kube.attributes import Attributes
from bastion.kube.user import User
from bastion.standalone.contents import contents
from bastion.standalone.manifests import load
from bastion.standalone.rbac import RBAC
from bastion.standalone.resources import Object
from bastion.standalone.sources import BOOTSTRAP
from tests.standalone.objects import binding, by_key, pod, role, rule, service

DEFAULTS = load([BOOTSTRAP]).objects


def allowed(
    objects: list[Object],
    verb: str,
    resource: str,
    namespace: str = "ns1",
    *,
    groups: tuple[str, ...] = (),
    group: str = "",
) -> bool:
    name, _, subresource = resource.partition("/")
    rbac = RBAC(contents(by_key(*objects), DEFAULTS).values())
    return rbac.authorize(
        User("u", groups=groups), Attributes(verb, group, "v1", namespace, name, subresource)
    )[0]


def bound(name: str) -> list[Object]:
    return [binding("b", f"ClusterRole/{name}", "User/u", namespace="ns1")]


READS = ("get", "list", "watch")
WRITES = ("create", "delete", "deletecollection", "patch", "update")


@pytest.mark.parametrize("resource", ["pods/proxy", "services/proxy"])
@pytest.mark.parametrize("verb", [*READS, *WRITES, ""])
@pytest.mark.parametrize(
    ("name", "verbs"),
    [("admin", {*READS, *WRITES}), ("edit", {*READS, *WRITES}), ("view", set()), ("cluster-admin", None)],
)
def test_default_roles_and_the_proxy(name: str, verbs: set[str] | None, verb: str, resource: str) -> None:
    """View has no part of the proxy; the empty verb is nobody's but
    cluster-admin's.
    """
    assert allowed(bound(name), verb, resource) is (verbs is None or verb in verbs)


@pytest.mark.parametrize(
    ("name", "verb", "resource", "group", "expected"),
    [
        ("view", "list", "pods", "", True),
        ("view", "list", "endpointslices", "discovery.k8s.io", True),
        ("view", "create", "pods", "", False),
        ("view", "list", "roles", "rbac.authorization.k8s.io", False),
        ("edit", "list", "roles", "rbac.authorization.k8s.io", False),
        ("admin", "list", "roles", "rbac.authorization.k8s.io", True),
        ("edit", "create", "nodes/proxy", "", False),
        ("system:kubelet-api-admin", "create", "nodes/proxy", "", True),
        ("system:kubelet-api-admin", "", "nodes/proxy", "", True),
        ("system:kubelet-api-admin", "get", "pods/proxy", "", False),
        ("system:auth-delegator", "create", "tokenreviews", "authentication.k8s.io", True),
        ("system:auth-delegator", "create", "subjectaccessreviews", "authorization.k8s.io", True),
        ("system:auth-delegator", "get", "pods", "", False),
    ],
)
def test_what_else_the_default_roles_say(
    name: str, verb: str, resource: str, group: str, expected: bool
) -> None:
    assert allowed([binding("b", f"ClusterRole/{name}", "User/u")], verb, resource, group=group) is expected


def test_everybody_known_may_ask_about_himself_and_nothing_else() -> None:
    known = ("system:authenticated",)
    assert allowed([], "create", "selfsubjectaccessreviews", "", group="authorization.k8s.io", groups=known)
    assert not allowed([], "create", "subjectaccessreviews", "", group="authorization.k8s.io", groups=known)
    assert not allowed([], "create", "selfsubjectaccessreviews", "", group="authorization.k8s.io")


def test_a_role_of_the_users_own_replaces_the_default() -> None:
    assert not allowed([role("edit", rule("get", "core", "pods")), *bound("edit")], "get", "pods/proxy")
    assert allowed([role("edit", rule("get", "core", "pods")), *bound("edit")], "get", "pods")


def test_a_role_labelled_for_it_becomes_part_of_the_default_ones_above() -> None:
    extra = role(
        "extra", rule("poke", "core", "pods"), labels={"rbac.authorization.k8s.io/aggregate-to-edit": "true"}
    )
    for name, expected in (("view", False), ("edit", True), ("admin", True)):
        assert allowed([extra, *bound(name)], "poke", "pods") is expected, name


def aggregate(name: str, *selectors: Object, labels: dict[str, str] | None = None) -> Object:
    return role(name, rule("own", "core", "pods"), labels=labels) | {
        "aggregationRule": {"clusterRoleSelectors": list(selectors)}
    }


def test_an_aggregated_role_holds_what_it_selects_and_not_its_own() -> None:
    part = role("part", rule("poke", "core", "pods"), labels={"team": "a"})
    whole = aggregate("whole", {"matchLabels": {"team": "a"}})
    assert allowed([part, whole, *bound("whole")], "poke", "pods")
    assert not allowed([part, whole, *bound("whole")], "own", "pods")
    assert not allowed(
        [part, aggregate("whole", {"matchLabels": {"team": "b"}}), *bound("whole")], "poke", "pods"
    )


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"key": "team", "operator": "In", "values": ["a", "b"]}, True),
        ({"key": "team", "operator": "NotIn", "values": ["a"]}, False),
        ({"key": "team", "operator": "Exists"}, True),
        ({"key": "team", "operator": "DoesNotExist"}, False),
    ],
)
def test_aggregation_by_expression(expression: Object, expected: bool) -> None:
    part = role("part", rule("poke", "core", "pods"), labels={"team": "a", "part": "yes"})
    whole = aggregate("whole", {"matchLabels": {"part": "yes"}, "matchExpressions": [expression]})
    assert allowed([part, whole, *bound("whole")], "poke", "pods") is expected


def test_roles_that_select_each_other_end() -> None:
    one = aggregate("one", {"matchLabels": {"x": "2"}}, labels={"x": "1"})
    two = aggregate("two", {"matchLabels": {"x": "1"}}, {"matchLabels": {"x": "3"}}, labels={"x": "2"})
    three = role("three", rule("poke", "core", "pods"), labels={"x": "3"})
    assert allowed([one, two, three, *bound("one")], "poke", "pods")


def test_namespaces_need_not_be_declared() -> None:
    declared = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "declared", "labels": {"own": "label"}},
    }
    found = contents(by_key(declared, pod("a", namespace="mentioned"), pod("b", namespace="declared")), {})
    assert sorted(key[2] for key in found if key[0] == "namespaces") == ["declared", "mentioned"]
    assert found["namespaces", "", "declared"] == declared
    assert found["namespaces", "", "mentioned"]["status"] == {"phase": "Active"}


def test_slices_are_derived_and_nothing_given_is_changed() -> None:
    given = by_key(
        service("s", selector={"app": "web"}), pod("a"), binding("b", "ClusterRole/view", "User/u")
    )
    del given["clusterrolebindings", "", "b"]["roleRef"]["apiGroup"]
    before = repr(given)
    found = contents(given, DEFAULTS)
    assert [key[1] for key in found if key[0] == "endpointslices"] == ["default"]
    assert found["clusterrolebindings", "", "b"]["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io"
    assert found["clusterrolebindings", "", "b"]["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"
    assert repr(given) == before
