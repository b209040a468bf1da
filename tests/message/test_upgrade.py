"""Is an upgrade asked for, and does an answer accept it?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.http.fields import Field
from bastion.kube.status import StatusError
from bastion.message.upgrade import UpgradeRequest, accepts, answer_fields, asked_upgrade, request_lines
from tests.fakes import refused

KEY, PROOF = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3
C, W, S = "Connection: Upgrade", "Upgrade: websocket", "Upgrade: SPDY/3.1"
K = f"Sec-WebSocket-Key: {KEY}"


def fields(*lines: str) -> list[Field]:
    parts = [line.encode().partition(b":") for line in lines]
    return [(name.lower(), name, value.strip(b" \t")) for name, _, value in parts]


def asked(*lines: str, method: str = "GET", minor: int = 1, has_body: bool = False) -> UpgradeRequest | None:
    return asked_upgrade(method, minor, fields(*lines), has_body=has_body)


ASKED = [
    pytest.param((C, W, K), UpgradeRequest(b"websocket", KEY.encode()), id="websocket"),
    pytest.param((C, W), UpgradeRequest(b"websocket"), id="without a key"),
    pytest.param((C, S), UpgradeRequest(b"SPDY/3.1"), id="spdy"),
    pytest.param(
        ("connection: UPGRADE", "upgrade: WebSocket", K),
        UpgradeRequest(b"WebSocket", KEY.encode()),
        id="any case, kept as written",
    ),
    pytest.param((C, "Upgrade: spdy/3.1"), UpgradeRequest(b"spdy/3.1"), id="spdy in lower case"),
    pytest.param(
        ("Connection: keep-alive, Upgrade", W, K),
        UpgradeRequest(b"websocket", KEY.encode()),
        id="one of the options",
    ),
    pytest.param(("Connection:\tupgrade\t,close", W), UpgradeRequest(b"websocket"), id="tabs"),
    pytest.param(("Connection: not", C, W), UpgradeRequest(b"websocket"), id="in the second line (C-WB-2)"),
    pytest.param((C, C, W), UpgradeRequest(b"websocket"), id="said twice"),
    pytest.param(
        (C, W, "Sec-WebSocket-Key: "), UpgradeRequest(b"websocket"), id="an empty key proves nothing"
    ),
]


@pytest.mark.parametrize(("lines", "expected"), ASKED)
def test_an_upgrade_is_asked_for(lines: tuple[str, ...], expected: UpgradeRequest) -> None:
    assert asked(*lines) == expected


NOT_ASKED = [
    pytest.param((), id="nothing"),
    pytest.param((W, K), id="no Connection"),
    pytest.param((C,), id="no Upgrade"),
    pytest.param(("Connection: keep-alive", W), id="Connection says otherwise"),
    pytest.param(("Connection: upgraded", W), id="nearly the option"),
    pytest.param(("Connection: up grade", W), id="no such option"),
    pytest.param((C, "Upgrade: h2c"), id="h2c"),
    pytest.param((C, "Upgrade: tcp"), id="not listed"),
    pytest.param((C, "Upgrade: SPDY/3"), id="another version"),
    pytest.param((C, "Upgrade: websocket, SPDY/3.1"), id="a choice"),
    pytest.param((C, "Upgrade: websocket/13"), id="with a version"),
    pytest.param((C, W, S), id="two fields"),
    pytest.param((C, W, W), id="the same twice"),
    pytest.param((C, "Upgrade:"), id="empty"),
]


@pytest.mark.parametrize("lines", NOT_ASKED)
def test_what_asks_for_nothing_listed_is_an_ordinary_request(lines: tuple[str, ...]) -> None:
    assert asked(*lines) is None
    # nor is it refused for what an upgrade may not have
    assert asked(*lines, method="POST", has_body=True) is None


@pytest.mark.parametrize("protocol", [W, S])
def test_http_1_0_cannot_ask(protocol: str) -> None:
    assert asked(C, protocol, minor=0) is None


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "OPTIONS", "get", "CONNECT"])
def test_a_websocket_is_a_get(method: str) -> None:
    with refused(400, "GET"):
        asked(C, W, K, method=method)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_spdy_is_asked_for_by_any_method(method: str) -> None:
    assert asked(C, S, method=method) == UpgradeRequest(b"SPDY/3.1")


@pytest.mark.parametrize("protocol", [W, S])
@pytest.mark.parametrize("lines", [("Expect: 100-continue",), ("Expect: x",)])
def test_an_expectation_is_refused(protocol: str, lines: tuple[str, ...]) -> None:
    with refused(400, "expectation"):
        asked(C, protocol, *lines)


@pytest.mark.parametrize("protocol", [W, S])
def test_a_body_is_refused(protocol: str) -> None:
    with refused(400, "body"):
        asked(C, protocol, has_body=True)


@pytest.mark.parametrize("protocol", [W, S])
def test_two_keys_are_refused(protocol: str) -> None:
    with refused(400, "more than one"):
        asked(C, protocol, K, K)


@pytest.mark.parametrize(
    ("lines", "method", "has_body"),
    [((C, W, K, K), "GET", False), ((C, W), "POST", False), ((C, S), "GET", True)],
)
def test_what_is_refused_ends_the_connection(lines: tuple[str, ...], method: str, has_body: bool) -> None:
    """What follows such a head may be of either protocol."""
    with pytest.raises(StatusError) as caught:
        asked(*lines, method=method, has_body=has_body)
    assert caught.value.close


# --- the answer

P = f"Sec-WebSocket-Accept: {PROOF}"

ACCEPTED = [
    (UpgradeRequest(b"websocket", KEY.encode()), (W, P)),
    (UpgradeRequest(b"websocket", KEY.encode()), ("upgrade: WebSocket", P)),
    (UpgradeRequest(b"WEBSOCKET", KEY.encode()), (W, P, "Sec-WebSocket-Protocol: chat")),
    (UpgradeRequest(b"websocket"), (W,)),
    (UpgradeRequest(b"websocket"), (W, P)),
    (UpgradeRequest(b"SPDY/3.1"), (S,)),
    (UpgradeRequest(b"SPDY/3.1", KEY.encode()), (S,)),
    (UpgradeRequest(b"spdy/3.1"), (S,)),
]


@pytest.mark.parametrize(("said", "lines"), ACCEPTED)
def test_an_answer_accepts(said: UpgradeRequest, lines: tuple[str, ...]) -> None:
    assert accepts(said, fields(*lines))


NOT_ACCEPTED = [
    (UpgradeRequest(b"websocket", KEY.encode()), (W,)),
    (UpgradeRequest(b"websocket", KEY.encode()), (W, "Sec-WebSocket-Accept: ")),
    (UpgradeRequest(b"websocket", KEY.encode()), (W, f"Sec-WebSocket-Accept: {KEY}")),
    (UpgradeRequest(b"websocket", KEY.encode()), (W, f"Sec-WebSocket-Accept: {PROOF.lower()}")),
    (UpgradeRequest(b"websocket", KEY.encode()), (W, P, P)),
    (UpgradeRequest(b"websocket", b"another"), (W, P)),
    (UpgradeRequest(b"websocket", KEY.encode()), (P,)),
    (UpgradeRequest(b"websocket", KEY.encode()), (S, P)),
    (UpgradeRequest(b"websocket", KEY.encode()), (W, S, P)),
    (UpgradeRequest(b"websocket", KEY.encode()), ("Upgrade: websocket, SPDY/3.1", P)),
    (UpgradeRequest(b"SPDY/3.1"), (W,)),
    (UpgradeRequest(b"SPDY/3.1"), ()),
    (UpgradeRequest(b"SPDY/3.1"), (S, S)),
]


@pytest.mark.parametrize(("said", "lines"), NOT_ACCEPTED)
def test_an_answer_does_not_accept(said: UpgradeRequest, lines: tuple[str, ...]) -> None:
    assert not accepts(said, fields(*lines))


@given(st.binary(min_size=1, max_size=40), st.binary(max_size=40))
def test_no_answer_is_a_proof_by_chance(key: bytes, proof: bytes) -> None:
    assert not accepts(
        UpgradeRequest(b"websocket", key),
        [(b"upgrade", b"Upgrade", b"websocket"), (b"sec-websocket-accept", b"", proof)],
    )


@pytest.mark.parametrize("protocol", [b"websocket", b"WebSocket", b"SPDY/3.1"])
def test_both_sides_are_told_the_protocol_as_the_client_wrote_it(protocol: bytes) -> None:
    assert request_lines(UpgradeRequest(protocol)) == b"Connection: Upgrade\r\nUpgrade: %b\r\n" % protocol
    assert answer_fields(UpgradeRequest(protocol)) == [
        (b"connection", b"Connection", b"Upgrade"),
        (b"upgrade", b"Upgrade", protocol),
    ]
