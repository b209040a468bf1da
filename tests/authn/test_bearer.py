"""Which bearer token does a request carry?"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from bastion.authn.anonymous import AnonymousAuthenticator
from bastion.authn.authenticator import Credentials, FirstOf
from bastion.authn.bearer import MAX_TOKEN, bearer_credentials, bearer_token
from bastion.kube.status import StatusError
from tests.fakes import SOMEBODY, Knows, refused, run


def fields(*lines: Any) -> list[Any]:
    parts = [line.partition(b": ") for line in lines]
    return [(name.lower(), name, value) for name, _, value in parts]


TOKENS = [
    pytest.param(b"Bearer token", "token", id="C-BT-1"),
    pytest.param(b"bearer token", "token", id="case"),
    pytest.param(b"BEARER token", "token", id="upper"),
    pytest.param(b"Bearer a.b-c_d~e+f/g==", "a.b-c_d~e+f/g==", id="RFC-6750-b64token"),
    pytest.param(b"Bearer !~", "!~", id="the-first-and-the-last-visible"),
    pytest.param(b"Bearer " + b"x" * MAX_TOKEN, "x" * MAX_TOKEN, id="as-long-as-may-be"),
    pytest.param(b"Bearer", None, id="C-BT-9"),
    pytest.param(b"Bearer ", None, id="C-BT-15"),
    pytest.param(b"", None, id="C-BT-13"),
    pytest.param(b"bear token", None, id="C-BT-10"),
    pytest.param(b"Bearer: token", None, id="C-BT-11"),
    pytest.param(b"Basic 123", None, id="C-BT-14"),
    pytest.param(b"Bearer  token", None, id="C-BT-18-extra-space"),
    pytest.param(b"Bearer\ttoken", None, id="tab"),
    pytest.param(b"token", None, id="no-scheme"),
]


@pytest.mark.parametrize(("value", "token"), TOKENS)
def test_a_token_is_what_follows_bearer(value: bytes, token: str | None) -> None:
    assert bearer_token(value) == token


BAD = [
    # Stricter than kube-apiserver, which takes the first part (C-BT-2..4).
    pytest.param(b"Bearer token a", id="C-BT-2-something-follows"),
    pytest.param(b"Bearer token   a", id="C-BT-4-something-follows"),
    pytest.param(b"Bearer token ", id="a-blank-follows"),
    pytest.param(b"Bearer tok\xe9n", id="no-ascii"),
    pytest.param(b"Bearer tok\x00en", id="control"),
    pytest.param(b"Bearer token\x7f", id="DEL"),
    pytest.param(b"Bearer " + b"x" * (MAX_TOKEN + 1), id="too-long"),
]


@pytest.mark.parametrize("value", BAD)
def test_a_bad_token_is_refused_and_never_no_opinion(value: bytes) -> None:
    with refused(401):
        bearer_token(value)


CARRIED = [
    ([], Credentials()),
    ([b"Host: h"], Credentials()),
    ([b"Authorization: Bearer t"], Credentials("t")),
    ([b"aUTHORIZATION: Bearer t"], Credentials("t")),
    ([b"Authorization: Basic eA=="], Credentials()),
    ([b"X-Bastion-Authorization: Bearer t"], Credentials("t", explicit=True)),
    ([b"X-Bastion-Authorization: Bearer t", b"Authorization: Basic eA=="], Credentials("t", explicit=True)),
    ([b"Authorization: Bearer mine", b"X-Bastion-Authorization: Bearer t"], Credentials("t", explicit=True)),
    ([b"Proxy-Authorization: Bearer t"], Credentials()),
    ([b"X-Authorization: Bearer t"], Credentials()),
    ([b"Cookie: Authorization=Bearer t"], Credentials()),
]


@pytest.mark.parametrize(("lines", "credentials"), CARRIED)
def test_credentials_are_taken_from_one_header(lines: list[Any], credentials: Credentials) -> None:
    assert structs.replace(bearer_credentials(fields(*lines)), note="") == credentials


NOTES = [
    ([b"Host: h"], ""),
    ([b"Authorization: Bearer t"], ""),
    ([b"Authorization: Basic eA=="], "scheme Basic"),
    ([b"Authorization: basic eA=="], "scheme Basic"),
    ([b"Authorization: AWS4-HMAC-SHA256 Credential=secret"], "scheme AWS4-HMAC-SHA256"),
    ([b"Authorization: bearer"], "scheme Bearer without a token"),
    ([b"Authorization: Bearer  secret"], "scheme Bearer without a token"),
    ([b"Authorization: secret"], "no bearer token"),
    ([b"Authorization: secret words"], "no bearer token"),
    ([b"Authorization: Basic"], "no bearer token"),
    ([b"X-Bastion-Authorization: Bearer t", b"Authorization: Basic eA=="], ""),
]


@pytest.mark.parametrize(("lines", "note"), NOTES)
def test_what_is_no_bearer_token_is_named_for_the_log_and_no_secret_is(lines: list[bytes], note: str) -> None:
    assert bearer_credentials(fields(*lines)).note == note


MALFORMED = [
    (b"X-Bastion-Authorization: Basic eA==", "X-Bastion-Authorization: scheme Basic"),
    (b"Authorization: Bearer a\xffb", "is malformed"),
]


@pytest.mark.parametrize(("line", "cause"), MALFORMED)
def test_why_a_credential_is_refused_is_for_the_log_alone(line: bytes, cause: str) -> None:
    with pytest.raises(StatusError) as refused:
        bearer_credentials(fields(line))
    assert cause in refused.value.cause
    assert refused.value.message == "Unauthorized"
    assert cause.encode() not in refused.value.body()


@pytest.mark.parametrize(
    "lines",
    [
        [b"Authorization: Bearer a", b"Authorization: Bearer b"],
        [b"Authorization: Bearer a", b"Host: h", b"authorization: Bearer a"],
        [b"Authorization: Basic eA==", b"Authorization: Bearer a"],
        [b"X-Bastion-Authorization: Bearer a", b"X-Bastion-Authorization: Bearer a"],
        [b"X-Bastion-Authorization: ", b"X-Bastion-Authorization: Bearer a"],
    ],
)
def test_two_credentials_are_none(lines: list[bytes]) -> None:
    with refused(400, "more than one", close=True):
        bearer_credentials(fields(*lines))


@pytest.mark.parametrize("value", [b"", b"Basic eA==", b"Bearer ", b"Bearer a b", b"token"])
def test_a_credential_that_is_for_the_bastion_alone_must_be_a_good_one(value: bytes) -> None:
    with refused(401):
        bearer_credentials(fields(b"X-Bastion-Authorization: " + value, b"Authorization: Bearer good"))


@pytest.mark.parametrize("value", BAD)
def test_a_bad_token_is_never_anonymous(value: bytes) -> None:
    # only who shows no credentials is anonymous.
    async def authenticate() -> Any:
        return await FirstOf([Knows(), AnonymousAuthenticator()]).authenticate(
            bearer_credentials(fields(b"Authorization: " + value)), SOMEBODY
        )

    with refused(401):
        run(authenticate())


@pytest.mark.parametrize(
    "value", [b"Basic eA==", b"Bearer", b"Bearer  token"], ids=["basic", "bare", "extra-space"]
)
def test_what_is_no_bearer_token_is_no_opinion(value: bytes) -> None:
    assert bearer_credentials(fields(b"Authorization: " + value)).token is None


def test_credentials_do_not_show_themselves() -> None:
    credentials = Credentials("hunter2")
    assert "hunter2" not in repr(credentials)
    assert "hunter2" not in str(credentials)
    assert "hunter2" not in f"{[credentials]}"
