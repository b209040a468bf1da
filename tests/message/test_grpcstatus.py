"""What a gRPC client is told, in its own words."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from bastion.http.fields import first_value
from bastion.kube.nearest import not_proxied
from bastion.kube.status import StatusError
from bastion.message.grpcstatus import grpc_fields, is_grpc


@pytest.mark.parametrize(
    ("said", "is_one"),
    [
        ("application/grpc", True),
        ("application/grpc+proto", True),
        ("Application/gRPC; charset=x", True),
        ("application/grpc-web", False),
        ("application/grpc-web+proto", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_who_speaks_grpc(said: str, is_one: bool) -> None:
    assert is_grpc([(b"content-type", b"content-type", said.encode())]) is is_one
    assert not is_grpc([])


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (400, 3),
        (401, 16),
        (403, 7),
        (404, 5),
        (408, 4),
        (429, 8),
        (500, 13),
        (502, 14),
        (503, 14),
        (504, 4),
        (418, 2),
    ],
)
def test_the_status_that_fits(code: int, status: int) -> None:
    fields = grpc_fields(StatusError(code, "Reason", "why"), b"/api/v1/x")
    assert first_value(fields, b"grpc-status") == b"%d" % status
    assert first_value(fields, b"content-type") == b"application/grpc"
    assert first_value(fields, b"grpc-message") == b"why"


def test_a_message_is_percent_encoded() -> None:
    said = "100 % of\nü"
    message = first_value(grpc_fields(StatusError(403, "", said), b"/api/"), b"grpc-message")
    assert message == b"100 %25 of%0A%C3%BC"
    assert unquote(message.decode()) == said


def test_a_path_that_is_nothing_here_is_told_where_grpc_goes() -> None:
    fields = grpc_fields(not_proxied(b"/helloworld.Greeter/SayHello"), b"/helloworld.Greeter/SayHello")
    assert b".svc.<suffix>" in first_value(fields, b"grpc-message")
