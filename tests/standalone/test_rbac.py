"""RBAC: who may do what.

Rows C-RB-n are those of kube-apiserver's own TestAuthorizer and TestRuleMatches.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from bastion.kube.attributes import Attributes
from bastion.kube.user import User
from bastion.standalone.rbac import RBAC
from bastion.standalone.resources import Object
from tests.standalone.objects import binding, on, path, path_rule, role, rule, user

# --- TestAuthorizer

WHOLE_NAMESPACE = [
    role("admin", rule("*", "*", "*")),
    binding("admins", "ClusterRole/admin", "User/admin", "Group/admins", namespace="ns1"),
]
PATHS = [
    role("getter", path_rule("get", "/apis")),
    role("all", path_rule("*", "/apis")),
    role("prefix", path_rule("get", "/apis/*")),
    binding("getter", "ClusterRole/getter", "User/foo", "Group/bar"),
    binding("all", "ClusterRole/all", "User/admin", "Group/admin"),
    binding("prefix", "ClusterRole/prefix", "User/prefixed", "Group/prefixed"),
]
PODS = [role("pods", rule("*", "*", "pods")), binding("pods", "ClusterRole/pods", "User/admin")]
SUBRESOURCES = [
    role("sub", rule("*", "*", "pods/status */proxy")),
    binding("sub", "ClusterRole/sub", "User/admin"),
]

AUTHORIZER = [
    ("C-RB-1", WHOLE_NAMESPACE, user("admin"), on("get", "pods", "ns1"), True),
    ("C-RB-2", WHOLE_NAMESPACE, user("admin"), on("watch", "pods", "ns1"), True),
    ("C-RB-3", WHOLE_NAMESPACE, user("admin", "group1"), on("watch", "foobar", "ns1"), True),
    ("C-RB-4", WHOLE_NAMESPACE, user("joe", "admins"), on("watch", "foobar", "ns1"), True),
    ("C-RB-5", WHOLE_NAMESPACE, user("joe", "group1", "admins"), on("watch", "foobar", "ns1"), True),
    ("C-RB-6", WHOLE_NAMESPACE, user("admin"), on("GET", "pods", "ns2"), False),
    ("C-RB-7", WHOLE_NAMESPACE, user("admin"), on("GET", "nodes"), False),
    ("C-RB-8", WHOLE_NAMESPACE, user("admin", "admins"), on("GET", "pods", "ns2"), False),
    ("C-RB-9", WHOLE_NAMESPACE, user("admin", "admins"), on("GET", "nodes"), False),
    ("C-RB-10", PATHS, user("foo"), path("get", "/apis"), True),
    ("C-RB-11", PATHS, user("x", "bar"), path("get", "/apis"), True),
    ("C-RB-12", PATHS, user("admin"), path("get", "/apis"), True),
    ("C-RB-13", PATHS, user("x", "admin"), path("get", "/apis"), True),
    ("C-RB-14", PATHS, user("admin"), path("watch", "/apis"), True),
    ("C-RB-15", PATHS, user("x", "admin"), path("watch", "/apis"), True),
    ("C-RB-16", PATHS, user("prefixed"), path("get", "/apis/v1"), True),
    ("C-RB-17", PATHS, user("x", "prefixed"), path("get", "/apis/v1"), True),
    ("C-RB-18", PATHS, user("prefixed"), path("get", "/apis/v1/foobar"), True),
    ("C-RB-19", PATHS, user("x", "prefixed"), path("get", "/apis/v1/foobar"), True),
    ("C-RB-20", PATHS, user("foo"), path("watch", "/apis"), False),
    ("C-RB-21", PATHS, user("x", "bar"), path("watch", "/apis"), False),
    ("C-RB-22", PATHS, user("foo"), path("get", "/api/v1"), False),
    ("C-RB-23", PATHS, user("x", "bar"), path("get", "/api/v1"), False),
    ("C-RB-24", PATHS, user("admin"), path("get", "/api/v1"), False),
    ("C-RB-25", PATHS, user("x", "admin"), path("get", "/api/v1"), False),
    ("C-RB-26", PATHS, user("prefixed"), path("get", "/api/v1"), False),
    ("C-RB-27", PATHS, user("x", "prefixed"), path("get", "/api/v1"), False),
    ("C-RB-28", PODS, user("admin"), on("get", "pods", "ns"), True),
    ("C-RB-29", PODS, user("admin"), on("get", "pods/status", "ns"), False),
    ("C-RB-30", SUBRESOURCES, user("admin"), on("get", "pods/status", "ns"), True),
    ("C-RB-31", SUBRESOURCES, user("admin"), on("get", "pods/proxy", "ns"), True),
    ("C-RB-32", SUBRESOURCES, user("admin"), on("get", "services/proxy", "ns"), True),
    ("C-RB-33", SUBRESOURCES, user("admin"), on("get", "anything/proxy", "ns"), True),
    ("C-RB-34", SUBRESOURCES, user("admin"), on("get", "pods", "ns"), False),
]


@pytest.mark.parametrize(
    ("objects", "who", "asked", "allowed"),
    [row[1:] for row in AUTHORIZER],
    ids=[row[0] for row in AUTHORIZER],
)
def test_authorizer(objects: list[Object], who: User, asked: Attributes, allowed: bool) -> None:
    assert RBAC(objects).authorize(who, asked)[0] is allowed


# --- TestRuleMatches: each rule over a cartesian product

VERBS, GROUPS, RESOURCES = ("verb1", "verb2"), ("group1", "group2"), ("resource1", "resource2")
SUBS = tuple(f"{r}/{s}" for r in RESOURCES for s in ("subresource1", "subresource2"))
URLS = ("/foo", "/foo/bar", "/foo/baz", "/foo/bar/one", "/foo/baz/one")
OTHERS = ("/notfoo", "/notfoo/bar", "/notfoo/baz", "/notfoo/bar/one", "/notfoo/baz/one")

RESOURCE_RULES: list[tuple[str, Object, tuple[str, ...], Any]] = [
    (
        "C-RB-35..42",
        rule("*", "group1", "resource1"),
        RESOURCES,
        lambda v, g, r: g == "group1" and r == "resource1",
    ),
    (
        "C-RB-43..50",
        rule("verb1", "*", "resource1"),
        RESOURCES,
        lambda v, g, r: v == "verb1" and r == "resource1",
    ),
    ("C-RB-51..58", rule("verb1", "group1", "*"), RESOURCES, lambda v, g, r: v == "verb1" and g == "group1"),
    (
        "C-RB-59..66",
        rule("verb1 verb2", "group1 group2", "resource1 resource2"),
        RESOURCES,
        lambda v, g, r: True,
    ),
    (
        "C-RB-67..74",
        rule("*", "*", "resource1/subresource1"),
        SUBS,
        lambda v, g, r: r == "resource1/subresource1",
    ),
]


@pytest.mark.parametrize(
    ("given", "resources", "expected"),
    [row[1:] for row in RESOURCE_RULES],
    ids=[row[0] for row in RESOURCE_RULES],
)
def test_rule_matches_resources(given: Object, resources: tuple[str, ...], expected: Any) -> None:
    rbac = RBAC([role("r", given), binding("b", "ClusterRole/r", "User/u")])
    product = list(itertools.product(VERBS, GROUPS, resources))
    assert len(product) >= 8
    for verb, group, resource in product:
        allowed = rbac.authorize(user("u"), on(verb, resource, group=group))[0]
        assert allowed is expected(verb, group, resource), (verb, group, resource)


URL_RULES: list[tuple[str, Object, tuple[str, ...], Any]] = [
    ("C-RB-75..84", path_rule("verb1", "*"), URLS, lambda v, u: v == "verb1"),
    (
        "C-RB-85..94",
        path_rule("verb1", "/foo/*"),
        URLS + OTHERS,
        lambda v, u: v == "verb1" and u.startswith("/foo/"),
    ),
    ("C-RB-95..104", path_rule("*", "/foo /foo/bar/one"), URLS, lambda v, u: u in ("/foo", "/foo/bar/one")),
]


@pytest.mark.parametrize(
    ("given", "urls", "expected"), [row[1:] for row in URL_RULES], ids=[row[0] for row in URL_RULES]
)
def test_rule_matches_paths(given: Object, urls: tuple[str, ...], expected: Any) -> None:
    rbac = RBAC([role("r", given), binding("b", "ClusterRole/r", "User/u")])
    for verb, url in itertools.product(VERBS, urls):
        assert rbac.authorize(user("u"), path(verb, url))[0] is expected(verb, url), (verb, url)


# --- what the proxy relies on

MATCHES = [
    ("pods/proxy does", "pods/proxy", "pods/proxy", True),
    ("pods does not cover the proxy", "pods", "pods/proxy", False),
    ("pods/* is no wildcard", "pods/*", "pods/proxy", False),
    ("*/proxy does", "*/proxy", "pods/proxy", True),
    ("*/proxy is of the proxy only", "*/proxy", "pods/exec", False),
    ("*/proxy is not the resource", "*/proxy", "pods", False),
    ("* does", "*", "pods/proxy", True),
    ("services/proxy is another", "services/proxy", "pods/proxy", False),
    ("case counts", "Pods/proxy", "pods/proxy", False),
]


@pytest.mark.parametrize(
    ("granted", "asked", "allowed"), [row[1:] for row in MATCHES], ids=[row[0] for row in MATCHES]
)
def test_resources_of_a_rule(granted: str, asked: str, allowed: bool) -> None:
    rbac = RBAC([role("r", rule("get", "core", granted)), binding("b", "ClusterRole/r", "User/u")])
    assert rbac.authorize(user("u"), on("get", asked, "ns"))[0] is allowed


@pytest.mark.parametrize(
    ("names", "name", "allowed"),
    [
        ("foo", "foo", True),
        ("foo", "foo:80", False),
        ("foo", "http:foo:", False),
        ("foo foo:80", "foo:80", True),
        ("foo", "", False),
        ("*", "foo", False),
        ("", "foo:80", True),
        ("", "", True),
    ],
)
def test_resource_names_are_whole_ids(names: str, name: str, allowed: bool) -> None:
    rbac = RBAC(
        [role("r", rule("get", "core", "services/proxy", names)), binding("b", "ClusterRole/r", "User/u")]
    )
    assert rbac.authorize(user("u"), on("get", "services/proxy", "ns", name=name))[0] is allowed


@pytest.mark.parametrize(
    ("verbs", "verb", "allowed"),
    [("*", "", True), ("get create", "", False), ("get", "GET", False), ("get", "get", True)],
)
def test_empty_verb_needs_the_star(verbs: str, verb: str, allowed: bool) -> None:
    rbac = RBAC([role("r", rule(verbs, "core", "pods/proxy")), binding("b", "ClusterRole/r", "User/u")])
    assert rbac.authorize(user("u"), on(verb, "pods/proxy", "ns"))[0] is allowed


def test_a_group_is_not_the_core_group() -> None:
    rbac = RBAC([role("r", rule("get", "apps", "pods")), binding("b", "ClusterRole/r", "User/u")])
    assert not rbac.authorize(user("u"), on("get", "pods", "ns"))[0]
    assert rbac.authorize(user("u"), on("get", "pods", "ns", group="apps"))[0]


def test_a_resource_rule_grants_no_path_and_a_path_rule_no_resource() -> None:
    rbac = RBAC(
        [role("r", rule("*", "*", "*"), path_rule("get", "/x")), binding("b", "ClusterRole/r", "User/u")]
    )
    assert not rbac.authorize(user("u"), path("get", "/y"))[0]
    rbac = RBAC([role("r", path_rule("*", "*")), binding("b", "ClusterRole/r", "User/u")])
    assert not rbac.authorize(user("u"), on("get", "pods"))[0]


def test_trailing_stars_are_all_taken_off_and_an_inner_one_is_a_character() -> None:
    rbac = RBAC([role("r", path_rule("get", "/a** /b/*/c")), binding("b", "ClusterRole/r", "User/u")])
    for where, allowed in (("/a", True), ("/abc", True), ("/b/x/c", False), ("/b/*/c", True)):
        assert rbac.authorize(user("u"), path("get", where))[0] is allowed, where


def test_the_right_answer_among_thousands_of_bindings() -> None:
    objects = [role(f"r{i}", rule("get", "core", "services/proxy", f"s{i}")) for i in range(50)]
    objects += [
        binding(f"b{i:04}", f"ClusterRole/r{i % 50}", f"User/u{i}", f"Group/g{i % 7}", namespace=f"n{i % 10}")
        for i in range(4000)
    ]
    rbac = RBAC(objects)
    asked = on("get", "services/proxy", "n3", name="s33")
    assert rbac.authorize(user("u1233"), asked) == (
        True,
        'RBAC: allowed by RoleBinding "b1233/n3" of ClusterRole "r33" to User "u1233"',
    )
    assert rbac.authorize(user("nobody", "g5"), asked)[0]
    assert not rbac.authorize(user("u1233"), on("get", "services/proxy", "n4", name="s33"))[0]
    assert not rbac.authorize(user("u1234"), asked)[0]
