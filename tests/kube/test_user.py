"""Who is a user, and in which groups?"""

from __future__ import annotations

from typing import Any

import pytest

from bastion.kube.user import User, anonymous, authenticated, node_name, service_account

GROUPS = [
    pytest.param("u", ("some-group",), ("some-group", "system:authenticated"), id="C-GR-2-added-last"),
    pytest.param("u", (), ("system:authenticated",), id="no-groups"),
    pytest.param(
        "u", ("system:authenticated", "b"), ("system:authenticated", "b"), id="C-GR-3-already-there"
    ),
    pytest.param("system:anonymous", ("a",), ("a",), id="C-GR-4-anonymous"),
    pytest.param("u", ("system:unauthenticated",), ("system:unauthenticated",), id="C-GR-5-unauthenticated"),
]


@pytest.mark.parametrize(("name", "groups", "expected"), GROUPS)
def test_whoever_is_known_is_in_the_group_of_the_known(name: Any, groups: Any, expected: Any) -> None:
    assert authenticated(User(name, "uid", groups, (("k", ("v",)),))) == User(
        name, "uid", expected, (("k", ("v",)),)
    )


def test_the_user_given_is_not_changed() -> None:
    user = User("u", groups=("a",))  # C-GR-1
    authenticated(user)
    assert user.groups == ("a",)


def test_anonymous_is_a_user_of_its_own() -> None:
    assert anonymous() == User("system:anonymous", "", ("system:unauthenticated",))
    assert authenticated(anonymous()) == anonymous()


ACCOUNTS = [
    ("system:serviceaccount:ns:default", ("ns", "default")),
    ("system:serviceaccount:ns:a.b-c", ("ns", "a.b-c")),
    ("system:serviceaccount:ns:", None),
    ("system:serviceaccount::name", None),
    ("system:serviceaccount:ns", None),
    ("system:serviceaccount:", None),
    ("system:serviceaccount:ns:a:b", None),
    ("system:serviceaccounts:ns:a", None),
    ("system:serviceaccount:Ns:a", None),  # no namespace is called so, nor an account
    ("system:serviceaccount:ns:A_b", None),
    ("system:serviceaccount:a.b:c", None),
    ("system:serviceaccount:ns:a.b", ("ns", "a.b")),
    ("System:serviceaccount:ns:a", None),
    ("jane", None),
    ("", None),
]


@pytest.mark.parametrize(("name", "expected"), ACCOUNTS)
def test_a_service_account_is_known_by_its_name(name: Any, expected: Any) -> None:
    assert service_account(name) == expected


def test_users_are_values() -> None:
    one, two = (User("u", "1", ("g",), (("k", ("v",)),)) for _ in range(2))
    assert one == two
    assert hash(one) == hash(two)
    assert one != User("u", "1", ("g",), (("k", ("w",)),))


NODES = [
    ("system:node:n1", "n1"),
    ("system:node:n1.example.org", "n1.example.org"),
    ("system:node:", None),
    ("system:node:N1", None),
    ("system:node:n1\n", None),
    ("system:node:" + "n" * 254, None),
    ("system:nodes:n1", None),
    ("n1", None),
]


@pytest.mark.parametrize(("name", "expected"), NODES)
def test_a_node_is_known_by_its_name(name: Any, expected: Any) -> None:
    assert node_name(name) == expected
