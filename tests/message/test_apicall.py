"""What an API server gets to see of a call, and its caller of the response."""

from __future__ import annotations

import pytest

from bastion.http.fields import Field
from bastion.kube.user import User
from bastion.message.apicall import (
    front_proxy_lines,
    impersonation_lines,
    to_api_server,
    to_caller,
    withheld_from,
)
from bastion.message.identity import asserts_identity, withholding


def fields(*lines: str) -> list[Field]:
    split = (line.encode().partition(b": ") for line in lines)
    return [(name.lower(), name, value) for name, _, value in split]


def sent(*lines: str, impersonation: bool = True, with_credentials: bool = True) -> list[str]:
    withheld = withheld_from(asserts_identity, impersonation=impersonation)
    passed = to_api_server(fields(*lines), withheld, with_credentials=with_credentials)
    return [line.decode().removesuffix("\r\n") for line in passed]


PASSED = [
    "Authorization: Bearer abc",
    "Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "accept-encoding: gzip",
    "Kubectl-Session: 1",
    "Impersonate-User: jane",
    "Impersonate-Group: a",
    "Impersonate-Group: b",
    "Impersonate-Extra-Scopes%2Fx: view",
    "X-Stream-Protocol-Version: v5.channel.k8s.io",
    "X-Stream-Protocol-Version: v4.channel.k8s.io",
    "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.YQ, v5.channel.k8s.io",
    "Audit-ID: 1",
    "Traceparent: 00-1-2-01",
    "Cookie: theirs=1",
]


def test_what_passes_passes_in_its_order() -> None:
    assert sent(*PASSED) == PASSED


@pytest.mark.parametrize(
    "line",
    [
        "X-Remote-User: admin",
        "x-remote-extra-scopes: all",
        "X_Remote_User: admin",
        "Impersonate_User: admin",
        "X-Forwarded-For: 1.2.3.4",
        "X-Forwarded-User: admin",
        "X-Client-Cert: x",
        "X-Bastion-Authorization: Bearer abc",
        "Proxy-Authorization: Basic eDp5",
        "Connection: keep-alive",
        "Expect: 100-continue",
        "Content-Length: 3",
        "Transfer-Encoding: chunked",
        "Cookie: __Host-bastion_session=abc",
    ],
)
def test_what_is_asserted_or_of_the_connection_does_not(line: str) -> None:
    assert sent("A: 1", line) == ["A: 1"]


def test_what_connection_names_is_of_the_connection() -> None:
    assert sent("Connection: X-Hop, keep-alive", "X-Hop: 1", "X-Stays: 2") == ["X-Stays: 2"]


def test_beside_another_identity_none_of_the_client_s_own_passes() -> None:
    own = (
        "Authorization: Bearer abc",
        "Impersonate-User: jane",
        "Impersonate-Extra-Scopes%2Fx: view",
        "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.YQ, v5.channel.k8s.io",
    )
    assert sent(*own, impersonation=False, with_credentials=False) == [
        "Sec-WebSocket-Protocol: v5.channel.k8s.io"
    ]


def test_a_front_proxy_s_own_fields_are_withheld_as_well() -> None:
    withheld = withheld_from(withholding((b"x-who",), (b"x-more-",)), impersonation=True)
    assert to_api_server(fields("X-Who: a", "X-More-B: c", "D: e"), withheld, with_credentials=True) == [
        b"D: e\r\n"
    ]


def test_the_caller_gets_all_but_what_is_of_the_connection() -> None:
    said = fields(
        'Warning: 299 - "a, b"',
        'Warning: 299 - "c"',
        "Access-Control-Allow-Origin: https://ui.test",
        "Location: /apis/x/",
        "Set-Cookie: a=b",
        "Connection: X-Hop",
        "X-Hop: 1",
        "Content-Length: 3",
        "X-Bastion-Error: Forged",
    )
    assert [name for _, name, _ in to_caller(said)] == [
        b"Warning",
        b"Warning",
        b"Access-Control-Allow-Origin",
        b"Location",
        b"Set-Cookie",
    ]


CARLA = User("carla", "7", ("devs", "ops", "system:authenticated"), (("scopes/x", ("view", "edit")),))


def test_whom_a_call_is_for() -> None:
    named = [b"Impersonate-User: carla\r\n", b"Impersonate-Group: devs\r\n", b"Impersonate-Group: ops\r\n"]
    assert impersonation_lines(CARLA, whole=False) == named
    assert impersonation_lines(CARLA, whole=True) == [
        *named,
        b"Impersonate-Uid: 7\r\n",
        b"Impersonate-Extra-scopes%2Fx: view\r\n",
        b"Impersonate-Extra-scopes%2Fx: edit\r\n",
    ]
    assert front_proxy_lines(CARLA) == [
        b"X-Remote-User: carla\r\n",
        b"X-Remote-Group: devs\r\n",
        b"X-Remote-Group: ops\r\n",
    ]


@pytest.mark.parametrize("name", ["", "a\r\nX-Remote-Group: system:masters", "a\0", " a", "a\n"])
def test_a_name_that_is_no_value_is_nobody_s(name: str) -> None:
    with pytest.raises(ValueError, match="header field"):
        impersonation_lines(User(name), whole=False)
    with pytest.raises(ValueError, match="header field"):
        front_proxy_lines(User(name))
