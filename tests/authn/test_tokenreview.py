"""What is made of the API server's answer to a TokenReview?

A yes is a user, a no is None, anything else is a 503.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from bastion.authn.authenticator import Credentials
from bastion.authn.tokenreview import TokenReviewAuthenticator
from bastion.cluster.errors import ApiError
from bastion.kube.user import User
from tests.fakes import SOMEBODY as ASKER
from tests.fakes import Reviews, owner, refused, run, why_not

YES = {"authenticated": True, "user": {"username": "somebody"}}
SOMEBODY = User("somebody", groups=("system:authenticated",))


def ask(*answers: Any, audiences: tuple[str, ...] = (), token: Any = "t") -> tuple[Any, ...]:
    api = Reviews(*answers)
    return run(owner(TokenReviewAuthenticator(api, audiences), Credentials(token), ASKER)), api.calls


ANSWERS = [
    # audiences asked for, the answer, the user
    pytest.param((), YES, SOMEBODY),
    pytest.param(
        (),
        {
            "authenticated": True,
            "user": {
                "username": "somebody",
                "uid": "abcd-1234",
                "groups": ["stuff-dev", "main-eng"],
                "extra": {"foo": ["bar", "baz"]},
            },
        },
        User(
            "somebody",
            "abcd-1234",
            ("stuff-dev", "main-eng", "system:authenticated"),
            (("foo", ("bar", "baz")),),
        ),
    ),
    pytest.param((), {"authenticated": False, "user": {"username": "garbage"}}, None),
    pytest.param((), {"authenticated": False}, None),
    pytest.param((), {}, None, id="silence-is-no"),
    pytest.param((), {"authenticated": False, "error": "expired"}, None, id="error"),
    pytest.param((), {"authenticated": True, "user": {}}, None, id="nobody"),
    pytest.param((), {"authenticated": True, "user": {"username": ""}}, None, id="empty-name"),
    pytest.param(("api",), YES | {"audiences": ["api", "other"]}, SOMEBODY),
    pytest.param(("other",), YES, None, id="unaware-of-audiences"),
    pytest.param(("api",), YES | {"audiences": ["api"]}, SOMEBODY),
    pytest.param((), YES | {"audiences": ["api"]}, SOMEBODY, id="none-asked-for"),
    pytest.param(("api",), YES | {"audiences": ["other"]}, None),
    pytest.param(("api",), YES | {"audiences": []}, None, id="no-audience"),
    pytest.param(
        (),
        {
            "authenticated": True,
            "user": {
                "username": "system:serviceaccount:ns:sa",
                "groups": ["system:serviceaccounts", "system:authenticated"],
            },
        },
        User("system:serviceaccount:ns:sa", groups=("system:serviceaccounts", "system:authenticated")),
        id="once",
    ),
]


@pytest.mark.parametrize(("audiences", "status", "user"), ANSWERS)
def test_an_answer_is_a_user_or_nobody(
    audiences: tuple[str, ...], status: dict[str, Any], user: User | None
) -> None:
    found, calls = ask(status, audiences=audiences)
    assert found == user
    assert len(calls) == 1


def test_the_question_is_a_token_review() -> None:
    _, [(path, body)] = ask(YES, audiences=("api",), token="secret")
    assert path == "/apis/authentication.k8s.io/v1/tokenreviews"
    assert (body["apiVersion"], body["kind"]) == ("authentication.k8s.io/v1", "TokenReview")
    assert body["spec"] == {"token": "secret", "audiences": ["api"]}


NO_ANSWERS = [
    ApiError("connection refused"),
    ApiError("the API server answered 500", 500),
    ApiError("the API server answered 403", 403),
    ApiError("the API server answered 401", 401),
    ConnectionResetError(),
    TimeoutError(),
    b"",
    b"<html>",
    b"{}",
    b'{"status":{"authenticated":"true","user":{"username":"admin"}}}',
]


@pytest.mark.parametrize("answer", NO_ANSWERS, ids=repr)
def test_no_answer_is_a_503_and_never_a_yes_or_a_no(answer: Any) -> None:
    with refused(503, "cannot authenticate") as _:
        ask(answer)


def test_the_client_is_told_when_to_come_again_and_nothing_of_the_cause() -> None:
    api = Reviews(ApiError("10.0.0.1:6443: connection refused"))
    with pytest.raises(Exception) as caught:
        run(TokenReviewAuthenticator(api).authenticate(Credentials("secret"), ASKER))
    assert caught.value.headers == ((b"Retry-After", b"2"),)  # type: ignore[attr-defined]
    assert b"10.0.0.1" not in caught.value.body()  # type: ignore[attr-defined]
    assert b"secret" not in caught.value.body()  # type: ignore[attr-defined]


def test_without_a_token_nobody_is_asked() -> None:
    assert ask(YES, token=None) == (None, [])


def jwt(**claims: Any) -> str:
    parts = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "RS256"}, claims)
    )
    return ".".join((*parts, "c2ln"))


CAUSES = [
    ({"authenticated": False}, "opaque", (), "TokenReview: not authenticated"),
    ({"error": "invalid bearer token"}, "opaque", (), "TokenReview: invalid bearer token"),
    ({"error": "no user has opaque"}, "opaque", (), "TokenReview: no user has [redacted]"),
    ({"error": "x" * 10_000}, "opaque", (), "TokenReview: " + "x" * 256),
    ({"error": "token has expired"}, jwt(exp=1_700_000_000), (), "expired at 2023-11-14T22:13:20Z"),
    ({"error": "revoked"}, jwt(exp=1_900_000_000), (), "TokenReview: revoked"),
    ({"error": "no"}, jwt(exp=-1), (), "expired at 1970-01-01T00:00:00Z"),
    ({"authenticated": True}, "opaque", (), "TokenReview: authenticated, but without a user name"),
    (YES, "opaque", ("bastion",), "TokenReview: authenticated, but for none of --api-audiences"),
]


@pytest.mark.parametrize(("status", "token", "audiences", "cause"), CAUSES)
def test_why_it_is_nobodys(
    status: dict[str, Any], token: str, audiences: tuple[str, ...], cause: str
) -> None:
    authenticator = TokenReviewAuthenticator(Reviews(status), audiences, lambda: 1_800_000_000.0)
    assert run(why_not(authenticator, Credentials(token))) == cause
