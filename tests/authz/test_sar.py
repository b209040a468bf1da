"""What is made of the API server's answer to a SubjectAccessReview?"""

from __future__ import annotations

from typing import Any

import pytest

from bastion.authz.authorizer import Decision
from bastion.authz.sar import AccessReviewAuthorizer
from bastion.cluster.errors import ApiError
from bastion.kube.attributes import Attributes
from bastion.kube.status import StatusError
from bastion.kube.user import User
from tests.fakes import SOMEBODY, Reviews, refused, run

JANE = User("jane", groups=("devs",))
GET = Attributes("get", namespace="ns", resource="pods", subresource="proxy", name="foo:80")


def ask(answer: Any, attributes: Attributes = GET) -> tuple[Decision, list[tuple[str, dict[str, Any]]]]:
    api = Reviews(answer)
    return run(AccessReviewAuthorizer(api).authorize(JANE, attributes, SOMEBODY)), api.calls


ANSWERS = [
    pytest.param({"allowed": True}, Decision(True), id="allow"),
    pytest.param({"allowed": True, "reason": "RBAC: allowed"}, Decision(True, "RBAC: allowed"), id="reason"),
    pytest.param({"allowed": False}, Decision(False), id="no-opinion-is-no"),
    pytest.param({}, Decision(False), id="silence-is-no"),
    pytest.param({"allowed": False, "denied": True, "reason": "no"}, Decision(False, "no"), id="deny"),
    pytest.param({"allowed": True, "denied": True}, Decision(False), id="deny-wins"),
    pytest.param({"allowed": True, "evaluationError": "x"}, Decision(True), id="allow-beside-an-error"),
    pytest.param(
        {"allowed": False, "reason": "no", "evaluationError": "I'm sorry, Dave"},
        Decision(False, "no"),
        id="C-IT-15",
    ),
]


@pytest.mark.parametrize(("status", "decision"), ANSWERS)
def test_an_answer_is_a_decision(status: dict[str, Any], decision: Decision) -> None:
    assert ask(status)[0] == decision


@pytest.mark.parametrize(
    ("attributes", "spec"),
    [
        (
            GET,
            {
                "resourceAttributes": {
                    "namespace": "ns",
                    "verb": "get",
                    "version": "v1",
                    "resource": "pods",
                    "subresource": "proxy",
                    "name": "foo:80",
                }
            },
        ),
        (Attributes("", path="/x"), {"nonResourceAttributes": {"path": "/x", "verb": ""}}),
    ],
    ids=["resource", "non-resource"],
)
def test_the_question_is_the_whole_question(attributes: Attributes, spec: dict[str, dict[str, str]]) -> None:
    _, [(path, body)] = ask({"allowed": True}, attributes)
    assert path == "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    assert body == {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": "jane", "groups": ["devs"], **spec},
    }


NO_ANSWERS = [
    ApiError("connection refused"),
    ApiError("the API server answered 500", 500),
    ApiError("the API server answered 403", 403),  # the bastion lost its own rights
    ConnectionResetError(),
    TimeoutError(),
    b"",
    b"{}",
    b'{"status":{"allowed":"true"}}',
    b'{"status":{"allowed":1}}',
]


@pytest.mark.parametrize("answer", NO_ANSWERS, ids=repr)
def test_no_answer_is_a_503_and_never_an_allow(answer: Any) -> None:
    with refused(503, "cannot authorize"):
        ask(answer)


def test_the_client_is_told_when_to_come_again() -> None:
    with pytest.raises(StatusError) as caught:
        ask(ApiError("10.0.0.1:6443: connection refused"))
    assert caught.value.headers == ((b"Retry-After", b"2"),)
    assert b"10.0.0.1" not in caught.value.body()
