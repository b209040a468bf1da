"""What goes out in a review, and what is read from its answer?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from bastion.kube.attributes import Attributes
from bastion.kube.review import (
    UserInfo,
    access_review,
    read_access_review,
    read_token_review,
    token_review,
    user_of,
)
from bastion.kube.user import User

JANE = User("jane", "1", ("group1", "group2"), (("scopes", ("a", "b")),))
PROXY = Attributes("GET", "group3", "v7beta3", "kittensandponies", "pods", "proxy", "my-pod", "/foo")


@pytest.mark.parametrize(
    ("audiences", "spec"),
    [((), {"token": "t"}), (("api", "other"), {"token": "t", "audiences": ["api", "other"]})],
    ids=["no audiences", "audiences"],
)
def test_a_token_review_asks_for_the_token(audiences: Any, spec: Any) -> None:
    body = json.loads(token_review("t", audiences))
    assert body == {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}


ACCESS = [
    pytest.param(
        User(""), Attributes(""), {"user": "", "nonResourceAttributes": {"path": "", "verb": ""}}, id="C-SR-1"
    ),
    pytest.param(
        User("jane"),
        Attributes("get", path="/x"),
        {"user": "jane", "nonResourceAttributes": {"path": "/x", "verb": "get"}},
        id="C-SR-2",
    ),
    pytest.param(
        JANE,
        PROXY,
        {
            "user": "jane",
            "uid": "1",
            "groups": ["group1", "group2"],
            "extra": {"scopes": ["a", "b"]},
            "resourceAttributes": {
                "verb": "GET",
                "namespace": "kittensandponies",
                "group": "group3",
                "version": "v7beta3",
                "resource": "pods",
                "subresource": "proxy",
                "name": "my-pod",
            },
        },
        id="C-SR-3-the-path-is-not-sent",
    ),
    pytest.param(
        User("u"),
        Attributes("", namespace="ns", resource="pods", subresource="proxy", name="https:p:443"),
        {
            "user": "u",
            "resourceAttributes": {
                "namespace": "ns",
                "verb": "",
                "version": "v1",
                "resource": "pods",
                "subresource": "proxy",
                "name": "https:p:443",
            },
        },
        id="the-empty-verb-is-sent",
    ),
]


@pytest.mark.parametrize(("user", "attributes", "spec"), ACCESS)
def test_an_access_review_asks_what_is_asked_and_no_more(user: Any, attributes: Any, spec: Any) -> None:
    body = json.loads(access_review(user, attributes))
    assert body == {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}


def test_a_token_review_is_read() -> None:
    status = read_token_review(
        b'{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","metadata":{"x":1},'
        b'"status":{"authenticated":true,"audiences":["api"],'
        b'"user":{"username":"jane","uid":"1","groups":["group1","group2"],"extra":{"scopes":["a","b"]}}}}'
    )
    assert status.authenticated
    assert status.audiences == ["api"]
    assert user_of(status.user) == JANE


@pytest.mark.parametrize(
    "info", [UserInfo("u"), UserInfo("u", groups=[], extra={}), UserInfo("u", groups=None, extra=None)]
)
def test_what_a_user_lacks_is_empty(info: Any) -> None:
    assert user_of(info) == User("u")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"authenticated": False, "user": {}, "error": "invalid"}, (False, "invalid")),
        ({"user": {}}, (False, "")),
        ({}, (False, "")),
    ],
)
def test_silence_is_no_authentication(status: Any, expected: Any) -> None:
    read = read_token_review(json.dumps({"status": status}).encode())
    assert (read.authenticated, read.error) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"allowed": True, "reason": "because"}, (True, False, "because")),
        ({"allowed": False, "denied": True}, (False, True, "")),
        ({"allowed": False, "evaluationError": "x"}, (False, False, "")),
        ({}, (False, False, "")),
    ],
)
def test_an_access_review_is_read(status: Any, expected: Any) -> None:
    read = read_access_review(json.dumps({"status": status}).encode())
    assert (read.allowed, read.denied, read.reason) == expected


NO_REVIEWS = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"not json",
    b'{"status":null}',
    b'{"status":{"authenticated":"true"}}',
    b'{"status":{"authenticated":1}}',
    b'{"status":{"authenticated":true,"user":[]}}',
    b'{"status":{"authenticated":true}',
]


@pytest.mark.parametrize("body", NO_REVIEWS)
def test_what_is_no_token_review_is_an_error_and_no_answer(body: Any) -> None:
    with pytest.raises(ValueError):
        read_token_review(body)


@pytest.mark.parametrize(
    "body", [*NO_REVIEWS[:6], b'{"status":{"allowed":"true"}}', b'{"status":{"allowed":1}}']
)
def test_what_is_no_access_review_is_an_error_and_no_answer(body: Any) -> None:
    with pytest.raises(ValueError):
        read_access_review(body)
