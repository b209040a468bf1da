"""RBAC: the reasons that are given, word for word."""

from __future__ import annotations

import pytest

from bastion.kube.attributes import Attributes
from bastion.kube.user import User
from bastion.standalone.rbac import RBAC
from bastion.standalone.resources import Object
from tests.standalone.objects import binding, on, path_rule, role, rule, user

GET_PODS = rule("get", "core", "pods")
ASKED = on("get", "pods", "ns1")
REASONS = [
    (
        [role("r", GET_PODS), binding("b", "ClusterRole/r", "User/u")],
        user("u"),
        'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to User "u"',
    ),
    (
        [role("r", GET_PODS, namespace="ns1"), binding("b", "Role/r", "Group/g", namespace="ns1")],
        user("u", "g"),
        'RBAC: allowed by RoleBinding "b/ns1" of Role "r" to Group "g"',
    ),
    (
        [role("r", GET_PODS), binding("b", "ClusterRole/r", "ServiceAccount/home/bot", namespace="ns1")],
        user("system:serviceaccount:home:bot"),
        'RBAC: allowed by RoleBinding "b/ns1" of ClusterRole "r" to ServiceAccount "bot/home"',
    ),
    (
        [role("r", GET_PODS), binding("b", "ClusterRole/r", "ServiceAccount/bot", namespace="ns1")],
        user("system:serviceaccount:ns1:bot"),
        'RBAC: allowed by RoleBinding "b/ns1" of ClusterRole "r" to ServiceAccount "bot/ns1"',
    ),
    (
        [role("r", GET_PODS), binding("b", "ClusterRole/r", "Group/g", "User/u")],
        user("u", "g"),
        'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to Group "g"',
    ),
    (
        [role("r", GET_PODS), binding("b", "ClusterRole/r", 'User/odd"name')],
        user('odd"name'),
        'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to User "odd\\"name"',
    ),
    (
        [
            role("r", GET_PODS),
            binding("local", "ClusterRole/r", "User/u", namespace="ns1"),
            binding("z", "ClusterRole/r", "User/u"),
        ],
        user("u"),
        'RBAC: allowed by ClusterRoleBinding "z" of ClusterRole "r" to User "u"',
    ),
    (
        [
            role("none"),
            role("r", GET_PODS),
            binding("a", "ClusterRole/none", "User/u"),
            binding("b", "ClusterRole/r", "User/u"),
        ],
        user("u"),
        'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to User "u"',
    ),
    (
        [
            role("r", GET_PODS),
            binding("a", "ClusterRole/gone", "User/u"),
            binding("b", "ClusterRole/r", "User/u"),
        ],
        user("u"),
        'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to User "u"',
    ),
    ([], user("u", "system:masters"), ""),
]


@pytest.mark.parametrize(("objects", "who", "reason"), REASONS)
def test_why_it_is_allowed(objects: list[Object], who: User, reason: str) -> None:
    assert RBAC(objects).authorize(who, ASKED) == (True, reason)


DENIED = [
    ([], user("u"), ""),
    ([role("r", GET_PODS), binding("b", "ClusterRole/r", "User/other")], user("u", "g"), ""),
    ([role("r", GET_PODS), binding("b", "ClusterRole/r", "User/g")], user("u", "g"), ""),
    ([role("r", GET_PODS), binding("b", "ClusterRole/r", "Group/u")], user("u", "g"), ""),
    (
        [role("r", GET_PODS), binding("b", "ClusterRole/r", "ServiceAccount/bot")],
        user("system:serviceaccount::bot"),
        "",
    ),
    (
        [binding("b", "ClusterRole/gone", "User/u")],
        user("u"),
        'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found',
    ),
    (
        [binding("b", "ClusterRole/gone", "User/u"), binding("c", "Role/away", "Group/g", namespace="ns1")],
        user("u", "g"),
        (
            'RBAC: [clusterrole.rbac.authorization.k8s.io "gone" not found, role.rbac.authorization.k8s.io'
            ' "away" not found]'
        ),
    ),
    (
        [binding("b", "ClusterRole/gone", "User/u", "Group/g"), binding("c", "ClusterRole/gone", "User/u")],
        user("u", "g"),
        'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found',
    ),
    ([binding("b", "Role/away", "User/u", namespace="ns2")], user("u"), ""),
    (
        [role("r", GET_PODS, namespace="ns2"), binding("b", "Role/r", "User/u", namespace="ns2")],
        user("u"),
        "",
    ),
]


@pytest.mark.parametrize(("objects", "who", "reason"), DENIED)
def test_why_it_is_not(objects: list[Object], who: User, reason: str) -> None:
    assert RBAC(objects).authorize(who, ASKED) == (False, reason)


def test_a_role_of_another_namespace_is_not_the_one_that_is_bound() -> None:
    objects = [role("r", GET_PODS, namespace="ns2"), binding("b", "Role/r", "User/u", namespace="ns1")]
    assert RBAC(objects).authorize(user("u"), ASKED) == (
        False,
        'RBAC: role.rbac.authorization.k8s.io "r" not found',
    )


def test_a_role_binding_says_nothing_about_the_cluster_or_paths() -> None:
    rbac = RBAC(
        [
            role("r", rule("*", "*", "*"), path_rule("*", "*")),
            binding("b", "ClusterRole/r", "User/u", namespace="ns1"),
        ]
    )
    assert rbac.authorize(user("u"), ASKED)[0]
    assert not rbac.authorize(user("u"), on("get", "pods"))[0]
    assert not rbac.authorize(user("u"), Attributes("get", namespace="ns1", path="/metrics"))[0]
