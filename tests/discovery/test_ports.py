"""What does a port speak?  The annotation first, then appProtocol, then the name, then the handshake."""

from __future__ import annotations

import pytest

from bastion.discovery.ports import spoken
from bastion.kube.target import parse_target

EITHER, H2, H1 = ("h2", "http/1.1"), ("h2",), ("http/1.1",)
PLAIN = (None, False)
PRIOR = (None, True)


@pytest.mark.parametrize(
    ("id", "protocol", "app_protocol", "name", "number", "expected"),
    [
        ("web:80", "", None, "http", 80, PLAIN),
        ("web:80", "", None, "", 8080, PLAIN),
        ("web:443", "", None, "", 443, (EITHER, False)),
        ("web:80", "", None, "https", 80, (EITHER, False)),
        ("https:web:80", "", None, "", 80, (EITHER, False)),
        # by annotation
        ("web:80", "h2c", None, "http", 80, PRIOR),
        ("web:443", "h2c", "https", "https", 443, PRIOR),
        ("web:80", "h2", None, "http", 80, (H2, False)),
        ("https:web:80", "h2c", None, "http", 80, (H2, False)),
        ("http:web:80", "h2", None, "http", 80, PRIOR),
        ("web:80", "http1", "kubernetes.io/h2c", "grpc", 80, PLAIN),
        ("web:443", "http1", None, "", 443, (H1, False)),
        # by appProtocol
        ("web:80", "", "kubernetes.io/h2c", "http", 80, PRIOR),
        ("web:443", "", "kubernetes.io/h2c", "", 443, PRIOR),
        ("web:80", "", "grpc", "", 80, PRIOR),
        ("web:80", "", "H2C", "", 80, PRIOR),
        ("web:80", "", "grpcs", "", 80, (EITHER, False)),
        ("web:80", "", "http", "grpc", 80, PLAIN),
        ("web:80", "", "example.com/own", "grpc", 80, PLAIN),
        ("https:web:80", "", "kubernetes.io/h2c", "", 80, (EITHER, False)),
        # by name
        ("web:80", "", None, "grpc", 80, PRIOR),
        ("web:80", "", None, "grpc-api", 80, PRIOR),
        ("web:80", "", None, "h2c", 80, PRIOR),
        ("web:80", "", None, "h2c-main", 80, PRIOR),
        ("web:80", "", None, "grpc-web", 80, PLAIN),
        ("web:80", "", None, "grpc-web-ui", 80, PLAIN),
        ("web:80", "", None, "grpcx", 80, PLAIN),
        ("web:80", "", None, "h2", 80, PLAIN),
        ("web:80", "", None, "grpcs", 80, (EITHER, False)),
        ("web:443", "", None, "grpc", 443, (EITHER, False)),
        ("web:443", "", None, "h2c", 443, PRIOR),
    ],
)
def test_what_is_spoken(
    id: str,
    protocol: str,
    app_protocol: str | None,
    name: str,
    number: int,
    expected: tuple[tuple[str, ...] | None, bool],
) -> None:
    said = spoken(parse_target("services", "ns", id), protocol, app_protocol, name, number)
    assert (said.tls.alpn if said.tls is not None else None, said.h2c) == expected
