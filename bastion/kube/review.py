"""· TokenReview and SubjectAccessReview: request bodies and responses.

Shapes: `authentication.k8s.io/v1`, `authorization.k8s.io/v1`.
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from bastion.kube.attributes import Attributes
from bastion.kube.user import User

TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 a path
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
OWN_REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
OWN_ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class UserInfo(msgspec.Struct):
    username: str = ""
    uid: str = ""
    groups: list[str] | None = None
    extra: dict[str, list[str]] | None = None


class TokenReviewStatus(msgspec.Struct):
    authenticated: bool = False
    user: UserInfo = msgspec.field(default_factory=UserInfo)
    audiences: list[str] | None = None
    error: str = ""


class TokenReviewResponse(msgspec.Struct):
    status: TokenReviewStatus


class SelfReviewStatus(msgspec.Struct, rename="camel"):
    user_info: UserInfo


class SelfReviewResponse(msgspec.Struct):
    status: SelfReviewStatus


class AccessReviewStatus(msgspec.Struct):
    allowed: bool = False
    denied: bool = False
    reason: str = ""
    evaluationError: str = ""


class AccessReviewResponse(msgspec.Struct):
    status: AccessReviewStatus


_own_answer = msgspec.json.Decoder(SelfReviewResponse)
_token_answer = msgspec.json.Decoder(TokenReviewResponse)
_access_answer = msgspec.json.Decoder(AccessReviewResponse)


def token_review(token: str, audiences: tuple[str, ...] = ()) -> bytes:
    spec: dict[str, Any] = {"token": token}
    if audiences:
        spec["audiences"] = audiences
    return orjson.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec})


def read_token_review(body: bytes) -> TokenReviewStatus:
    """Raises ValueError where `body` is not a TokenReview."""
    return _token_answer.decode(body).status


def user_of(info: UserInfo) -> User:
    extra = tuple((key, tuple(values)) for key, values in (info.extra or {}).items())
    return User(info.username, info.uid, tuple(info.groups or ()), extra)


def access_review(user: User, attributes: Attributes) -> bytes:
    spec: dict[str, Any] = {"user": user.name}
    if user.uid:
        spec["uid"] = user.uid
    if user.groups:
        spec["groups"] = user.groups
    if user.extra:
        spec["extra"] = dict(user.extra)
    if attributes.resource:
        names = ("namespace", "verb", "group", "version", "resource", "subresource", "name")
        # The empty verb (of OPTIONS) is sent, too: without the field it would be another question.
        spec["resourceAttributes"] = {n: v for n in names if (v := getattr(attributes, n)) or n == "verb"}
    else:
        spec["nonResourceAttributes"] = {"path": attributes.path, "verb": attributes.verb}
    return orjson.dumps(
        {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    )


def read_access_review(body: bytes) -> AccessReviewStatus:
    """Raises ValueError where `body` is not a SubjectAccessReview."""
    return _access_answer.decode(body).status


# --- SelfSubjectReview


def own_review() -> bytes:
    return orjson.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})


def read_own_review(body: bytes) -> str:
    """The name of the user who asked.  Raises ValueError where `body` is not a SelfSubjectReview."""
    return _own_answer.decode(body).status.user_info.username


def own_access_review(verb: str, resource: str, group: str, namespace: str) -> bytes:
    asked = {"verb": verb, "resource": resource, "group": group, "namespace": namespace}
    spec = {"resourceAttributes": {name: value for name, value in asked.items() if value}}
    return orjson.dumps(
        {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
    )
