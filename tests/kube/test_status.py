"""Does a client read from us what it would read from kube-apiserver?

Bytes, wordings and quoting of a `Status`.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from bastion.kube import status
from bastion.kube.attributes import Attributes
from bastion.kube.status import StatusError, quoted, status_body

RESOURCE = Attributes("get", namespace="ns", resource="services", subresource="proxy", name="https:foo:443")

START = b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
BODIES = [
    # what goes wrong, the body behind its start
    pytest.param(status.unauthorized(), rb'"message":"Unauthorized","reason":"Unauthorized","code":401}'),
    pytest.param(
        status.no_such_route(),
        rb'"message":"the server could not find the requested'
        rb' resource","reason":"NotFound","details":{},"code":404}',
    ),
    pytest.param(
        status.method_not_allowed(),
        rb'"message":"the server does not allow this method on the requested'
        rb' resource","reason":"MethodNotAllowed",'
        rb'"details":{},"code":405}',
    ),
    pytest.param(
        status.forbidden("NAME", Attributes("GET", path="/whatever")),
        rb'"message":"forbidden: User \"NAME\" cannot GET path'
        rb' \"/whatever\"","reason":"Forbidden","details":{},"code":403}',
        id="C-EB-3",
    ),
    pytest.param(
        status.forbidden("NAME", Attributes("GET", path="/<script>")),
        rb'"message":"forbidden: User \"NAME\" cannot GET path'
        rb' \"/\u0026lt;script\u0026gt;\"","reason":"Forbidden",'
        rb'"details":{},"code":403}',
        id="C-EB-4",
    ),
    pytest.param(
        status.forbidden("NAME", Attributes("get", resource="pod")),
        rb'"message":"pod is forbidden: User \"NAME\" cannot get resource \"pod\" in API group \"\" at the'
        rb' cluster scope",'
        rb'"reason":"Forbidden","details":{"kind":"pod"},"code":403}',
        id="C-EB-5",
    ),
    pytest.param(
        status.forbidden("NAME", Attributes("get", resource="pod", name="mypod")),
        rb'"message":"pod \"mypod\" is forbidden: User \"NAME\" cannot get resource \"pod\" in API group \"\"'
        rb' at the cluster scope",'
        rb'"reason":"Forbidden","details":{"name":"mypod","kind":"pod"},"code":403}',
        id="C-EB-6",
    ),
    pytest.param(
        status.forbidden(
            "NAME", Attributes("get", "v2", namespace="test", resource="pod", subresource="quota")
        ),
        rb'"message":"pod.v2 is forbidden: User \"NAME\" cannot get resource \"pod/quota\" in API group'
        rb' \"v2\" in the namespace \"test\"",'
        rb'"reason":"Forbidden","details":{"group":"v2","kind":"pod"},"code":403}',
        id="C-EB-7",
    ),
    pytest.param(
        StatusError(503, "ServiceUnavailable", "busy", {"retryAfterSeconds": 2}),
        rb'"message":"busy","reason":"ServiceUnavailable","details":{"retryAfterSeconds":2},"code":503}',
        id="retry-after",
    ),
    pytest.param(StatusError(500, "", "plain"), rb'"message":"plain","code":500}', id="no-reason"),
]


@pytest.mark.parametrize(("error", "rest"), BODIES)
def test_the_body_is_kube_apiservers_to_the_byte(error: Any, rest: Any) -> None:
    assert error.body() == START + rest + b"\n"


WORDINGS = [
    pytest.param(
        status.forbidden("x", RESOURCE, "why"),
        'services "https:foo:443" is forbidden: User "x" cannot get resource "services/proxy" in API group ""'
        ' in the namespace "ns": why',
    ),
    pytest.param(
        status.forbidden("x", Attributes("", namespace="ns", resource="pods", subresource="proxy", name="p")),
        'pods "p" is forbidden: User "x" cannot  resource "pods/proxy" in API group "" in the namespace "ns"',
        id="two-spaces",
    ),
    pytest.param(
        status.forbidden("x", Attributes("get", resource="nodes", subresource="proxy", name="n")),
        'nodes "n" is forbidden: User "x" cannot get resource "nodes/proxy" in API group "" at the cluster'
        " scope",
        id="cluster",
    ),
    pytest.param(
        status.forbidden("a<b>&c", RESOURCE, "a<b>"),
        'services "https:foo:443" is forbidden: User "a&lt;b&gt;&amp;c" cannot get resource "services/proxy"'
        ' in API group "" in the namespace "ns": a<b>',
        id="html-is-inert-but-in-the-reason",
    ),
]


@pytest.mark.parametrize(("error", "message"), WORDINGS)
def test_the_message_is_kube_apiservers(error: Any, message: Any) -> None:
    assert error.message == message
    assert json.loads(error.body())["message"] == message


ERRORS = [
    (status.bad_request("m"), 400, "BadRequest", None),
    (status.unauthorized(), 401, "Unauthorized", None),
    (status.forbidden("u", RESOURCE), 403, "Forbidden", {"name": "https:foo:443", "kind": "services"}),
    (status.internal_error(), 500, "InternalError", None),
]


@pytest.mark.parametrize(
    ("error", "code", "reason", "details"), ERRORS, ids=lambda value: getattr(value, "reason", "")
)
def test_an_error_has_the_code_and_reason_of_kubernetes(
    error: Any, code: Any, reason: Any, details: Any
) -> None:
    assert (error.code, error.reason, str(error)) == (code, reason, error.message)
    assert json.loads(error.body()).get("details") == details


def test_details_keep_the_order_of_kubernetes() -> None:
    details = json.loads(
        status.forbidden("u", Attributes("get", "apps", resource="deployments", name="d")).body()
    )["details"]
    assert list(details) == ["name", "group", "kind"]


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (status.unauthorized(), ((b"WWW-Authenticate", b'Bearer realm="kubernetes"'),)),
        (status.bad_request("m"), ()),
    ],
)
def test_headers_say_what_the_client_can_do(error: Any, headers: Any) -> None:
    assert error.headers == headers


@pytest.mark.parametrize("close", [True, False])
def test_only_a_connection_that_cannot_be_trusted_is_closed(close: Any) -> None:
    assert status.bad_request("m", close=close).close is close
    assert not status.bad_request("m").close
    assert not status.unauthorized().close


ESCAPES = [
    ("<script>", b"\\u003cscript\\u003e"),
    ("a&b", b"a\\u0026b"),
    ("\u2028\u2029", b"\\u2028\\u2029"),
    ('say "x"', b'say \\"x\\"'),
    ("今日は", "今日は".encode()),
    ("tab\tnewline\n", b"tab\\tnewline\\n"),
]


@pytest.mark.parametrize(("text", "written"), ESCAPES, ids=ascii)
def test_json_is_escaped_as_go_does(text: Any, written: Any) -> None:
    body = status_body(400, "BadRequest", text)
    assert b'"message":"' + written + b'"' in body
    assert json.loads(body)["message"] == text


@pytest.mark.parametrize(
    ("message", "details"),
    [
        ("caf\udce9", None),
        ("caf\udce9", {"name": "caf\udce9", "kind": "pods"}),
        ("plain", {"name": "caf\udce9", "kind": "pods"}),
        ("plain", {"causes": [{"message": "caf\udce9"}]}),
    ],
    ids=["message", "both", "details", "causes"],
)
def test_a_byte_that_is_no_utf8_does_not_break_the_answer(message: Any, details: Any) -> None:
    assert json.loads(status_body(404, "NotFound", message, details))["code"] == 404


# strconv.Quote of Go
QUOTED = [
    ("foo", '"foo"'),
    ("", '""'),
    ('a"b', r'"a\"b"'),
    ("a\\b", r'"a\\b"'),
    ("a\nb\rc\td", r'"a\nb\rc\td"'),
    ("\a\b\f\v", r'"\a\b\f\v"'),
    ("\x00\x1b\x7f", r'"\x00\x1b\x7f"'),
    ("\x85\xa0", r'"\u0085\u00a0"'),
    ("\u200b\ufeff", r'"\u200b\ufeff"'),
    ("\U000e0001", r'"\U000e0001"'),
    ("\udc80\udcff", r'"\x80\xff"'),
    ("é今ᛄ", '"é今ᛄ"'),
    ("<&>", '"<&>"'),
]


@pytest.mark.parametrize(("text", "expected"), QUOTED, ids=ascii)
def test_names_are_quoted_as_go_does(text: Any, expected: Any) -> None:
    assert quoted(text) == expected
