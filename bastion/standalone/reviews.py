"""The status of a TokenReview, SelfSubjectReview or (Self)SubjectAccessReview; pure.

Audiences are ignored: the status has none, which tells the client so (`authentication.k8s.io/v1`,
TokenReviewStatus). Sources: `pkg/registry/authentication/tokenreview`, `pkg/apis/authorization/validation`.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import orjson

from bastion.kube import protobuf
from bastion.kube.attributes import Attributes
from bastion.kube.review import UserInfo, user_of
from bastion.kube.selfreview import NonResourceAttributes, ResourceAttributes
from bastion.kube.status import CONTENT_TYPE, StatusError, bad_request
from bastion.kube.user import User
from bastion.standalone.rbac import RBAC
from bastion.standalone.resources import AUTHORIZATION, Object, Resource

MEDIA_TYPES = (CONTENT_TYPE.decode(), protobuf.MEDIA_TYPE)

T = TypeVar("T")


class TokenReviewSpec(msgspec.Struct):
    token: str = ""


class AccessReviewSpec(msgspec.Struct, rename="camel"):
    """For a SelfSubjectAccessReview only the attributes are read."""

    resource_attributes: ResourceAttributes | None = None
    non_resource_attributes: NonResourceAttributes | None = None
    user: str = ""
    uid: str = ""
    groups: list[str] | None = None
    extra: dict[str, list[str]] | None = None


class RulesReviewSpec(msgspec.Struct):
    namespace: str = ""


class ReviewMetadata(msgspec.Struct):
    namespace: str = ""


def read_review(body: bytes, content_type: str, resource: Resource) -> Object:
    """The review as it was sent.  Raises StatusError 415, and 400 where the body is not of this kind."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in MEDIA_TYPES:
        message = (
            "the body of the request was in an unknown format - accepted media types include:"
            f" {', '.join(MEDIA_TYPES)}"
        )
        raise StatusError(415, "UnsupportedMediaType", message)
    try:
        review = protobuf.review(body, resource.kind) if kind == protobuf.MEDIA_TYPE else orjson.loads(body)
    except ValueError as error:
        raise bad_request(f"the request body cannot be read: {error}") from None
    if not isinstance(review, dict):
        raise bad_request("the request body must be an object")
    for name, wanted in (("kind", resource.kind), ("apiVersion", resource.api_version)):
        if review.get(name, wanted) != wanted:
            raise bad_request(f"{name}: must be {wanted}")
    if _converted(review.get("metadata") or {}, ReviewMetadata, "metadata").namespace:
        raise bad_request(f"namespace is not allowed on this type: {review['metadata']['namespace']}")
    return review


def token_of(review: Object) -> str:
    """Raises StatusError 400."""
    token = _converted(review.get("spec") or {}, TokenReviewSpec, "spec").token
    if not token:
        raise bad_request("token is required for TokenReview in authentication")
    return token


def token_status(user: User | None) -> Object:
    """None is a token that nobody has."""
    if user is None:
        return {"user": {}, "authenticated": False, "error": "invalid bearer token"}
    return {"authenticated": True, "user": _info(user)}


def own_status(user: User) -> Object:
    """Of a SelfSubjectReview."""
    return {"userInfo": _info(user)}


def _info(user: User) -> Object:
    info: Object = {
        "username": user.name,
        "uid": user.uid,
        "groups": list(user.groups),
        "extra": dict(user.extra),
    }
    return {name: value for name, value in info.items() if value}


def access_status(review: Object, rbac: RBAC, myself: User | None) -> Object:
    """`myself` is who asks, for the Self kind; None where the review says about whom.

    Raises StatusError 400, 422.
    """
    spec = _converted(review.get("spec") or {}, AccessReviewSpec, "spec")
    kind = "SubjectAccessReview" if myself is None else "SelfSubjectAccessReview"
    mistakes = list(_mistakes(spec, named=myself is None))
    if mistakes:
        raise _invalid(kind, mistakes)
    user = myself or user_of(UserInfo(spec.user, spec.uid, spec.groups, spec.extra))
    allowed, reason = rbac.authorize(user, _attributes(spec))
    return {"allowed": allowed} | ({"reason": reason} if reason else {})


def rules_status(review: Object, rbac: RBAC, myself: User) -> Object:
    """Of a SelfSubjectRulesReview.  Raises StatusError 400."""
    namespace = _converted(review.get("spec") or {}, RulesReviewSpec, "spec").namespace
    if not namespace:
        raise bad_request("no namespace on request")
    rules = rbac.rules(myself, namespace)
    resources = [
        {
            "verbs": sorted(rule.verbs),
            "apiGroups": sorted(rule.groups),
            "resources": sorted(rule.resources),
        }
        | ({"resourceNames": sorted(rule.names)} if rule.names else {})
        for rule in rules
        if rule.resources
    ]
    paths = [
        {"verbs": sorted(rule.verbs), "nonResourceURLs": list(rule.paths)} for rule in rules if rule.paths
    ]
    return {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}


def _attributes(spec: AccessReviewSpec) -> Attributes:
    if (asked := spec.resource_attributes) is None:
        asked_path = spec.non_resource_attributes or NonResourceAttributes()
        return Attributes(asked_path.verb, path=asked_path.path, version="")
    # No resource at all is allowed by the rules that allow all of them, and by no other: as if `*` were its
    # name.
    resource = asked.resource or "*"
    return Attributes(
        asked.verb,
        asked.group,
        asked.version,
        namespace=asked.namespace,
        resource=resource,
        subresource=asked.subresource,
        name=asked.name,
    )


def _mistakes(spec: AccessReviewSpec, *, named: bool) -> list[tuple[str, str, str]]:
    """(field, value as Go prints it, what is wrong)."""
    found = []
    if spec.resource_attributes and spec.non_resource_attributes:
        asked = orjson.dumps(msgspec.to_builtins(spec.non_resource_attributes)).decode()
        found.append(
            (
                "spec.nonResourceAttributes",
                asked,
                "cannot be specified in combination with resourceAttributes",
            )
        )
    if not spec.resource_attributes and not spec.non_resource_attributes:
        wrong = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        found.append(("spec.resourceAttributes", "null", wrong))
    if named and not spec.user and not spec.groups:
        found.append(("spec.user", '""', "at least one of user or group must be specified"))
    return found


def _invalid(kind: str, mistakes: list[tuple[str, str, str]]) -> StatusError:
    causes = [
        {"reason": "FieldValueInvalid", "message": f"Invalid value: {value}: {wrong}", "field": field}
        for field, value, wrong in mistakes
    ]
    texts = [f"{field}: Invalid value: {value}: {wrong}" for field, value, wrong in mistakes]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = {"group": AUTHORIZATION, "kind": kind, "causes": causes}
    return StatusError(422, "Invalid", f'{kind}.{AUTHORIZATION} "" is invalid: {text}', details)


def _converted(value: Any, type: type[T], field: str) -> T:
    try:
        return msgspec.convert(value, type)
    except msgspec.ValidationError as error:
        raise bad_request(f"{field}: {error}") from None
