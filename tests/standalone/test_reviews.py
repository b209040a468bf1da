"""TokenReview and SubjectAccessReview as values, in JSON and in protobuf."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bastion.kube import protobuf
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.standalone.rbac import RBAC
from bastion.standalone.resources import BY_NAME, Object
from bastion.standalone.reviews import access_status, read_review, token_of, token_status
from tests.standalone.objects import binding, path_rule, role, rule

TOKENS = BY_NAME["authentication.k8s.io", "tokenreviews"]
ACCESS = BY_NAME["authorization.k8s.io", "subjectaccessreviews"]
SELF = BY_NAME["authorization.k8s.io", "selfsubjectaccessreviews"]

RULES = RBAC(
    [
        role("r", rule("get", "core", "services/proxy"), path_rule("get", "/metrics")),
        role("everything", rule("*", "*", "*")),
        binding("b", "ClusterRole/r", "User/alice", "Group/devs"),
        binding("c", "ClusterRole/everything", "User/root"),
    ]
)
PROXY = {
    "verb": "get",
    "namespace": "ns",
    "version": "v1",
    "resource": "services",
    "subresource": "proxy",
    "name": "https:web:443",
}
BY_USER = 'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to User "alice"'
BY_GROUP = 'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to Group "devs"'
BY_ALL = 'RBAC: allowed by ClusterRoleBinding "c" of ClusterRole "everything" to User "root"'

ANSWERS = [
    ({"user": "alice", "resourceAttributes": PROXY}, {"allowed": True, "reason": BY_USER}),
    ({"groups": ["devs"], "resourceAttributes": PROXY}, {"allowed": True, "reason": BY_GROUP}),
    ({"user": "bob", "resourceAttributes": PROXY}, {"allowed": False}),
    ({"user": "alice", "resourceAttributes": {**PROXY, "verb": ""}}, {"allowed": False}),
    ({"user": "alice", "resourceAttributes": {**PROXY, "subresource": ""}}, {"allowed": False}),
    (
        {"user": "alice", "nonResourceAttributes": {"path": "/metrics", "verb": "get"}},
        {"allowed": True, "reason": BY_USER},
    ),
    ({"user": "alice", "nonResourceAttributes": {"path": "/metrics", "verb": "post"}}, {"allowed": False}),
    ({"user": "x", "groups": ["system:masters"], "resourceAttributes": PROXY}, {"allowed": True}),
    ({"user": "root", "resourceAttributes": {}}, {"allowed": True, "reason": BY_ALL}),
    ({"user": "alice", "resourceAttributes": {"verb": "get"}}, {"allowed": False}),
    (
        {"user": "alice", "uid": "1", "extra": {"a": ["b"]}, "resourceAttributes": PROXY},
        {"allowed": True, "reason": BY_USER},
    ),
]


@pytest.mark.parametrize(("spec", "status"), ANSWERS)
def test_subject_access_review(spec: Object, status: Object) -> None:
    assert access_status({"spec": spec}, RULES, None) == status


def test_self_review_is_about_who_asks_whatever_it_says() -> None:
    review = {"spec": {"user": "alice", "resourceAttributes": PROXY}}
    assert access_status(review, RULES, User("bob")) == {"allowed": False}
    assert access_status(review, RULES, User("x", groups=("devs",)))["allowed"] is True


ONE_OF = (
    "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes"
    " must be specified"
)
WHO = 'spec.user: Invalid value: "": at least one of user or group must be specified'


@pytest.mark.parametrize(
    ("spec", "wrong"),
    [
        ({"resourceAttributes": PROXY}, WHO),
        ({"user": "", "groups": [], "resourceAttributes": PROXY}, WHO),
        ({"user": "alice"}, ONE_OF),
        ({}, f"[{ONE_OF}, {WHO}]"),
    ],
)
def test_invalid_reviews(spec: Object, wrong: str) -> None:
    with pytest.raises(StatusError) as caught:
        access_status({"spec": spec}, RULES, None)
    error = caught.value
    assert (error.code, error.reason) == (422, "Invalid")
    assert error.message == f'SubjectAccessReview.authorization.k8s.io "" is invalid: {wrong}'
    assert error.details is not None
    assert error.details["causes"][0]["reason"] == "FieldValueInvalid"


def test_both_kinds_of_attributes_are_one_too_many() -> None:
    spec = {"user": "a", "resourceAttributes": PROXY, "nonResourceAttributes": {"path": "/x"}}
    with pytest.raises(StatusError, match="cannot be specified in combination with resourceAttributes"):
        access_status({"spec": spec}, RULES, None)


def test_self_review_needs_no_user_but_attributes() -> None:
    with pytest.raises(StatusError) as caught:
        access_status({}, RULES, User("bob"))
    assert caught.value.message == f'SelfSubjectAccessReview.authorization.k8s.io "" is invalid: {ONE_OF}'


def test_token_status() -> None:
    assert token_status(None) == {"user": {}, "authenticated": False, "error": "invalid bearer token"}
    user = User("alice", "7", ("devs", "system:authenticated"), (("scope", ("a", "b")),))
    assert token_status(user) == {
        "authenticated": True,
        "user": {
            "username": "alice",
            "uid": "7",
            "groups": ["devs", "system:authenticated"],
            "extra": {"scope": ("a", "b")},
        },
    }


@pytest.mark.parametrize("review", [{}, {"spec": None}, {"spec": {}}, {"spec": {"token": ""}}])
def test_a_token_is_required(review: Object) -> None:
    with pytest.raises(StatusError) as caught:
        token_of(review)
    assert (caught.value.code, caught.value.message) == (
        400,
        "token is required for TokenReview in authentication",
    )


BAD_BODIES = [
    (b"{", "application/json", 400, "the request body cannot be read: "),
    (b"[]", "application/json", 400, "the request body must be an object"),
    (b'{"kind": "Pod"}', "application/json", 400, "kind: must be TokenReview"),
    (
        b'{"apiVersion": "authentication.k8s.io/v1beta1"}',
        "application/json",
        400,
        "apiVersion: must be authentication.k8s.io/v1",
    ),
    (
        b'{"metadata": {"namespace": "x"}}',
        "application/json",
        400,
        "namespace is not allowed on this type: x",
    ),
    (b'{"metadata": 5}', "application/json", 400, "metadata: "),
    (b"{}", "application/yaml", 415, "the body of the request was in an unknown format"),
    (b"{}", protobuf.MEDIA_TYPE, 400, "the request body cannot be read: does not begin"),
    (b"k8s\x00\x0a\xff", protobuf.MEDIA_TYPE, 400, "the request body cannot be read: is no protobuf message"),
]


@pytest.mark.parametrize(("body", "content_type", "code", "message"), BAD_BODIES)
def test_bodies_that_are_no_review(body: bytes, content_type: str, code: int, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        read_review(body, content_type, TOKENS)
    assert caught.value.code == code
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("spec", [{"token": 5}, {"token": ["x"]}])
def test_a_token_is_a_string(spec: Object) -> None:
    with pytest.raises(StatusError) as caught:
        token_of(read_review(json.dumps({"spec": spec}).encode(), "application/json; charset=utf-8", TOKENS))
    assert caught.value.code == 400


# --- protobuf, written here by hand


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return (
        b"k8s\x00"
        + field(1, field(1, api_version) + field(2, kind))
        + field(2, raw)
        + field(3, "")
        + field(4, "")
    )


RESOURCE = b"".join(
    field(number, value)
    for number, value in enumerate(("ns", "get", "g", "v1", "services", "proxy", "web:80"), 1)
)
RESOURCE_READ = {
    "namespace": "ns",
    "verb": "get",
    "group": "g",
    "version": "v1",
    "resource": "services",
    "subresource": "proxy",
    "name": "web:80",
}
EXTRA = field(1, "scope") + field(2, field(1, "a") + field(1, "b"))
PROTOBUF: list[tuple[Any, bytes, Object]] = [
    (SELF, field(2, field(1, RESOURCE)), {"resourceAttributes": RESOURCE_READ}),
    (
        SELF,
        field(2, field(2, field(1, "/x") + field(2, "get"))),
        {"nonResourceAttributes": {"path": "/x", "verb": "get"}},
    ),
    (
        ACCESS,
        field(
            2,
            field(1, RESOURCE)
            + field(3, "alice")
            + field(4, "devs")
            + field(4, "ops")
            + field(5, EXTRA)
            + field(6, "uid-1"),
        ),
        {
            "resourceAttributes": RESOURCE_READ,
            "user": "alice",
            "groups": ["devs", "ops"],
            "extra": {"scope": ["a", "b"]},
            "uid": "uid-1",
        },
    ),
    (TOKENS, field(2, field(1, "t" * 300) + field(2, "aud")), {"token": "t" * 300, "audiences": ["aud"]}),
    # Numbers and fields not known here are passed over: a varint, 64 and 32 bits, bytes.
    (
        TOKENS,
        field(2, b"\x50\x96\x01" + b"\x59" + b"x" * 8 + b"\x5d" + b"x" * 4 + field(12, "?") + field(1, "t")),
        {"token": "t"},
    ),
]


@pytest.mark.parametrize(("resource", "raw", "spec"), PROTOBUF)
def test_protobuf_says_the_same_as_json(resource: Any, raw: bytes, spec: Object) -> None:
    body = envelope(resource.api_version, resource.kind, field(1, b"") + raw)
    review = read_review(body, protobuf.MEDIA_TYPE, resource)
    assert review == {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {}, "spec": spec}


def test_protobuf_of_another_kind_or_with_a_namespace_is_refused() -> None:
    with pytest.raises(StatusError, match="kind: must be TokenReview"):
        read_review(envelope(TOKENS.api_version, "Pod", b""), protobuf.MEDIA_TYPE, TOKENS)
    with pytest.raises(StatusError, match="namespace is not allowed on this type: x"):
        read_review(
            envelope(TOKENS.api_version, "TokenReview", field(1, field(3, "x"))), protobuf.MEDIA_TYPE, TOKENS
        )


def test_every_protobuf_that_is_cut_short_is_refused_or_says_less() -> None:
    whole = envelope(ACCESS.api_version, ACCESS.kind, PROTOBUF[2][1])
    complete = protobuf.review(whole, ACCESS.kind)
    for length in range(len(whole) - 4):  # the last four bytes are two empty fields
        try:
            assert protobuf.review(whole[:length], ACCESS.kind) != complete, length
        except ValueError:
            pass
